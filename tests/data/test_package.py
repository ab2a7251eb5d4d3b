import subprocess
import sys

import pytest

import keras_sat.data

WITHOUT_TENSORFLOW = """
import sys
import keras_sat.pictures.proposals
from keras_sat.data import Record, open_prepared, prepared

assert "tensorflow" not in sys.modules
assert open_prepared is prepared.open_prepared
"""


def test_what_needs_no_tensorflow_does_not_import_it():
    subprocess.run([sys.executable, "-c", WITHOUT_TENSORFLOW], check=True)


def test_every_public_name_is_found():
    assert set(keras_sat.data.__all__) <= set(dir(keras_sat.data))
    for name in keras_sat.data.__all__:
        assert getattr(keras_sat.data, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = keras_sat.data.nothing
