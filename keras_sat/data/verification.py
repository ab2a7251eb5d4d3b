"""Holds every file of a prepared data set against what is recorded of it."""

from keras_sat.data.reading import shard_fault
from keras_sat.text.vocabulary import Vocabulary
from keras_sat.utils.errors import UserError
from keras_sat.utils.hashing import damage, read_sums


def data_faults(data):
    """What is wrong with a prepared data set.

    Args:
        data: a `PreparedData`, whose manifest and statistics are thus checked already.

    Yields:
        One line per fault.
    """
    # Shards are left to the end, where a fault names the record, too.
    shards = {shard["name"]: shard for shard in data.all_shards()}
    for name, expected in read_sums(data.folder).items():
        fault = None if name in shards else damage(data.folder, name, expected)
        if fault:
            yield fault
    yield from _vocabulary_faults(data)
    for name, shard in shards.items():
        fault = damage(data.folder, name, shard["sha256"])
        if fault:
            path = data.folder / name
            where = shard_fault(path, shard["images"]) if path.exists() else None
            yield where or fault


def _vocabulary_faults(data):
    path = data.folder / "vocabulary.txt"
    recorded = data.manifest["vocabulary"]
    try:
        vocabulary = Vocabulary.load(path)
    except UserError as error:
        yield str(error)
        return
    if vocabulary.fingerprint != recorded["fingerprint"]:
        yield (
            f"{path}: fingerprint {vocabulary.fingerprint}, but manifest.json records "
            f"{recorded['fingerprint']}"
        )
    elif len(vocabulary) != recorded["size"]:
        yield f"{path}: {len(vocabulary)} words, but manifest.json records {recorded['size']}"
