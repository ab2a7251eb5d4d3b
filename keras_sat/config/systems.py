"""The settings of the four systems, the section `model` of an experiment."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Soft:
    """Show, Attend and Tell with soft attention (Xu et al. 2015), and the options by which its variants differ.

    attention            `additive`, or `uniform`: every region weighs the same, so only the mean annotation is seen
    attention_layers     depth of the network on the annotations (2 in the authors' COCO runs)
    gate                 β on the context: one scalar a step, a vector of region size, or none
    output               `deep` (paper) or `linear` on the state alone
    initial_layers       depth of the network that gives h_0 and c_0; `initial_activation` is its last one
    initializer          `glorot` (Keras' defaults, forget bias 1) or `gaussian` (paper: σ 0.01, orthogonal where square)
    annotation_size      width of a layer of ReLUs over each cell of the feature map, read in its stead: for CNNs whose
                         activations are not rectified, or many (0: none, annotations are the CNN's)
    channel_dropout      of the feature map's channels, each of which an image loses in all its regions and in their mean at
                         once: a context that is a mean over regions averages feature_dropout, of single numbers, away
    penalty              normalisation of the doubly stochastic penalty, see keras_sat.models.losses
    """

    name: Literal["soft"] = "soft"
    embedding_size: int = 512
    state_size: int = 512
    attention: Literal["additive", "uniform"] = "additive"
    attention_size: int = 512
    attention_layers: int = 1
    attention_activation: Literal["tanh", "relu"] = "tanh"
    gate: Literal["scalar", "vector", "none"] = "scalar"
    output: Literal["deep", "linear"] = "deep"
    initial_layers: int = 1
    initial_activation: Literal["tanh", "linear"] = "tanh"
    initializer: Literal["glorot", "gaussian"] = "glorot"
    annotation_size: int = 0
    channel_dropout: float = 0.0
    feature_dropout: float = 0.0
    embedding_dropout: float = 0.0
    state_dropout: float = 0.5
    output_dropout: float = 0.5
    penalty: Literal["paper", "arctic", "mean"] = "paper"
    penalty_weight: float = 1.0


@dataclass(frozen=True)
class Hard(Soft):
    """Show, Attend and Tell with hard attention: one sampled location a step, trained by REINFORCE.

    samples              N, locations drawn for a caption in training; each is a run through it
    reward_weight        λ_r
    reward               `caption`: log p of the whole caption (paper); `mean`: its mean over the words (released code)
    entropy_weight       λ_e
    baseline_decay       b_k = decay · b_{k−1} + (1 − decay) · reward
    expectation          probability that a step of training takes the expected context, as soft attention does, …
    expectation_per      … drawn for each `image` (paper) or once for the `batch` (released code)
    attention_gradient   `all`: the attention also learns from the penalty and, where the context is the expected one, from
                         the likelihood; `reinforce`: from reward and entropy alone (released code)
    decode               the context in captioning: `expectation` (as published), `argmax` or `sample`

    λ_r and λ_e are the released code's numbers; the paper does not tell its own. Here reward and entropy are averaged over
    captions, as the likelihood is.
    """

    name: Literal["hard"] = "hard"
    samples: int = 1
    reward_weight: float = 0.1
    reward: Literal["caption", "mean"] = "mean"
    entropy_weight: float = 0.002
    baseline_decay: float = 0.9
    expectation: float = 0.5
    expectation_per: Literal["image", "batch"] = "image"
    attention_gradient: Literal["all", "reinforce"] = "all"
    decode: Literal["expectation", "argmax", "sample"] = "expectation"


@dataclass(frozen=True)
class ShowAndTell:
    """The CNN+LSTM baseline (Vinyals et al. 2015, as in the Flickr8k report): the mean annotation is the first token.

    `lstm_dropout` lies between LSTM layers, as PyTorch's does; `annotation_size` and `channel_dropout` as in `Soft`.
    """

    name: Literal["show_and_tell"] = "show_and_tell"
    embedding_size: int = 256
    state_size: int = 256
    lstm_layers: int = 2
    annotation_size: int = 0
    channel_dropout: float = 0.0
    feature_dropout: float = 0.0
    embedding_dropout: float = 0.3
    lstm_dropout: float = 0.3
    state_dropout: float = 0.0


@dataclass(frozen=True)
class Areas:
    """Areas of Attention (Pedersoli et al. 2017): a joint distribution over the next word and the region it comes from.

    areas                `grid` cells, object `proposals`, or a spatial `transformer` a cell
    word_region          the term wᵀW θ_wr Rᵀr; without it and region_state, words see the image by h_0 alone (the baseline)
    region_state         the term rᵀR θ_rh h
    feedback             of the regions into the state: `marginal` p(r|h), `conditional` p(r|w, h), or `none`
    train_stride         every how many cells an area stands in training, from a random phase on; grid and transformer
    test_stride          … and afterwards, from the first cell on
    train_boxes          how many proposals training draws at random; test_boxes: the first so many are used afterwards
                         (0 = all)
    localisation_size    channels of the localisation network's hidden layer
    region_scale         factor on the region descriptors; large activations, as VGG's, want a small one
                         (released code: 0.01): scores C that spread over more than 64 are right, but slow
    zoom                 size of the transformer's anchor boxes, in units of 3×3 cells
    filter_layer         the 3×3 convolution of the encoder's CNN that the transformer's filter starts as (none: the filter
                         starts as the identity, so that the areas start as the grid's cells)
    transformer_rate     the transformer's learning rate, × train.learning_rate
    annotation_size      and channel_dropout as in `Soft`
    """

    name: Literal["areas"] = "areas"
    areas: Literal["grid", "proposals", "transformer"] = "grid"
    embedding_size: int = 512
    state_size: int = 512
    word_region: bool = True
    region_state: bool = True
    feedback: Literal["none", "conditional", "marginal"] = "marginal"
    train_stride: int = 1
    test_stride: int = 1
    region_scale: float = 1.0
    train_boxes: int = 50
    test_boxes: int = 0
    localisation_size: int = 64
    zoom: float = 2.0
    filter_layer: str | None = None
    transformer_rate: float = 0.1
    annotation_size: int = 0
    channel_dropout: float = 0.0
    feature_dropout: float = 0.0
    embedding_dropout: float = 0.0
    state_dropout: float = 0.5


SYSTEMS = {"soft": Soft, "hard": Hard, "show_and_tell": ShowAndTell, "areas": Areas}
