"""The chain of components, from a source to a prepared data set."""

import dataclasses
import json
import shutil
import time
from typing import NamedTuple

import tensorflow as tf

from keras_sat.data.prepared import COMPLETED
from keras_sat.encoder.cnn import build_encoder, enlarged, load_encoder
from keras_sat.encoder.inputs import shown_picture
from keras_sat.text.vocabulary import Vocabulary, min_count_for
from keras_sat.utils import hashing
from keras_sat.utils.errors import UserError
from pipeline.preparation import (
    account,
    example_gen,
    example_validator,
    leaks,
    manifest,
    schema_gen,
    staging,
    statistics_gen,
    statistics_page,
    transform,
)
from pipeline.preparation.artifacts import (
    finished_chunks,
    name_of,
    read_json,
    split_of,
    write_json,
    write_text,
)
from pipeline.sources.streams import StreamSource

_SAMPLES = 12  # on the page of statistics


class Examples(NamedTuple):
    """The checked chunks, and all that is known of the data set before the CNN runs.

    Attributes:
        chunks: {chunk file: {"images", "leaked": ids of images to leave out}} of the chunks that
            hold images.
        account: the `account.Account`.
        failures: {split: [failure]} of ExampleGen.
        reasons: {split: {reason: count}} of these failures.
        counts: {split: {kind: {value: count}}} of StatisticsGen.
        min_count: how often each of the vocabulary's words occurs at least.
        vocabulary: the `Vocabulary`.
        statistics: {split: {statistic: value}}, see `statistics_gen.summarise`.
        schema: the reviewed schema, or the inferred one.
        anomalies: the anomalies of the statistics, all of them allowed.
    """

    chunks: dict
    account: account.Account
    failures: dict
    reasons: dict
    counts: dict
    min_count: int
    vocabulary: Vocabulary
    statistics: dict
    schema: dict
    anomalies: list


def build_data_set(source, config, wanted, work, output, options):
    """Builds the data set in a work folder and renames it to the output.

    What an earlier, interrupted run left in the work folder is not computed again.

    Args:
        source: a `pipeline.sources.base.Corpus`.
        config: a `keras_sat.config.Prepare`.
        wanted: what the manifest must say of source and settings.
        work: the work folder, a `Path`.
        output: the data set's folder, a `Path` on the same file system.
        options: Beam's options.

    Raises:
        UserError: the source, schema, encoder or quantisation is unusable, or there are anomalies.
    """
    examples_folder = work / "examples"
    features_folder = work / "features"
    final = work / "final"
    shutil.rmtree(final, ignore_errors=True)
    for folder in (examples_folder, features_folder, final):
        folder.mkdir(exist_ok=True)
    encoder, encoders = _encoders(config, work)  # first, since its weights may be missing
    try:
        examples = _read(source, config, str(examples_folder), work, options)
    except UserError:
        known = leaks.known(str(examples_folder))
        example_gen.forget_failures(str(examples_folder), str(features_folder), known)
        raise
    start = time.monotonic()
    before = _images(features_folder)
    transform.add_features(examples.chunks, encoders, config, str(features_folder), options)
    rate = (_images(features_folder) - before) / (time.monotonic() - start)
    featured = finished_chunks(str(features_folder))
    shard_bytes = config.shard_megabytes << 20
    shards = transform.write_shards(featured, str(final), shard_bytes, options)
    _check_written(examples.account, shards)
    description = manifest.describe(
        config, wanted, encoder, examples.vocabulary, list(featured.values()), shards
    )
    _write(final, config, examples, description, rate)
    shutil.copy(work / "encoder.keras", final / "encoder.keras")
    known = {shard["name"]: shard["sha256"] for each in shards.values() for shard in each}
    hashing.write_sums(final, known)
    write_text(str(final / COMPLETED), description["fingerprint"] + "\n")
    final.rename(output)
    shutil.rmtree(work)
    print(f"{output}: {manifest.in_one_line(description)}")


def _check_written(account, shards):
    """Checks that the shards hold all pictures that are kept.

    Raises:
        UserError: they do not.
    """
    images = 0
    for each in shards.values():
        images += sum(shard["images"] for shard in each)
    if images != account.pictures.kept:
        raise UserError(
            f"{images} pictures were written, but {account.pictures.kept} are kept: did something "
            "change the work folder? Remove it and run the same command again"
        )


def _read(source, config, folder, work, options):
    """Reads the source into checked chunks in `folder`, and returns the `Examples`."""
    reviewed = schema_gen.load(config.schema) if config.schema else None
    if isinstance(source, StreamSource):
        staged = work / "staged"
        staged.mkdir(exist_ok=True)
        source = staging.stage(source, config, str(staged), options)
    example_gen.generate_examples(source, config, folder, options)
    leaked, equal = leaks.find(folder, options)
    found = example_gen.account_of(folder, leaked)
    print(found)
    found.check_limit(config.source, config.max_failures)
    chunks = {}
    failures = {}
    for path, sidecar in finished_chunks(folder).items():
        noted = failures.setdefault(split_of(path), [])
        noted += sidecar["failures"]
        ids = []
        for leak in leaked.get(name_of(path), []):
            ids.append(leak.id)
            noted.append(leak.failure)
        noted += equal.get(name_of(path), [])
        images = sidecar["images"] - len(ids)
        if images:
            chunks[path] = {"images": images, "leaked": ids}
    counts_file = str(work / "counts.json")
    statistics_gen.count_values(chunks, counts_file, options)
    counts = read_json(counts_file)
    if "train" not in counts:
        raise UserError(f"{config.source}: no training split, so no vocabulary")
    min_count = config.min_count or _min_count(counts)
    vocabulary = Vocabulary.from_counts(counts["train"]["words"], min_count, config.max_size)
    statistics = statistics_gen.summarise(counts, vocabulary)
    captions = sum(each["captions"] for each in statistics.values())
    if captions != found.captions.kept:
        raise UserError(f"{captions} captions were counted, but {found.captions.kept} are kept")
    reasons = statistics_gen.count_failures(failures)
    schema = reviewed or schema_gen.infer(statistics, source.published)
    anomalies = example_validator.validate(statistics, reasons, schema)
    write_json(str(work / "anomalies.json"), anomalies)
    example_validator.check(anomalies, work / "anomalies.json", config.allow_anomalies)
    return Examples(
        chunks=chunks,
        account=found,
        failures=failures,
        reasons=reasons,
        counts=counts,
        min_count=min_count,
        vocabulary=vocabulary,
        statistics=statistics,
        schema=schema,
        anomalies=anomalies,
    )


def _min_count(counts):
    """The `min_count` that fits the number of training captions."""
    captions = sum(counts["train"]["lengths"].values())
    min_count = min_count_for(captions)
    print(f"vocabulary: words that occur {min_count} times or more in {captions:,} captions")
    return min_count


def _encoders(config, work):
    """(the encoder, {input: path of the saved encoder that makes it})."""
    path = work / "encoder.keras"
    encoder = _saved_encoder(path, build_encoder, config.encoder, config.seed)
    paths = {"features": str(path)}
    size = config.proposals.image_size
    if config.proposals.method != "none" and size:
        larger = work / f"encoder_{size}.keras"
        _saved_encoder(larger, enlarged, encoder, size)
        paths["region_features"] = str(larger)
    return encoder, paths


def _saved_encoder(path, build, *arguments):
    """Loads an encoder, and before that builds and saves it if no earlier run has.

    Args:
        path: the encoder's file.
        build: called with the arguments for the encoder.
        arguments: those of `build`.
    """
    if not path.exists():
        tf.config.experimental.enable_op_determinism()
        temporary = path.with_name("encoder.tmp.keras")
        encoder = build(*arguments)
        try:
            encoder.save(temporary)
        except OSError as error:
            error.filename = error.filename or str(temporary)  # Keras' zip does not name it
            raise
        temporary.rename(path)
    return load_encoder(path)


def _images(folder):
    return sum(sidecar["images"] for sidecar in finished_chunks(str(folder)).values())


def _samples(examples, encoder):
    """[(`Record`, its picture)] of the first training images."""
    samples = []
    for path, chunk in sorted(examples.chunks.items()):
        if split_of(path) != "train":
            continue
        for record in leaks.read_kept(path, chunk["leaked"]):
            if len(samples) == _SAMPLES:
                return samples
            samples.append((record, shown_picture(record.encoded, encoder)))
    return samples


def _write(folder, config, examples, description, rate):
    """Writes all files of a data set that describe it.

    Args:
        folder: where to write, a `Path`.
        config: a `keras_sat.config.Prepare`.
        examples: the `Examples`.
        description: the manifest.
        rate: images per second of the CNN.
    """
    statistics = {
        **examples.statistics,
        "failures": examples.reasons,
        "account": examples.account.as_dict(),
        "images_a_second": round(rate, 2),
    }
    config = dataclasses.replace(config, min_count=examples.min_count)
    page = statistics_page.page(
        config,
        examples.statistics,
        examples.reasons,
        examples.counts,
        _samples(examples, description["encoder"]),
    )
    write_text(str(folder / "vocabulary.txt"), examples.vocabulary.to_text())
    write_json(str(folder / "manifest.json"), description)
    write_json(str(folder / "statistics.json"), statistics)
    write_text(str(folder / "statistics.html"), page)
    write_text(str(folder / "schema.yaml"), schema_gen.to_yaml(examples.schema))
    write_json(str(folder / "anomalies.json"), examples.anomalies)
    for split, failures in examples.failures.items():
        if failures:
            lines = [json.dumps(failure) + "\n" for failure in failures]
            write_text(str(folder / f"failures-{split}.jsonl"), "".join(lines))
