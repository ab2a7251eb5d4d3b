"""What TensorBoard shows of a run: scalars, sample captions, and where the model looks."""

import tensorflow as tf

from keras_sat.visualize.attention import attention_overlay, to_png


class TensorBoard:
    """Writes an epoch's results.

    Args:
        folder: the run's logs. pictures: [(validation `Record`, picture uint8 [H, W, 3] to draw on or None)] to show.
    """

    def __init__(self, folder, pictures):
        self._writer = tf.summary.create_file_writer(str(folder))
        self._pictures = {record.source_id: (record, picture) for record, picture in pictures}

    def write(self, results, captioned):
        """Args: results: the epoch's line of metrics.jsonl. captioned: `Captioned` of the validation images."""
        with self._writer.as_default(step=results["epoch"]):
            for name, value in results.items():
                tf.summary.scalar(
                    f"validation/{name[4:]}" if name.startswith("val_") else f"training/{name}",
                    value,
                )
            shown = [each for each in captioned if each.source_id in self._pictures]
            rows = [
                f"| {e.source_id} | {e.caption} | {self._pictures[e.source_id][0].captions[0]} |"
                for e in shown
            ]
            tf.summary.text(
                "captions",
                "\n".join(["| image | generated | a reference |", "|---|---|---|", *rows]),
            )
            for each in shown:
                if (image := self._pictures[each.source_id][1]) is not None:
                    figure = attention_overlay(image, each.words, each.attention, each.boxes)
                    tf.summary.image(
                        f"attention/{each.source_id}",
                        tf.io.decode_png(to_png(figure))[None, ..., :3],
                    )
        self._writer.flush()
