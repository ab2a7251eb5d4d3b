"""Reading a corpus without a Beam job."""

from pipeline.preparation.merging import merge
from pipeline.sources.registry import open_source
from tests.support.settings import small_prepare


def merged(source):
    """The merged items of a source."""
    parts = {}
    for partition in source.partitions():
        for item in source.list_items(partition):
            parts.setdefault(item.id, []).append(item)
    return [item for each in parts.values() for item in merge(each, source.published)]


def read(dataset, folder, **settings):
    """{id: (merged item, its record or None)} of a corpus, and the source."""
    source = open_source(small_prepare(dataset=dataset, source=str(folder), **settings))
    found = {}
    for item in merged(source):
        found[item.id] = (item, None if item.fault else source.load(item))
    return found, source
