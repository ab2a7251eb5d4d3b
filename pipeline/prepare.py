"""python -m pipeline.prepare --dataset scenes --output data/scenes [any Beam option]

From a corpus to a prepared data set: {train,val,test}-*.tfrecord, vocabulary.txt, encoder.keras, manifest.json,
statistics.json, failures-*.jsonl and, last, COMPLETED. A job that was interrupted goes on where it stopped.
"""

import argparse
import dataclasses
import hashlib
import json
import logging
import shutil
from pathlib import Path

from keras_sat import config as configuration
from keras_sat.errors import UserError, command


def prepare(config, output, beam_flags=()):
    """Prepares a data set.

    Args:
        config: a `keras_sat.config.Prepare`.
        output: the folder to make. Nothing appears under that name before all is done; work is kept in
            `.NAME.partial` beside it, so that the same call after an interruption goes on there.
        beam_flags: Beam's command-line flags.
    Raises:
        UserError: the output exists but was made with other settings, or the source is unusable.
    """
    logging.getLogger().setLevel(logging.CRITICAL)  # Beam warns of what is not installed, and logs errors that it raises
    from pipeline import beam_runner, example_gen, statistics_gen, transform  # TensorFlow and Beam load here
    from pipeline.artifacts import COMPLETED, finished_chunks, read_json, write_json, write_text
    from pipeline.sources import open_source
    from keras_sat.data.examples import FORMAT_VERSION
    from keras_sat.encoder import weights_fingerprint
    from keras_sat.text import Vocabulary

    output = Path(output)
    options = beam_runner.beam_options(list(beam_flags))
    source = open_source(config)
    wanted = {"format": FORMAT_VERSION, "source": source.fingerprint(), "settings": dataclasses.asdict(config)}
    if output.exists():
        return _check_same(output, wanted)

    work = output.parent / f".{output.name}.partial"
    if (work / "wanted.json").exists() and read_json(str(work / "wanted.json")) != json.loads(json.dumps(wanted)):
        print(f"{work}: from other settings, starting anew")
        shutil.rmtree(work)
    examples, features, final = (work / name for name in ("examples", "features", "final"))
    for folder in (examples, features, final):
        folder.mkdir(parents=True, exist_ok=True)
    write_json(str(work / "wanted.json"), wanted)

    example_gen.run(source, config, str(examples), options)
    chunks = finished_chunks(str(examples))
    statistics_gen.run(list(chunks), str(work / "counts.json"), options)
    counts = read_json(str(work / "counts.json"))
    if "train" not in counts:
        raise UserError(f"{config.source}: no training split, so no vocabulary")
    vocabulary = Vocabulary.from_counts(counts["train"]["words"], config.min_count, config.max_size)
    encoder = _encoder(config, work / "encoder.keras")
    transform.add_features(chunks, str(work / "encoder.keras"), config.encoder, str(features), options)
    featured = finished_chunks(str(features))
    shards = transform.write_shards(featured, str(final), config.shard_megabytes << 20, options)

    images = sum(sidecar["images"] for sidecar in featured.values())
    error = sum(s["squared_error"] for s in featured.values()) / sum(s["squared_norm"] for s in featured.values())
    contents = {
        **wanted,
        "dataset": config.dataset,
        "encoder": {
            "name": config.encoder.name,
            "layer": config.encoder.layer,
            "weights": weights_fingerprint(encoder),
            "image_size": config.encoder.pixels,
            "resize": config.encoder.resize,
            "quantisation": config.encoder.quantisation,
            "relative_error": round(error**0.5, 6),
            "feature_shape": next(iter(featured.values()))["shape"],
        },
        "vocabulary": {"size": len(vocabulary), "fingerprint": vocabulary.fingerprint},
        "splits": shards,
        "bytes_an_image": round(sum(shard["bytes"] for each in shards.values() for shard in each) / images),
    }
    contents["fingerprint"] = hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()[:16]
    write_text(str(final / "vocabulary.txt"), vocabulary.to_text())
    write_json(str(final / "manifest.json"), contents)
    write_json(str(final / "statistics.json"), statistics_gen.summarise(counts, vocabulary))
    for split in shards:
        failures = [json.dumps(f) for path, s in chunks.items() if Path(path).name.startswith(split) for f in s["failures"]]
        if failures:
            write_text(str(final / f"failures-{split}.jsonl"), "\n".join(failures) + "\n")
    shutil.copy(work / "encoder.keras", final / "encoder.keras")
    write_text(str(final / COMPLETED), contents["fingerprint"] + "\n")
    final.rename(output)
    shutil.rmtree(work)
    _report(output, contents)


def _check_same(output, wanted):
    from pipeline.artifacts import COMPLETED, read_json

    if not (output / COMPLETED).exists():
        raise UserError(f"{output}: exists but is no finished data set; choose another --output or remove it")
    manifest = read_json(str(output / "manifest.json"))
    for key, value in json.loads(json.dumps(wanted)).items():
        if manifest.get(key) != value:
            raise UserError(f"{output}: was prepared with other settings ({key}); choose another --output or remove it")
    print(f"{output}: already prepared")


def _encoder(config, path):
    """The encoder, from an earlier, interrupted run where there is one."""
    import tensorflow as tf

    from keras_sat.encoder import build_encoder, load_encoder

    if not path.exists():
        tf.config.experimental.enable_op_determinism()
        encoder = build_encoder(config.encoder, config.seed)
        temporary = path.with_name("encoder.tmp.keras")
        encoder.save(temporary)
        temporary.rename(path)
    return load_encoder(path)


def _report(output, manifest):
    counts = ", ".join(f"{sum(shard['images'] for shard in shards)} {split}" for split, shards in manifest["splits"].items())
    encoder = manifest["encoder"]
    print(
        f"{output}: {counts} images, {manifest['vocabulary']['size']} words, features "
        f"{'x'.join(map(str, encoder['feature_shape']))} as {encoder['quantisation']} (relative error "
        f"{encoder['relative_error']:.2%}), {manifest['bytes_an_image']:,} bytes an image"
    )


@command
def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.prepare", description=__doc__.split("\n\n")[1], epilog="Any other option goes to Beam."
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="the folder to make, such as data/scenes")
    parser.add_argument("--config", metavar="YAML", help="an experiment whose `prepare` section is the start")
    flags = {
        "dataset": "the corpus' format: scenes",
        "source": "the corpus' folder; for scenes, how many, such as train=3000,val=300,test=300",
        "encoder.name": "the CNN: scenes_cnn or any of keras.applications",
        "encoder.layer": "the layer whose output is stored",
        "encoder.weights": "imagenet, none or a file",
        "encoder.image_size": "height and width of the CNN's input in pixels",
        "encoder.quantisation": "uint8 or float16",
        "seed": "of all randomness",
    }
    for key, text in flags.items():
        flag = "--" + key.removesuffix(".name").removeprefix("encoder.").replace("_", "-")
        parser.add_argument(flag, dest=key, metavar="X", help=text)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any other key of `prepare`")
    args, beam_flags = parser.parse_known_args(arguments)
    given = [f"prepare.{key}={value}" for key in flags if (value := getattr(args, key)) is not None]
    overrides = given + [f"prepare.{text}" for text in args.set]
    prepare(configuration.load(args.config, overrides).prepare, args.output, beam_flags)


if __name__ == "__main__":
    main()
