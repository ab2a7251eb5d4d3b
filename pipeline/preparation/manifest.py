"""manifest.json: what a prepared data set was made from and what it holds."""

from keras_sat.data.prepared import manifest_fingerprint
from keras_sat.encoder.cnn import weights_fingerprint
from keras_sat.utils.errors import UserError

MOST_ERROR = 0.01  # relative, of stored features


def describe(config, wanted, encoder, vocabulary, sidecars, shards):
    """The manifest, a dictionary.

    Args:
        config: a `keras_sat.config.Prepare`.
        wanted: the manifest's part that is known before the job: source, settings and files.
        encoder: the encoder, a keras.Model.
        vocabulary: the `Vocabulary`.
        sidecars: the sidecars of the chunks with features.
        shards: {split: [{"name", "images", "bytes", "sha256"}]}.

    Raises:
        UserError: quantisation changes the features too much.
    """
    maps = sidecars[0]["maps"]
    errors = {}
    for name in maps:
        parts = [sidecar["maps"][name] for sidecar in sidecars]
        errors[name] = _relative_error(parts, config.encoder.quantisation)
    images = sum(sidecar["images"] for sidecar in sidecars)
    size = 0
    for each in shards.values():
        size += sum(shard["bytes"] for shard in each)
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
            "feature_shape": maps["features"]["shape"],
        },
        "proposals": _proposals(config.proposals, maps),
        "vocabulary": {"size": len(vocabulary), "fingerprint": vocabulary.fingerprint},
        "splits": shards,
        "bytes_an_image": round(size / images),
    }
    manifest["fingerprint"] = manifest_fingerprint(manifest)
    return manifest


def _relative_error(parts, quantisation):
    """The relative error of storing feature maps, described by their part of chunks' sidecars."""
    norm = sum(part["squared_norm"] for part in parts)
    error = (sum(part["squared_error"] for part in parts) / max(norm, 1e-30)) ** 0.5
    if not error < MOST_ERROR:
        raise UserError(
            f"storing features as {quantisation} changes them by {error:.2%}, "
            f"more than {MOST_ERROR:.0%}; choose the other --quantisation"
        )
    return round(error, 6)


def _proposals(config, maps):
    """The section on boxes, or None; `feature_shape` is that of the larger picture's map."""
    if config.method == "none":
        return None
    shape = maps["region_features"]["shape"] if "region_features" in maps else None
    return {
        "method": config.method,
        "most": config.most,
        "image_size": config.image_size,
        "feature_shape": shape,
    }


def in_one_line(manifest):
    """What the data set holds, for the user."""
    counts = []
    for split, shards in manifest["splits"].items():
        counts.append(f"{sum(shard['images'] for shard in shards)} {split}")
    encoder = manifest["encoder"]
    shape = "x".join(str(size) for size in encoder["feature_shape"])
    return (
        f"{', '.join(counts)} images, {manifest['vocabulary']['size']} words, "
        f"features {shape} as {encoder['quantisation']} "
        f"(relative error {encoder['relative_error']:.2%}), "
        f"{manifest['bytes_an_image']:,} bytes per image"
    )
