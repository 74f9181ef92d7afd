"""Fluctuations between the replicates of a simulation, in the form of the theory's: covariances times d."""

import numpy as np
import xarray as xr

from gmsym.comparison.entries import entries
from gmsym.errors import InputError


def measured_fluctuations(runs: xr.Dataset) -> xr.Dataset:
    """d times the covariance over replicates of (Q, m, M, trained), or (Q_b, m_b, M_b, trained), as `gm.fluctuations` predicts it.

    Returns:
        mean (time, statistic), covariance (time, statistic, statistic_b) with its standard error covariance_error (from the fourth
        moments), and two_time (time, time_b, statistic, statistic_b).

    Raises:
        InputError: `runs` is not a simulation of online SGD with its replicates.
    """
    if not isinstance(runs, xr.Dataset) or "Q_runs" not in runs or "step" not in runs.attrs:
        raise InputError("runs: a simulation of online SGD with the values of its replicates is needed (gm.simulate_online)")
    statistics = ("Q_b", "m_b", "M_b", "trained") if "Q_b" in runs else ("Q", "m", "M", "trained")
    found = entries(runs, [name for name in statistics if name in runs])
    values = np.stack([entry.of(runs, "_runs").values for entry in found], axis=-1)  # (replicate, time, statistic)
    centred = np.sqrt(runs.attrs["d"]) * (values - values.mean(axis=0))
    count = len(values)
    two_time = np.einsum("rti,rsj->tsij", centred, centred) / (count - 1)
    products = np.einsum("rti,rtj->rtij", centred, centred)
    covariance = products.sum(axis=0) / (count - 1)
    square = ("time", "statistic", "statistic_b")
    names, times = [entry.label for entry in found], runs["time"].values
    return xr.Dataset(
        {
            "mean": (square[:2], values.mean(axis=0)),
            "covariance": (square, covariance),
            "covariance_error": (square, products.std(axis=0, ddof=1) / np.sqrt(count)),
            "two_time": (("time", "time_b", *square[1:]), two_time),
        },
        {"time": times, "time_b": times, "statistic": names, "statistic_b": names},
        {"kind": "fluctuations", **{name: runs.attrs[name] for name in ("problem", "step", "d", "replicates")}},
    )
