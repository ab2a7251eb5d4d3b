"""The configuration reference, made of the settings' dataclasses. `make docs` runs it.

It writes configuration.md beside this file. Neither it nor `keras_sat.config` imports TensorFlow.
"""

import dataclasses
import inspect
import json
import math
import types
import typing
from pathlib import Path

import docstring_parser

from keras_sat import config
from keras_sat.config.ranges import NOT_NEGATIVE

PAGE = Path(__file__).with_suffix(".md")
INTRODUCTION = """# Configuration reference

```bash
keras-sat train --model soft --set train.epochs=8
keras-sat train --config my.yaml
```

```yaml
# my.yaml
base: configs/scenes_soft.yaml
model: {gate: vector, output: linear}
train: {select_by: bleu4, patience: 3}
```

An experiment is a YAML file with these sections. A file that names another one by `base:` changes
some of its settings. `--set SECTION.KEY=VALUE` changes one key. `keras-sat prepare` leaves out the
section: `--set mirror=true` is `prepare.mirror`.

`make docs` writes this page from `keras_sat/config/`; edit the docstrings there. If no range is
given, a number may be zero or above.
"""
NUMBERS = {int: "integer", float: "number", str: "text", bool: "`true` or `false`"}


def reference():
    """The page, Markdown."""
    parts = [INTRODUCTION, _section("Experiment", config.Experiment, "")]
    for field in dataclasses.fields(config.Experiment):
        if field.name == "model":
            for name, system in config.SYSTEMS.items():
                parts.append(_section(f"model, for the system {name}", system, "model."))
        elif dataclasses.is_dataclass(field.default_factory):
            parts += _sections(field.default_factory, field.name)
    return "\n".join(parts)


def _sections(cls, name):
    """The section of a dataclass, and those of the dataclasses in it."""
    parts = [_section(name, cls, f"{name}.")]
    for field in dataclasses.fields(cls):
        if dataclasses.is_dataclass(field.default_factory):
            parts += _sections(field.default_factory, f"{name}.{field.name}")
    return parts


def _section(title, cls, prefix):
    """A heading, the class' description, and one row for each key that is no section."""
    descriptions = _descriptions(cls)
    hints = typing.get_type_hints(cls, include_extras=True)
    lines = [f"## {title}\n", f"{_summary(cls)}\n", "| key | values | default | meaning |"]
    lines.append("|---|---|---|---|")
    for field in dataclasses.fields(cls):
        if field.default is dataclasses.MISSING:
            continue
        cells = [
            f"`{prefix}{field.name}`",
            _values(hints[field.name]),
            f"`{_yaml(field.default)}`",
            descriptions[field.name],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _summary(cls):
    """The docstring's prose, one line per paragraph."""
    parsed = docstring_parser.parse(inspect.getdoc(cls))
    paragraphs = [parsed.short_description, parsed.long_description or ""]
    return "\n\n".join(" ".join(text.split()) for text in paragraphs if text)


def _descriptions(cls):
    """{key: what it means}, those of the classes that it extends included."""
    found = {}
    for each in reversed(cls.__mro__):
        if dataclasses.is_dataclass(each):
            for entry in docstring_parser.parse(inspect.getdoc(each)).params:
                text = " ".join(entry.description.split())
                found[entry.arg_name] = text.replace("|", "\\|")
    return found


def _values(hint):
    """What a key may be, in words."""
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin is typing.Literal:
        return ", ".join(f"`{each}`" for each in arguments)
    if origin is tuple:
        return "list of texts"
    if origin in (types.UnionType, typing.Union):
        return f"{_values(arguments[0])}, or `null`"
    if origin is typing.Annotated:
        number, allowed = arguments
        return f"{NUMBERS[number]} {_range(allowed)}"
    return NUMBERS[hint]


def _range(allowed):
    """A range in words, such as "in [0, 1)"."""
    if allowed == NOT_NEGATIVE:
        return ""
    if allowed.high == math.inf:
        return f"{'>' if allowed.open_low else '≥'} {allowed.low}"
    left = "(" if allowed.open_low else "["
    right = ")" if allowed.open_high else "]"
    return f"in {left}{allowed.low}, {allowed.high}{right}"


def _yaml(value):
    """A default as it is written in YAML."""
    return json.dumps(list(value)) if isinstance(value, tuple) else json.dumps(value).strip('"')


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
