"""The export stands alone: a C program captions with it, without Python and without keras_sat."""

import shutil
import subprocess
from pathlib import Path

import pytest
import tensorflow as tf
import tensorflow_text
from tensorflow.core.protobuf import saved_model_pb2

from keras_sat.data import scenes
from keras_sat.exporting.saved_model import export

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
SOURCE = Path(__file__).with_name("captioner.c")
PACKAGE = Path(tf.__file__).parent
LIBRARIES = ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2")


def compiled(folder):
    program = folder / "captioner"
    includes = [f"-I{tf.sysconfig.get_include()}", f"-I{PACKAGE}/include/tensorflow"]
    libraries = [f"-L{PACKAGE}", *(f"-l:{name}" for name in LIBRARIES)]
    run_path = f"-Wl,-rpath,{PACKAGE},--disable-new-dtags"
    command = [COMPILER, *includes, str(SOURCE), "-o", str(program), *libraries, run_path]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return program


def operations(folder):
    """The operations of serving_default's picture and caption."""
    model = saved_model_pb2.SavedModel()
    model.ParseFromString((folder / "saved_model.pb").read_bytes())
    signature = model.meta_graphs[0].signature_def["serving_default"]
    picture = signature.inputs["image_bytes"].name
    caption = signature.outputs["caption"].name
    assert (picture[-2:], caption[-2:]) == (":0", ":0"), "the first outputs of their operations"
    return picture[:-2], caption[:-2]


@pytest.mark.skipif(COMPILER is None, reason="no C compiler (cc, gcc or clang) is installed")
def test_a_c_program_captions_as_the_export_does(run, tmp_path):
    folder = export(run, tmp_path / "model")
    picture = tmp_path / "picture.png"
    picture.write_bytes(scenes.draw(scenes.scene_id("val", 1), seed=1).image)
    loaded = tf.saved_model.load(str(folder))
    answer = loaded.signatures["serving_default"](image_bytes=tf.constant([picture.read_bytes()]))
    ops = sorted((Path(tensorflow_text.__file__).parent / "python" / "ops").glob("*.so"))
    command = [compiled(tmp_path), folder, picture, *operations(folder), *ops]
    result = subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, cwd=tmp_path, env={}
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == answer["caption"][0].numpy().decode()
    assert result.stdout.strip(), "a caption with words"
