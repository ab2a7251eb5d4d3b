import dataclasses
import inspect
import re
from pathlib import Path

import pytest
import yaml

from keras_sat import config
from keras_sat.utils.errors import UserError


def test_yaml_round_trip():
    experiment = config.load(
        None, ["model.gate=vector", "prepare.encoder.layer=block13", "train.learning_rate=1e-3"]
    )
    assert experiment.train.learning_rate == 1e-3
    assert config.from_values(yaml.safe_load(config.to_yaml(experiment))) == experiment


def test_pairs_are_not_read_as_yaml():
    assert config.load(None, [("data.path", "runs #1/a: b")]).data.path == "runs #1/a: b"


def test_base_is_changed_not_replaced(tmp_path):
    (tmp_path / "base.yaml").write_text("train: {epochs: 7, patience: 2}\nseed: 3\n")
    (tmp_path / "child.yaml").write_text("base: base.yaml\ntrain: {epochs: 9}\n")
    experiment = config.load(tmp_path / "child.yaml", ["train.clip_norm=1"])
    assert (experiment.train.epochs, experiment.train.patience, experiment.seed) == (9, 2, 3)
    assert experiment.train.clip_norm == 1.0


def test_every_shipped_configuration_loads():
    for path in config.CONFIGS.glob("*.yaml"):
        config.load(path)
        header = path.read_text()
        assert header.startswith("#") and "keras-sat " in header, (
            f"{path}: its header must tell the command"
        )


def test_configurations_that_share_a_data_set_prepare_it_alike():
    first = {}
    for path in sorted(config.CONFIGS.glob("*.yaml")):
        experiment = config.load(path)
        name, prepare = first.setdefault(experiment.data.path, (path.name, experiment.prepare))
        assert experiment.prepare == prepare, (
            f"{path.name} and {name} both use {experiment.data.path}"
        )


def test_configurations_start_from_runs_with_the_same_vocabulary():
    started = {
        path: config.load(path)
        for path in config.CONFIGS.glob("*.yaml")
        if config.load(path).init_from
    }
    assert started
    for path, experiment in started.items():
        prepare = config.load(config.CONFIGS / f"{Path(experiment.init_from).name}.yaml").prepare
        for key in ("dataset", "source", "min_count", "max_size", "seed"):
            assert getattr(prepare, key) == getattr(experiment.prepare, key), f"{path.name}: {key}"


def test_hard_attention_has_the_settings_of_its_soft_twin():
    """They differ in the keys of `Hard` and in the penalty, which the paper has for soft attention.

    One of the hard configurations has fewer epochs.
    """
    fewer = {"flickr8k_hard_distilled.yaml": 5}
    for path in config.CONFIGS.glob("*hard*.yaml"):
        hard = config.load(path)
        soft = config.load(path.with_name(path.name.replace("hard", "soft")))
        train = dataclasses.replace(soft.train, epochs=fewer.get(path.name, soft.train.epochs))
        assert (hard.prepare, hard.data, hard.train) == (soft.prepare, soft.data, train), path.name
        for each in dataclasses.fields(soft.model):
            if each.name not in ("name", "penalty_weight"):
                assert getattr(hard.model, each.name) == getattr(soft.model, each.name), (
                    f"{path.name}: {each.name}"
                )


@pytest.mark.parametrize(
    "override, parts",
    [
        ("train.epoch=3", ["train.epoch", "epochs"]),
        ("train.epochs=ten", ["train.epochs", "int", "ten"]),
        ("train.epochs=true", ["train.epochs", "int"]),
        ("train.epochs=0", ["train.epochs", "0"]),
        ("model.gate=vectr", ["model.gate", "scalar, vector, none"]),
        ("model.name=sofr", ["sofr", "soft"]),
        ("model.state_dropout=1.0", ["model.state_dropout", "1.0"]),
        ("train.learning_rate=-1", ["train.learning_rate", "-1"]),
        ("train.learning_rate=.nan", ["train.learning_rate", "nan"]),
        ("train=3", ["train", "section"]),
        ("model.name=[a]", ["model.name"]),
        ("train.label_smoothing=1.5", ["train.label_smoothing", "1.5"]),
        ("prepare.shard_megabytes=0", ["prepare.shard_megabytes", "0"]),
        ("nonsense", ["nonsense", "section.key=value"]),
    ],
)
def test_mistakes_are_named(override, parts):
    with pytest.raises(UserError) as error:
        config.load(None, [override])
    assert all(part in str(error.value) for part in parts), error.value


NUMBERS = (-1, 0, 0.5, 1, 1.5, 2, 10, float("nan"), float("inf"))
WHOLE = (0, 1, 2, 10)


@pytest.mark.parametrize(
    "system, key, allowed",
    [
        ("soft", "seed", WHOLE),
        ("soft", "prepare.min_count", WHOLE),
        ("soft", "train.validation_images", WHOLE),
        ("soft", "train.pictures", WHOLE),
        ("soft", "model.annotation_size", WHOLE),
        ("areas", "model.test_boxes", WHOLE),
        ("soft", "push.pictures", (1, 2, 10)),
        ("soft", "train.epochs", (1, 2, 10)),
        ("soft", "data.shuffle_captions", (1, 2, 10)),
        ("soft", "decoding.beam", (1, 2, 10)),
        ("hard", "model.samples", (1, 2, 10)),
        ("soft", "prepare.proposals.most", (1, 2, 10)),
        ("soft", "prepare.encoder.image_size", (1, 2, 10, None)),
        ("soft", "prepare.shares.val", (0, 0.5, 1, 1.5, 2, 10)),
        ("soft", "train.learning_rate", (0, 0.5, 1, 1.5, 2, 10)),
        ("soft", "train.max_minutes", (0, 0.5, 1, 1.5, 2, 10)),
        ("soft", "push.must_not_lose", (0, 0.5, 1, 1.5, 2, 10, None)),
        ("soft", "push.at_least.bleu4", (0, 0.5, 1, 1.5, 2, 10, None)),
        ("soft", "push.max_minutes", (0.5, 1, 1.5, 2, 10)),
        ("soft", "decoding.temperature", (0.5, 1, 1.5, 2, 10)),
        ("soft", "decoding.top_p", (0.5, 1)),
        ("soft", "train.distillation", (0, 0.5, 1)),
        ("hard", "model.expectation", (0, 0.5, 1)),
        ("show_and_tell", "model.lstm_dropout", (0, 0.5)),
        ("hard", "model.baseline_decay", (0, 0.5)),
        ("soft", "train.label_smoothing", (0, 0.5)),
        ("soft", "train.average", (0, 0.5)),
    ],
)
def test_values_out_of_range_are_refused(system, key, allowed):
    accepted = []
    for value in (*NUMBERS, None):
        try:
            config.load(None, [("model.name", system), (key, value)])
        except UserError as error:
            assert key in str(error) and str(value) in str(error)
        else:
            accepted.append(value)
    assert accepted == list(allowed)


def sections(settings):
    """A dataclass and all dataclasses in its fields."""
    found = [type(settings)]
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            found += sections(value)
    return found


def documented(cls):
    """The keys under `Attributes:` in the docstrings of a section and of the one it extends."""
    keys = []
    for each in reversed(cls.__mro__[:-1]):
        _, _, attributes = inspect.getdoc(each).partition("\nAttributes:\n")
        attributes, _, _ = attributes.partition("\n\n")
        keys += re.findall(r"^    (\w+): \S", attributes, flags=re.MULTILINE)
    return list(dict.fromkeys(keys))


@pytest.mark.parametrize("cls", [*sections(config.Experiment()), *config.SYSTEMS.values()])
def test_every_key_is_documented_in_its_order(cls):
    assert documented(cls) == [field.name for field in dataclasses.fields(cls)]


def test_a_cnn_in_training_has_no_larger_feature_maps():
    overrides = ["model.name=areas", "model.areas=proposals", "data.batching=images"]
    available = ("features", "pixels", "boxes", "region_features")
    read = config.load(None, overrides).model_inputs(available)
    assert read == ("features", "boxes", "region_features")
    trained = config.load(None, [*overrides, "finetune.from_layer=block13"])
    assert trained.model_inputs(available[:3]) == ("pixels", "boxes")
    with pytest.raises(UserError, match=r"finetune\.from_layer: .* without proposals\.image_size"):
        trained.model_inputs(available)


@pytest.mark.parametrize(
    "override, way_out",
    [
        ("data.batching=captions", "data.batching to images"),
        ("init_from=null", "init_from"),
        ("train.select_by=loss", "select by cider"),
        ("train.samples=1", "set it to 2"),
        ("model.decode=argmax", "set it to expectation"),
    ],
)
def test_what_self_critical_training_needs(override, way_out):
    path = config.CONFIGS / "flickr8k_hard_cider.yaml"
    assert config.load(path).train.objective == "cider"
    key = override.partition("=")[0]
    with pytest.raises(UserError, match=key) as error:
        config.load(path, [override])
    assert way_out in str(error.value)


def test_teachers_are_a_list_of_runs():
    taught = config.load(None, ["train.teachers=[runs/a, runs/b]"])
    assert taught.train.teachers == ("runs/a", "runs/b")
    cider = [
        "train.objective=cider",
        "data.batching=images",
        "init_from=runs/b",
        "train.teachers=[runs/a]",
    ]
    for wrong, message in (
        (["train.teachers=runs/a"], r"expected a list such as \[runs/a"),
        (["train.teachers=[1]"], "expected str, got 1"),
        (["train.distillation=1.1"], "out of range"),
        (cider, "leave them out"),
    ):
        with pytest.raises(UserError, match=f"train.*: .*{message}"):
            config.load(None, wrong)


def test_a_filter_of_the_cnn_needs_the_cnns_activations():
    overrides = ["model.name=areas", "model.areas=transformer", "model.filter_layer=conv_dw_11"]
    assert config.load(None, overrides).model.filter_layer
    with pytest.raises(
        UserError, match=r"model\.filter_layer: .*leave model\.annotation_size at 0"
    ):
        config.load(None, [*overrides, "model.annotation_size=512"])


def test_unreadable_files_are_named(tmp_path):
    broken = tmp_path / "broken.yaml"
    broken.write_text("train: [")
    loop = tmp_path / "loop.yaml"
    loop.write_text("base: loop.yaml")
    for path in (tmp_path / "missing.yaml", broken, loop, tmp_path):
        with pytest.raises(UserError, match=path.name):
            config.load(path)
