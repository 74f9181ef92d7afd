"""A spectrum of the limit against eigenvalues at finite size: distance of distributions, outliers matched by rank on each side."""

import json
import math
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import xarray as xr

from gmsym.comparison._tables import Rows, as_html, as_text
from gmsym.comparison.compare import check_same_problem
from gmsym.errors import InputError

_ALLOWED = 4.0  # standard errors by which an outlier may be off
_RIGID = 15.0  # distance times d that is allowed; of the catalog it is 2 to 9 whatever d is, of a wrong law it grows like d
_ZERO = 1e-9  # eigenvalues that small, relative to the largest, are those of the atom at 0


class OutlierRow(NamedTuple):
    """One outlier; errors are standard errors over replicates."""

    side: str  # "left", "right" or "gap"
    z: float
    simulated: float
    standard_error: float
    overlap: float
    simulated_overlap: float
    overlap_standard_error: float

    @property
    def scores(self) -> tuple[float, float]:
        """Gap over standard error, of the location and of the overlap; infinite where there is a gap and no error."""
        location = _score(self.simulated - self.z, self.standard_error)
        return location, _score(self.simulated_overlap - self.overlap, self.overlap_standard_error)


def _score(gap: float, error: float) -> float:
    return gap / error if error else math.copysign(math.inf, gap) if gap else 0.0


@final
@dataclass(frozen=True, eq=False, repr=False)
class SpectrumComparison:
    """A spectrum of the limit beside eigenvalues of generated matrices.

    Attributes:
        distances: largest difference of the distribution functions, one a replicate; None for extreme eigenvalues only.
        outliers: each outlier with its counterpart; the theory is a limit, so that a shift of order 1/d of its own size, `1/d` of the
            value, counts as a standard error.
        d: dimension of the matrices.
    """

    distances: np.ndarray | None
    outliers: list[OutlierRow]
    d: int
    title: str

    def table(self) -> list[OutlierRow]:
        """The outliers."""
        return Rows(self.outliers)

    @property
    def scores(self) -> list[float]:
        """Score of the location and of the overlap of each outlier, with the shift of order 1/d allowed for."""
        found = []
        for row in self.outliers:
            found.append(_score(row.simulated - row.z, math.hypot(row.standard_error, row.z / self.d)))
            if not math.isnan(row.simulated_overlap):
                found.append(_score(row.simulated_overlap - row.overlap, math.hypot(row.overlap_standard_error, 1 / self.d)))
        return found

    @property
    def max_abs_z(self) -> float:
        """The largest score, 0 without outliers."""
        return max((abs(z) for z in self.scores), default=0.0)

    def agrees(self) -> bool:
        """Whether every outlier is within four standard errors, and the mean distance times d within 15."""
        near = self.distances is None or float(self.distances.mean()) * self.d <= _RIGID
        return near and bool(self.max_abs_z <= _ALLOWED)  # False where an outlier has no counterpart

    def cells(self) -> list[list[str]]:
        """The table as text, its head first."""
        lines = [["outlier", "z", "simulated", "error", "overlap", "simulated", "error", "score", "score of overlap"]]
        for row in self.outliers:
            numbers = (row.z, row.simulated, row.standard_error, row.overlap, row.simulated_overlap, row.overlap_standard_error)
            lines.append([row.side, *(f"{x:.5f}" for x in numbers), *(f"{x:.1f}" for x in row.scores)])
        return lines

    def summary(self) -> str:
        """The verdict in words."""
        apart = "" if self.distances is None else f"distance times d = {float(self.distances.mean()) * self.d:.2f}, allowed {_RIGID:g}; "
        return f"{apart}max |z| = {self.max_abs_z:.2f}, allowed {_ALLOWED:g}: they {'agree' if self.agrees() else 'DISAGREE'}"

    def __repr__(self) -> str:
        return as_text(self.title, self.cells(), self.summary())

    def _repr_html_(self) -> str:
        return as_html(self.title, self.cells(), self.summary())


def compare_spectra(theory: xr.Dataset, runs: xr.Dataset) -> SpectrumComparison:
    """A spectrum against the eigenvalues of generated matrices of the same problem, at the same state.

    Raises:
        InputError: results of different problems, states or matrices; fewer than two replicates; a spectrum on a given grid.
    """
    check_same_problem(theory, runs)
    for name in ("matrix", "block"):
        if theory.attrs.get(name) != runs.attrs.get(name):
            raise InputError(f"theory and runs differ in {name}: {theory.attrs.get(name)!r} and {runs.attrs.get(name)!r}")
    ours, theirs = (json.loads(x.attrs["state"]) for x in (theory, runs))
    if ours.keys() != theirs.keys() or not all(np.allclose(ours[name], theirs[name], rtol=1e-9, atol=1e-12) for name in ours):
        raise InputError("theory and runs are at different states; give both the same m and Q")
    distances = None if "extreme" in runs.attrs else kolmogorov(theory, runs)
    about = runs.attrs
    title = f"{about['problem']}, {about['matrix']}, n = {about['n']}, d = {about['d']}, {about['replicates']} replicates"
    return SpectrumComparison(distances, outlier_table(theory, runs), int(about["d"]), title)


def kolmogorov(theory: xr.Dataset, runs: xr.Dataset) -> np.ndarray:
    """Largest difference of the distribution functions of eigenvalues, one a replicate; it falls like 1/d.

    Args:
        theory: a result of `gmsym.solve` for a spectrum on its own points.
        runs: all eigenvalues, of `gmsym.simulate` for the spectrum.

    Raises:
        InputError: a spectrum on a given grid, or extreme eigenvalues only.
    """
    if "extreme" in runs.attrs:
        raise InputError("runs holds extreme eigenvalues only; the distance needs all of them")
    ends, masses = _cumulative(theory)
    atom, zeros = float(theory["atom"]), int(runs.attrs["zeros"])
    distances = []
    for values in runs["eigenvalue"].values:
        resolved = _ZERO * np.abs(values).max()
        small = np.abs(values) < resolved
        points = np.unique(np.concatenate([np.where(small, 0.0, values), np.zeros(zeros)]))
        every = np.sort(np.concatenate([np.where(small, 0.0, values), np.zeros(zeros)]))
        beside = np.where(points == 0, resolved, 0.0)  # bulk that close to 0 counts as 0, too
        low, high = (np.interp(points + sense * beside, ends, masses, left=0.0, right=masses[-1]) for sense in (-1, 1))
        below, upto = (np.searchsorted(every, points, side=side) / len(every) for side in ("left", "right"))
        distances.append(max(np.abs(low + atom * (points > 0) - below).max(), np.abs(high + atom * (points >= 0) - upto).max()))
    return np.array(distances)


def outlier_table(theory: xr.Dataset, runs: xr.Dataset) -> list[OutlierRow]:
    """Each outlier with its counterpart, the eigenvalue of its rank: from the ends outside the bulk, by overlap within a gap.

    Raises:
        InputError: fewer than two replicates.
    """
    if runs.sizes["replicate"] < 2:
        raise InputError(f"runs has {runs.sizes['replicate']} replicate; two or more are needed for standard errors")
    edges, gaps = theory["edge"].values, theory["gap"].values
    rows = []
    for gap in np.unique(gaps):
        chosen = np.flatnonzero(gaps == gap)
        pairs = zip(runs["eigenvalue"].values, runs["overlap"].values, strict=True)
        found = [_counterparts(v, o, len(chosen), edges, gap) for v, o in pairs]
        values, overlaps = (np.array([pair[i] for pair in found]) for i in (0, 1))
        side = "left" if gap == 0 else "right" if gap == len(edges) else "gap"
        for rank, index in enumerate(chosen):
            statistics = [(x[:, rank].mean(), x[:, rank].std(ddof=1) / np.sqrt(len(x))) for x in (values, overlaps)]
            own = float(theory["outlier_z"][index]), float(theory["overlap"][index])
            rows.append(OutlierRow(side, own[0], *map(float, statistics[0]), own[1], *map(float, statistics[1])))
    return rows


def _counterparts(values: np.ndarray, overlaps: np.ndarray, count: int, edges: np.ndarray, gap: int) -> tuple[np.ndarray, np.ndarray]:
    if gap == 0:
        return values[:count], overlaps[:count]
    if gap == len(edges):
        return values[-count:], overlaps[-count:]
    low, high = edges[gap - 1, 1], edges[gap, 0]
    inside = np.flatnonzero((values > low - 0.1 * (high - low)) & (values < high + 0.1 * (high - low)))
    if len(inside) < count:
        return np.full(count, np.nan), np.full(count, np.nan)
    best = np.sort(inside[np.argsort(overlaps[inside])[-count:]])
    return values[best], overlaps[best]


def _cumulative(theory: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Points and the mass of the bulk up to them: ends of the cells of the points, whose widths are proportional to the weights."""
    z, weight, density = (theory[name].values for name in ("z", "weight", "density"))
    if not weight.any():
        raise InputError("theory is on a given grid; the distance needs the spectrum on its own points")
    ends, masses, total = [], [], 0.0
    for low, high in theory["edge"].values:
        inside = (z >= low) & (z <= high)
        widths = weight[inside]
        a = low if np.isfinite(low) else z[inside][0] - widths[0] / 2
        b = high if np.isfinite(high) else z[inside][-1] + widths[-1] / 2
        ends.append(a + (b - a) * np.concatenate([[0.0], np.cumsum(widths) / widths.sum()]))
        masses.append(total + np.concatenate([[0.0], np.cumsum(weight[inside] * density[inside])]))
        total = masses[-1][-1]
    return np.concatenate(ends), np.concatenate(masses)
