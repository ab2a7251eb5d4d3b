"""Which settings a model's name stands for: the built-in data set's, or those for photographs."""

import dataclasses
import json

import pytest

from keras_sat import config
from keras_sat.cli.presets import choose
from keras_sat.utils.errors import UserError
from tests.support.settings import SMALL_MODEL


def of_photographs(data, captions, **settings):
    """The small data set as if it were of photographs, with as many training captions."""
    statistics = data.statistics | {"train": data.statistics["train"] | {"captions": captions}}
    settings = data.manifest["settings"] | {"dataset": "folder"} | settings
    manifest = data.manifest | {"settings": settings}
    return dataclasses.replace(data, manifest=manifest, statistics=statistics)


def test_scenes_have_their_own_settings(data):
    for name in config.SYSTEMS:
        chosen = choose(name, None, None)
        assert chosen == (f"scenes_{name}", f"scenes_{name}", config.load(f"scenes_{name}"))
    again = choose("soft", None, data).experiment
    own = config.load("scenes_soft", [("data.path", str(data.folder))])
    assert again == own


@pytest.mark.parametrize("name", config.SYSTEMS)
def test_a_corpus_like_flickr8k_has_the_settings_that_were_tuned_on_it(name, data):
    photographs = of_photographs(data, 30_000, mirror=True)
    chosen = choose(name, None, photographs, ["seed=3"])
    tuned = config.load(f"flickr8k_{name}", ["seed=3"])
    assert chosen.settings == f"photos_{name}" and chosen.name == f"{data.folder.name}_{name}"
    for section in ("model", "finetune", "train", "decoding", "seed"):
        assert getattr(chosen.experiment, section) == getattr(tuned, section), section


def test_less_data_have_more_epochs_and_no_flipped_images_if_there_are_none(data):
    small = of_photographs(data, 640)
    chosen = choose(None, None, small, [*SMALL_MODEL, "train.patience=2"])
    train = chosen.experiment.train
    assert (train.epochs, train.warmup_steps, train.patience) == (100, 50, 2)
    assert not chosen.experiment.data.mirror and chosen.experiment.decoding.mirror
    assert chosen.settings == (
        "photos_soft train.epochs=100 train.warmup_steps=50 data.mirror=False"
    )
    without = of_photographs(data, 640, mirror=True, keep_pictures=False)
    assert not choose(None, None, without).experiment.decoding.mirror
    assert choose(None, None, small, ["train.epochs=3"]).experiment.train.epochs == 3


def test_a_configuration_decides_alone(data):
    chosen = choose(None, "flickr8k_hard", of_photographs(data, 640))
    path = [("data.path", str(data.folder))]
    assert chosen.experiment == config.load("flickr8k_hard", path)
    with pytest.raises(UserError, match="--model soft: but flickr8k_hard describes hard"):
        choose("soft", "flickr8k_hard", data)


def test_a_run_records_how_its_data_were_prepared(run, data):
    assert run.experiment.prepare == data.preparation
    settings = config.as_dict(data.preparation)
    assert json.loads(json.dumps(settings)) == settings | data.manifest["settings"]
