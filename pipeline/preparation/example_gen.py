"""ExampleGen: from a source to checked records in chunk files.

Only ids, paths and captions are shuffled. The hash of an image's id decides its chunk. File names,
order and bytes therefore do not depend on the order of the listing, on workers or on restarts. The
same hash gives the order within a chunk, so that the data set is mixed once and for all.
"""

import math

import apache_beam as beam
import tensorflow as tf

from keras_sat.utils.errors import UserError
from pipeline.preparation import account, artifacts, beam_runner
from pipeline.preparation.loading import LoadChunk
from pipeline.preparation.merging import merge
from pipeline.sources.base import CAPTION, stable_hash


def generate_examples(source, config, folder, options):
    """Writes the chunks `folder`/SPLIT-i-of-n.tfrecord with a sidecar each.

    A sidecar is {"images": int, "failures": [see `account`], "contents": {id: hash of its pixels},
    "captions": {id: their number}, "dropped": captions of left-out images, "added": captions that
    only loading showed}. `listed_file` is {"pictures", "captions"}: how many the corpus lists.

    Args:
        source: a `pipeline.sources.base.Source`.
        config: a `keras_sat.config.Prepare`.
        folder: where the chunks are written.
        options: Beam's options.

    Raises:
        UserError: the corpus cannot be read, or pictures would be stored smaller than the CNN takes
            them.
    """
    _check_picture_size(config)

    def build(pipeline):
        listed = (
            pipeline
            | "Partitions" >> beam.Create(source.partitions())
            | "ShareListing" >> beam.Reshuffle()
            | "List" >> beam.FlatMap(source.list_items)
        )
        by_id = (
            listed
            | "Id" >> beam.Map(lambda item: (item.id.encode(errors="surrogatepass"), item))
            | "ById" >> beam.GroupByKey()
        )
        items = by_id | "Merge" >> beam.FlatMapTuple(
            lambda _, parts: merge(parts, source.published)
        )
        _write_listed(listed, by_id, listed_file(folder))
        counts = (
            items
            | "Split" >> beam.Map(lambda item: item.split)
            | "Count" >> beam.combiners.Count.PerElement()
        )
        (
            items
            | "Assign" >> beam.Map(_assign_chunk, beam.pvalue.AsDict(counts), config.chunk_images)
            | "Chunks" >> beam.GroupByKey()
            | "Load" >> beam.ParDo(LoadChunk(source, config, folder))
        )

    beam_runner.run_job(build, options, "reading", folder)


def listed_file(folder):
    """The file beside the folder of chunks that says how much the corpus lists."""
    return f"{folder}.listed.json"


def _write_listed(listed, by_id, path):
    """Counts what the corpus lists, before anything can be left out."""
    captions = listed | "Captions" >> beam.Map(lambda item: ("captions", len(item.captions)))
    pictures = by_id | "Pictures" >> beam.MapTuple(
        lambda _, parts: ("pictures", int(any(part.is_of_picture for part in parts)))
    )
    (
        (captions, pictures)
        | beam.Flatten()
        | "Add" >> beam.CombinePerKey(sum)
        | "Gather" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
        | "WriteListed" >> beam.Map(lambda counts: artifacts.write_json(path, dict(counts)))
    )


def _check_picture_size(config):
    needed = max(config.encoder.pixels, config.proposals.image_size or 0)
    if config.encoder.resize == "crop":
        needed = math.ceil(needed * 256 / 224)
    if config.picture_size and config.picture_size < needed:
        raise UserError(
            f"picture_size: {config.picture_size} is less than the {needed} pixels "
            "that the CNN takes; raise it"
        )


def _assign_chunk(item, counts, chunk_images):
    """(the name of the item's chunk, the item)."""
    chunks = -(-counts[item.split] // chunk_images)
    number = stable_hash(item.id) % chunks
    return f"{item.split}-{number:05d}-of-{chunks:05d}", item


def account_of(folder, leaked):
    """The `account.Account` of the chunks in a folder, checked.

    Args:
        folder: the folder of the chunks.
        leaked: {chunk: [`leaks.Leak`]}.

    Raises:
        UserError: kept + left out is not what was read.
    """
    listed = artifacts.read_json(listed_file(folder))
    found = account.add_up(listed, artifacts.finished_chunks(folder).values(), leaked)
    found.check_sum()
    return found


def forget_failures(folder, others, leaks):
    """Removes the sidecars of chunks with a failed image or with one of the pictures that leaked.

    The next call then reads these chunks again.

    Args:
        folder: the folder of the chunks.
        others: the folder of what was made of the chunks, under the same names.
        leaks: {chunk: [`leaks.Leak`]}.
    """
    leaked = set()
    for found in leaks.values():
        leaked.update(leak.content for leak in found)
    for path, sidecar in artifacts.finished_chunks(folder).items():
        failed = any(each["left_out"] != CAPTION for each in sidecar["failures"])
        if failed or leaked & set(sidecar["contents"].values()):
            note = artifacts.sidecar_of(path)
            for name in (note, f"{others}/{artifacts.name_of(note)}"):
                if tf.io.gfile.exists(name):
                    tf.io.gfile.remove(name)
