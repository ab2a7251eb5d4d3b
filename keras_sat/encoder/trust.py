"""What an `encoder.keras` from elsewhere may hold without running code of its own.

Keras imports whatever module a model's configuration names, and runs what an HDF5 file or a
SavedModel holds. So the file is read here before Keras sees it. Free of TensorFlow.
"""

import json
import re
import zipfile

from keras_sat.utils.errors import UserError

# Keras also reads weights from model.weights.npz, with pickle, and unpacks assets.
_MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
_MOST_CONFIG = 64 << 20  # bytes

# Left out is what reads files or takes a function: Lambda, lookups, feature columns, RNN wrappers.
_LAYERS = """
Activation ActivityRegularization Add AlphaDropout Attention Average AveragePooling1D
AveragePooling2D BatchNormalization CenterCrop Concatenate Conv1D Conv2D Conv2DTranspose Cropping1D
Cropping2D Dense DepthwiseConv1D DepthwiseConv2D Dot Dropout ELU EinsumDense Embedding Flatten
GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalMaxPooling1D
GlobalMaxPooling2D GroupNormalization Identity InputLayer LayerNormalization LeakyReLU
LocallyConnected2D Masking MaxPooling1D MaxPooling2D Maximum Minimum MultiHeadAttention Multiply
Normalization PReLU Permute ReLU RepeatVector Rescaling Reshape Resizing SeparableConv1D
SeparableConv2D Softmax SpatialDropout1D SpatialDropout2D SpectralNormalization Subtract
ThresholdedReLU TimeDistributed UnitNormalization UpSampling1D UpSampling2D ZeroPadding1D
ZeroPadding2D
"""
_INITIALIZERS = """
Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity LecunNormal LecunUniform Ones
Orthogonal RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
"""
# {module: its classes}
_KERAS = {
    "keras": {"Model", "Sequential"},
    "keras.layers": set(_LAYERS.split()),
    "keras.initializers": set(_INITIALIZERS.split()),
    "keras.regularizers": {"L1", "L2", "L1L2", "OrthogonalRegularizer"},
    "keras.constraints": {"MaxNorm", "MinMaxNorm", "NonNeg", "RadialConstraint", "UnitNorm"},
    "keras.mixed_precision": {"Policy"},
    "keras.src.engine.functional": {"Functional"},
    "keras.src.layers.core.tf_op_layer": {"TFOpLambda", "SlicingOpLambda"},
    "keras.src.applications.convnext": {"LayerScale"},
    "keras.src.applications.inception_resnet_v2": {"CustomScaleLayer"},
}
# The functions of TFOpLambda, which Keras writes for `x + 3` between layers.
_OPS = """
__operators__.add __operators__.getitem cast clip_by_value concat math.add math.divide
math.multiply math.subtract math.truediv nn.gelu nn.relu nn.relu6 nn.sigmoid nn.silu nn.softmax
reshape transpose
"""
_ACTIVATIONS = """
elu exponential gelu hard_sigmoid linear mish relu selu sigmoid softmax softplus softsign swish tanh
"""
_OPS = set(_OPS.split())
_ACTIVATIONS = set(_ACTIVATIONS.split())
# Model Garden's, in official.vision.modeling.
_MODEL_GARDEN = """
BottleneckBlock BottleneckResidualInner Conv2DBNBlock DepthwiseSeparableConvBlock EfficientNet
InvertedBottleneckBlock MobileNet ResNet ResidualBlock ResidualInner ReversibleLayer RevNet Scale
SpatialPyramidPooling SpineNet SqueezeExcitation StochasticDepth
"""
_MODEL_GARDEN = set(_MODEL_GARDEN.split())
_VALUES = {"__tensor__", "__numpy__", "__bytes__"}


def check_trusted(path, trusted=False):
    """Refuses an encoder that could run code of its own, unless its source is trusted.

    Args:
        path: of the `.keras` file.
        trusted: whether the user said --trust-encoder.
    Raises:
        UserError: the file needs trust that it was not given.
    """
    reason = None if trusted else foreign(path)
    if reason:
        raise UserError(
            f"{path}: {reason}, so that loading it could run any code; "
            "if you trust where it comes from, say --trust-encoder"
        )


def foreign(path):
    """Why loading an encoder could run code that is not of Keras or keras_sat: a clause, or None.

    Args:
        path: of the `.keras` file.
    Raises:
        UserError: there is no such file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if sorted(names) != sorted(_MEMBERS):
                return (
                    f"it holds {', '.join(names[:5])} and not {', '.join(sorted(_MEMBERS))} alone"
                )
            if archive.getinfo("config.json").file_size > _MOST_CONFIG:
                return "its config.json is too large to be checked"
            config = json.loads(archive.read("config.json"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; restore it, or prepare the data again") from error
    except (zipfile.BadZipFile, IsADirectoryError):
        return "it is no zip in Keras' own format"
    except (OSError, ValueError, RecursionError, NotImplementedError, RuntimeError) as error:
        return f"its config.json cannot be read ({error})"
    if not isinstance(config, dict):
        return "its config.json describes no model"
    # The one of the model itself is not used: encoders are loaded without compiling them.
    config.pop("compile_config", None)
    return next(_foreign(config), None)


def _foreign(value):
    """Yields a clause for each object in a configuration that is not known to be harmless."""
    if isinstance(value, list):
        for each in value:
            yield from _foreign(each)
    elif isinstance(value, dict):
        if "class_name" in value and not _is_known(value):
            yield f"it names {value.get('module')}.{value['class_name']}"
        for each in value.values():
            yield from _foreign(each)


def _is_known(described):
    """Whether an object of a configuration, with its class_name, is known to be harmless."""
    name = described["class_name"]
    module = described.get("module")
    registered = described.get("registered_name")
    config = described.get("config")
    if not isinstance(name, str) or not isinstance(module, str | None):
        return False
    if name == "function":
        return module == "builtins" and isinstance(config, str) and config in _ACTIVATIONS
    if name.endswith("OpLambda"):
        function = config.get("function") if isinstance(config, dict) else None
        if not isinstance(function, str) or function not in _OPS:
            return False
    if module is None:
        return name in _VALUES
    if name in _KERAS.get(module, ()):
        return registered in (None, name, f"Custom>{name}")
    # Keras looks for the registered name first, and else for the class in its module.
    if re.fullmatch(r"keras_sat(\.\w+)*", module):
        return registered == f"keras_sat>{name}" and re.fullmatch(r"[A-Z]\w*", name) is not None
    if re.fullmatch(r"official\.vision\.modeling(\.\w+)+", module):
        return name in _MODEL_GARDEN and registered == f"Vision>{name}"
    return False
