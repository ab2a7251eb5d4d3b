import keras
import tensorflow as tf

from keras_sat.layers.linear_output import LinearOutput
from keras_sat.layers.noise import SILENCE


@keras.saving.register_keras_serializable(package="keras_sat")
class DeepOutput(LinearOutput):
    """log p(y_t) = log softmax(L_o drop(tanh(E y_{t−1} + L_h drop(h_t) + L_z ẑ_t))).

    Args:
        vocabulary_size: V.
        output_dropout: dropout after the tanh.
        **kwargs: as for `LinearOutput`.

    Example: the context may have any size, the words' size is that of the sum.

        >>> read_out = DeepOutput(1000, output_dropout=0.5, state_dropout=0.5)
        >>> words = tf.random.normal([2, 3, 64])
        >>> hidden = tf.random.normal([2, 3, 32])
        >>> read_out(words, hidden, tf.random.normal([2, 3, 128])).shape
        TensorShape([2, 3, 1000])

    Dropout needs a noise, which names the step and the rows of the batch:

        >>> from keras_sat.layers.noise import Noise
        >>> noise = Noise(seed=1, step=0, rows=tf.range(2))
        >>> read_out(words, hidden, tf.random.normal([2, 3, 128]), noise=noise).shape
        TensorShape([2, 3, 1000])

    Reference: Xu et al. 2015, equation 7; the tanh and both dropouts as in the authors' code.
    """

    def __init__(self, vocabulary_size, output_dropout=0.0, **kwargs):
        super().__init__(vocabulary_size, **kwargs)
        self.output_dropout = output_dropout

    def get_config(self):
        return super().get_config() | {"output_dropout": self.output_dropout}

    def build(self, input_shape):
        width = input_shape[-1]  # that of the word vectors, to which these are added
        self._from_hidden = self._dense(width, "from_hidden")
        self._from_context = self._dense(width, "from_context", use_bias=False)
        self.built = True

    def call(self, words, hidden, context, noise=SILENCE):
        hidden = noise.dropout("state", hidden, self.state_dropout)
        features = words + self._from_hidden(hidden) + self._from_context(context)  # [..., E]
        features = tf.tanh(features)
        return self._log_probs(noise.dropout("output", features, self.output_dropout))
