import keras

from keras_sat.layers.box_geometry import BoxGeometry
from keras_sat.layers.feed_forward import FeedForward
from keras_sat.layers.multi_head_attention import MultiHeadAttention
from keras_sat.layers.noise import SILENCE
from keras_sat.layers.residual import Residual


@keras.saving.register_keras_serializable(package="keras_sat")
class EncoderBlock(keras.layers.Layer):
    """A Transformer's encoder layer: self-attention over regions, then a feed-forward network.

    Args:
        size: E, the width of inputs and outputs.
        heads: the number of heads.
        hidden_size: the width of the feed-forward network's hidden layer.
        norm: see `Residual`.
        geometry: whether attention reads the boxes, see `BoxGeometry`.
        memory_vectors: see `MultiHeadAttention`.
        dropout: after each part, and of attention weights and hidden layer.

    Example:

        >>> import tensorflow as tf
        >>> block = EncoderBlock(16, heads=2, hidden_size=32)
        >>> block(tf.random.normal([2, 5, 16]), tf.random.uniform([2, 5, 4])).shape
        TensorShape([2, 5, 16])

    Reference: Vaswani et al. 2017, section 3.1.
    """

    def __init__(
        self,
        size,
        heads,
        hidden_size,
        norm="pre",
        geometry=False,
        memory_vectors=0,
        dropout=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.size = size
        self.heads = heads
        self.hidden_size = hidden_size
        self.norm = norm
        self.geometry = geometry
        self.memory_vectors = memory_vectors
        self.dropout = dropout
        policy = self._dtype_policy
        self._attend = MultiHeadAttention(size, heads, memory_vectors, dropout, dtype=policy)
        self._around_attention = Residual(norm, dropout, name="around_attention", dtype=policy)
        self._transform = FeedForward(size, hidden_size, dropout, dtype=policy)
        self._around_transform = Residual(norm, dropout, name="around_transform", dtype=policy)
        self._relate = BoxGeometry(heads) if geometry else None

    def get_config(self):
        return super().get_config() | {
            "size": self.size,
            "heads": self.heads,
            "hidden_size": self.hidden_size,
            "norm": self.norm,
            "geometry": self.geometry,
            "memory_vectors": self.memory_vectors,
            "dropout": self.dropout,
        }

    def call(self, regions, boxes, present=None, noise=SILENCE, name="encoder"):
        """Encodes regions.

        Args:
            regions: [B, L, E].
            boxes: float32 [B, L, 4], y, x, y, x in 0–1.
            present: bool [B, L], the regions that exist; None: all.
            noise: of a training step.
            name: how the names of the dropouts' draws begin.

        Returns:
            [B, L, E].
        """
        visible = None if present is None else present[:, None, None]
        bias = self._relate(boxes) if self._relate else None

        def attend(inputs):
            keys, values = self._attend.keys_and_values(inputs)
            context, _ = self._attend(
                inputs, keys, values, visible, bias, noise=noise, name=f"{name} attention"
            )
            return context

        def transform(inputs):
            return self._transform(inputs, noise=noise, name=f"{name} hidden")

        regions = self._around_attention(regions, attend, noise, f"{name} attended")
        return self._around_transform(regions, transform, noise, f"{name} transformed")
