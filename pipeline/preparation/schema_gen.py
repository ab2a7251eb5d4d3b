"""SchemaGen: what a data set is expected to be, to be reviewed by a person and given back with `--set schema=FILE`.

splits:
  train: {images: [5400, 6600], captions_an_image: [5, 5], words_a_caption: [1, 78], …}     least and most
failures: {picture missing: 0, …}     the most of each reason, over all splits; reasons not named here are not limited
"""

import yaml

from keras_sat.utils.errors import UserError
from pipeline.preparation.example_gen import LEAK, MISSING, NO_CAPTION, TWO_SPLITS
from pipeline.preparation.statistics_gen import RANGES
from pipeline.sources.base import SPLITS

# What no corpus should have, whatever its size: without a reviewed schema, one of them is an anomaly.
NEVER = (LEAK, TWO_SPLITS, MISSING, NO_CAPTION)


def infer(statistics):
    """A schema that these statistics keep, with room for a corpus that grows: the start of a review.

    Args:
        statistics: of `statistics_gen.summarise`.
    """
    splits = {}
    for split in SPLITS:
        if split in statistics:
            found = statistics[split]
            images, (_, most_words) = found["images"], found["words_a_caption"]
            splits[split] = {key: found[key] for key in RANGES} | {
                "images": [images * 9 // 10, images * 11 // 10 + 1],
                "words_a_caption": [1, 2 * most_words],
                "unknown_share": [0.0, max(0.1, 2 * found["unknown_share"])],
            }
    return {"splits": splits, "failures": dict.fromkeys(NEVER, 0)}


def to_yaml(schema):
    return yaml.safe_dump(schema, sort_keys=False, default_flow_style=None, width=120)


def load(path):
    """Reads a schema.

    Raises:
        UserError: a file that is none, naming the key.
    """
    try:
        with open(path, encoding="utf-8") as file:
            schema = yaml.safe_load(file)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot read the schema ({error})") from error
    if (
        not isinstance(schema, dict)
        or set(schema) != {"splits", "failures"}
        or not _sections(schema)
    ):
        raise UserError(
            f"{path}: a schema has the sections `splits` and `failures`, see pipeline/schema_gen.py"
        )
    known = {*RANGES, "images", "unknown_share"}
    for split, expected in schema["splits"].items():
        for key, bounds in expected.items():
            if split not in SPLITS or key not in known:
                raise UserError(
                    f"{path}: splits.{split}.{key}: unknown; splits: {', '.join(SPLITS)}; keys: {', '.join(known)}"
                )
            if (
                not isinstance(bounds, list)
                or len(bounds) != 2
                or not all(isinstance(each, int | float) for each in bounds)
            ):
                raise UserError(
                    f"{path}: splits.{split}.{key}: expected [least, most], got {bounds!r}"
                )
    for reason, most in schema["failures"].items():
        if not isinstance(most, int):
            raise UserError(f"{path}: failures.{reason}: expected a number, got {most!r}")
    return schema


def _sections(schema):
    return all(
        isinstance(each, dict)
        for each in (schema["splits"], schema["failures"], *schema["splits"].values())
    )
