"""Vision Transformers from Hugging Face's checkpoint folders, without PyTorch.

A folder holds config.json, model.safetensors (or its shards and their index) and, mostly,
preprocessor_config.json, whose mean and deviation are used. ViT and DeiT, the vision towers of CLIP
and SigLIP, and DINOv2 with or without registers are read.
"""

from pathlib import Path
from typing import NamedTuple

import keras
import ml_dtypes  # noqa: F401  gives NumPy bfloat16, which safetensors needs
import numpy as np
from safetensors import SafetensorError, safe_open

from keras_sat.layers import PatchMap, PatchTokens, VisionBlock
from keras_sat.layers.vision_block import ACTIVATIONS
from keras_sat.utils import hashing
from keras_sat.utils.errors import UserError, nearest
from keras_sat.utils.extras import hugging_face_hub
from keras_sat.utils.json_files import read_json

PREFIX = "hf:"
_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
# The coefficients of PyTorch's bicubic interpolation, without and with `antialias`.
_CUBIC = -0.75
_CUBIC_ANTIALIASED = -0.5
_HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}


class _Family(NamedTuple):
    """Where a family of checkpoints keeps its tensors.

    Attributes:
        prefixes: how the names of the tower's tensors may begin.
        patches: the patches' projection.
        positions: the vectors of the positions.
        class_tokens: the learned tokens that have positions.
        blocks: how the names of a block's tensors begin, with {}.
        attention: names of query, key, value and the joining projection in a block.
        norms: names of the two norms in a block.
        mlp: names of the two layers in a block.
        last_norm: the norm after the last block.
        first_norm: the norm before the first block, or None.
        scales: names of the layer scales in a block, or ().
        registers: the learned tokens without positions, or None.
        antialias: whether positions are interpolated with PyTorch's `antialias`.
    """

    prefixes: tuple
    patches: str
    positions: str
    class_tokens: tuple
    blocks: str
    attention: tuple
    norms: tuple
    mlp: tuple
    last_norm: str
    first_norm: str | None = None
    scales: tuple = ()
    registers: str | None = None
    antialias: bool = False


_VIT = _Family(
    prefixes=("", "vit."),
    patches="embeddings.patch_embeddings.projection",
    positions="embeddings.position_embeddings",
    class_tokens=("embeddings.cls_token",),
    blocks="encoder.layer.{}.",
    attention=(
        "attention.attention.query",
        "attention.attention.key",
        "attention.attention.value",
        "attention.output.dense",
    ),
    norms=("layernorm_before", "layernorm_after"),
    mlp=("intermediate.dense", "output.dense"),
    last_norm="layernorm",
)
_CLIP = _Family(
    prefixes=("vision_model.", ""),
    patches="embeddings.patch_embedding",
    positions="embeddings.position_embedding.weight",
    class_tokens=("embeddings.class_embedding",),
    blocks="encoder.layers.{}.",
    attention=(
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.out_proj",
    ),
    norms=("layer_norm1", "layer_norm2"),
    mlp=("mlp.fc1", "mlp.fc2"),
    last_norm="post_layernorm",
    first_norm="pre_layrnorm",
)
_DINO = _VIT._replace(
    prefixes=("", "dinov2.", "dinov2_with_registers."),
    norms=("norm1", "norm2"),
    mlp=("mlp.fc1", "mlp.fc2"),
    scales=("layer_scale1.lambda1", "layer_scale2.lambda1"),
)
_DISTILLED = ("embeddings.cls_token", "embeddings.distillation_token")
# {model_type of config.json: its family}
FAMILIES = {
    "vit": _VIT,
    "deit": _VIT._replace(prefixes=("", "deit."), class_tokens=_DISTILLED),
    "clip": _CLIP,
    "clip_vision_model": _CLIP,
    "siglip": _CLIP._replace(class_tokens=(), first_norm=None),
    "siglip_vision_model": _CLIP._replace(class_tokens=(), first_norm=None),
    "dinov2": _DINO,
    "dinov2_with_registers": _DINO._replace(registers="embeddings.register_tokens", antialias=True),
}


@keras.saving.register_keras_serializable(package="keras_sat")
class Standardize(keras.layers.Layer):
    """(pixels / 255 − mean) / deviation, by channel.

    Args:
        mean: three numbers.
        deviation: three numbers.
    """

    def __init__(self, mean, deviation, **kwargs):
        super().__init__(**kwargs)
        self.mean = list(mean)
        self.deviation = list(deviation)

    def get_config(self):
        return super().get_config() | {"mean": self.mean, "deviation": self.deviation}

    def call(self, pixels):
        pixels = keras.backend.cast(pixels, self.compute_dtype) / 255.0
        return (pixels - np.float32(self.mean)) / np.float32(self.deviation)


def build_tower(name, pixels, layer=None):
    """The tower of a checkpoint.

    Args:
        name: `hf:DIR`, or `hf:OWNER/NAME` of the hub.
        pixels: height and width of the pictures.
        layer: `block_0`, `block_1`, …, whose output is the feature map; None: the last one's, after
            the tower's last norm.

    Returns:
        (the tower, a keras.Model from standardised pictures to the feature map, its layers named
        as above; the layer that standardises pixels).

    Raises:
        UserError: no such folder or checkpoint, a file that is missing or damaged, a model that is
            not known, a picture size that the patches do not fill, no such layer.
    """
    folder = _folder_of(name.removeprefix(PREFIX))
    config = read_json(folder / "config.json", {"type": "object"}, "download the checkpoint again")
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise UserError(
            f"{folder}/config.json: model_type: {kind!r} is not read{nearest(str(kind), FAMILIES)}"
        )
    config = config.get("vision_config") or config
    family = FAMILIES[kind]
    with _Checkpoint(folder, family.prefixes) as checkpoint:
        tower = _tower(checkpoint, family, config, pixels, layer)
    return tower, _standardize(folder)


def checkpoint_fingerprint(name):
    """16 hexadecimal digits that identify the files of a checkpoint.

    Args:
        name: see `build_tower`.
    """
    folder = _folder_of(name.removeprefix(PREFIX))
    sums = []
    for path in sorted([*folder.glob("*.json"), *folder.glob("*.safetensors")]):
        sums.append(f"{path.name} {hashing.sha256_file(path)}")
    return hashing.fingerprint("\n".join(sums))


def _folder_of(name):
    """The checkpoint's folder, which is downloaded if it is a name of the hub.

    Raises:
        UserError: there is neither.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UserError(f"encoder.name: {PREFIX}{name}: no such folder")
    hub = hugging_face_hub(f"{PREFIX}{name}")
    try:
        found = hub.snapshot_download(name, allow_patterns=["*.json", "*.safetensors"])
    except Exception as error:  # of the network, of the hub, of its cache
        reason = str(error).splitlines()[0]
        raise UserError(
            f"encoder.name: {PREFIX}{name}: no such folder, and cannot be downloaded ({reason}); "
            "where there is no network, copy the checkpoint here and name its folder, hf:DIR"
        ) from error
    return Path(found)


def _standardize(folder):
    path = folder / "preprocessor_config.json"
    found = _HALF
    if path.exists():
        found = read_json(path, {"type": "object"}, "download the checkpoint again")
    mean = found.get("image_mean") or _HALF["image_mean"]
    deviation = found.get("image_std") or _HALF["image_std"]
    return Standardize(mean, deviation, name="standardize")


def _tower(checkpoint, family, config, pixels, layer):
    """The keras.Model of a checkpoint, with its weights."""
    size = config.get("hidden_size", 768)
    blocks = config.get("num_hidden_layers", 12)
    patch = config.get("patch_size", 16)
    activation = config.get("hidden_act", "quick_gelu" if family.first_norm else "gelu")
    if pixels % patch:
        raise UserError(
            f"encoder.image_size: {pixels} is no multiple of the patches' {patch} pixels; "
            f"take {pixels // patch * patch or patch}"
        )
    if activation not in ACTIVATIONS or config.get("use_swiglu_ffn"):
        raise UserError(
            f"{checkpoint.folder}/config.json: its MLP ({activation}) is not read; "
            f"known: {', '.join(ACTIVATIONS)}"
        )
    names = [f"block_{index}" for index in range(blocks)]
    if layer and layer not in names:
        raise UserError(f"encoder.layer: no layer {layer!r}{nearest(layer, names)}")
    depth = names.index(layer) + 1 if layer else blocks
    side = pixels // patch
    patch_tokens = PatchTokens(
        size,
        patch,
        class_tokens=len(family.class_tokens),
        registers=config.get("num_register_tokens", 0) if family.registers else 0,
        use_bias=checkpoint.has(f"{family.patches}.bias"),
        name="patch_tokens",
    )
    pictures = keras.Input((pixels, pixels, 3), name="pictures")
    tokens = patch_tokens(pictures)
    epsilon = config.get("layer_norm_eps", 1e-5 if family.first_norm else 1e-6)
    if family.first_norm:
        first_norm = keras.layers.LayerNormalization(epsilon=epsilon, name="first_norm")
        tokens = first_norm(tokens)
        checkpoint.fill(first_norm, checkpoint.norm(family.first_norm), "")
    for name in names[:depth]:
        block = VisionBlock(
            size,
            config.get("num_attention_heads", 12),
            checkpoint.read(f"{family.blocks.format(0)}{family.mlp[0]}.bias").shape[0],
            activation,
            epsilon,
            layer_scale=bool(family.scales),
            name=name,
        )
        tokens = block(tokens)
        _fill(block, checkpoint, family, family.blocks.format(name.removeprefix("block_")))
    if not layer:
        last_norm = keras.layers.LayerNormalization(epsilon=epsilon, name="last_norm")
        tokens = last_norm(tokens)
        checkpoint.fill(last_norm, checkpoint.norm(family.last_norm), "")
    first = patch_tokens.class_tokens + patch_tokens.registers
    feature_map = PatchMap(side, side, first, name="feature_map")(tokens)
    checkpoint.fill(patch_tokens, _patch_weights(checkpoint, family, patch_tokens, side), "")
    return keras.Model(pictures, feature_map, name="vision_transformer")


def _patch_weights(checkpoint, family, patch_tokens, side):
    """The weights of `PatchTokens`, in its order."""
    kernel = checkpoint.read(f"{family.patches}.weight")  # [D, 3, p, p]
    size = patch_tokens.size
    count = patch_tokens.class_tokens
    positions = checkpoint.read(family.positions).reshape(-1, size)
    positions = np.concatenate(
        [positions[:count], interpolated(positions[count:], side, family.antialias)]
    )
    projection = [kernel.transpose(2, 3, 1, 0)]
    if patch_tokens.use_bias:
        projection.append(checkpoint.read(f"{family.patches}.bias"))
    own = [positions]
    if count:
        own.append(np.stack([checkpoint.read(name).reshape(size) for name in family.class_tokens]))
    if patch_tokens.registers:
        own.append(checkpoint.read(family.registers).reshape(-1, size))
    return own + projection


def _fill(block, checkpoint, family, prefix):
    """Gives a `VisionBlock` its weights, by the names of its parts."""
    query, key, value, join = family.attention
    attention_norm, mlp_norm = family.norms
    expand, contract = family.mlp
    # A bias of the keys adds the same to all scores of a query, which the softmax ignores.
    parts = {
        "query": checkpoint.dense(prefix + query),
        "key": checkpoint.dense(prefix + key)[:1],
        "value": checkpoint.dense(prefix + value),
        "join": checkpoint.dense(prefix + join),
        "norm_attention": checkpoint.norm(prefix + attention_norm),
        "norm_mlp": checkpoint.norm(prefix + mlp_norm),
        "expand": checkpoint.dense(prefix + expand),
        "contract": checkpoint.dense(prefix + contract),
    }
    for part in block.submodules:
        if part.name in parts:
            checkpoint.fill(part, parts[part.name], prefix)
    for scale, name in zip(block._scales, family.scales):
        scale.assign(checkpoint.read(prefix + name))


def interpolated(positions, side, antialias=False):
    """Vectors of a square grid of positions for a grid of another size, as PyTorch's bicubic.

    Args:
        positions: [n · n, D].
        side: the side of the new grid.
        antialias: see PyTorch's `interpolate`.

    Returns:
        [side · side, D].
    """
    before = round(len(positions) ** 0.5)
    if before == side:
        return positions
    weights = _cubic_weights(before, side, antialias)
    grid = positions.reshape(before, before, -1).astype(np.float64)
    resized = np.einsum("ia,jb,abd->ijd", weights, weights, grid)
    return resized.reshape(side * side, -1).astype(np.float32)


def _cubic_weights(before, after, antialias):
    """The matrix [after, before] of cubic convolution with half-pixel centres.

    Outside of the grid its edges are repeated; with `antialias` nothing is there, the kernel grows
    with the scale, and each row is normalised.
    """
    stretch = max(before / after, 1.0) if antialias else 1.0
    reach = int(np.ceil(2 * stretch))
    weights = np.zeros([after, before])
    for target in range(after):
        centre = (target + 0.5) * before / after - 0.5
        middle = int(np.floor(centre))
        for source in range(middle - reach + 1, middle + reach + 1):
            coefficient = _CUBIC_ANTIALIASED if antialias else _CUBIC
            share = _cubic(abs(centre - source) / stretch, coefficient)
            if not antialias or 0 <= source < before:
                weights[target, min(max(source, 0), before - 1)] += share
    return weights / weights.sum(axis=1, keepdims=True)


def _cubic(distance, a):
    """Keys' cubic convolution kernel with the coefficient a."""
    if distance <= 1:
        return (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    if distance < 2:
        return a * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    return 0.0


class _Checkpoint:
    """The tensors of a checkpoint's folder, read one by one as float32.

    Raises:
        UserError: a file is missing or damaged, or a tensor is missing.
    """

    def __init__(self, folder, prefixes):
        self.folder = folder
        self._files = {}
        self._places = self._find()
        self._prefix = prefixes[0]
        for prefix in sorted(prefixes, key=len, reverse=True):
            if any(name.startswith(f"{prefix}e") for name in self._places):
                self._prefix = prefix
                break

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._files.clear()

    def _find(self):
        """{tensor: its file}."""
        index = self.folder / _INDEX
        if (self.folder / _WEIGHTS).exists():
            return dict.fromkeys(self._open(_WEIGHTS).keys(), _WEIGHTS)
        if index.exists():
            schema = {"type": "object", "required": ["weight_map"]}
            places = read_json(index, schema, "download the checkpoint again")["weight_map"]
            for file in sorted(set(places.values())):
                self._open(file)
            return places
        others = sorted(self.folder.glob("*.bin")) + sorted(self.folder.glob("*.pt*"))
        if others:
            raise UserError(
                f"{others[0]}: is a pickle, which could run any code; convert it with "
                "`save_pretrained(…, safe_serialization=True)`, or download model.safetensors"
            )
        raise UserError(f"{self.folder}/{_WEIGHTS}: is missing; download the checkpoint again")

    def _open(self, file):
        if file not in self._files:
            path = self.folder / file
            if not path.exists():
                raise UserError(f"{path}: is missing; download the checkpoint again")
            try:
                self._files[file] = safe_open(path, framework="numpy")
            except (SafetensorError, OSError) as error:
                raise UserError(
                    f"{path}: cannot be read ({error}); download the checkpoint again"
                ) from error
        return self._files[file]

    def has(self, name):
        return self._prefix + name in self._places

    def read(self, name):
        """A tensor, float32."""
        full = self._prefix + name
        if full not in self._places:
            raise UserError(f"{self.folder}: lacks the tensor {full}{nearest(full, self._places)}")
        return self._open(self._places[full]).get_tensor(full).astype(np.float32)

    def dense(self, name):
        """[kernel, bias] of a Dense layer; PyTorch's kernels are transposed."""
        return [self.read(f"{name}.weight").T, self.read(f"{name}.bias")]

    def norm(self, name):
        """[gamma, beta] of a layer normalisation."""
        return [self.read(f"{name}.weight"), self.read(f"{name}.bias")]

    def fill(self, part, values, prefix):
        """Gives a layer its weights.

        Raises:
            UserError: a shape is not the one that config.json describes.
        """
        for value, weight in zip(values, part.get_weights()):
            if value.shape != weight.shape:
                raise UserError(
                    f"{self.folder}: {prefix}{part.name} has shape {list(value.shape)}, but "
                    f"config.json describes {list(weight.shape)}; download the checkpoint again"
                )
        part.set_weights(values)
