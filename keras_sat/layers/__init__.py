"""One Keras layer per file, and the loops and products that captioners are built of.

Shapes: B images, N hypotheses per image, T steps, L regions, D region size, E embedding size,
H state size, V words.

They serve other models too: make them in the constructor of a layer or model of yours, and call
them in its `call`. (In Keras' functional API their further methods, such as
`AdditiveAttention.keys`, would not be part of a saved model.) Every example in their docstrings
runs, see tests/layers/test_examples.py.
"""

from keras_sat.layers.additive_attention import AdditiveAttention
from keras_sat.layers.areas import Grid, Proposals, SpatialTransformer
from keras_sat.layers.box_geometry import BoxGeometry
from keras_sat.layers.decoder_block import DecoderBlock
from keras_sat.layers.deep_output import DeepOutput
from keras_sat.layers.encoder_block import EncoderBlock
from keras_sat.layers.feed_forward import FeedForward
from keras_sat.layers.gru import GRU
from keras_sat.layers.initializers import PAPER, PAPER_GATES
from keras_sat.layers.interaction import Interaction
from keras_sat.layers.linear_output import LinearOutput
from keras_sat.layers.loop_constants import LoopConstants
from keras_sat.layers.lstm import LSTM
from keras_sat.layers.multi_head_attention import MultiHeadAttention
from keras_sat.layers.patch_map import PatchMap
from keras_sat.layers.patch_tokens import PatchTokens
from keras_sat.layers.product import product
from keras_sat.layers.read_words import read_words
from keras_sat.layers.recurrence import before_each, scan
from keras_sat.layers.residual import Residual
from keras_sat.layers.tied_output import TiedOutput
from keras_sat.layers.uniform_attention import UniformAttention
from keras_sat.layers.vision_block import VisionBlock
from keras_sat.layers.word_embedding import WordEmbedding
from keras_sat.layers.word_positions import WordPositions

__all__ = [
    "GRU",
    "LSTM",
    "PAPER",
    "PAPER_GATES",
    "AdditiveAttention",
    "BoxGeometry",
    "DecoderBlock",
    "DeepOutput",
    "EncoderBlock",
    "FeedForward",
    "Grid",
    "Interaction",
    "LinearOutput",
    "LoopConstants",
    "MultiHeadAttention",
    "PatchMap",
    "PatchTokens",
    "Proposals",
    "Residual",
    "SpatialTransformer",
    "TiedOutput",
    "UniformAttention",
    "VisionBlock",
    "WordEmbedding",
    "WordPositions",
    "before_each",
    "product",
    "read_words",
    "scan",
]
