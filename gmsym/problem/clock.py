"""The times at which a flow is recorded, the same in theory and simulation."""

from collections.abc import Sequence
from numbers import Real

import numpy as np

from gmsym.errors import InputError, check_integers, check_positive


def flow_times(time: float | Sequence[float], points: int) -> np.ndarray:
    """Increasing times from 0 (N,): those given, or `points` of them up to `time`, evenly spaced in log(1 + t), to six digits.

    Raises:
        InputError: an argument out of range.
    """
    if isinstance(time, Real) or np.ndim(time) == 0:
        last = check_positive("time", time, "a positive number is needed, the final time of the flow")
        check_integers(points=(points, 2))
        spaced = np.expm1(np.linspace(0, np.log1p(last), points))
        times = np.array([float(f"{t:.6g}") for t in spaced[:-1]] + [last])
    else:
        try:
            times = np.asarray(time, dtype=float)
        except (TypeError, ValueError):
            times = np.zeros(0)
    if times.ndim != 1 or len(times) < 2 or not np.isfinite(times).all() or times[0] != 0 or (np.diff(times) <= 0).any():
        raise InputError(f"time = {repr(time)[:60]}: a final time, or increasing times from 0, are needed")
    return times
