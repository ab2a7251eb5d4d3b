"""Settings of any dataclass: read from YAML files with `base:`, changed by `--set a.b=c`, checked against declared types.

What the settings of an experiment are stands in `config.py` and `systems.py`. Every function raises `UserError`,
naming file and key.
"""

import dataclasses
import types
import typing
from pathlib import Path
from typing import Literal

import yaml

from keras_sat.utils.errors import UserError, nearest


def read(path, overrides):
    """Nested dictionaries from a YAML file (None: nothing) and overrides, see `config.load`."""
    return apply(_read_yaml(Path(path)) if path else {}, overrides)


def apply(values, overrides):
    """Nested dictionaries, changed by overrides."""
    for override in overrides:
        if isinstance(override, tuple):
            _set(values, override[0].split("."), override[1])
            continue
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise UserError(
                f"--set {override}: expected section.key=value, such as train.epochs=10"
            )
        _set(values, key.strip().split("."), _parse_yaml(text, f"--set {override}"))
    return values


def _read_yaml(path, seen=()):
    if path.resolve() in seen:
        raise UserError(f"{path}: its `base:` leads back to itself")
    try:
        values = _parse_yaml(path.read_text(encoding="utf-8"), path)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})"
        ) from error
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise UserError(
            f"{path}: expected sections such as `train:`, found {type(values).__name__}"
        )
    base = values.pop("base", None)
    return (
        values
        if base is None
        else _merge(_read_yaml(path.parent / base, (*seen, path.resolve())), values)
    )


def _parse_yaml(text, where):
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{where}: not YAML: {error}") from error


def _merge(base, changes):
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _set(values, keys, value):
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise UserError(f"--set {'.'.join(keys)}: {key} is a value, not a section")
    values[keys[-1]] = value


def build(cls, values, source, types_instead=None, prefix=""):
    """An instance of a dataclass, its types and ranges checked, sections that are dataclasses included.

    Args:
        values: nested dictionaries. source: what messages name as their origin. types_instead: {field: type} in place of
            those declared. prefix: of the keys in messages, such as `train.`.
    """
    if not isinstance(values, dict):
        raise UserError(
            f"{source}: {prefix.rstrip('.')}: expected a section with keys, got {values!r}"
        )
    hints = typing.get_type_hints(cls) | (types_instead or {})
    for key in values:
        if key not in hints:
            raise UserError(f"{source}: unknown key {prefix}{key}{nearest(key, hints)}")
    return cls(
        **{key: _convert(hints[key], value, source, prefix + key) for key, value in values.items()}
    )


def _convert(hint, value, source, key):
    if dataclasses.is_dataclass(hint):
        return build(hint, value, source, prefix=key + ".")
    if typing.get_origin(hint) is Literal:
        if value in (choices := typing.get_args(hint)):
            return value
        raise UserError(f"{source}: {key}: expected one of {', '.join(choices)}, got {value!r}")
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise UserError(
                f"{source}: {key}: expected a list such as [runs/a, runs/b], got {value!r}"
            )
        return tuple(_convert(typing.get_args(hint)[0], each, source, key) for each in value)
    if isinstance(hint, types.UnionType):
        return None if value is None else _convert(typing.get_args(hint)[0], value, source, key)
    if hint is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            value = float(value)  # YAML 1.1 reads 1e-4 as text
        except ValueError:
            pass
    if type(value) is not hint:
        raise UserError(f"{source}: {key}: expected {hint.__name__}, got {value!r}")
    return _in_range(value, source, key)


_AT_LEAST_ONE = (
    *(
        "_size",
        "_length",
        "_width",
        "_layers",
        "_images",
        "_captions",
        "_batches",
        "_megabytes",
        "_pixels",
        "_stride",
    ),
    *("epochs", ".most", "train_boxes", "samples", "accumulate", ".beam", "push.pictures"),
)
_ABOVE_ZERO = (".temperature", ".top_p", "push.max_minutes")
_MAY_BE_ZERO = ("train.validation_images", "model.annotation_size")
_BELOW_ONE = ("_dropout", "label_smoothing", "baseline_decay", "train.average")
_AT_MOST_ONE = ("model.expectation", "train.distillation", "decoding.top_p")


def _in_range(value, source, key):
    """Numbers here are sizes, counts, rates or weights: none is negative, sizes are at least 1, a dropout is below 1."""
    if isinstance(value, float | int) and not isinstance(value, bool):
        at_least_one = key.endswith(_AT_LEAST_ONE) and key not in _MAY_BE_ZERO
        too_large = (key.endswith(_BELOW_ONE) and value >= 1) or (key in _AT_MOST_ONE and value > 1)
        too_small = not value >= at_least_one or (key.endswith(_ABOVE_ZERO) and not value)
        if too_small or too_large:
            raise UserError(f"{source}: {key}: {value} is out of range")
    return value
