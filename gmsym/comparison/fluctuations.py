"""Fluctuations between the replicates of a simulation, in the form of the theory's: covariances times d."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import xarray as xr

from gmsym.comparison._tables import as_html, as_text
from gmsym.comparison.compare import check_same_problem, default_times
from gmsym.comparison.entries import entries
from gmsym.errors import InputError

_ALLOWED = 4.0  # standard errors by which the largest of all covariances may be off


class CovarianceRow(NamedTuple):
    """One entry of the covariance at one time, times d."""

    first: str
    second: str
    time: float
    theory: float
    simulation: float
    standard_error: float
    z: float


@final
@dataclass(frozen=True, eq=False, repr=False)
class FluctuationComparison:
    """Predicted and measured covariances, d times those over replicates, of the statistics of online SGD at `times`."""

    rows: list[CovarianceRow]
    times: tuple[float, ...]
    title: str

    def table(self) -> list[CovarianceRow]:
        """Every entry at every time."""
        return self.rows

    @property
    def max_abs_z(self) -> float:
        """The largest score; covariances that are 0 in both have the score 0."""
        return max(abs(row.z) for row in self.rows)

    def agrees(self) -> bool:
        """Whether every covariance is within four standard errors."""
        return self.max_abs_z <= _ALLOWED

    def cells(self) -> list[list[str]]:
        """The table as text, its head first."""
        head = [["variance of", "time", "theory", "simulation", "error", "z"]]
        return head + [
            [row.first, f"{row.time:.6g}", f"{row.theory:.5f}", f"{row.simulation:.5f}", f"{row.standard_error:.5f}", f"{row.z:.1f}"]
            for row in self.rows
            if row.first == row.second
        ]

    def summary(self) -> str:
        """The verdict in words."""
        verdict = "agree" if self.agrees() else "DISAGREE"
        return f"max |z| = {self.max_abs_z:.2f} over {len(self.rows)} covariances, allowed {_ALLOWED:g}: they {verdict}"

    def __repr__(self) -> str:
        return as_text(self.title, self.cells(), self.summary())

    def _repr_html_(self) -> str:
        return as_html(self.title, self.cells(), self.summary())


def compare_fluctuations(theory: xr.Dataset, runs: xr.Dataset, *, times: Sequence[float] | None = None) -> FluctuationComparison:
    """Predicted covariances against those over the replicates of a simulation of online SGD.

    Args:
        theory: a result of `gmsym.solve` for `derive.fluctuations`.
        runs: of the same problem, with its replicates.
        times: where they are compared. Default: up to five common times after the first.

    Raises:
        InputError: different problems, or no time in common.
    """
    measured = measured_fluctuations(runs)
    check_same_problem(theory, runs)
    common = [time for time in theory["time"].values.tolist() if np.isclose(measured["time"].values, time, rtol=1e-9, atol=1e-12).any()]
    chosen = [time for time in default_times(np.array(common)) if time > 0] if times is None and common else list(times or ())
    if not chosen or any(time not in common for time in chosen):
        raise InputError(f"times = {times!r}: theory and runs have {len(common)} times in common; record the theory at runs['time']")
    rows = []
    for time in chosen:
        ours, theirs = (x.sel(time=time, method="nearest") for x in (theory, measured))
        names = ours["statistic"].values.tolist()
        for i, first in enumerate(names):
            for second in names[i:]:
                place = {"statistic": first, "statistic_b": second}
                values = [float(x[name].sel(place)) for x in (ours, theirs) for name in ("covariance", "covariance_error")]
                gap, error = values[2] - values[0], math.hypot(values[1], values[3])
                z = gap / error if error > 1e-12 else 0.0 if abs(gap) < 1e-9 else math.inf
                rows.append(CovarianceRow(first, second, time, values[0], values[2], error, z))
    about = runs.attrs
    title = f"{about['problem']}, d = {about['d']}, {about['replicates']} replicates, covariances times d"
    return FluctuationComparison(rows, tuple(chosen), title)


def measured_fluctuations(runs: xr.Dataset) -> xr.Dataset:
    """d times the covariance over replicates of (Q, m, M, trained), or (Q_b, m_b, M_b, trained), as `derive.fluctuations` predicts it.

    Returns:
        mean (time, statistic), covariance (time, statistic, statistic_b) with its standard error covariance_error (from the fourth
        moments), and two_time (time, time_b, statistic, statistic_b).

    Raises:
        InputError: `runs` is not a simulation of online SGD with its replicates.
    """
    if not isinstance(runs, xr.Dataset) or "Q_runs" not in runs or "step" not in runs.attrs:
        raise InputError("runs: a simulation of online SGD with the values of its replicates is needed")
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
