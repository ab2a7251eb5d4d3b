"""What TensorBoard shows of a run: scalars, sample captions, and where the model looks."""

import tensorflow as tf

from keras_sat.visualize.attention import attention_overlay, to_png


class TensorBoard:
    """Writes the results of an epoch.

    Args:
        folder: the run's logs.
        pictures: [(validation `Record`, picture uint8 [H, W, 3] to draw on or None)] to show.
    """

    def __init__(self, folder, pictures):
        self._writer = tf.summary.create_file_writer(str(folder))
        self._pictures = {record.source_id: (record, picture) for record, picture in pictures}

    def write(self, results, captioned):
        """Writes an epoch.

        Args:
            results: the epoch's line of metrics.jsonl.
            captioned: the `Captioned` of the validation images.
        """
        shown = [each for each in captioned if each.source_id in self._pictures]
        with self._writer.as_default(step=results["epoch"]):
            for name, value in results.items():
                tf.summary.scalar(_tag(name), value)
            tf.summary.text("captions", self._table(shown))
            for each in shown:
                self._draw(each)
        self._writer.flush()

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


def _tag(name):
    if name.startswith("val_"):
        return f"validation/{name.removeprefix('val_')}"
    return f"training/{name}"
