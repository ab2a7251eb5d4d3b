import collections
import shutil

import numpy as np
import pytest

from keras_sat.config import Data
from keras_sat.data import input_pipeline
from keras_sat.data.prepared import check_shards, open_prepared
from keras_sat.encoder import dequantise
from keras_sat.errors import UserError
from keras_sat.evaluation.generate import normalised_references


@pytest.fixture(params=["captions", "images"])
def config(request):
    return Data(batching=request.param, batch_size=16, bucket_width=2, shuffle_images=10, shuffle_captions=20)


def epoch(data, config, vocabulary, number=0, seed=1):
    return list(input_pipeline.training_batches(data, config, vocabulary, seed, number))


def rows(batches, vocabulary):
    """(features' first numbers, caption) of every caption of an epoch, in order."""
    return [
        (features.numpy()[0, 0, :4].tobytes(), text.decode())
        for batch in batches
        for features, captions in zip(batch["features"], batch["captions"])
        for text in vocabulary.decode(captions).numpy()
    ]


def test_every_caption_once_beside_its_own_image(data, config, vocabulary):
    expected = collections.Counter()
    records = list(input_pipeline.read_records(data, "train"))
    references = normalised_references(records)
    for record in records:
        values, minimum, scale = record.features
        cell = dequantise(values.reshape(64, -1), minimum, scale).numpy()[0, :4]
        expected.update((cell.tobytes(), text) for text in references[record.source_id])
    assert collections.Counter(rows(epoch(data, config, vocabulary), vocabulary)) == expected


def test_as_many_batches_as_counted(data, config, vocabulary):
    batches = epoch(data, config, vocabulary)
    assert len(batches) == input_pipeline.count_batches(data, config)
    for batch in batches:
        assert batch["row"].numpy().tolist() == list(range(len(batch["captions"])))
        assert batch["captions"].shape[1] == (1 if config.batching == "captions" else 5)
        lengths = np.count_nonzero(batch["captions"], axis=-1)
        assert lengths.max() == batch["captions"].shape[-1]
        assert lengths.max(axis=1).min() > lengths.max() - config.bucket_width


def test_order_is_a_function_of_seed_and_epoch(data, config, vocabulary):
    one, same, next_epoch, other_seed = (
        rows(epoch(data, config, vocabulary, number, seed), vocabulary) for number, seed in [(0, 1), (0, 1), (1, 1), (0, 2)]
    )
    assert one == same
    assert one != next_epoch and one != other_seed and sorted(one) == sorted(next_epoch)


def test_long_captions_are_cut(data, vocabulary):
    config = Data(max_length=9, batch_size=16)
    batches = epoch(data, config, vocabulary)
    assert max(batch["captions"].shape[-1] for batch in batches) == 9
    assert len(batches) == input_pipeline.count_batches(data, config)


def test_evaluation_reads_a_split_in_order(data):
    ids = [record.source_id for record in input_pipeline.read_records(data, "val")]
    batched = [name.decode() for b in input_pipeline.evaluation_batches(data, "val", 3) for name in b["source_id"].numpy()]
    assert batched == ids and len(ids) == 8


@pytest.fixture
def copy(data_folder, tmp_path):
    return shutil.copytree(data_folder, tmp_path / "copy")


def test_damage_is_named(copy):
    shard = next(copy.glob("train-*.tfrecord"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-10])
    with pytest.raises(UserError, match=f"{shard.name}.*bytes"):
        open_prepared(copy).shards("train")
    shard.write_bytes(whole[:5000] + b"!" + whole[5001:])
    with pytest.raises(UserError, match=f"{shard.name}.*corrupt"):
        check_shards(open_prepared(copy).shards("train"))
    shard.unlink()
    with pytest.raises(UserError, match=f"{shard.name}.*missing"):
        open_prepared(copy).shards("train")


def test_unfinished_or_missing_folders_are_refused(copy, tmp_path):
    with pytest.raises(UserError, match="no split 'dev'"):
        open_prepared(copy).shards("dev")
    (copy / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="cannot read"):
        open_prepared(copy)
    (copy / "COMPLETED").unlink()
    with pytest.raises(UserError, match="not a finished"):
        open_prepared(copy)
    with pytest.raises(UserError, match="nowhere"):
        open_prepared(tmp_path / "nowhere")
