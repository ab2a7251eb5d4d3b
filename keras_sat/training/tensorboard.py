"""What TensorBoard shows of a run: scalars, settings, sample captions, and where it looks."""

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from keras_sat import config as configuration
from keras_sat.runs.run import flat
from keras_sat.visualize.attention import attention_overlay, to_png

# Updates between the scalars of the training batches since the last ones.
EVERY = 50
_SECTIONS = ("seed", "data", "model", "finetune", "train")


class TensorBoard:
    """Writes the results of training, over the number of updates.

    Training and validation have writers of their own with the same tags, so that TensorBoard draws
    both into one chart. `steps/…` are means over the last updates, the others over an epoch.

    Args:
        folder: the run's logs.
        experiment: a `keras_sat.config.Experiment`, whose settings are shown beside the scores.
        pictures: [(validation `Record`, picture uint8 [H, W, 3] to draw on or None)] to show.
    """

    def __init__(self, folder, experiment, pictures):
        self._training = tf.summary.create_file_writer(str(folder / "training"))
        self._validation = tf.summary.create_file_writer(str(folder / "validation"))
        self._pictures = {record.source_id: (record, picture) for record, picture in pictures}
        self._sums = {}  # {metric: (total, weight) when it was written last}
        with tf.summary.create_file_writer(str(folder)).as_default():
            hparams.hparams(_settings(experiment), trial_id=str(folder.resolve().parent))

    def leave_out(self, metrics):
        """Leaves out of the next `steps/…` what the metrics hold: a resumed epoch's first updates.

        Args:
            metrics: see `write_steps`.
        """
        for metric in metrics:
            self._sums[metric.name] = _sums_of(metric)

    def write_steps(self, step, metrics):
        """Writes what the metrics have gathered since the last call, or since `leave_out`.

        Args:
            step: the number of updates.
            metrics: the model's `keras.metrics.Mean`s, which start anew with every epoch.
        """
        with self._training.as_default(step=step):
            for metric in metrics:
                total, weight = _sums_of(metric)
                before = self._sums.get(metric.name, (0.0, 0.0))
                self._sums[metric.name] = (total, weight)
                if weight > before[1]:
                    mean = (total - before[0]) / (weight - before[1])
                    tf.summary.scalar(f"steps/{metric.name}", mean)

    def write_epoch(self, results, captioned):
        """Writes an epoch.

        Args:
            results: the epoch's line of metrics.jsonl.
            captioned: the `Captioned` of the validation images.
        """
        self._sums = {}
        shown = [each for each in captioned if each.source_id in self._pictures]
        with self._training.as_default(step=results["step"]):
            for name, value in results.items():
                if not name.startswith("val_"):
                    tf.summary.scalar(name, value)
        with self._validation.as_default(step=results["step"]):
            for name, value in results.items():
                if name.startswith("val_"):
                    tf.summary.scalar(name.removeprefix("val_"), value)
            tf.summary.text("captions", self._table(shown))
            for each in shown:
                self._draw(each)
        self._training.flush()
        self._validation.flush()

    def _table(self, captioned):
        lines = ["| image | generated | a reference |", "|---|---|---|"]
        for each in captioned:
            record, _ = self._pictures[each.source_id]
            lines.append(f"| {each.source_id} | {each.caption} | {record.captions[0]} |")
        return "\n".join(lines)

    def _draw(self, captioned):
        _, picture = self._pictures[captioned.source_id]
        if picture is None:
            return
        figure = attention_overlay(picture, captioned.words, captioned.attention, captioned.boxes)
        image = tf.io.decode_png(to_png(figure))[..., :3]
        tf.summary.image(f"attention/{captioned.source_id}", image[None])


def _sums_of(metric):
    """(total, weight) of a keras.metrics.Mean, added up over devices and workers."""
    return float(metric.total.read_value()), float(metric.count.read_value())


def _settings(experiment):
    """The settings that training depends on, {"section.key": value}, as the plugin takes them."""
    found = {}
    for key, value in flat(configuration.as_dict(experiment)).items():
        if key.partition(".")[0] in _SECTIONS:
            plain = isinstance(value, bool | int | float | str)
            found[key] = value if plain else str(value)
    return found
