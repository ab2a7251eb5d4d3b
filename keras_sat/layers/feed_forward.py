import keras

from keras_sat.layers.noise import SILENCE


@keras.saving.register_keras_serializable(package="keras_sat")
class FeedForward(keras.layers.Layer):
    """W_2 drop(relu(W_1 x + b_1)) + b_2, at every place alike.

    Args:
        size: E, the width of the result.
        hidden_size: the width of the hidden layer.
        dropout: of the hidden layer.

    Example:

        >>> import tensorflow as tf
        >>> FeedForward(8, 32)(tf.random.normal([2, 3, 8])).shape
        TensorShape([2, 3, 8])

    Reference: Vaswani et al. 2017, equation 2.
    """

    def __init__(self, size, hidden_size, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.size = size
        self.hidden_size = hidden_size
        self.dropout = dropout
        self._expand = keras.layers.Dense(
            hidden_size, "relu", name="expand", dtype=self._dtype_policy
        )
        self._contract = keras.layers.Dense(size, name="contract", dtype=self._dtype_policy)

    def get_config(self):
        return super().get_config() | {
            "size": self.size,
            "hidden_size": self.hidden_size,
            "dropout": self.dropout,
        }

    def call(self, inputs, noise=SILENCE, name="feed forward"):
        hidden = noise.dropout(name, self._expand(inputs), self.dropout)
        return self._contract(hidden)
