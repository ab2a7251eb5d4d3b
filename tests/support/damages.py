"""Ways in which a file of a checkpoint may be damaged, and small states to damage."""

import keras
import tensorflow as tf

from keras_sat import config
from keras_sat.models import build_captioner
from keras_sat.runs.checkpoints import Checkpoints, Progress

PARTS = ("index", "data", "note")


def halve(path, place):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path, place):
    """Flips the bits of one byte, the one at `place`, a fraction of the file."""
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 0xFF
    path.write_bytes(content)


def cut(path, place):
    content = path.read_bytes()
    path.write_bytes(content[: int(place * len(content))])


def zeros(path, place):
    """Zeros from `place` on, as a file system may leave them after a power failure."""
    content = path.read_bytes()
    start = int(place * len(content))
    path.write_bytes(content[:start] + bytes(len(content) - start))


def empty(path, place):
    path.write_bytes(b"")


def remove(path, place):
    path.unlink()


DAMAGES = {each.__name__: each for each in (halve, flip, cut, zeros, empty, remove)}


def part_of(folder, number, part):
    """The file of a part of a checkpoint."""
    if part == "note":
        return folder / "checkpoint"
    (path,) = folder.glob(f"ckpt-{number}.{part}*")
    return path


class SmallTraining:
    """A model of a few weights, its progress and its checkpoints.

    Args:
        run: the run's folder.
    """

    def __init__(self, run):
        self.run = run
        sizes = config.Soft(embedding_size=3, state_size=4, attention_size=2)
        self.model = build_captioner(sizes, 7, {"features": (2, 2, 3)}, seed=1)
        self.optimizer = keras.optimizers.Adam(0.01)
        self.optimizer.build(self.model.trainable_variables)
        self.model.compile(self.optimizer, seed=1)
        self.progress = Progress()
        self.checkpoints = Checkpoints(run / "checkpoints", self.model, self.progress)

    def train(self, updates, best=False):
        """Changes all weights, and saves them as the last ones."""
        for weight in self.model.weights:
            weight.assign_add(tf.ones_like(weight))
        self.optimizer.iterations.assign_add(updates)
        self.progress.batch += updates
        if best:
            self.progress.best_epoch = 1
            self.checkpoints.save_best()
        self.checkpoints.save_last()

    def values(self):
        """All that was saved, to compare."""
        return [*self.model.get_weights(), int(self.optimizer.iterations), self.progress.batch]

    def restore(self):
        return self.checkpoints.restore(self.run / "checkpoints")
