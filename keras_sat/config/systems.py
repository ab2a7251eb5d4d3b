"""The settings of the systems: the section `model` of an experiment."""

from dataclasses import dataclass
from typing import Literal

from keras_sat.config.ranges import Fraction, FractionBelowOne, PositiveInt


@dataclass(frozen=True)
class Soft:
    """Show, Attend and Tell with soft attention, and the options by which its variants differ.

    Attributes:
        name: `soft`.
        embedding_size: width of the word embeddings.
        state_size: width of the LSTM's state.
        attention: `additive`; or `uniform`, which gives every region the same weight, so that the
            model sees the mean annotation alone.
        attention_size: width of the attention network.
        attention_layers: depth of the network on the annotations (2 in the authors' COCO runs).
        attention_activation: activation of the attention network (paper: `tanh`, report: `relu`).
        gate: β on the context: one `scalar` per step, a `vector` of region size, or `none`.
        output: `deep` (paper), or `linear`, from the state alone.
        initial_layers: depth of the network that computes h_0 and c_0.
        initial_activation: activation of that network's last layer.
        initializer: `glorot` (Keras' defaults, forget gate bias 1) or `gaussian` (paper: σ 0.01,
            orthogonal where the matrix is square).
        annotation_size: width of a layer of ReLUs on each cell of the feature map, whose output
            then is the annotations. For CNNs whose activations are not rectified, or many.
            0 = none; the annotations are the CNN's.
        channel_dropout: dropout of the feature map's channels. An image loses a channel in all its
            regions and in their mean at once; feature_dropout, which drops single numbers, averages
            out in a context that is a mean over regions.
        feature_dropout: dropout of the annotations.
        embedding_dropout: dropout of the word embeddings.
        state_dropout: dropout of the state that the output layer reads.
        output_dropout: dropout after the tanh of the deep output.
        penalty: normalisation of the doubly stochastic penalty, see `keras_sat.models.losses`.
        penalty_weight: λ, the weight of the penalty in the loss.

    Reference: Xu et al. 2015, "Show, attend and tell".
    """

    name: Literal["soft"] = "soft"
    embedding_size: PositiveInt = 512
    state_size: PositiveInt = 512
    attention: Literal["additive", "uniform"] = "additive"
    attention_size: PositiveInt = 512
    attention_layers: PositiveInt = 1
    attention_activation: Literal["tanh", "relu"] = "tanh"
    gate: Literal["scalar", "vector", "none"] = "scalar"
    output: Literal["deep", "linear"] = "deep"
    initial_layers: PositiveInt = 1
    initial_activation: Literal["tanh", "linear"] = "tanh"
    initializer: Literal["glorot", "gaussian"] = "glorot"
    annotation_size: int = 0
    channel_dropout: FractionBelowOne = 0.0
    feature_dropout: FractionBelowOne = 0.0
    embedding_dropout: FractionBelowOne = 0.0
    state_dropout: FractionBelowOne = 0.5
    output_dropout: FractionBelowOne = 0.5
    penalty: Literal["paper", "arctic", "mean"] = "paper"
    penalty_weight: float = 1.0


@dataclass(frozen=True)
class Hard(Soft):
    """Show, Attend and Tell with hard attention: one sampled location per step, by REINFORCE.

    It has the keys of `Soft`, and those below. λ_r and λ_e are the released code's numbers; the
    paper does not give its own. Reward and entropy are averaged over captions here, as the
    likelihood is.

    Attributes:
        name: `hard`.
        samples: N, the number of sequences of locations sampled per caption in training.
        reward_weight: λ_r, the weight of the reward.
        reward: `caption`, log p of the whole caption (paper), or `mean`, its mean over the words
            (released code).
        entropy_weight: λ_e, the weight of the attention's entropy.
        baseline_decay: the decay of the baseline, b_k = decay · b_{k−1} + (1 − decay) · reward.
        expectation: the probability that a step of training takes the expected context, as soft
            attention does.
        expectation_per: whether this is drawn per `image` (paper) or per `batch` (released code).
        attention_gradient: `all`, the attention also learns from the penalty and, where the context
            is the expected one, from the likelihood; or `reinforce`, from reward and entropy alone
            (released code).
        decode: the context in captioning: `expectation` (as published), `argmax` or `sample`.

    Reference: Xu et al. 2015, section 4.1.
    """

    name: Literal["hard"] = "hard"
    samples: PositiveInt = 1
    reward_weight: float = 0.1
    reward: Literal["caption", "mean"] = "mean"
    entropy_weight: float = 0.002
    baseline_decay: FractionBelowOne = 0.9
    expectation: Fraction = 0.5
    expectation_per: Literal["image", "batch"] = "image"
    attention_gradient: Literal["all", "reinforce"] = "all"
    decode: Literal["expectation", "argmax", "sample"] = "expectation"


@dataclass(frozen=True)
class ShowAndTell:
    """The CNN+LSTM baseline, as in the Flickr8k report: the mean annotation is the first token.

    Attributes:
        name: `show_and_tell`.
        embedding_size: width of the word embeddings.
        state_size: width of each LSTM layer's state.
        lstm_layers: the number of LSTM layers.
        annotation_size: as in `Soft`.
        channel_dropout: as in `Soft`.
        feature_dropout: dropout of the mean annotation.
        embedding_dropout: dropout of the word embeddings.
        lstm_dropout: dropout between LSTM layers, as in PyTorch.
        state_dropout: dropout of the state that the output layer reads.

    Reference: Vinyals et al. 2015, "Show and tell".
    """

    name: Literal["show_and_tell"] = "show_and_tell"
    embedding_size: PositiveInt = 256
    state_size: PositiveInt = 256
    lstm_layers: PositiveInt = 2
    annotation_size: int = 0
    channel_dropout: FractionBelowOne = 0.0
    feature_dropout: FractionBelowOne = 0.0
    embedding_dropout: FractionBelowOne = 0.3
    lstm_dropout: FractionBelowOne = 0.3
    state_dropout: FractionBelowOne = 0.0


@dataclass(frozen=True)
class Areas:
    """Areas of Attention: a joint distribution over the next word and the region it comes from.

    Attributes:
        name: `areas`.
        areas: what the model attends to: the `grid`'s cells, object `proposals`, or a spatial
            `transformer` per cell.
        embedding_size: width of the word embeddings.
        state_size: width of the GRU's state.
        word_region: whether scores have the term wᵀW θ_wr Rᵀr. Without it and region_state, words
            depend on the image through h_0 alone (the baseline).
        region_state: whether scores have the term rᵀR θ_rh h.
        feedback: how the state reads the regions: by `marginal` p(r|h), by `conditional` p(r|w, h),
            or not at all (`none`).
        train_stride: for grid and transformer, the distance in cells between areas in training. The
            first cell is drawn at random.
        test_stride: the same outside training, from the first cell on.
        region_scale: a factor on the region descriptors. Large activations, such as VGG's, need a
            small one (released code: 0.01). Scores C that span more than 64 stay correct, but are
            slow to compute.
        train_boxes: the number of proposals drawn at random in training.
        test_boxes: the number of proposals used outside training, the first ones; 0 = all.
        localisation_size: the number of channels of the localisation network's hidden layer.
        zoom: the size of the transformer's anchor boxes, in units of 3×3 cells.
        filter_layer: the 3×3 convolution of the encoder's CNN from which the transformer's filter
            starts. By default the filter starts as the identity, so that the areas start as the
            grid's cells.
        transformer_rate: the transformer's learning rate, as a factor on train.learning_rate.
        annotation_size: as in `Soft`.
        channel_dropout: as in `Soft`.
        feature_dropout: dropout of the region descriptors.
        embedding_dropout: dropout of the word embeddings.
        state_dropout: dropout of the state that words and regions read.

    Reference: Pedersoli et al. 2017, "Areas of attention for image captioning".
    """

    name: Literal["areas"] = "areas"
    areas: Literal["grid", "proposals", "transformer"] = "grid"
    embedding_size: PositiveInt = 512
    state_size: PositiveInt = 512
    word_region: bool = True
    region_state: bool = True
    feedback: Literal["none", "conditional", "marginal"] = "marginal"
    train_stride: PositiveInt = 1
    test_stride: PositiveInt = 1
    region_scale: float = 1.0
    train_boxes: PositiveInt = 50
    test_boxes: int = 0
    localisation_size: PositiveInt = 64
    zoom: float = 2.0
    filter_layer: str | None = None
    transformer_rate: float = 0.1
    annotation_size: int = 0
    channel_dropout: FractionBelowOne = 0.0
    feature_dropout: FractionBelowOne = 0.0
    embedding_dropout: FractionBelowOne = 0.0
    state_dropout: FractionBelowOne = 0.5


@dataclass(frozen=True)
class Transformer:
    """A Transformer captioner: the regions attend to each other, the words to words and regions.

    Attributes:
        name: `transformer`.
        width: width of word vectors, regions and layers; a multiple of heads.
        heads: the number of heads of each attention.
        encoder_layers: the number of layers over the regions; 0 = none.
        decoder_layers: the number of layers over the words.
        hidden_size: width of the hidden layer of the feed-forward networks.
        norm: layer normalisation before each part (`pre`) or after it (`post`).
        position_vectors: of the words: `sinusoidal` or `learned`.
        positions: the greatest number of words of a generated caption, END included. It is the size
            of the cache of earlier words.
        geometry: whether attention among the regions reads their boxes (Herdade et al. 2019).
        memory_vectors: the number of learned keys and values beside the regions in each encoder
            layer (Cornia et al. 2020: 40).
        meshed: whether each decoder layer attends to all encoder layers, through gates (Cornia et
            al. 2020).
        tied: whether the output layer's matrix is the table of word vectors.
        attention_layer: the decoder layer, counted from 1, whose attention is shown; 0 = the last.
        annotation_size: as in `Soft`.
        channel_dropout: as in `Soft`.
        feature_dropout: dropout of the annotations.
        embedding_dropout: dropout of the word vectors with their positions.
        dropout: dropout in all layers: after each part, of attention weights and hidden layers.
        output_dropout: dropout of what the output layer reads.

    Reference: Vaswani et al. 2017, "Attention is all you need".
    """

    name: Literal["transformer"] = "transformer"
    width: PositiveInt = 512
    heads: PositiveInt = 8
    encoder_layers: int = 3
    decoder_layers: PositiveInt = 3
    hidden_size: PositiveInt = 2048
    norm: Literal["pre", "post"] = "pre"
    position_vectors: Literal["sinusoidal", "learned"] = "sinusoidal"
    positions: PositiveInt = 40
    geometry: bool = False
    memory_vectors: int = 0
    meshed: bool = False
    tied: bool = False
    attention_layer: int = 0
    annotation_size: int = 0
    channel_dropout: FractionBelowOne = 0.0
    feature_dropout: FractionBelowOne = 0.0
    embedding_dropout: FractionBelowOne = 0.0
    dropout: FractionBelowOne = 0.1
    output_dropout: FractionBelowOne = 0.0


SYSTEMS = {
    "soft": Soft,
    "hard": Hard,
    "show_and_tell": ShowAndTell,
    "areas": Areas,
    "transformer": Transformer,
}
