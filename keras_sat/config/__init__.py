"""An experiment as frozen dataclasses, read from YAML and checked. Imports no TensorFlow."""

from keras_sat.config.experiment import (
    CONFIGS,
    Experiment,
    as_dict,
    find,
    from_values,
    load,
    to_yaml,
    with_decoding,
)
from keras_sat.config.sections import (
    Data,
    Decoding,
    Encoder,
    FineTuning,
    Prepare,
    Proposals,
    Push,
    Scores,
    Shares,
    Training,
)
from keras_sat.config.systems import SYSTEMS, Areas, Hard, ShowAndTell, Soft, Transformer

__all__ = [
    "CONFIGS",
    "SYSTEMS",
    "Areas",
    "Data",
    "Decoding",
    "Encoder",
    "Experiment",
    "FineTuning",
    "Hard",
    "Prepare",
    "Proposals",
    "Push",
    "Scores",
    "Shares",
    "ShowAndTell",
    "Soft",
    "Training",
    "Transformer",
    "as_dict",
    "find",
    "from_values",
    "load",
    "to_yaml",
    "with_decoding",
]
