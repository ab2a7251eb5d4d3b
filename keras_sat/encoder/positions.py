"""Positions of a Vision Transformer's patches, interpolated for pictures of another size."""

import numpy as np

# The coefficients of PyTorch's bicubic interpolation, without and with `antialias`.
_CUBIC = -0.75
_CUBIC_ANTIALIASED = -0.5


def interpolated(positions, side, antialias=False):
    """Vectors of a square grid of positions for a grid of another size, as PyTorch's bicubic.

    Args:
        positions: [n · n, D].
        side: the side of the new grid.
        antialias: see PyTorch's `interpolate`.

    Returns:
        [side · side, D].
    """
    before = round(len(positions) ** 0.5)
    if before == side:
        return positions
    weights = _cubic_weights(before, side, antialias)
    grid = positions.reshape(before, before, -1).astype(np.float64)
    resized = np.einsum("ia,jb,abd->ijd", weights, weights, grid)
    return resized.reshape(side * side, -1).astype(np.float32)


def _cubic_weights(before, after, antialias):
    """The matrix [after, before] of cubic convolution with half-pixel centres.

    Outside of the grid its edges are repeated; with `antialias` nothing is there, the kernel grows
    with the scale, and each row is normalised.
    """
    stretch = max(before / after, 1.0) if antialias else 1.0
    reach = int(np.ceil(2 * stretch))
    weights = np.zeros([after, before])
    for target in range(after):
        centre = (target + 0.5) * before / after - 0.5
        middle = int(np.floor(centre))
        for source in range(middle - reach + 1, middle + reach + 1):
            coefficient = _CUBIC_ANTIALIASED if antialias else _CUBIC
            share = _cubic(abs(centre - source) / stretch, coefficient)
            if not antialias or 0 <= source < before:
                weights[target, min(max(source, 0), before - 1)] += share
    return weights / weights.sum(axis=1, keepdims=True)


def _cubic(distance, a):
    """Keys' cubic convolution kernel with the coefficient a."""
    if distance <= 1:
        return (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    if distance < 2:
        return a * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    return 0.0
