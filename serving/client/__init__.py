"""The client of a captioner that TensorFlow Serving or `keras-sat serve` serves.

It is a class, `CaptionClient`, and a command, `keras-sat client`. The public names are
imported when they are first used, so that the command's `--help` needs no TensorFlow and no gRPC.
"""

import importlib

_MODULES = {
    "AttentionAnswer": "serving.client.answers",
    "CaptionAnswer": "serving.client.answers",
    "CaptionClient": "serving.client.client",
    "ScoreAnswer": "serving.client.answers",
}
__all__ = list(_MODULES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__():
    return sorted({*globals(), *__all__})
