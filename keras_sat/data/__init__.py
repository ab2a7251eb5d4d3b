"""What captioners read: the record format, batches from it, and the built-in data set."""

from keras_sat.utils.lazy import lazy_names

# {public name: its module}. Modules are imported at first use, because only some need TensorFlow.
_MODULES = {
    "Record": "keras_sat.data.record",
    "batches": "keras_sat.data.epochs",
    "evaluation_batches": "keras_sat.data.input_pipeline",
    "open_prepared": "keras_sat.data.prepared",
    "read_records": "keras_sat.data.reading",
    "training_batches": "keras_sat.data.input_pipeline",
}
__getattr__, __dir__, __all__ = lazy_names(__name__, _MODULES)
