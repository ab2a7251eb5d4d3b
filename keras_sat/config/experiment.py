"""An experiment: read from YAML with `base:`, changed by `--set a.b=c`, checked without TensorFlow.

    experiment = load("configs/scenes_soft.yaml", ["train.epochs=3"])
    experiment.model.state_size

Unknown keys and wrong types raise `UserError`, which names the key and the nearest known key or the
expected type.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from keras_sat.config.checks import check
from keras_sat.config.reader import apply, build, read
from keras_sat.config.sections import Data, Decoding, FineTuning, Prepare, Push, Training
from keras_sat.config.systems import SYSTEMS, Areas, Hard, ShowAndTell, Soft
from keras_sat.utils.errors import UserError, nearest

_PACKAGE = Path(__file__).resolve().parent.parent
_INSTALLED = _PACKAGE / "configs"
# In a repository they lie beside the package, see setup.py.
CONFIGS = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "configs"


@dataclass(frozen=True)
class Experiment:
    """All settings of an experiment.

    Attributes:
        seed: the seed of the initial weights and of all noise in training.
        init_from: a trained run from whose weights this one starts, such as stage 1 of a training
            in two stages. By default weights are initialised at random.
        prepare: how the data set is prepared.
        data: the data set, and how batches are made of it.
        model: the captioner. `model.name` chooses the system, and with it the section's keys.
        finetune: the training of the CNN.
        train: the optimisation.
        decoding: how captions are generated.
        push: when a trained model may be served.
    """

    seed: int = 1
    init_from: str | None = None
    prepare: Prepare = field(default_factory=Prepare)
    data: Data = field(default_factory=Data)
    model: Soft | Hard | ShowAndTell | Areas = field(default_factory=Soft)
    finetune: FineTuning = field(default_factory=FineTuning)
    train: Training = field(default_factory=Training)
    decoding: Decoding = field(default_factory=Decoding)
    push: Push = field(default_factory=Push)

    def model_inputs(self, available):
        """The names of what the model reads of a record.

        Args:
            available: the names of what the data set has.

        Raises:
            UserError: settings that contradict each other on this data set.
        """
        names = ["pixels" if self.finetune.from_layer else "features"]
        if getattr(self.model, "areas", None) == "proposals":
            names.append("boxes")
            if "region_features" in available:
                names.append("region_features")
        if "pixels" in names and "region_features" in names:
            raise UserError(
                "finetune.from_layer: the stored feature maps of larger pictures would not be "
                "trained along; use a data set prepared without proposals.image_size"
            )
        return tuple(names)


def find(name):
    """The file of an experiment.

    Args:
        name: its path, or the name of one that comes with keras_sat, such as `flickr8k_soft`.

    Raises:
        UserError: there is no such file, and none of that name comes with keras_sat.
    """
    path = Path(name)
    if path.exists() and not path.is_dir():
        return path
    known = {each.stem: each for each in sorted(CONFIGS.glob("*.yaml"))}
    if str(name) in known:
        return known[str(name)]
    if path.stem in known:
        raise UserError(f"{name}: no such file; did you mean keras_sat's own, {path.stem}?")
    raise UserError(f"{name}: no such file, nor an experiment of keras_sat{nearest(name, known)}")


def load(path=None, overrides=()):
    """Reads an experiment.

    Args:
        path: a YAML file or a name, see `find`; or None for the defaults. The file's `base:` names
            another file, relative to it, whose settings it changes.
        overrides: strings `section.key=value`, the value in YAML, or pairs (`section.key`, value).

    Returns:
        An `Experiment`.

    Raises:
        UserError: a missing or malformed file, an unknown key, a wrong type, a value out of range,
            or settings that contradict each other.
    """
    values = read(find(path) if path else None, overrides)
    return from_values(values, source=str(path or "--set"))


def from_values(values, source="configuration"):
    """Builds an `Experiment` from nested dictionaries, as read from YAML.

    Args:
        values: nested dictionaries, {section: {key: value}}.
        source: the origin that error messages name.

    Raises:
        UserError: as `load`.
    """
    model = values.get("model")
    name = model.get("name", "soft") if isinstance(model, dict) else "soft"
    if not isinstance(name, str) or name not in SYSTEMS:
        raise UserError(f"{source}: model.name: unknown model {name!r}{nearest(name, SYSTEMS)}")
    experiment = build(Experiment, values, source, {"model": SYSTEMS[name]})
    check(experiment, source)
    return experiment


as_dict = dataclasses.asdict


def with_decoding(experiment, overrides):
    """A trained experiment with other decoding settings.

    Args:
        experiment: an `Experiment`.
        overrides: as for `load`, of the section `decoding` alone.

    Raises:
        UserError: as `load`, or an override of another section.
    """
    for override in overrides:
        key = override if isinstance(override, str) else override[0]
        if not key.startswith("decoding."):
            raise UserError(f"--set {override}: the run is trained; only decoding.* can be changed")
    values = apply({"decoding": as_dict(experiment)["decoding"]}, overrides)
    decoding = build(Decoding, values["decoding"], "--set", prefix="decoding.")
    return dataclasses.replace(experiment, decoding=decoding)


def to_yaml(experiment):
    """The experiment as YAML text that `load` reads back to an equal one."""
    return yaml.safe_dump(as_dict(experiment), sort_keys=False)
