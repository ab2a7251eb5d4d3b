"""JSON files that are checked against a schema, so that an error names the key."""

import json
import math
from pathlib import Path

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from jsonschema.validators import extend

from keras_sat.utils.errors import UserError


def _is_integer(_, value):
    return isinstance(value, int) and not isinstance(value, bool)  # and not 1.0


_Validator = extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)


def read_json(path, schema, way_out):
    """Reads a JSON file.

    Args:
        path: the file's.
        schema: a JSON Schema, a dictionary.
        way_out: what the user can do about a damaged file; ends the error message.

    Raises:
        UserError: the file cannot be read, is not JSON, or a value does not fit the schema; the
            message names the file and the key.
    """
    return parse_json(_read(path, way_out), schema, path, way_out)


def read_json_lines(path, schema, way_out):
    """Reads a file with one JSON value per line, see `read_json`."""
    values = []
    for number, line in enumerate(_read(path, way_out).splitlines(), 1):
        values.append(parse_json(line, schema, f"{path}:{number}", way_out))
    return values


def _read(path, way_out):
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read ({reason}); {way_out}") from error


def parse_json(text, schema, source, way_out):
    """Parses JSON text, see `read_json`.

    Args:
        text: JSON.
        schema: a JSON Schema, a dictionary.
        source: names the text in errors.
        way_out: see `read_json`.
    """
    try:
        value = loads(text)
        fault = check(value, schema)
    except ValueError as error:
        raise UserError(f"{source}: not JSON ({error}); {way_out}") from error
    if fault:
        raise UserError(f"{source}: {fault}; {way_out}")
    return value


def loads(text):
    """The value of JSON text. NaN, which Python writes although it is not JSON, is read as null.

    Raises:
        ValueError: it is not JSON, holds a number that is too large, or is nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_null, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def check(value, schema):
    """What in a value does not fit a schema, with the key's name: one line, or None."""
    error = best_match(_Validator(schema).iter_errors(value))
    if error is None:
        return None
    key = error.json_path.removeprefix("$").removeprefix(".")
    message = error.message if len(error.message) < 200 else f"{error.message[:200]} …"
    return f"{key}: {message}" if key else message


def _null(constant):
    return None


def _finite(text):
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number
