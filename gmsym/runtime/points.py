"""Point sets that stand for N(0, I): scrambled Sobol points, plain Monte Carlo, and whitening. Source: theory.md 2.

All are made on the host in float64, with one row a dimension, so that one dimension of all points is contiguous.
"""

from numbers import Integral

import numpy as np
from scipy import linalg, special
from scipy.stats import qmc

from gmsym.errors import InputError

_HALF_CELL = 2.0**-31  # Sobol points lie on a grid of 2^-30 that includes 0


def sobol(samples: int, dimensions: int, seed: int, kept: int | None = None) -> np.ndarray:
    """Scrambled Sobol points in normal coordinates, (dimensions, samples), or the first `kept` dimensions of them.

    The sequence is not nested in `dimensions`: ask once for as many as will be needed.

    Raises:
        InputError: `samples` is not a power of two, or `dimensions` is outside 1..21201.
    """
    _check(samples, dimensions, seed)
    if samples & (samples - 1):
        raise InputError(f"samples = {samples}: scrambled Sobol points need a power of two, such as {2 ** (samples.bit_length() - 1)}")
    if dimensions > qmc.Sobol.MAXDIM:
        raise InputError(f"dimensions = {dimensions}: Sobol points have at most {qmc.Sobol.MAXDIM} dimensions")
    uniform = qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng(seed)).random(samples)
    return special.ndtri(np.clip(uniform[:, :kept].T, _HALF_CELL, 1 - _HALF_CELL, order="C"))


def monte_carlo(samples: int, dimensions: int, seed: int) -> np.ndarray:
    """Independent normal points, (dimensions, samples).

    Raises:
        InputError: `samples` or `dimensions` is not a positive integer.
    """
    _check(samples, dimensions, seed)
    return np.random.default_rng(seed).standard_normal((dimensions, samples))


def whiten(points: np.ndarray) -> np.ndarray:
    """`points`, (dimensions, samples), mapped linearly to sample mean 0 and sample covariance I.

    Row j of the result depends on the rows up to j only.

    Raises:
        InputError: not more samples than dimensions.
    """
    dimensions, samples = points.shape
    if samples <= dimensions:
        raise InputError(f"samples = {samples}: more than the {dimensions} dimensions are needed to whiten a point set")
    centred = points - points.mean(axis=1, keepdims=True)
    # Without BLAS, whose threads wait for each other longer than so thin a product takes.
    root = np.linalg.cholesky(np.einsum("in,jn->ij", centred, centred) / samples)
    return linalg.solve_triangular(root, centred, lower=True)


def whitened_sobol(samples: int, dimensions: int, seed: int) -> np.ndarray:
    """Scrambled Sobol points in normal coordinates with sample mean 0 and sample covariance I, (dimensions, samples).

    Raises:
        InputError: as `sobol` and `whiten`.
    """
    return np.ascontiguousarray(whiten(sobol(samples, dimensions, seed)))


def _check(samples: int, dimensions: int, seed: int) -> None:
    for name, value, least in (("samples", samples, 1), ("dimensions", dimensions, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise InputError(f"{name} = {value!r}: an integer of at least {least} is needed")
