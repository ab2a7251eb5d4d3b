"""A captioner of pictures from an exported model, without the run that it was made of."""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  its ops are in the SavedModel

from keras_sat.api.answer import Answer
from keras_sat.api.captioner import PictureCaptioner
from keras_sat.decoding.captioned import normalised
from keras_sat.encoder.inputs import shown_picture
from keras_sat.exporting.versions import versions
from keras_sat.pictures.batches import answers
from keras_sat.pictures.decode import OK
from keras_sat.pictures.reading import encoded_picture
from keras_sat.utils.errors import UserError

_SAVED_MODEL = "saved_model.pb"


def exported_version(folder):
    """The folder of an exported model's version: itself, or the newest one in it; else None."""
    folder = Path(folder)
    if (folder / _SAVED_MODEL).exists():
        return folder
    for number in versions(folder):
        if (folder / str(number) / _SAVED_MODEL).exists():
            return folder / str(number)
    return None


class ExportedCaptioner(PictureCaptioner):
    """A captioner of pictures that asks the signatures of a SavedModel.

    Args:
        folder: of one version, see `exported_version`.

    Raises:
        UserError: it cannot be loaded, is no captioner, or wants object proposals.
    """

    def __init__(self, folder):
        self._folder = folder
        try:
            self._model = tf.saved_model.load(str(folder))
            card = json.loads((folder / "model_card.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise UserError(f"{folder}: cannot be loaded ({error}); export it again") from error
        self._encoder = card["encoder"]
        self._attend = self._signature("caption_with_attention")
        self._score_caption = self._signature("score_caption")

    def _signature(self, name):
        if name not in self._model.signatures:
            raise UserError(f"{self._folder}: has no signature {name}; export it again")
        signature = self._model.signatures[name]
        if "boxes" in signature.structured_input_signature[1]:
            raise UserError(
                f"{self._folder}: takes object proposals, which an exported model does not search "
                "for; load the run that it was exported from"
            )
        return signature

    def stream(self, pictures):
        return answers(pictures, encoded_picture, self._answers)

    def _answers(self, pictures):
        """The `Answer` or `UserError` of each (name, bytes)."""
        encoded = tf.constant([content for _, content in pictures])
        found = self._attend(image_bytes=encoded)
        found = {name: values.numpy() for name, values in found.items()}
        outcomes = []
        for row, (name, content) in enumerate(pictures):
            status = found["status"][row].decode()
            if status != OK:
                outcomes.append(UserError(f"{name}: {status}"))
                continue
            scores = found["scores"][row]
            exist = scores > -np.inf
            exist[0] = True
            captions = tuple(text.decode() for text in found["captions"][row][exist])
            attention = found["attention"][row, : len(captions[0].split())]
            boxes = found["boxes"][row]
            shown = shown_picture(content, self._encoder)
            outcomes.append(
                Answer(name, captions, tuple(scores[exist].tolist()), attention, boxes, shown)
            )
        return outcomes

    def with_decoding(self, **decoding):
        raise UserError(
            f"{self._folder}: its decoding settings are part of the exported graph; "
            f"load the run to change {', '.join(decoding)}"
        )

    def evaluate(self, data=None, split="test", metrics=None, limit=0):
        raise UserError(f"{self._folder}: is exported; load the run to evaluate it")

    def _score(self, picture, caption):
        name, content = encoded_picture(picture)
        longest = self._score_caption.structured_outputs["words"].shape[1] - 1  # without the end
        [words] = normalised([caption])
        if len(words.split()) > longest:
            raise UserError(f"{caption!r}: has more than {longest} words; load the run to score it")
        found = self._score_caption(
            image_bytes=tf.constant([content]), caption=tf.constant([caption])
        )
        status = found["status"][0].numpy().decode()
        if status != OK:
            raise UserError(f"{name}: {status}")
        return float(tf.reduce_sum(found["word_log_probs"][0]))
