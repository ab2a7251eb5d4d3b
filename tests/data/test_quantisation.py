import numpy as np
import pytest

from keras_sat.data.quantisation import dequantise, quantise

REGIONS = np.random.default_rng(0).normal(-0.2, 1.0, [49, 256]).astype(np.float32)


@pytest.mark.parametrize("quantisation, limit", [("uint8", 0.01), ("float16", 0.001)])
def test_the_error_of_quantisation_is_bounded(quantisation, limit):
    constant = [np.zeros_like(REGIONS), np.full_like(REGIONS, -7.5)]
    for regions in (REGIONS, np.maximum(REGIONS, 0), 1e3 * REGIONS, *constant):
        values, minimum, scale = quantise(regions, quantisation)
        error = np.linalg.norm(dequantise(values, minimum, scale) - regions)
        assert error <= limit * np.linalg.norm(regions)
        assert values.dtype == quantisation
