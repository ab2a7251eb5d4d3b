"""What captioners read: the record format, batches from it, and the built-in data set."""

import importlib

# {public name: its module}. Modules are imported at first use, because only some need TensorFlow.
_MODULES = {
    "Record": "keras_sat.data.record",
    "evaluation_batches": "keras_sat.data.input_pipeline",
    "open_prepared": "keras_sat.data.prepared",
    "read_records": "keras_sat.data.reading",
    "training_batches": "keras_sat.data.input_pipeline",
}
__all__ = list(_MODULES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__():
    return sorted([*globals(), *_MODULES])
