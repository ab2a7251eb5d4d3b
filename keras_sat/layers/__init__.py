"""One Keras layer a file. Shapes: B images, N hypotheses an image, T steps, L regions, D region size, V words.

Constructor arguments are plain values, so Keras writes every layer's `get_config` by itself.
"""

from keras_sat.layers.areas import Grid, Proposals, SpatialTransformer
from keras_sat.layers.attention import AdditiveAttention, UniformAttention
from keras_sat.layers.gru import GRU
from keras_sat.layers.initializers import PAPER, PAPER_GATES
from keras_sat.layers.interaction import Interaction
from keras_sat.layers.lstm import LSTM
from keras_sat.layers.output import DeepOutput, LinearOutput, read_words
from keras_sat.layers.product import product
from keras_sat.layers.recurrence import LoopConstants, before_each, scan
from keras_sat.layers.word_embedding import WordEmbedding

__all__ = [
    "GRU",
    "LSTM",
    "PAPER",
    "PAPER_GATES",
    "AdditiveAttention",
    "DeepOutput",
    "Grid",
    "Interaction",
    "LinearOutput",
    "LoopConstants",
    "Proposals",
    "SpatialTransformer",
    "UniformAttention",
    "WordEmbedding",
    "before_each",
    "product",
    "read_words",
    "scan",
]
