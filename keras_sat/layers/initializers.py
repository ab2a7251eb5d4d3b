import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_sat")
class PaperInitializer(keras.initializers.Initializer):
    """As in Xu et al.'s code: Gaussian with σ = 0.01, orthogonal where the matrix is square.

    Layers take initialisers by name (`PAPER`), so that each weight gets one of its own and
    configurations stay plain.
    """

    blocks = 1

    def __call__(self, shape, dtype=None, **kwargs):
        block = [*shape[:-1], shape[-1] // self.blocks]
        square = len(block) == 2 and block[0] == block[1]
        matrices = []
        for _ in range(self.blocks):
            if square:
                initializer = keras.initializers.Orthogonal()
            else:
                initializer = keras.initializers.RandomNormal(stddev=0.01)
            matrices.append(initializer(block, dtype=dtype, **kwargs))
        return tf.concat(matrices, axis=-1)


@keras.saving.register_keras_serializable(package="keras_sat")
class PaperGatesInitializer(PaperInitializer):
    """The same for an LSTM's kernel, which is the matrices of four gates side by side."""

    blocks = 4


PAPER = "keras_sat>PaperInitializer"
PAPER_GATES = "keras_sat>PaperGatesInitializer"
