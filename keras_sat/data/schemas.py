"""What the JSON files of data sets and runs must look like, as JSON Schemas.

Keys that are not named here are allowed: a later version may add some. Free of TensorFlow.
"""

_POSITIVE = {"type": "integer", "minimum": 1}
_NATURAL = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string"}
FINGERPRINT = {"type": "string", "pattern": "^[0-9a-f]{16}$"}
FEATURE_SHAPE = {"type": "array", "items": _POSITIVE, "minItems": 3, "maxItems": 3}


def record(required, optional=None):
    """The schema of an object.

    Args:
        required: {key: schema} of the keys that must be there.
        optional: {key: schema} of the keys that may be there.
    """
    properties = {**required, **(optional or {})}
    return {"type": "object", "required": [*required], "properties": properties}


def or_null(schema):
    """The schema of a value or null."""
    return {"anyOf": [schema, {"type": "null"}]}


ENCODER = record(
    {
        "name": _TEXT,
        "weights": FINGERPRINT,
        "image_size": _POSITIVE,
        "resize": {"enum": ["squash", "crop"]},
        "quantisation": {"enum": ["uint8", "float16"]},
        "feature_shape": FEATURE_SHAPE,
    },
    {"layer": or_null(_TEXT), "relative_error": {"type": "number", "minimum": 0, "maximum": 1}},
)
PROPOSALS = record(
    {"most": _POSITIVE, "image_size": or_null(_POSITIVE), "feature_shape": or_null(FEATURE_SHAPE)},
    {"method": {"enum": ["edgeboxes", "selective_search", "file"]}},
)
_SHARD = record(
    {
        # A plain name, so that nothing outside the folder is read.
        "name": {"type": "string", "pattern": r"^[^/\\]+$", "not": {"enum": [".", ".."]}},
        "images": _POSITIVE,
        "bytes": _POSITIVE,
        "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    }
)
MANIFEST = record(
    {
        "format": _POSITIVE,
        "source": {},
        "settings": {
            "type": "object",
            "properties": {
                "mirror": {"type": "boolean"},
                "crops": _NATURAL,
                "keep_pictures": {"type": "boolean"},
            },
        },
        "encoder": ENCODER,
        "vocabulary": record(
            {"size": {"type": "integer", "minimum": 4}, "fingerprint": FINGERPRINT}
        ),
        "splits": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"type": "array", "items": _SHARD, "minItems": 1},
        },
        "fingerprint": FINGERPRINT,
    },
    {"dataset": _TEXT, "proposals": or_null(PROPOSALS), "bytes_an_image": _POSITIVE},
)
_COUNTS = {
    "type": "object",
    "propertyNames": {"pattern": "^[0-9]{1,9}$"},
    "additionalProperties": _NATURAL,
}
_SPLIT = record(
    {"images": _POSITIVE, "captions": _POSITIVE, "lengths": _COUNTS, "longest": _COUNTS}
)


def statistics(splits):
    """The schema of statistics.json.

    Args:
        splits: the names of the manifest's splits.
    """
    return record({split: _SPLIT for split in splits})


FACTS = record(
    {
        "inputs": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "type": "array",
                "items": _POSITIVE,
                "minItems": 2,
                "maxItems": 4,
            },
        },
        "vocabulary": FINGERPRINT,
        "vocabulary_size": {"type": "integer", "minimum": 4},
        "proposals": or_null(PROPOSALS),
        "encoder": ENCODER,
        "data": _TEXT,
    },
    {"trusted_encoder": {"type": "boolean"}},
)

# A line of metrics.jsonl.
EPOCH = record({"epoch": _POSITIVE}, {"seconds": {"type": "number", "minimum": 0}})
