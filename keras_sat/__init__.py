"""Attention captioners on TensorFlow/Keras: from a folder of pictures to a served endpoint."""

import os

from keras_sat.utils.lazy import lazy_names

# TensorFlow's start-up notices in C++ hide the one line that matters. Its errors reach Python as
# exceptions anyway.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow's default allocator on the CPU returns the memory of every large tensor to the system,
# and each step then pays for fresh pages: beam search over 14×14 regions takes 1.6 times as long.
os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")

__version__ = "0.1.0"

# {public name: its module}. Modules are imported at first use, because most need TensorFlow.
_MODULES = {
    "build_captioner": "keras_sat.models",
    "caption_files": "keras_sat.runs.captioning",
    "list_pictures": "keras_sat.pictures.reading",
    "load": "keras_sat.api.loading",
    "load_captioner": "keras_sat.runs.loading",
    "load_model": "keras_sat.runs.loading",
    "open_prepared": "keras_sat.data.prepared",
    "open_run": "keras_sat.runs.run",
    "open_runs": "keras_sat.runs.ensemble",
}
_SUBMODULES = ("config", "data", "layers", "models")
__getattr__, __dir__, __all__ = lazy_names(__name__, _MODULES, _SUBMODULES)
