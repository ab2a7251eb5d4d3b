"""Captions from a picture and its horizontal flip together."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from keras_sat import config
from keras_sat.data import input_pipeline
from keras_sat.models import build_captioner
from keras_sat.models.ensemble import Ensemble
from keras_sat.models.flipped import Flipped
from keras_sat.pictures.box_tensors import flipped_boxes
from keras_sat.runs.ensemble import open_runs
from keras_sat.runs.loading import captioner_inputs, load_vocabulary, picture_features
from keras_sat.runs.run import create_run
from keras_sat.text.ids import SPECIALS
from keras_sat.text.vocabulary import Vocabulary
from keras_sat.utils.errors import UserError
from tests.models.test_captioner import BOXES, FORWARD, PADDED, VARIANTS, V
from tests.support.rounding import assert_close

WORDS = Vocabulary([*SPECIALS, "left", "of", "right", *"abcdef"]).mirrored
PIXELS = tf.cast(tf.random.stateless_uniform([2, 8, 12, 3], [1, 2], 0, 256, tf.int32), tf.uint8)
INPUTS = {
    "boxes": tf.stack([tf.pad(BOXES, [[0, 1], [0, 0]]), PADDED]),
    "captions": tf.constant([[[4, 5, 6, 2]], [[9, 4, 2, 0]]]),
}


def features(pictures):
    """A CNN that treats left and right differently."""
    maps = tf.nn.conv2d(
        tf.cast(pictures["pixels"], tf.float32) / 255,
        tf.random.stateless_normal([4, 4, 3, 5], [5, 6]),
        4,
        "SAME",
    )
    return {"features": maps} | {name: pictures[name] for name in pictures if name == "boxes"}


@pytest.fixture(params=["soft, paper", "hard, paper", "areas, conditional", "areas, proposals"])
def model(request):
    settings = VARIANTS[request.param]
    boxes = {"boxes": (6, 4)} if getattr(settings, "areas", "") == "proposals" else {}
    return build_captioner(settings, V, {"features": (2, 3, 5), **boxes}, seed=3)


def of(picture, model):
    """The inputs of a picture as `picture_features` makes them, which keeps the pixels."""
    return {
        "pixels": picture["pixels"],
        **features(
            {name: picture[name] for name in ("pixels", *model.input_shapes) if name in picture}
        ),
    }


def test_a_flipped_picture_gets_the_caption_with_left_and_right_exchanged(model):
    both = Ensemble([model, Flipped(model, features, (8, 12, 3), WORDS)])
    assert both.input_shapes.keys() == {"pixels", *model.input_shapes}
    picture = INPUTS | {"pixels": PIXELS}
    other = {
        "boxes": flipped_boxes(INPUTS["boxes"]),
        "pixels": PIXELS[:, :, ::-1],
        "captions": tf.gather(WORDS, INPUTS["captions"]),
    }
    here, there = (
        both(of(each, model) | {"captions": each["captions"]})[0] for each in (picture, other)
    )
    assert not np.allclose(here, there, atol=1e-3)
    assert_close(np.exp(here), np.exp(tf.gather(there, WORDS, axis=-1)), roundings=FORWARD)


def test_boxes_and_attention_of_a_flipped_picture_are_the_pictures_own(model):
    mirror = Flipped(model, features, (8, 12, 3), WORDS)
    seen = of({"boxes": flipped_boxes(INPUTS["boxes"]), "pixels": PIXELS[:, :, ::-1]}, model)
    log_probs, attention = mirror(INPUTS | {"pixels": PIXELS})
    expected, expected_attention = model(seen | {"captions": tf.gather(WORDS, INPUTS["captions"])})
    np.testing.assert_array_equal(log_probs, tf.gather(expected, WORDS, axis=-1))
    np.testing.assert_array_equal(attention, expected_attention)
    boxes = mirror.encode(INPUTS | {"pixels": PIXELS})["boxes"]
    assert_close(boxes, flipped_boxes(model.encode(seen)["boxes"]), roundings=2)


def test_evaluation_flips_a_picture_as_preparation_does(mirrored_data, changed, tmp_path):
    """The flip's map, computed from the stored picture, is the one that preparation stored."""
    run = create_run(
        tmp_path / "run", changed(data={"path": str(mirrored_data.folder)}), mirrored_data
    )
    both = replace(run, experiment=replace(run.experiment, decoding=config.Decoding(mirror=True)))
    stored = ["features", "mirrored_features", "pixels"]
    (batch,) = input_pipeline.training_batches(
        mirrored_data,
        replace(run.experiment.data, batch_size=1000, batching="images", bucket_width=40),
        load_vocabulary(run),
        1,
        0,
        inputs=stored,
    )
    for name, pixels in (
        ("features", batch["pixels"]),
        ("mirrored_features", batch["pixels"][:, :, ::-1]),
    ):
        found = picture_features(both)({"pixels": pixels})
        np.testing.assert_array_equal(found["pixels"], pixels)
        np.testing.assert_allclose(
            found["features"], batch[name], rtol=1e-4, atol=0.02 * np.max(batch[name])
        )


def test_what_cannot_be_mirrored_is_refused(data, boxes_data, changed, tmp_path):
    """Before anything is written or, for an existing run, before anything is captioned."""
    mirror = {"mirror": True}
    proposals = config.Areas(areas="proposals")
    settings = data.manifest["settings"] | {"keep_pictures": False}
    bare = replace(data, manifest=data.manifest | {"settings": settings})
    for source, model, message in [
        (bare, config.Soft(), "keep_pictures"),
        (boxes_data, proposals, r"decoding\.mirror: .*larger"),
    ]:
        with pytest.raises(UserError, match=message):
            create_run(tmp_path / "run", replace(changed(decoding=mirror), model=model), source)
        assert not (tmp_path / "run").exists()
    run = create_run(tmp_path / "run", replace(changed(), model=proposals), boxes_data)
    other = create_run(tmp_path / "other", replace(changed(), model=config.Soft()), boxes_data)
    # An ensemble has the settings of its first run.
    for runs in ([run.folder], [other.folder, run.folder]):
        opened = open_runs(runs)
        experiment = replace(opened.experiment, decoding=config.Decoding(**mirror))
        with pytest.raises(UserError, match=r"decoding\.mirror: .*larger"):
            captioner_inputs(replace(opened, experiment=experiment))
