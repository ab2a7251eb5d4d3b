import collections
import dataclasses
import shutil

import numpy as np
import pytest
import tensorflow as tf

from keras_sat.config import Areas, Data, Soft
from keras_sat.data import input_pipeline
from keras_sat.data.prepared import open_prepared
from keras_sat.data.quantisation import dequantise
from keras_sat.data.reading import check_shards, read_records
from keras_sat.decoding.captioned import normalised_references
from keras_sat.pictures.decode import decode_image
from keras_sat.runs.run import create_run
from keras_sat.text.ids import PAD
from keras_sat.text.tokeniser import mirrored
from keras_sat.text.vocabulary import Vocabulary
from keras_sat.utils.errors import UserError
from tests.support.manifests import rewrite_manifest


@pytest.fixture(params=["captions", "images"])
def config(request):
    return Data(
        batching=request.param,
        batch_size=16,
        bucket_width=2,
        shuffle_images=10,
        shuffle_captions=20,
    )


def epoch(data, config, vocabulary, number=0, seed=1):
    return list(input_pipeline.training_batches(data, config, vocabulary, seed, number))


def rows(batches, vocabulary):
    """(first numbers of the features, caption) for every caption of an epoch, in order."""
    found = []
    for batch in batches:
        for features, captions in zip(batch["features"], batch["captions"]):
            first = features.numpy()[0, 0, :4].tobytes()
            found += [(first, text.decode()) for text in vocabulary.decode(captions).numpy()]
    return found


def test_every_caption_once_beside_its_own_image(data, config, vocabulary):
    expected = collections.Counter()
    records = list(read_records(data, "train"))
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


def test_an_epoch_does_not_end_by_length(data, config, vocabulary):
    """Bucketing emits the incomplete batches last, in order of length.

    Updates in that order would harm the model, so they are mixed with the others.
    """
    batches = epoch(data, config, vocabulary)
    full = max(len(batch["row"]) for batch in batches)
    left = [place for place, batch in enumerate(batches) if len(batch["row"]) < full]
    lengths = [batches[place]["captions"].shape[-1] for place in left]
    assert (
        len(left) > 3
        and lengths != sorted(lengths)
        and left != list(range(len(batches)))[-len(left) :]
    )


def test_an_images_longest_caption_comes_first(data, vocabulary):
    for batch in epoch(data, Data(batching="images"), vocabulary):
        lengths = np.count_nonzero(batch["captions"], axis=-1)
        assert np.all(np.diff(lengths, axis=1) <= 0)


def test_order_is_a_function_of_seed_and_epoch(data, config, vocabulary):
    one, same, next_epoch, other_seed = (
        rows(epoch(data, config, vocabulary, number, seed), vocabulary)
        for number, seed in [(0, 1), (0, 1), (1, 1), (0, 2)]
    )
    assert one == same
    assert one != next_epoch and one != other_seed and sorted(one) == sorted(next_epoch)


def test_long_captions_are_cut(data, vocabulary):
    config = Data(max_length=9, batch_size=16)
    batches = epoch(data, config, vocabulary)
    assert max(batch["captions"].shape[-1] for batch in batches) == 9
    assert len(batches) == input_pipeline.count_batches(data, config)


def test_evaluation_reads_a_split_in_order(data):
    ids = [record.source_id for record in read_records(data, "val")]
    batched = []
    for batch in input_pipeline.evaluation_batches(data, "val", 3):
        batched += [name.decode() for name in batch["source_id"].numpy()]
    assert batched == ids and len(ids) == 8


INPUTS = ("features", "region_features", "boxes", "pixels")


def expected_inputs(record, shapes):
    """What a `Record` must give, as NumPy arrays."""
    inputs = {
        "pixels": decode_image(record.encoded, 128).numpy(),
        "boxes": np.zeros(shapes["boxes"], np.float32),
    }
    inputs["boxes"][: len(record.proposals[0])] = record.proposals[0]
    for name in ("features", "region_features"):
        values, minimum, scale = getattr(record, name)
        inputs[name] = (
            dequantise(values.reshape(-1, values.shape[-1]), minimum, scale)
            .numpy()
            .reshape(shapes[name])
        )
    return inputs


def test_evaluation_gives_the_inputs_that_are_asked_for(boxes_data):
    shapes = boxes_data.input_shapes
    assert shapes == {
        "features": (8, 8, 128),
        "pixels": (128, 128, 3),
        "boxes": (60, 4),
        "region_features": (12, 12, 128),
    }
    records = iter(read_records(boxes_data, "val"))
    for batch in input_pipeline.evaluation_batches(boxes_data, "val", 3, inputs=INPUTS):
        assert set(batch) == {"source_id", *INPUTS}
        assert all(batch[name].shape[1:] == shapes[name] for name in INPUTS)
        for row, name in enumerate(batch["source_id"].numpy()):
            record = next(records)
            assert record.source_id == name.decode()
            for key, value in expected_inputs(record, shapes).items():
                np.testing.assert_array_equal(batch[key][row], value)
    only_boxes = input_pipeline.evaluation_batches(boxes_data, "val", 3, inputs=["boxes"])
    assert set(only_boxes.element_spec) == {"source_id", "boxes"}


def test_training_gives_each_caption_the_inputs_of_its_own_image(boxes_data, config):
    vocabulary = Vocabulary.load(boxes_data.folder / "vocabulary.txt")
    records = list(read_records(boxes_data, "train"))
    references = normalised_references(records)
    owners = {text: record for record in records for text in references[record.source_id]}
    batches = list(
        input_pipeline.training_batches(
            boxes_data, config, vocabulary, 1, 0, shares=2, inputs=INPUTS
        )
    )
    plain = list(input_pipeline.training_batches(boxes_data, config, vocabulary, 1, 0, shares=2))
    for batch, without in zip(batches, plain, strict=True):
        assert set(without) == {"features", "captions", "row"}
        for key, value in without.items():
            # More inputs change neither order nor content.
            np.testing.assert_array_equal(batch[key], value)
        assert batch["pixels"].dtype == np.uint8 and len(batch["row"]) % 2 == 0
        for row, caption in enumerate(vocabulary.decode(batch["captions"][:, 0]).numpy()):
            # A row that pads the batch has no caption.
            if caption:
                expected = expected_inputs(owners[caption.decode()], boxes_data.input_shapes)
                for key, value in expected.items():
                    np.testing.assert_array_equal(batch[key][row], value)


def test_an_image_is_read_as_it_is_or_flipped(mirrored_data, config):
    """Features, pixels and captions belong to the same view, which each epoch draws anew.

    Both views occur within an epoch. Validation reads images as they are.
    """
    vocabulary = Vocabulary.load(mirrored_data.folder / "vocabulary.txt")
    config = dataclasses.replace(config, mirror=True)

    def read(captions):
        return set(vocabulary.decode(vocabulary.encode(captions, 40).to_tensor()).numpy())

    def shown(number, split):
        records = list(read_records(mirrored_data, split))
        owners = {}
        for record in records:
            pixels = decode_image(record.encoded, 128).numpy()
            captions = read(record.captions)
            flipped = read(mirrored(record.captions))
            owner = (record.source_id, False, record.features, captions)
            owners[pixels.tobytes()] = owner
            owner = (record.source_id, True, record.mirrored_features, flipped)
            owners[pixels[:, ::-1].tobytes()] = owner
        inputs = ("features", "pixels")
        found = set()
        for batch in input_pipeline.training_batches(
            mirrored_data, config, vocabulary, 1, number, split, inputs=inputs
        ):
            assert set(batch) == {*inputs, "captions", "row"}
            for row, pixels in enumerate(batch["pixels"].numpy()):
                name, is_mirrored, stored, captions = owners[pixels.tobytes()]
                values, minimum, scale = stored
                features = dequantise(values.reshape(64, -1), minimum, scale).numpy()
                np.testing.assert_array_equal(
                    batch["features"][row].numpy().reshape(64, -1), features
                )
                assert captions.issuperset(vocabulary.decode(batch["captions"][row]).numpy())
                found.add((name, is_mirrored))
        assert len(found) == len(records), "an image is not both within an epoch"
        return found

    first = shown(0, "train")
    assert {is_mirrored for _, is_mirrored in first} == {False, True}
    assert shown(0, "train") == first != shown(1, "train")
    assert not any(is_mirrored for _, is_mirrored in shown(0, "val"))


def test_an_image_is_read_in_each_of_its_views(mirrored_data, config):
    """All views are about equally frequent, and captions are flipped where the view is."""
    vocabulary = Vocabulary.load(mirrored_data.folder / "vocabulary.txt")
    config = dataclasses.replace(config, mirror=True, crops=True, batching="images")
    owners = {}
    seen = collections.Counter()

    def words(captions):
        return {tuple(row) for row in vocabulary.encode(captions, 40).to_list()}

    for record in read_records(mirrored_data, "train"):
        views = [record.mirrored_features, record.features]
        crops = []
        for each, plain in zip(record.cropped_features, record.features):
            crops.append(each.reshape(3, *plain.shape))
        for view, (values, minimum, scale) in enumerate([*views, *zip(*crops)]):
            features = dequantise(values.reshape(64, -1), minimum, scale).numpy()
            captions = tf.constant(record.captions)
            owners[features.tobytes()] = view, words(captions if view % 2 else mirrored(captions))
    for epoch in range(20):
        for batch in input_pipeline.training_batches(mirrored_data, config, vocabulary, 1, epoch):
            for features, captions in zip(batch["features"].numpy(), batch["captions"].numpy()):
                view, expected = owners[features.reshape(64, -1).tobytes()]
                assert {tuple(row[row != PAD].tolist()) for row in captions} == expected
                seen[view] += 1
    assert len(seen) == 5 and sum(seen.values()) == 240 and min(seen.values()) > 30


def test_boxes_are_flipped_with_their_image(boxes_data, config):
    vocabulary = Vocabulary.load(boxes_data.folder / "vocabulary.txt")
    config = dataclasses.replace(config, mirror=True)
    candidates = {False: [], True: []}
    for record in read_records(boxes_data, "train"):
        boxes = np.zeros([60, 4], np.float32)
        boxes[: len(record.proposals[0])] = record.proposals[0]
        candidates[False].append(boxes)
        boxes = boxes.copy()
        boxes[: len(record.proposals[0])] = [
            (y, 1 - right, bottom, 1 - x) for y, x, bottom, right in record.proposals[0]
        ]
        candidates[True].append(boxes)
    found = {False: 0, True: 0}
    for batch in input_pipeline.training_batches(
        boxes_data, config, vocabulary, 1, 0, inputs=["boxes"]
    ):
        for boxes in batch["boxes"].numpy():
            [kind] = {
                kind
                for kind, stored in candidates.items()
                if any(np.allclose(boxes, each, atol=1e-6) for each in stored)
            }
            found[kind] += 1
    assert min(found.values()) > 0


def test_views_that_are_not_stored_are_refused(data, boxes_data, mirrored_data, changed, tmp_path):
    """They are refused before anything is written."""
    both = {"mirror": True, "crops": True}
    whole = mirrored_data.manifest
    no_crops = dataclasses.replace(
        mirrored_data, manifest=whole | {"settings": whole["settings"] | {"crops": 0}}
    )
    for source, model, views, message in [
        (data, Soft(), {"mirror": True}, r"--set mirror=true"),
        (
            boxes_data,
            Areas(areas="proposals"),
            {"mirror": True},
            r"data\.mirror: .*larger pictures",
        ),
        (no_crops, Soft(), both, r"--set crops="),
        (
            boxes_data,
            Areas(areas="proposals"),
            {"crops": True},
            r"data\.crops: .*reads features, boxes, region_features",
        ),
    ]:
        experiment = dataclasses.replace(changed(data=views), model=model)
        with pytest.raises(UserError, match=message):
            create_run(tmp_path / "run", experiment, source)
        assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match=r"data\.crops: .* a teacher reads features, pixels"):
        inputs = ["features", "pixels"]
        input_pipeline.training_batches(
            mirrored_data, Data(mirror=True, crops=True), None, 1, 0, inputs=inputs
        )


def test_a_run_reads_other_data_without_its_views(mirrored_data, changed, tmp_path):
    """Views are for training: the run captions pictures whose other views are not stored."""
    run = create_run(tmp_path / "run", changed(data={"mirror": True, "crops": True}), mirrored_data)
    other = shutil.copytree(mirrored_data.folder, tmp_path / "other")
    settings = mirrored_data.manifest["settings"] | {"mirror": False, "crops": 0}
    rewrite_manifest(other, settings=settings)
    assert run.data(other).input_shapes.keys() == {"features", "pixels"}


def test_inputs_that_the_data_lacks_are_refused(data, config, vocabulary):
    ways_out = {"boxes": "proposals.method=edgeboxes", "region_features": "proposals.image_size="}
    for name, way_out in ways_out.items():
        with pytest.raises(UserError, match=f"{data.folder}: has no .*--set {way_out}"):
            input_pipeline.evaluation_batches(data, "val", 3, inputs=("features", name))
        with pytest.raises(UserError, match=way_out):
            input_pipeline.training_batches(data, config, vocabulary, 1, 0, inputs=(name,))


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
    with pytest.raises(UserError, match=rf"{shard.name}: record \d+ is corrupt: image train-\d+"):
        check_shards(open_prepared(copy).shards("train"))
    shard.unlink()
    with pytest.raises(UserError, match=f"{shard.name}.*missing"):
        open_prepared(copy).shards("train")


def test_unfinished_or_missing_folders_are_refused(copy, tmp_path):
    with pytest.raises(UserError, match="no split 'dev'"):
        open_prepared(copy).shards("dev")
    (copy / "manifest.json").write_text("{")
    with pytest.raises(UserError, match=r"manifest\.json: not JSON"):
        open_prepared(copy)
    (copy / "COMPLETED").unlink()
    with pytest.raises(UserError, match="not a finished"):
        open_prepared(copy)
    with pytest.raises(UserError, match="nowhere"):
        open_prepared(tmp_path / "nowhere")
