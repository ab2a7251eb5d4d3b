"""The chain of components, from a source to a prepared data set. Loads TensorFlow and Beam; `prepare` is the command."""

import collections
import hashlib
import json
import shutil
import time
from types import SimpleNamespace

import tensorflow as tf

from keras_sat.data.prepared import COMPLETED
from keras_sat.encoder.cnn import build_encoder, enlarged, load_encoder, weights_fingerprint
from keras_sat.text.vocabulary import Vocabulary
from keras_sat.utils.errors import UserError
from pipeline.preparation import (
    example_gen,
    example_validator,
    schema_gen,
    statistics_gen,
    statistics_page,
    transform,
)
from pipeline.preparation.artifacts import (
    finished_chunks,
    read_json,
    split_of,
    write_json,
    write_text,
)

MOST_ERROR = 0.01  # relative, of stored features


def run(source, config, wanted, work, output, options):
    """Builds the data set in the folder `work`, going on with what an earlier run left there, and renames it to `output`.

    Args:
        source: a `pipeline.sources.Source`. config: a `keras_sat.config.Prepare`. wanted: what the manifest must say of
            source and settings. work, output: Paths on one file system. options: Beam's.
    Raises:
        UserError: unusable source, schema, encoder or quantisation; anomalies.
    """
    examples, features, final = (work / name for name in ("examples", "features", "final"))
    shutil.rmtree(final, ignore_errors=True)
    for folder in (examples, features, final):
        folder.mkdir(exist_ok=True)
    try:
        read = _read(source, config, str(examples), work, options)
    except UserError:
        example_gen.forget_failures(str(examples), str(features))
        raise
    encoder = _encoder(work / "encoder.keras", lambda: build_encoder(config.encoder, config.seed))
    encoders = {"features": str(work / "encoder.keras")}
    if config.proposals.method != "none" and (size := config.proposals.image_size):
        larger = work / f"encoder_{size}.keras"
        _encoder(larger, lambda: enlarged(encoder, size))
        encoders["region_features"] = str(larger)
    start, before = time.monotonic(), _images(features)
    transform.add_features(read.chunks, encoders, config, str(features), options)
    rate = (_images(features) - before) / (time.monotonic() - start)
    featured = finished_chunks(str(features))
    shards = transform.write_shards(featured, str(final), config.shard_megabytes << 20, options)

    manifest = _manifest(config, wanted, encoder, read.vocabulary, list(featured.values()), shards)
    write_text(str(final / "vocabulary.txt"), read.vocabulary.to_text())
    write_json(str(final / "manifest.json"), manifest)
    statistics = {**read.statistics, "failures": read.reasons, "images_a_second": round(rate, 2)}
    write_json(str(final / "statistics.json"), statistics)
    page = statistics_page.page(config, read.statistics, read.reasons, read.counts)
    write_text(str(final / "statistics.html"), page)
    write_text(str(final / "schema.yaml"), schema_gen.to_yaml(read.schema))
    write_json(str(final / "anomalies.json"), read.anomalies)
    for split, found in read.failures.items():
        if found:
            write_text(
                str(final / f"failures-{split}.jsonl"),
                "".join(json.dumps(failure) + "\n" for failure in found),
            )
    shutil.copy(work / "encoder.keras", final / "encoder.keras")
    write_text(str(final / COMPLETED), manifest["fingerprint"] + "\n")
    final.rename(output)
    shutil.rmtree(work)
    _report(output, manifest)


def _read(source, config, folder, work, options):
    """From the source to checked chunks in `folder`, and all that is known of them before the CNN runs."""
    reviewed = schema_gen.load(config.schema) if config.schema else None
    example_gen.run(source, config, folder, options)
    finished, failures = finished_chunks(folder), collections.defaultdict(list)
    for path, sidecar in finished.items():
        failures[split_of(path)] += sidecar["failures"]
    chunks = {path: sidecar for path, sidecar in finished.items() if sidecar["images"]}
    statistics_gen.run(list(chunks), str(work / "counts.json"), options)
    counts = read_json(str(work / "counts.json"))
    if "train" not in counts:
        raise UserError(f"{config.source}: no training split, so no vocabulary")
    vocabulary = Vocabulary.from_counts(counts["train"]["words"], config.min_count, config.max_size)
    statistics, reasons = (
        statistics_gen.summarise(counts, vocabulary),
        statistics_gen.count_failures(failures),
    )
    schema = reviewed or schema_gen.infer(statistics)
    anomalies = example_validator.validate(statistics, reasons, schema)
    write_json(str(work / "anomalies.json"), anomalies)
    example_validator.check(anomalies, work / "anomalies.json", config.allow_anomalies)
    return SimpleNamespace(
        chunks=chunks,
        counts=counts,
        failures=failures,
        vocabulary=vocabulary,
        statistics=statistics,
        reasons=reasons,
        schema=schema,
        anomalies=anomalies,
    )


def _images(folder):
    return sum(sidecar["images"] for sidecar in finished_chunks(str(folder)).values())


def _manifest(config, wanted, encoder, vocabulary, sidecars, shards):
    """manifest.json: what was made from what. `sidecars` are those of the chunks with features."""
    errors = {
        name: _relative_error(config, [sidecar["maps"][name] for sidecar in sidecars])
        for name in sidecars[0]["maps"]
    }
    total = sum(shard["bytes"] for each in shards.values() for shard in each)
    manifest = {
        **wanted,
        "dataset": config.dataset,
        "encoder": {
            "name": config.encoder.name,
            "layer": config.encoder.layer,
            "weights": weights_fingerprint(encoder),
            "image_size": config.encoder.pixels,
            "resize": config.encoder.resize,
            "quantisation": config.encoder.quantisation,
            "relative_error": errors["features"],
            "feature_shape": sidecars[0]["maps"]["features"]["shape"],
        },
        "proposals": _proposals(config.proposals, sidecars[0]["maps"]),
        "vocabulary": {"size": len(vocabulary), "fingerprint": vocabulary.fingerprint},
        "splits": shards,
        "bytes_an_image": round(total / sum(sidecar["images"] for sidecar in sidecars)),
    }
    manifest["fingerprint"] = hashlib.sha256(
        json.dumps(manifest, sort_keys=True).encode()
    ).hexdigest()[:16]
    return manifest


def _relative_error(config, maps):
    """Of storing feature maps, which are described by their part in the chunks' sidecars."""
    norm = sum(each["squared_norm"] for each in maps)
    error = (sum(each["squared_error"] for each in maps) / max(norm, 1e-30)) ** 0.5
    if not error < MOST_ERROR:
        raise UserError(
            f"storing features as {config.encoder.quantisation} changes them by {error:.2%}, more than {MOST_ERROR:.0%}; "
            "choose the other --quantisation"
        )
    return round(error, 6)


def _proposals(config, maps):
    """The manifest's section on boxes: None where there are none; `feature_shape` is that of the larger picture's map."""
    if config.method == "none":
        return None
    shape = maps["region_features"]["shape"] if "region_features" in maps else None
    return {
        "method": config.method,
        "most": config.most,
        "image_size": config.image_size,
        "feature_shape": shape,
    }


def _encoder(path, build):
    """The encoder, from an earlier, interrupted run where there is one."""
    if not path.exists():
        tf.config.experimental.enable_op_determinism()
        temporary = path.with_name("encoder.tmp.keras")
        build().save(temporary)
        temporary.rename(path)
    return load_encoder(path)


def _report(output, manifest):
    counts = ", ".join(
        f"{sum(shard['images'] for shard in shards)} {split}"
        for split, shards in manifest["splits"].items()
    )
    encoder = manifest["encoder"]
    print(
        f"{output}: {counts} images, {manifest['vocabulary']['size']} words, features "
        f"{'x'.join(map(str, encoder['feature_shape']))} as {encoder['quantisation']} (relative error "
        f"{encoder['relative_error']:.2%}), {manifest['bytes_an_image']:,} bytes an image"
    )
