import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from keras_sat.config import Data
from keras_sat.data import input_pipeline
from keras_sat.data.sharding import WHOLE, Part, dealt, not_empty
from keras_sat.utils.errors import UserError

CONFIG = Data(batch_size=8, shuffle_images=10, shuffle_captions=20)


def captions_of(data, vocabulary, part):
    """(batches, captions in alphabetical order) of a part of the data."""
    batches = list(input_pipeline.training_batches(data, CONFIG, vocabulary, 1, 0, part=part))
    return batches, sorted(
        text for batch in batches for text in vocabulary.decode(batch["captions"][:, 0]).numpy()
    )


def test_each_reads_its_own_files_and_together_they_read_all(files_data, vocabulary):
    _, everything = captions_of(files_data, vocabulary, WHOLE)
    found = []
    for index, images in enumerate((24, 16)):
        batches, captions = captions_of(files_data, vocabulary, Part(index, 2))
        assert len(captions) == 5 * images
        for batch in batches:
            assert len(batch["row"]) <= 4
            assert batch["row"].numpy().tolist() == list(
                range(4 * index, 4 * index + len(batch["captions"]))
            )
        found += captions
        steps = input_pipeline.count_batches(files_data, CONFIG, part=Part(0, 2))
        assert len(batches) <= (1.1 if index == 0 else 0.8) * steps
    assert sorted(found) == everything


def test_devices_are_dealt_the_rows_of_a_batch_in_order(files_data, vocabulary):
    def batches():
        # Built for each pass: a second pass over one data set would be shuffled differently.
        return input_pipeline.training_batches(
            files_data, CONFIG, vocabulary, 1, 0, shares=2, part=Part(1, 2)
        )

    elements = list(dealt(batches(), 2))
    for number, batch in enumerate(batches()):
        for name, tensor in batch.items():
            pair = [elements[2 * number + device][name] for device in range(2)]
            np.testing.assert_array_equal(tf.concat(pair, 0), tensor)
    assert len(elements) == 2 * (number + 1)
    assert dealt(batches(), 2).element_spec == batches().element_spec


def test_a_worker_without_further_images_holds_empty_captions(files_data, vocabulary):
    batches = input_pipeline.training_batches(files_data, CONFIG, vocabulary, 1, 0)
    step = tf.function(lambda batch: not_empty(batch, 3), [batches.element_spec])
    batch = next(iter(batches))
    for name, tensor in step(batch).items():
        np.testing.assert_array_equal(tensor, batch[name])
    filled = step(
        {
            "features": tf.zeros([0, 8, 8, 128]),
            "captions": tf.zeros([0, 0, 0], tf.int32),
            "row": tf.range(0),
        }
    )
    assert filled["features"].shape == (3, 8, 8, 128)
    assert filled["captions"].shape == (3, 1, 1)
    assert not np.any(filled["captions"])


def test_what_cannot_be_shared_is_refused(data, files_data, vocabulary):
    with pytest.raises(UserError, match="2 workers cannot share its 1 files of train"):
        captions_of(data, vocabulary, Part(0, 2))
    with pytest.raises(UserError, match=r"batch_size: 3 workers cannot share its 8 rows"):
        captions_of(files_data, vocabulary, Part(0, 3))
    odd = dataclasses.replace(CONFIG, batch_size=9)
    assert list(input_pipeline.training_batches(files_data, odd, vocabulary, 1, 0, part=Part(2, 3)))
