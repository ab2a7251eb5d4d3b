"""Optional packages: one function per package, with an error that says how to install it."""

from keras_sat.utils.errors import UserError

_OPENCV_CONTRIB = "opencv-contrib-python-headless==4.11.0.86"


def ximgproc():
    """OpenCV's `cv2.ximgproc`. Without the contrib modules it is missing or has no content.

    Raises:
        UserError: the contrib modules are not installed.
    """
    try:
        from cv2 import ximgproc

        _ = ximgproc.createEdgeBoxes, ximgproc.segmentation
    except (ImportError, AttributeError) as error:
        raise UserError(
            "object proposals need OpenCV's contrib modules, which are not installed: "
            f"pip install --force-reinstall --no-deps {_OPENCV_CONTRIB}"
        ) from error
    return ximgproc
