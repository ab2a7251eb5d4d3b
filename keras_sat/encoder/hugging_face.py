"""Vision Transformers from Hugging Face's checkpoint folders, without PyTorch.

A folder holds config.json, model.safetensors (or its shards and their index) and, mostly,
preprocessor_config.json, whose mean and deviation are used. ViT and DeiT, the vision towers of CLIP
and SigLIP, and DINOv2 with or without registers are read.
"""

from typing import NamedTuple

import keras
import numpy as np

from keras_sat.encoder.checkpoint import AGAIN, Checkpoint, folder_of
from keras_sat.encoder.positions import interpolated
from keras_sat.layers import PatchMap, PatchTokens, VisionBlock
from keras_sat.layers.vision_block import ACTIVATIONS
from keras_sat.utils.errors import UserError, nearest
from keras_sat.utils.json_files import read_json

_HALF = (0.5, 0.5, 0.5)  # mean and deviation where a checkpoint names none


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
        activation: where config.json, which may leave defaults out, names none.
        epsilon: of the norms, likewise.
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
    activation: str = "gelu"
    epsilon: float = 1e-6


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
    epsilon=1e-12,
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
    activation="quick_gelu",
    epsilon=1e-5,
)
_SIGLIP = _CLIP._replace(
    class_tokens=(), first_norm=None, activation="gelu_pytorch_tanh", epsilon=1e-6
)
_DINO = _VIT._replace(
    prefixes=("", "dinov2.", "dinov2_with_registers."),
    norms=("norm1", "norm2"),
    mlp=("mlp.fc1", "mlp.fc2"),
    scales=("layer_scale1.lambda1", "layer_scale2.lambda1"),
    epsilon=1e-6,
)
_DISTILLED = ("embeddings.cls_token", "embeddings.distillation_token")
# {model_type of config.json: its family}
FAMILIES = {
    "vit": _VIT,
    "deit": _VIT._replace(prefixes=("", "deit."), class_tokens=_DISTILLED),
    "clip": _CLIP,
    "clip_vision_model": _CLIP,
    "siglip": _SIGLIP,
    "siglip_vision_model": _SIGLIP,
    "dinov2": _DINO,
    "dinov2_with_registers": _DINO._replace(registers="embeddings.register_tokens", antialias=True),
}


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
    folder = folder_of(name)
    config = read_json(folder / "config.json", {"type": "object"}, AGAIN)
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise UserError(
            f"{folder}/config.json: model_type: {kind!r} is not read{nearest(str(kind), FAMILIES)}"
        )
    config = config.get("vision_config") or config
    family = FAMILIES[kind]
    checkpoint = Checkpoint(folder, family.prefixes, family.positions)
    return _tower(checkpoint, family, config, pixels, layer), _standardize(folder)


def _standardize(folder):
    """The layer (pixels / 255 − mean) / deviation, by channel."""
    path = folder / "preprocessor_config.json"
    found = read_json(path, {"type": "object"}, AGAIN) if path.exists() else {}
    mean = np.array(found.get("image_mean") or _HALF)
    deviation = np.array(found.get("image_std") or _HALF)
    scale = 1 / (255 * deviation)
    offset = -mean / deviation
    return keras.layers.Rescaling(scale.tolist(), offset.tolist(), name="standardize")


def _tower(checkpoint, family, config, pixels, layer):
    """The keras.Model of a checkpoint, with its weights."""
    size, _, patch, _ = checkpoint.read(f"{family.patches}.weight").shape
    blocks = config.get("num_hidden_layers", 12)
    activation = config.get("hidden_act", family.activation)
    epsilon = config.get("layer_norm_eps", family.epsilon)
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
    if family.first_norm:
        first_norm = keras.layers.LayerNormalization(epsilon=epsilon, name="first_norm")
        tokens = first_norm(tokens)
        checkpoint.fill(first_norm, checkpoint.norm(family.first_norm), "")
    hidden_size = len(checkpoint.read(f"{family.blocks.format(0)}{family.mlp[0]}.bias"))
    for name in names[:depth]:
        block = VisionBlock(
            size,
            config.get("num_attention_heads", 12),
            hidden_size,
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
