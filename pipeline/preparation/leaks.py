"""Pictures of equal content.

A picture in two splits would be trained on and measured on: it stays in the latest of train, val
and test. The chunks are not changed; the stages that read them leave the leaked pictures out.
"""

from typing import NamedTuple

import apache_beam as beam
import tensorflow as tf

from keras_sat.data.examples import deserialize
from pipeline.preparation import account, artifacts, beam_runner
from pipeline.sources.base import NOTHING, PICTURE, SPLITS

LEAK = "same picture in two splits"
EQUAL = "same picture twice in a split"


class Leak(NamedTuple):
    """A picture to leave out.

    Attributes:
        chunk: the name of its chunk.
        id: the image's id.
        content: the hash of its pixels.
        captions: how many captions it has.
        failure: why it is left out.
    """

    chunk: str
    id: str
    content: str
    captions: int
    failure: dict


def find(folder, options):
    """Finds the pictures of equal content among the chunks in a folder.

    Args:
        folder: the folder of the chunks.
        options: Beam's options.

    Returns:
        ({chunk: [`Leak`]}, {chunk: [failure]} of equal pictures within a split, which are kept).
    """
    path = _file(folder)

    def build(pipeline):
        (
            pipeline
            | beam.Create(list(artifacts.finished_chunks(folder)))
            | beam.Reshuffle()
            | "Contents" >> beam.FlatMap(_contents_of)
            | "ByContent" >> beam.GroupByKey()
            | "Equal" >> beam.FlatMapTuple(_equal)
            | "Gather" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
            | "Write" >> beam.Map(_write, path)
        )

    beam_runner.run_job(build, options, "comparing")
    equal = {}
    for each in _read(path):
        if each.failure["left_out"] == NOTHING:
            equal.setdefault(each.chunk, []).append(each.failure)
    return known(folder), equal


def known(folder):
    """{chunk: [`Leak`]} that the last call of `find` found; empty if there was no call."""
    path = _file(folder)
    leaks = {}
    for each in _read(path) if tf.io.gfile.exists(path) else []:
        if each.failure["left_out"] == PICTURE:
            leaks.setdefault(each.chunk, []).append(each)
    return leaks


def _file(folder):
    return f"{folder}.leaks.json"


def _read(path):
    return [Leak(*values) for values in artifacts.read_json(path)]


def _contents_of(chunk):
    """Yields (content, (id, chunk, number of captions)) of each image of a chunk."""
    sidecar = artifacts.read_json(artifacts.sidecar_of(chunk))
    for id, content in sidecar["contents"].items():
        yield content, (id, artifacts.name_of(chunk), sidecar["captions"][id])


def _equal(content, places):
    """Yields a `Leak` for each image of equal content but the one that stays."""
    places = sorted(places)
    kept = max((artifacts.split_of(chunk) for _, chunk, _ in places), key=SPLITS.index)
    first = min(id for id, chunk, _ in places if artifacts.split_of(chunk) == kept)
    for id, chunk, captions in places:
        if artifacts.split_of(chunk) != kept:
            failure = account.failure(id, f"{LEAK}: also {first} in {kept}, kept there")
            yield Leak(chunk, id, content, captions, failure)
        elif id != first:
            failure = account.failure(id, f"{EQUAL}: also {first}; both are kept", NOTHING)
            yield Leak(chunk, id, content, captions, failure)


def _write(found, path):
    artifacts.write_json(path, sorted(found, key=_place))


def _place(leak):
    return leak.chunk, leak.id


def read_kept(chunk, leaked):
    """Yields the `Record`s of a chunk without those whose ids have leaked."""
    for serialized in artifacts.read_records(chunk):
        record = deserialize(serialized)
        if record.source_id not in leaked:
            yield record
