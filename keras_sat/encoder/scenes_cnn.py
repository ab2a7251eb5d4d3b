"""A small CNN pretrained on scenes.

It is to the built-in data set what a CNN with ImageNet weights is to photographs.
"""

import io
import itertools

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from keras_sat.data import scenes
from keras_sat.utils.progress import progress_bar

GRID = 8  # cells along each side of the feature map
# What the pretraining classifies of the object over a cell; class 0 is "no object".
CLASSES = {
    "shape": list(scenes.SHAPES),
    "colour": list(scenes.COLOURS),
    "texture": list(scenes.TEXTURES),
    "size": list(scenes.SIZES),
}
_STAGES = (  # name, filters, kernel, strides; 49 million multiply-adds per picture
    ("stage_1", 48, 7, 4),
    ("stage_2", 96, 3, 2),
    ("stage_3", 128, 3, 2),
    ("stage_4", 128, 3, 1),
    ("features", 128, 3, 1),
)
_BATCH = 16  # a larger one takes fewer steps in the same time, and the network learns less
_EMPTY_WEIGHT = 0.2  # of an empty cell in the loss: most cells are empty, and easy to classify


@keras.saving.register_keras_serializable(package="keras_sat")
class AddCoordinates(keras.layers.Layer):
    """Appends each position's y and x, from -1 to 1, to its channels.

    The input [B, H, W, C] becomes [B, H, W, C + 2].

    Reference:
        Liu et al., "An intriguing failing of convolutional neural networks and the CoordConv
        solution", NeurIPS 2018.
    """

    def call(self, inputs):
        batch, height, width, _ = tf.unstack(tf.shape(inputs))
        rows = tf.linspace(-1.0, 1.0, height)
        columns = tf.linspace(-1.0, 1.0, width)
        y, x = tf.meshgrid(rows, columns, indexing="ij")
        grid = tf.broadcast_to(tf.stack([y, x], axis=-1), [batch, height, width, 2])
        return tf.concat([inputs, tf.cast(grid, inputs.dtype)], axis=-1)  # [B, H, W, C + 2]

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + 2)


def build_scenes_cnn(seed=0):
    """The untrained network.

    Args:
        seed: int, decides the initial weights.
    Returns:
        A keras.Model from pixels [B, 128, 128, 3] (0–255) to annotations [B, 8, 8, 128].
    """
    seeds = itertools.count(seed)
    pixels = keras.Input((scenes.SIZE, scenes.SIZE, 3), name="pixels")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    x = AddCoordinates()(x)
    for name, filters, kernel, strides in _STAGES:
        initializer = keras.initializers.HeNormal(next(seeds))
        x = keras.layers.Conv2D(
            filters, kernel, strides, padding="same", use_bias=False, kernel_initializer=initializer
        )(x)
        # Training is too short for the default momentum.
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = keras.layers.ReLU(name=name)(x)
    return keras.Model(pixels, x, name="scenes_cnn")


def train_scenes_cnn(seed, count=4000, epochs=4, progress=None):
    """Trains the network to tell for every cell of its map which object lies there, and its box.

    The pictures show the combinations of the train split but are not the captioner's own. If
    `tf.config.experimental.enable_op_determinism()` was called before, the weights depend only on
    the arguments.

    Training takes 60 to 70 seconds on two CPU cores. On held-out combinations the accuracies are
    shape 98.4 %, colour 99.0 %, texture 98.9 %, size 99.2 %, and boxes are 3.8 pixels off.

    Args:
        seed: int, decides the pictures, the initial weights and the order.
        count: how many pictures to draw and train on.
        epochs: passes over them.
        progress: called after every epoch with a dictionary: the mean "loss"; for each head the
            accuracy on the object cells of held-out pictures; for "box" the mean error in pixels.
    Returns:
        The trained network, without the heads.
    """
    images, labels = _load("train", count, seed)
    held_out = _load("val", max(count // 16, _BATCH), seed)
    trunk = build_scenes_cnn(seed)
    model = keras.Model(trunk.input, _heads(trunk.output, seed))
    batches = -(-count // _BATCH)  # rounded up
    steps = batches * epochs
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=3e-3, warmup_steps=steps // 10
    )
    optimizer = keras.optimizers.Adam(rate)
    rng = np.random.default_rng(seed)

    @tf.function(autograph=False, reduce_retracing=True)
    def step(pixels, labels):
        with tf.GradientTape() as tape:
            loss = _loss(labels, model(pixels, training=True))
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
        return loss

    with progress_bar(total=count * epochs, desc="pretraining the CNN", unit=" images") as bar:
        for _ in range(epochs):
            losses = []
            for rows in np.array_split(rng.permutation(count), batches):
                targets = {name: values[rows] for name, values in labels.items()}
                losses.append(step(images[rows], targets))
                bar.update(len(rows))
            scores = {"loss": float(np.mean(losses)), **_evaluate(model, *held_out)}
            bar.set_postfix(scores)
            if progress:
                progress(scores)
    return trunk


def _load(split, count, seed):
    """Pixels uint8 [N, 128, 128, 3] and the labels of freshly drawn scenes."""
    images = []
    labels = {name: [] for name in (*CLASSES, "box")}
    for number in progress_bar(range(count), desc=f"drawing {split} pictures", unit=" images"):
        scene = scenes.draw(f"{split}-cnn-{number:06d}", seed)
        images.append(np.asarray(Image.open(io.BytesIO(scene.image))))
        for name, values in _dense_labels(scene.objects).items():
            labels[name].append(values)
    return np.stack(images), {name: np.stack(values) for name, values in labels.items()}


def _dense_labels(objects):
    """For each head the class of the object whose box covers a cell's centre.

    Returns:
        {head: int32 [8, 8]} and "box", float32 [8, 8, 4].
    """
    labels = {name: np.zeros([GRID, GRID], np.int32) for name in CLASSES}
    labels["box"] = np.zeros([GRID, GRID, 4], np.float32)
    centres = (np.arange(GRID) + 0.5) / GRID
    for each in objects:
        ymin, xmin, ymax, xmax = each.box
        rows = (ymin <= centres) & (centres < ymax)
        columns = (xmin <= centres) & (centres < xmax)
        covered = np.ix_(rows, columns)
        for name, classes in CLASSES.items():
            labels[name][covered] = 1 + classes.index(getattr(each, name))
        labels["box"][covered] = each.box
    return labels


def _heads(features, seed):
    """A 1×1 convolution per head: logits [B, 8, 8, 1 + classes], and "box" [B, 8, 8, 4]."""
    channels = {name: 1 + len(classes) for name, classes in CLASSES.items()} | {"box": 4}
    heads = {}
    for number, (name, size) in enumerate(channels.items()):
        initializer = keras.initializers.GlorotUniform(seed + number)
        heads[name] = keras.layers.Conv2D(size, 1, kernel_initializer=initializer)(features)
    return heads


def _loss(labels, outputs):
    """The loss of the heads.

    It is the cells' weighted mean cross-entropy, summed over the heads, plus four times the boxes'
    mean absolute error over object cells.
    """
    occupied = tf.cast(labels["shape"] > 0, tf.float32)  # [B, 8, 8]
    weights = occupied + _EMPTY_WEIGHT * (1 - occupied)
    entropies = []
    for name in CLASSES:
        entropies.append(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels[name], outputs[name])
        )
    entropy = tf.add_n(entropies)  # [B, 8, 8]
    error = tf.reduce_mean(tf.abs(labels["box"] - outputs["box"]), axis=-1)
    mean_entropy = tf.reduce_sum(weights * entropy) / tf.reduce_sum(weights)
    return mean_entropy + 4 * tf.reduce_sum(occupied * error) / tf.reduce_sum(occupied)


def _evaluate(model, images, labels):
    """For each head the accuracy over object cells; for "box" the mean error in pixels."""
    outputs = model.predict(images, batch_size=_BATCH, verbose=0)
    occupied = labels["shape"] > 0
    scores = {}
    for name in CLASSES:
        predicted = outputs[name].argmax(-1)
        scores[name] = float(np.mean(predicted[occupied] == labels[name][occupied]))
    error = np.abs(outputs["box"] - labels["box"])[occupied]
    scores["box"] = float(np.mean(error)) * scenes.SIZE
    return scores
