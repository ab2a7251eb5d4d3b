"""Settings of any dataclass: read from YAML files with `base:`, changed by `--set a.b=c`, checked.

Which settings an experiment has is declared in `sections.py`, `systems.py` and `experiment.py`; the
types of their fields say which values are allowed (see `ranges.py`). Every function raises
`UserError`, which names the file and the key.
"""

import dataclasses
import reprlib
import types
import typing
from pathlib import Path
from typing import Annotated, Literal

import yaml

from keras_sat.config.ranges import NOT_NEGATIVE
from keras_sat.utils.errors import UserError, nearest


def read(path, overrides):
    """Nested dictionaries from a YAML file (or None) and overrides, see `config.load`."""
    values = _read_yaml(Path(path)) if path else {}
    return apply(values, overrides)


def apply(values, overrides):
    """Nested dictionaries, changed in place by overrides, see `config.load`."""
    for override in overrides:
        if isinstance(override, tuple):
            key, value = override
            _set(values, key.split("."), value)
            continue
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise UserError(
                f"--set {override}: expected section.key=value, such as train.epochs=10"
            )
        _set(values, key.strip().split("."), parse_yaml(text, f"--set {override}"))
    return values


def _read_yaml(path, seen=()):
    """The values of a file over those of its bases; `seen`: the files that led to it."""
    if path.resolve() in seen:
        raise UserError(f"{path}: its `base:` leads back to itself")
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"), path)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read ({reason})") from error
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise UserError(
            f"{path}: expected sections such as `train:`, found {type(values).__name__}"
        )
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str) or "\0" in base:
        raise UserError(f"{path}: base: expected the name of another file, got {_shown(base)}")
    return _merge(_read_yaml(path.parent / base, (*seen, path.resolve())), values)


def parse_yaml(text, where):
    """The value of YAML text.

    Raises:
        UserError: it is not YAML; the message names `where`.
    """
    try:
        return yaml.safe_load(text)
    # Beside YAMLError, PyYAML raises ValueError, KeyError, RecursionError, … for odd values.
    except Exception as error:
        raise UserError(f"{where}: not YAML: {error}") from error


def _shown(value):
    """The start of a value, for a message: YAML's aliases make huge values of small files."""
    return _REPR.repr(value)


_REPR = reprlib.Repr()
_REPR.maxstring = 200
_REPR.maxother = 200


def _merge(base, changes):
    merged = dict(base)
    for key, value in changes.items():
        both_sections = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both_sections else value
    return merged


def _set(values, keys, value):
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise UserError(f"--set {'.'.join(keys)}: {key} is a value, not a section")
    values[keys[-1]] = value


def build(cls, values, source, types_instead=None, prefix=""):
    """An instance of a dataclass, with types and ranges checked; nested dataclasses are sections.

    Args:
        cls: the dataclass.
        values: nested dictionaries.
        source: the origin that error messages name.
        types_instead: {field: type} in place of those declared.
        prefix: of the keys in error messages, such as `train.`.

    Raises:
        UserError: not a section, an unknown key, a wrong type or a value out of range.
    """
    if not isinstance(values, dict):
        raise UserError(
            f"{source}: {prefix.rstrip('.')}: expected a section with keys, got {values!r}"
        )
    hints = typing.get_type_hints(cls, include_extras=True) | (types_instead or {})
    for key in values:
        if key not in hints:
            raise UserError(f"{source}: unknown key {prefix}{key}{nearest(key, hints)}")
    settings = {}
    for key, value in values.items():
        settings[key] = _convert(hints[key], value, source, prefix + key)
    return cls(**settings)


def _convert(hint, value, source, key):
    """The value as the type `hint`; messages name source and key."""
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return build(hint, value, source, prefix=key + ".")
    if origin is Literal:
        if value not in arguments:
            raise UserError(
                f"{source}: {key}: expected one of {', '.join(arguments)}, got {_shown(value)}"
            )
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise UserError(
                f"{source}: {key}: expected a list such as [runs/a, runs/b], got {_shown(value)}"
            )
        return tuple(_convert(arguments[0], each, source, key) for each in value)
    if origin in (types.UnionType, typing.Union):  # X | None
        return None if value is None else _convert(arguments[0], value, source, key)
    if origin is Annotated:
        number_type, allowed = arguments
        return _plain_value(number_type, value, allowed, source, key)
    return _plain_value(hint, value, NOT_NEGATIVE, source, key)


def _plain_value(expected, value, allowed, source, key):
    """A text, a truth value, or a number in the `allowed` range."""
    if expected is float:
        value = _as_float(value)
    if type(value) is not expected:
        raise UserError(f"{source}: {key}: expected {expected.__name__}, got {_shown(value)}")
    if expected in (int, float) and value not in allowed:
        raise UserError(f"{source}: {key}: {_shown(value)} is out of range")
    return value


def _as_float(value):
    """Integers, and numbers that YAML 1.1 reads as text such as 1e-4, as floats; others as is."""
    if isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    return value
