"""Batches from a prepared data set, with tf.data. An image is read once for all its captions.

All randomness is a function of (seed, epoch), so that any batch of any epoch can be reproduced.

Inputs by name:
    features: float32 [B, h, w, D], the stored feature maps.
    region_features: float32 [B, h', w', D], the stored feature maps of larger pictures.
    boxes: float32 [B, most, 4], object proposals, strongest first, padded with zeros.
    pixels: uint8 [B, S, S, 3].
"""

# TensorFlow's stubs lack a few names, dictionaries of tensors, and None in a slice.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

import tensorflow as tf

from keras_sat.data import examples
from keras_sat.data.quantisation import dequantise
from keras_sat.data.sharding import WHOLE
from keras_sat.pictures.box_tensors import flipped_boxes
from keras_sat.pictures.decode import decode_image
from keras_sat.text.ids import PAD, caption_lengths, longest_first
from keras_sat.text.tokeniser import mirrored

# AutoGraph reads the source of what it converts again in each epoch, and would trip over files that
# are edited during training.
_no_autograph = tf.autograph.experimental.do_not_convert


@_no_autograph
def training_batches(
    data,
    config,
    vocabulary,
    seed,
    epoch,
    split="train",
    shares=1,
    inputs=("features",),
    part=WHOLE,
    named=False,
):
    """One epoch of batches for `Captioner.train_step`.

    With `config.batching == "captions"` each row is one caption (N = 1), bucketed by length. With
    `"images"` each row is an image with all its captions, longest first, bucketed by the longest; a
    batch then has batch_size ÷ captions-per-image rows.

    Args:
        data: a `PreparedData`.
        config: the `data` section of an experiment.
        vocabulary: a `Vocabulary`.
        seed: int, decides the order together with `epoch`.
        epoch: int.
        split: the split's name.
        shares: how many equal shares a batch is cut into: devices, times the parts in which each
            works through its own. The last batches of a length may not divide by it. They are
            filled up with rows of padding, which count in nothing, because TensorFlow's gradients
            fail on a share without rows.
        inputs: names of the inputs that the model and its teachers take.
        part: a `Part`; the batches hold its rows.
        named: whether the batches also hold "source_id", string [B].
    Returns:
        A tf.data.Dataset of {each input, "captions": int32 [B, N, T], "row": int32 [B]}.
    Raises:
        UserError: the data set lacks an input, or its files or the batch cannot be shared by so
            many workers.
    """
    seeds = order_seeds(seed, epoch).numpy().tolist()
    batches = ordered_batches(data, config, vocabulary, seed, seeds, split, inputs, part, named)
    first_row = part.index * part.rows(_rows_per_batch(data, config, split))
    return batches.map(lambda batch: filled_up(batch, shares, first_row)).prefetch(2)


def order_seeds(seed, epoch):
    """The seeds of an epoch's order, int32 [5]: of shards, images, captions, batches and views."""
    return tf.random.stateless_uniform([5], [seed, epoch], maxval=1 << 30, dtype=tf.int32)


def ordered_batches(data, config, vocabulary, seed, seeds, split, inputs, part=WHOLE, named=False):
    """The batches of `training_batches` without "row", not filled up and not prefetched.

    Args:
        data: see `training_batches`.
        config: see `training_batches`.
        vocabulary: see `training_batches`.
        seed: see `training_batches`.
        seeds: the five of `order_seeds`, ints or int64 tensors.
        split: see `training_batches`.
        inputs: see `training_batches`.
        part: see `training_batches`.
        named: see `training_batches`.
    """
    shard_seed, image_seed, caption_seed, batch_seed, view_seed = seeds
    shapes = _input_shapes(data, inputs)
    rows_per_part = part.rows(_rows_per_batch(data, config, split))
    files = part.files(data, split)
    shards = tf.random.experimental.stateless_shuffle(files, [seed, shard_seed])
    if config.mirror and split == "train":
        views = _StoredViews(data, config, shapes, view_seed)
    else:
        views = None
    images = _images(data, shards, config, vocabulary, shapes, views)
    images = images.shuffle(config.shuffle_images, image_seed)
    if config.batching == "captions":
        rows = images.flat_map(_caption_rows).shuffle(config.shuffle_captions, caption_seed)
    else:
        rows = images.map(lambda image: image | {"captions": longest_first(image["captions"])})
    if not named:
        rows = rows.map(lambda row: _without("source_id", row))
    # At the end of an epoch the buckets are emptied one after the other. Unshuffled, the last
    # updates would come from longer and longer captions, after which the model forgets to end its
    # own.
    batches = _bucketed(rows, config, rows_per_part).shuffle(config.shuffle_batches, batch_seed)
    return _ready(batches, data)


def count_batches(data, config, split="train", part=WHOLE):
    """How many batches `training_batches` gives per epoch, computed from the statistics alone.

    For workers that have files of their own it is an estimate for the worker with the most images.

    Args:
        data: a `PreparedData`.
        config: the `data` section of an experiment.
        split: the split's name.
        part: a `Part`.
    """
    kind = "lengths" if config.batching == "captions" else "longest"
    buckets = {}
    for length, count in data.statistics[split][kind].items():
        bucket = _bucket(min(int(length), config.max_length), config.bucket_width)
        buckets[bucket] = buckets.get(bucket, 0) + count
    rows = _rows_per_batch(data, config, split)
    batches = sum(-(-count // rows) for count in buckets.values())  # each rounded up
    return round(batches * part.longest(data, split))


@_no_autograph
def evaluation_batches(data, split, batch_size, limit=0, inputs=("features",)):
    """The images of a split, in stored order.

    Args:
        data: a `PreparedData`.
        split: the split's name.
        batch_size: images per batch.
        limit: how many images to read; 0 for all.
        inputs: names of the inputs that the model takes.
    Returns:
        A tf.data.Dataset of {"source_id": string [B], each input}.
    Raises:
        UserError: the data set lacks an input.
    """
    shapes = _input_shapes(data, inputs)
    records = tf.data.TFRecordDataset(data.shards(split)).take(limit or -1)
    parsed = records.map(lambda record: examples.parse(record, shapes, data.quantisation))
    images = parsed.map(lambda image: _without("captions", image))
    return _ready(images.batch(batch_size), data).prefetch(2)


def _input_shapes(data, inputs):
    data.check_inputs(inputs)
    return {name: data.input_shapes[name] for name in inputs}


def _without(key, dictionary):
    return {name: value for name, value in dictionary.items() if name != key}


class _StoredViews:
    """Chooses the stored view of an image that an epoch of training sees.

    View 0 is the image flipped horizontally, view 1 the image as it is, and with `config.crops`
    views 2, 3, … are the stored crops. Views of even number are flipped. The choice is a function
    of the seed and of the image's position among the records.

    Args:
        data: a `PreparedData`.
        config: the `data` section of an experiment.
        shapes: {name: shape} of the model's inputs.
        seed: int.
    """

    def __init__(self, data, config, shapes, seed):
        # Of what is read for other views.
        self.shapes = _input_shapes(data, config.stored_views(shapes))
        crops = self.shapes.get("cropped_features", [0])[0]
        self._count = 2 + crops
        self._seed = seed

    def choose(self, position, image):
        """One view of an image.

        Args:
            position: int64 scalar, the image's position among the records.
            image: what `examples.parse` gave for the inputs and `shapes`.
        Returns:
            The image with captions and inputs of one view. Its pixels are not flipped yet;
            "flipped" tells whether they are to be.
        """
        uniform = tf.random.stateless_uniform([], [self._seed, position])
        view = tf.cast(uniform * self._count, tf.int32)
        is_flipped = view % 2 == 0
        image["captions"] = tf.where(is_flipped, mirrored(image["captions"]), image["captions"])
        if "features" in image:
            flipped = image.pop("mirrored_features")
            views = tf.nest.map_structure(lambda *each: tf.stack(each), flipped, image["features"])
            if "cropped_features" in image:
                crops = image.pop("cropped_features")
                views = tf.nest.map_structure(lambda *each: tf.concat(each, axis=0), views, crops)
            image["features"] = {name: each[view] for name, each in views.items()}
        if "boxes" in image:
            image["boxes"] = tf.where(is_flipped, flipped_boxes(image["boxes"]), image["boxes"])
        if "pixels" in image:
            image["flipped"] = is_flipped
        return image


def _images(data, shards, config, vocabulary, shapes, views):
    """Parsed images with their captions as ids, int32 [M, T], padded to the longest."""
    stored = shapes | views.shapes if views else shapes

    def parse(position, record):
        image = examples.parse(record, stored, data.quantisation)
        if views:
            image = views.choose(position, image)
        ids = vocabulary.encode(image.pop("captions"), config.max_length)
        return image | {"captions": ids.to_tensor(PAD)}

    # Several shards are read at once, interleaved in a fixed order.
    files = tf.data.Dataset.from_tensor_slices(shards)
    records = files.interleave(
        tf.data.TFRecordDataset, cycle_length=4, num_parallel_calls=4, deterministic=True
    )
    return records.enumerate().map(parse, num_parallel_calls=tf.data.AUTOTUNE)


def _caption_rows(image):
    """One row per caption of an image, N = 1.

    The rows share the image's features, since repeating an element copies nothing.
    """
    captions = image.pop("captions")
    lengths = caption_lengths(captions)
    rows = tf.data.Dataset.from_tensor_slices({"caption": captions, "length": lengths})
    shared = tf.data.Dataset.from_tensors(image).repeat()

    def row_of(image, row):
        return image | {"captions": row["caption"][None, : row["length"]]}  # [1, T]

    return tf.data.Dataset.zip((shared, rows)).map(row_of)


def _rows_per_batch(data, config, split):
    if config.batching == "captions":
        return config.batch_size
    statistics = data.statistics[split]
    captions_per_image = round(statistics["captions"] / statistics["images"])
    return max(1, config.batch_size // captions_per_image)


def _bucket(length, width):
    return (length - 1) // width


def _bucketed(rows, config, rows_per_batch):
    """Batches of rows whose captions have about the same length, padded to the longest."""
    boundaries = list(range(1 + config.bucket_width, config.max_length + 1, config.bucket_width))
    padded_shapes = tf.nest.map_structure(lambda spec: spec.shape, rows.element_spec)
    padded_shapes["captions"] = [None, None]
    return rows.bucket_by_sequence_length(
        lambda row: tf.shape(row["captions"])[-1],
        boundaries,
        [rows_per_batch] * (len(boundaries) + 1),
        padded_shapes=padded_shapes,
        padding_values=None,
    )


def filled_up(batch, multiple, first_row=0):
    """The batch with its rows numbered, and filled up to a multiple with empty captions.

    The images of the empty captions are those of the first rows, so that a CNN's batch statistics
    see no images that do not exist.
    """
    rows = tf.shape(batch["captions"])[0]
    places = tf.range(rows + -rows % multiple)
    if multiple > 1:
        batch = {name: tf.gather(tensor, places % rows) for name, tensor in batch.items()}
        batch["captions"] = tf.where(places[:, None, None] < rows, batch["captions"], PAD)
    return batch | {"row": first_row + places}


def _ready(batches, data):
    """Batches with the inputs decoded from their stored form.

    This comes after batching, so that shuffle buffers hold the smaller stored form.
    """
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
        if "flipped" in batch:
            is_flipped = batch.pop("flipped")[:, None, None, None]
            batch["pixels"] = tf.where(is_flipped, batch["pixels"][:, :, ::-1], batch["pixels"])
        return batch

    return batches.map(ready, num_parallel_calls=tf.data.AUTOTUNE)


def _dequantised(values, minimum=None, scale=None):
    """The float32 feature maps [B, h, w, D] of their stored form."""
    shape = tf.shape(values)
    regions = tf.reshape(values, [shape[0], shape[1] * shape[2], shape[3]])  # [B, h·w, D]
    maps = tf.reshape(dequantise(regions, minimum, scale), shape)
    return tf.ensure_shape(maps, values.shape)
