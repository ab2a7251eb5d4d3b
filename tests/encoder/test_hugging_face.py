"""Vision Transformers read from checkpoints give what the library `transformers` gives."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from keras_sat.config import Encoder
from keras_sat.encoder.cnn import build_encoder, load_encoder, unfreeze
from keras_sat.utils.errors import UserError
from keras_sat.utils.hashing import sha256_file
from pipeline.preparation.prepare import prepare
from tests.support.settings import small_prepare

FOLDER = Path(__file__).parent / "hugging_face"
FAMILIES = ["vit", "deit", "clip", "siglip", "dinov2", "dinov2_with_registers"]
FIRST = {"deit": 2, "siglip": 0, "dinov2_with_registers": 4}  # tokens before those of the patches


def pictures(size):
    return np.random.default_rng(size).integers(0, 256, [1, size, size, 3]).astype(np.uint8)


def encoder_of(folder, size=28, layer=None):
    return build_encoder(Encoder(f"hf:{folder}", layer, image_size=size))


@pytest.mark.parametrize("layer", [None, "block_0"])
@pytest.mark.parametrize("size", [28, 42])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_tower_is_the_librarys(family, size, layer):
    """42 pixels are more than the checkpoints were made for: their positions are interpolated."""
    found = encoder_of(FOLDER / family, size, layer)(pictures(size))
    tokens = np.load(FOLDER / "answers.npz")[f"{family}_{size}_{layer or 'last'}"]
    expected = tokens[:, FIRST.get(family, 1) :].reshape(1, size // 7, size // 7, 24)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["vit", "clip", "siglip", "dinov2"])
def test_config_json_may_leave_the_librarys_defaults_out(family, tmp_path):
    """As google/siglip-base-patch16-224 does. Sizes are those of the tensors."""
    folder = copy(family, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    for name in ("hidden_act", "layer_norm_eps", "hidden_size", "patch_size"):
        config.pop(name)
    (folder / "config.json").write_text(json.dumps(config))
    found = encoder_of(folder)(pictures(28))
    np.testing.assert_array_equal(found, encoder_of(FOLDER / family)(pictures(28)))


def test_a_saved_encoder_reads_back_and_is_trusted(tmp_path):
    encoder = encoder_of(FOLDER / "dinov2_with_registers")
    encoder.save(tmp_path / "encoder.keras")
    again = load_encoder(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(again(pictures(28)), encoder(pictures(28)))


def test_a_data_set_is_prepared_with_it(tmp_path):
    config = small_prepare(
        source="train=4,val=2", encoder={"name": f"hf:{FOLDER}/clip", "image_size": 28}
    )
    prepare(config, tmp_path / "data")
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    assert manifest["encoder"]["feature_shape"] == [4, 4, 24]


def test_a_data_set_of_another_checkpoint_is_not_taken_for_it(tmp_path):
    folder = copy("clip", tmp_path)
    config = small_prepare(
        source="train=4,val=2", encoder={"name": f"hf:{folder}", "image_size": 28}
    )
    prepare(config, tmp_path / "data")
    prepare(config, tmp_path / "data")  # it is there
    tensors = load_file(folder / "model.safetensors")
    tensors["vision_model.post_layernorm.bias"] += 1
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"prepared with other settings \(weights\)"):
        prepare(config, tmp_path / "data")


def test_its_last_blocks_can_be_trained():
    encoder = encoder_of(FOLDER / "vit")
    unfreeze(encoder, "block_1", "frozen")
    of_block = len(encoder.get_layer("vision_transformer").get_layer("block_1").weights)
    assert len(encoder.trainable_weights) == of_block + 2  # and the last norm


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_read(dtype, tmp_path):
    shutil.copytree(FOLDER / "siglip", tmp_path / "half")
    path = tmp_path / "half" / "model.safetensors"
    halves = {name: value.astype(np.dtype(dtype)) for name, value in load_file(path).items()}
    save_file(halves, path)
    found = encoder_of(tmp_path / "half")(pictures(28))
    full = encoder_of(FOLDER / "siglip")(pictures(28))
    assert 0 < np.max(np.abs(found - full)) < 0.2


def copy(family, tmp_path):
    return Path(shutil.copytree(FOLDER / family, tmp_path / family))


def a_shard_is_missing(tmp_path):
    folder = copy("vit", tmp_path)
    (folder / "model-00002-of-00003.safetensors").unlink()
    return folder


def a_shape_is_wrong(tmp_path):
    folder = copy("clip", tmp_path)
    tensors = load_file(folder / "model.safetensors")
    name = "vision_model.encoder.layers.1.mlp.fc2.weight"
    tensors[name] = np.ascontiguousarray(tensors[name][:, :30])
    save_file(tensors, folder / "model.safetensors")
    return folder


def a_tensor_is_missing(tmp_path):
    folder = copy("clip", tmp_path)
    tensors = load_file(folder / "model.safetensors")
    del tensors["vision_model.pre_layrnorm.weight"]
    save_file(tensors, folder / "model.safetensors")
    return folder


def the_file_is_cut(tmp_path):
    folder = copy("clip", tmp_path)
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:1000])
    return folder


def of_another_kind(tmp_path):
    folder = copy("vit", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "swin"}))
    return folder


def a_pickle(tmp_path):
    folder = copy("clip", tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    return folder


@pytest.mark.parametrize(
    "broken, message",
    [
        (a_shard_is_missing, r"model-00002-of-00003\.safetensors: is missing; download"),
        (a_shape_is_wrong, r"clip: .*contract has shape \[30, 24\], .* describes \[40, 24\]"),
        (a_tensor_is_missing, r"clip: lacks the tensor vision_model\.pre_layrnorm\.weight"),
        (the_file_is_cut, r"model\.safetensors: cannot be read .*download"),
        (of_another_kind, r"config\.json: model_type: 'swin' is not read"),
        (a_pickle, r"pytorch_model\.bin: is a pickle, .* safe_serialization=True"),
        (lambda _: "/no/such/folder", r"hf:/no/such/folder: no such folder"),
    ],
)
def test_a_broken_folder_is_one_line(broken, message, tmp_path):
    with pytest.raises(UserError, match=message):
        encoder_of(broken(tmp_path))


def test_a_size_that_patches_do_not_fill_and_a_layer_that_is_not_there():
    with pytest.raises(UserError, match=r"image_size: 30 is no multiple .* 7 pixels; take 28"):
        encoder_of(FOLDER / "vit", size=30)
    with pytest.raises(UserError, match=r"no layer 'block_9'; did you mean block_"):
        encoder_of(FOLDER / "vit", layer="block_9")


def test_reading_changes_no_file(tmp_path):
    folder = copy("clip", tmp_path)
    before = {path.name: sha256_file(path) for path in folder.iterdir()}
    encoder_of(folder)
    assert before == {path.name: sha256_file(path) for path in folder.iterdir()}
