import keras

from keras_sat.layers.noise import SILENCE


@keras.saving.register_keras_serializable(package="keras_sat")
class Residual(keras.layers.Layer):
    """A residual connection with layer normalisation and dropout, around a function of the inputs.

    `x + drop(f(norm(x)))` with the norm before the function ("pre"), `norm(x + drop(f(x)))` with
    the norm after it ("post").

    Args:
        norm: `pre` (Xiong et al. 2020) or `post` (Vaswani et al. 2017).
        dropout: of the function's result.

    Example:

        >>> import tensorflow as tf
        >>> residual = Residual("pre")
        >>> x = tf.random.normal([2, 3, 8])
        >>> residual(x, tf.tanh).shape
        TensorShape([2, 3, 8])
    """

    def __init__(self, norm="pre", dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.norm = norm
        self.dropout = dropout
        self._normalize = keras.layers.LayerNormalization(
            epsilon=1e-6, name="norm", dtype=self._dtype_policy
        )

    def get_config(self):
        return super().get_config() | {"norm": self.norm, "dropout": self.dropout}

    def call(self, inputs, function, noise=SILENCE, name="residual"):
        """Applies the function.

        Args:
            inputs: [..., E].
            function: [..., E] → [..., E].
            noise: of a training step, see `keras_sat.layers.noise`.
            name: of the dropout's draws.
        """
        if self.norm == "pre":
            change = function(self._normalize(inputs))
            return inputs + noise.dropout(name, change, self.dropout)
        change = function(inputs)
        return self._normalize(inputs + noise.dropout(name, change, self.dropout))
