"""ExampleValidator: checks statistics against a schema."""

from keras_sat.utils.errors import UserError
from pipeline.sources.base import SPLITS

_MOST_NAMED = 5  # anomalies that the message names


def validate(statistics, failures, schema):
    """Finds the anomalies.

    Args:
        statistics: what `statistics_gen.summarise` returns.
        failures: {split: {reason: count}}.
        schema: see `schema_gen`.

    Returns:
        [{"split", "value", "expected", "found"}]. The split is `all` if a sum over the splits
        is at fault.
    """
    anomalies = []
    for split in SPLITS:
        expected = schema["splits"].get(split)
        found = statistics.get(split)
        if expected is not None and found is not None:
            anomalies += _out_of_range(split, expected, found)
        elif expected is not None:
            anomalies.append(_anomaly(split, "split", "there", "not there"))
        elif found is not None:
            anomalies.append(_anomaly(split, "split", "not there", "there"))
    for reason, most in schema["failures"].items():
        count = sum(each.get(reason, 0) for each in failures.values())
        if count > most:
            anomalies.append(_anomaly("all", reason, [0, most], count))
    return anomalies


def _out_of_range(split, expected, found):
    """The anomalies of a split: values, or ranges [least, most], that exceed their bounds."""
    anomalies = []
    for key, (least, most) in expected.items():
        value = found[key]
        low, high = value if isinstance(value, list) else (value, value)
        if low < least or high > most:
            anomalies.append(_anomaly(split, key, [least, most], value))
    return anomalies


def _anomaly(split, value, expected, found):
    return {"split": split, "value": value, "expected": expected, "found": found}


def check(anomalies, path, allowed):
    """Stops the job at anomalies that are not allowed.

    Args:
        anomalies: what `validate` returns.
        path: the file in which they are listed.
        allowed: `Prepare.allow_anomalies`.

    Raises:
        UserError: naming the first of them.
    """
    if not anomalies or allowed:
        return
    named = []
    for each in anomalies[:_MOST_NAMED]:
        named.append(
            f"{each['split']}: {each['value']} {each['found']}, expected {each['expected']}"
        )
    raise UserError(
        f"{len(anomalies)} anomalies ({path}): {'; '.join(named)}. Fix the corpus, give a reviewed "
        "--set schema=FILE, or continue with --set allow_anomalies=true"
    )
