"""Batches from a prepared data set, with tf.data. An image is read once for all its captions.

Everything random is a function of (seed, epoch), so any batch of any epoch can be found again.

Inputs, by name: `features`, float32 [B, h, w, D], the stored feature maps; `region_features`, those of larger pictures;
`boxes`, float32 [B, most, 4], object proposals, strongest first, padded with zeros; `pixels`, uint8 [B, S, S, 3].
"""

import tensorflow as tf

from keras_sat.data import examples
from keras_sat.data.sharding import WHOLE
from keras_sat.encoder.cnn import dequantise
from keras_sat.pictures.decode import decode_image, mirrored_boxes
from keras_sat.text.ids import PAD, caption_lengths, longest_first
from keras_sat.text.tokeniser import mirrored

# AutoGraph reads the sources of what it converts, anew each epoch, and would trip over files edited during a training.
_no_autograph = tf.autograph.experimental.do_not_convert


@_no_autograph
def training_batches(
    data, config, vocabulary, seed, epoch, split="train", shares=1, inputs=("features",), part=WHOLE
):
    """One epoch of batches for `Captioner.train_step`.

    With `config.batching == "captions"` each row is one caption (N = 1), bucketed by length; with `"images"` each row is
    an image with all its captions, longest first, bucketed by the longest; batch_size / captions-an-image rows make a batch.

    Args:
        data: a `PreparedData`. config: the `data` section of an experiment. vocabulary: a `Vocabulary`.
        seed, epoch: ints that decide the order.
        shares: devices that share a batch, times the parts in which each works through its own. The last batches of a length
            may not divide; they are filled up with rows of padding, which count in nothing, because TensorFlow's gradients
            do not bear a share without rows.
        inputs: names of what the model takes, and its teachers.
        part: a `Part`, whose rows of the batches these are.
    Returns:
        A tf.data.Dataset of {each input, "captions": int32 [B, N, T], "row": int32 [B]}.
    Raises:
        UserError: the data set lacks an input, or its files or the batch cannot be shared by so many workers.
    """
    shapes = _input_shapes(data, inputs)
    rows_a_part = part.rows(_rows_a_batch(data, config, split))
    # Stateless seeds for three shuffles and for the views; the order of shards changes too.
    seeds = (
        tf.random.stateless_uniform([5], [seed, epoch], maxval=1 << 30, dtype=tf.int32)
        .numpy()
        .tolist()
    )
    shards = tf.random.experimental.stateless_shuffle(part.files(data, split), [seed, seeds[0]])
    views = _Views(data, config, shapes, seeds[4]) if config.mirror and split == "train" else None
    images = _images(data, shards, config, vocabulary, shapes, views).shuffle(
        config.shuffle_images, seeds[1]
    )
    if config.batching == "captions":
        rows = images.flat_map(_fan_out).shuffle(config.shuffle_captions, seeds[2])
    else:
        rows = images.map(lambda image: image | {"captions": longest_first(image["captions"])})
    # When an epoch ends, the buckets are emptied one after the other. Unshuffled, its last updates would come from longer
    # and longer captions, after which the model forgets to end its own.
    batches = _bucketed(rows, config, rows_a_part).shuffle(config.shuffle_batches, seeds[3])
    first = part.index * rows_a_part
    return _ready(batches, data).map(lambda batch: _filled_up(batch, shares, first)).prefetch(2)


def count_batches(data, config, split="train", part=WHOLE):
    """How many batches `training_batches` gives an epoch, from the statistics alone.

    Where workers have files of their own it is an estimate, of the worker who has the most.
    """
    kind = "lengths" if config.batching == "captions" else "longest"
    buckets = {}
    for length, count in data.statistics[split][kind].items():
        bucket = _bucket(min(int(length), config.max_length), config.bucket_width)
        buckets[bucket] = buckets.get(bucket, 0) + count
    rows = _rows_a_batch(data, config, split)
    return round(sum(-(-count // rows) for count in buckets.values()) * part.longest(data, split))


@_no_autograph
def evaluation_batches(data, split, batch_size, limit=0, inputs=("features",)):
    """The images of a split, in stored order.

    Args:
        inputs: names of what the model takes.
    Returns:
        A tf.data.Dataset of {"source_id": string [B], each input}.
    Raises:
        UserError: the data set lacks an input.
    """
    shapes = _input_shapes(data, inputs)
    records = tf.data.TFRecordDataset(data.shards(split)).take(limit or -1)
    parsed = records.map(lambda record: examples.parse(record, shapes, data.quantisation))
    return _ready(parsed.map(_keep_image).batch(batch_size), data).prefetch(2)


def read_records(data, split, limit=0):
    """The split's `Record`s, in stored order, `limit` of them (0 = all)."""
    for record in tf.data.TFRecordDataset(data.shards(split)).take(limit or -1):
        yield examples.deserialize(record.numpy())


def read_captions(data, split):
    """(source id, captions) of the split's images, in stored order; nothing else of them is parsed."""
    parse = _no_autograph(lambda record: examples.parse(record, {}, data.quantisation))
    parsed = tf.data.TFRecordDataset(data.shards(split)).map(parse, tf.data.AUTOTUNE)
    for image in parsed.prefetch(64).as_numpy_iterator():
        yield image["source_id"].decode(), image["captions"]


def _input_shapes(data, inputs):
    data.check_inputs(inputs)
    return {name: data.input_shapes[name] for name in inputs}


class _Views:
    """Shows an image in one of its views: mirrored, as it is, and with `config.crops` each of the stored cut-outs.

    Those of even number are mirrored. Which it is, is a function of the seed and of the image's place among the records.
    """

    def __init__(self, data, config, shapes, seed):
        self.stored = _input_shapes(data, config.stored_views(shapes))
        self._number = 2 + self.stored.get("cropped_features", [0])[0]
        self._seed = seed

    def __call__(self, number, image):
        """A view of the image that `examples.parse` gave, `stored` included; pixels are only marked for mirroring."""
        view = tf.cast(
            tf.random.stateless_uniform([], [self._seed, number]) * self._number, tf.int32
        )
        mirror = view % 2 == 0

        def either(other, this):
            return tf.where(mirror, other, this)

        image["captions"] = either(mirrored(image["captions"]), image["captions"])
        if "features" in image:
            whole = [image.pop("mirrored_features"), image["features"]]
            views = tf.nest.map_structure(lambda *each: tf.stack(each), *whole)
            if crops := image.pop("cropped_features", None):
                views = tf.nest.map_structure(lambda *each: tf.concat(each, axis=0), views, crops)
            image["features"] = {name: each[view] for name, each in views.items()}
        if "boxes" in image:
            image["boxes"] = either(mirrored_boxes(image["boxes"]), image["boxes"])
        return image | ({"mirrored": mirror} if "pixels" in image else {})


def _images(data, shards, config, vocabulary, shapes, views):
    """Parsed images with their captions as ids, int32 [M, T], padded to the longest."""

    def parse(number, record):
        image = examples.parse(record, shapes | (views.stored if views else {}), data.quantisation)
        if views:
            image = views(number, image)
        ids = vocabulary.encode(image.pop("captions"), config.max_length)
        return image | {"captions": ids.to_tensor(PAD)}

    # Several shards at once, in a fixed interleaving.
    files = tf.data.Dataset.from_tensor_slices(shards)
    records = files.interleave(
        tf.data.TFRecordDataset, cycle_length=4, num_parallel_calls=4, deterministic=True
    )
    return records.enumerate().map(parse, num_parallel_calls=tf.data.AUTOTUNE)


def _fan_out(image):
    """A row a caption, N = 1. The rows share the image's features: repeating an element copies nothing."""
    captions = image.pop("captions")
    lengths = caption_lengths(captions)
    rows = tf.data.Dataset.from_tensor_slices({"caption": captions, "length": lengths})
    shared = tf.data.Dataset.from_tensors(image).repeat()
    return tf.data.Dataset.zip((shared, rows)).map(
        lambda image, row: image | {"captions": row["caption"][None, : row["length"]]}
    )


def _rows_a_batch(data, config, split):
    if config.batching == "captions":
        return config.batch_size
    summary = data.statistics[split]
    return max(1, config.batch_size // round(summary["captions"] / summary["images"]))


def _bucket(length, width):
    return (length - 1) // width


def _bucketed(rows, config, rows_a_batch):
    boundaries = list(range(1 + config.bucket_width, config.max_length + 1, config.bucket_width))
    return rows.map(_keep_row).bucket_by_sequence_length(
        lambda row: tf.shape(row["captions"])[-1],
        boundaries,
        [rows_a_batch] * (len(boundaries) + 1),
        padded_shapes={
            key: [None, None] if key == "captions" else shape
            for key, shape in _shapes(rows).items()
        },
        padding_values=None,
    )


def _filled_up(batch, multiple, first):
    """The batch with empty captions at its end, so that the number of rows is a multiple; the rows' numbers, from `first`.

    Their images are the first rows' once more, lest a CNN's batch statistics see images that do not exist.
    """
    rows = tf.shape(batch["captions"])[0]
    places = tf.range(rows + -rows % multiple)
    if multiple > 1:
        batch = {key: tf.gather(tensor, places % rows) for key, tensor in batch.items()}
        batch["captions"] = tf.where(places[:, None, None] < rows, batch["captions"], PAD)
    return batch | {"row": first + places}


def _shapes(rows):
    spec = {key: spec for key, spec in rows.element_spec.items() if key != "source_id"}
    return tf.nest.map_structure(lambda each: each.shape, spec)


def _keep_row(row):
    return {key: value for key, value in row.items() if key != "source_id"}


def _keep_image(image):
    return {key: value for key, value in image.items() if key != "captions"}


def _ready(batches, data):
    """Batches with the stored form of inputs replaced by numbers; after batching, so that buffers hold the small form."""
    encoder = data.manifest["encoder"]

    def decode(encoded):
        return decode_image(encoded, encoder["image_size"], encoder["resize"])

    def ready(batch):
        batch = dict(batch)
        for name in examples.MAPS:
            if name in batch:
                batch[name] = _dequantised(**batch[name])
        if "pixels" in batch:
            batch["pixels"] = tf.map_fn(decode, batch["pixels"], fn_output_signature=tf.uint8)
        if "mirrored" in batch:
            chosen = batch.pop("mirrored")[:, None, None, None]
            batch["pixels"] = tf.where(chosen, batch["pixels"][:, :, ::-1], batch["pixels"])
        return batch

    return batches.map(ready, num_parallel_calls=tf.data.AUTOTUNE)


def _dequantised(values, minimum=None, scale=None):
    shape = tf.shape(values)  # [B, h, w, D]
    regions = tf.reshape(values, [shape[0], shape[1] * shape[2], shape[3]])
    return tf.ensure_shape(tf.reshape(dequantise(regions, minimum, scale), shape), values.shape)
