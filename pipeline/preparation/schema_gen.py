"""SchemaGen: what a data set is expected to be.

A person may review the inferred schema and give it back with `--set schema=FILE`. It is YAML:

splits:    {train: {images: [5400, 6600], captions_an_image: [5, 5], …}}
failures:  {picture missing: 0, …}

`splits` gives the least and the most of each statistic. `failures` gives the most of each reason,
over all splits. Reasons that it does not name are not limited.
"""

import math
from pathlib import Path

import yaml

from keras_sat.config.reader import parse_yaml
from keras_sat.utils.errors import UserError
from pipeline.preparation.leaks import EQUAL, LEAK
from pipeline.preparation.loading import MISSING
from pipeline.preparation.merging import NO_CAPTION, REPEATED, TWO_SPLITS
from pipeline.preparation.statistics_gen import RANGES
from pipeline.sources.base import SPLITS

# What no corpus should have, whatever its size. Without a reviewed schema, one such failure is an
# anomaly.
NEVER = (LEAK, TWO_SPLITS, MISSING, NO_CAPTION)
# Published corpora have a few of these, and are taken as they are.
NEVER_IN_OWN = (EQUAL, REPEATED)


def infer(statistics, published=True):
    """A schema that these statistics satisfy, with room for a growing corpus.

    Args:
        statistics: what `statistics_gen.summarise` returns.
        published: see `pipeline.sources.base.Corpus`.
    """
    splits = {}
    for split in SPLITS:
        if split in statistics:
            splits[split] = _bounds(statistics[split])
    never = NEVER if published else NEVER + NEVER_IN_OWN
    return {"splits": splits, "failures": dict.fromkeys(never, 0)}


def _bounds(found):
    """{statistic: [least, most]} for one split's statistics."""
    images = found["images"]
    _, most_words = found["words_a_caption"]
    bounds = {key: found[key] for key in RANGES}
    bounds["images"] = [images * 9 // 10, images * 11 // 10 + 1]
    bounds["words_a_caption"] = [1, 2 * most_words]
    bounds["unknown_share"] = [0.0, max(0.1, 2 * found["unknown_share"])]
    return bounds


def to_yaml(schema):
    return yaml.safe_dump(schema, sort_keys=False, default_flow_style=None, width=120)


def load(path):
    """Reads a schema.

    Raises:
        UserError: the file is not a schema; the message names the key.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot read the schema ({error})") from error
    schema = parse_yaml(text, path)
    if not _has_sections(schema):
        raise UserError(
            f"{path}: a schema has the sections `splits` and `failures`, "
            "see pipeline/preparation/schema_gen.py"
        )
    for split, expected in schema["splits"].items():
        for key, bounds in expected.items():
            _check_bounds(path, split, key, bounds)
    for reason, most in schema["failures"].items():
        if not _is_number(most):
            raise UserError(f"{path}: failures.{reason}: expected a number, got {most!r}")
    return schema


def _has_sections(schema):
    if not isinstance(schema, dict) or set(schema) != {"splits", "failures"}:
        return False
    if not isinstance(schema["splits"], dict) or not isinstance(schema["failures"], dict):
        return False
    return all(isinstance(expected, dict) for expected in schema["splits"].values())


def _is_number(value):
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and -math.inf < value < math.inf  # false for NaN


def _check_bounds(path, split, key, bounds):
    known = {*RANGES, "images", "unknown_share"}
    where = f"{path}: splits.{split}.{key}"
    if split not in SPLITS or key not in known:
        raise UserError(f"{where}: unknown; splits: {', '.join(SPLITS)}; keys: {', '.join(known)}")
    is_pair = isinstance(bounds, list) and len(bounds) == 2
    if not is_pair or not all(_is_number(each) for each in bounds):
        raise UserError(f"{where}: expected [least, most], got {bounds!r}")
