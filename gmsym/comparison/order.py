"""The order at which a gap closes as the size grows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gmsym.errors import InputError


class Order(NamedTuple):
    """gap ~ size^exponent, with the standard error of the exponent."""

    exponent: float
    standard_error: float


def fit_order(sizes: Sequence[float], gaps: Sequence[float]) -> Order:
    """Least-squares slope of log gap against log size; finite-size fluctuations give -1/2, finite-size bias -1.

    Args:
        sizes: n or d, at least three different ones, (S,).
        gaps: a gap at each size, (S,), positive.

    Raises:
        InputError: fewer than three sizes, different lengths, or a value that is not positive and finite.
    """
    x, y = np.asarray(sizes, dtype=float), np.asarray(gaps, dtype=float)
    for name, values in (("sizes", x), ("gaps", y)):
        if values.ndim != 1 or not np.all(np.isfinite(values) & (values > 0)):
            raise InputError(f"{name} = {values.tolist()}: a sequence of positive finite numbers is needed")
    if len(x) != len(y) or len(np.unique(x)) < 3:
        raise InputError(f"{len(np.unique(x))} different sizes and {len(y)} gaps: three different sizes or more are needed, a gap for each")
    x, y = np.log(x) - np.log(x).mean(), np.log(y) - np.log(y).mean()
    exponent = (x @ y) / (x @ x)
    residual = y - exponent * x
    return Order(float(exponent), float(np.sqrt(residual @ residual / (len(x) - 2) / (x @ x))))
