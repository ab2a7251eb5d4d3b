"""ExampleValidator: statistics against a schema."""

from keras_sat.utils.errors import UserError
from pipeline.sources.base import SPLITS


def validate(statistics, failures, schema):
    """The anomalies, [{"split", "value", "expected", "found"}]; split `all` where a sum over the splits is at fault.

    Args:
        statistics: of `statistics_gen.summarise`. failures: {split: {reason: count}}. schema: see `schema_gen`.
    """
    anomalies = []

    def note(split, value, expected, found):
        anomalies.append({"split": split, "value": value, "expected": expected, "found": found})

    for split in SPLITS:
        expected, found = schema["splits"].get(split), statistics.get(split)
        if (expected is None) != (found is None):
            states = {True: "there", False: "not there"}
            note(split, "split", states[expected is not None], states[found is not None])
        elif expected is not None:
            for key, (least, most) in expected.items():
                low, high = found[key] if isinstance(found[key], list) else (found[key], found[key])
                if low < least or high > most:
                    note(split, key, [least, most], found[key])
    for reason, most in schema["failures"].items():
        if (count := sum(each.get(reason, 0) for each in failures.values())) > most:
            note("all", reason, [0, most], count)
    return anomalies


def check(anomalies, path, allowed):
    """Stops the run at anomalies that are not allowed.

    Args:
        path: the file where they are written. allowed: `Prepare.allow_anomalies`.
    Raises:
        UserError: naming them.
    """
    if anomalies and not allowed:
        named = "; ".join(
            f"{a['split']}: {a['value']} {a['found']}, expected {a['expected']}"
            for a in anomalies[:5]
        )
        raise UserError(
            f"{len(anomalies)} anomalies ({path}): {named}. Mend the corpus, give a reviewed --set schema=FILE, "
            "or go on with --set allow_anomalies=true"
        )
