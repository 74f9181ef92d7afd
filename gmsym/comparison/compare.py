"""A theory against a simulation of the same problem: the gap, its standard error, how many of them it is, and the verdict."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, NamedTuple, NoReturn, final

import numpy as np
import xarray as xr
from scipy.special import ndtri, stdtr

from gmsym.comparison._tables import Rows, as_html, as_text
from gmsym.comparison.entries import entries
from gmsym.errors import InputError
from gmsym.schema import parameters_of, said, swept, variables

_EXACT = 4.0  # stated errors by which a theory may be off an exact value
ROUNDING = 1e-9  # relative to max(1, largest value): below this a value counts as exact, and a gap as none
LEVEL = 0.01  # chance that a true theory is rejected


class Row(NamedTuple):
    """One curve at one time; gap = simulation - theory."""

    entry: str
    time: float  # a step, or the real time of online SGD
    theory: float
    simulation: float
    gap: float
    standard_error: float
    z: float


@final
@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What `compare` returns.

    `gap`, `standard_error` and `z` are Datasets over all common times, with the variables of the schema. z is the gap in standard errors,
    brought to the normal scale: a standard error from few replicates is itself uncertain, so gap/standard_error follows Student's t, with
    Welch's degrees of freedom when theory and simulation both contribute; z is the normal quantile of the same tail probability, and 3
    is equally rare whatever the number of replicates. Where the simulation is exact (the state at time 0) z is 0, or infinite if the theory
    is off by more than four of its stated errors, rounding, and what the shares n_k/n and d_b/d of the two results differ by.

    The summary and the verdict look at `times` only. Curves at neighbouring times and curves of one state are strongly correlated; no
    average over them has a known law, so `rms_z` (about 1 for a true theory) is for reading, and `agrees` uses the largest |z|.
    """

    theory: xr.Dataset
    runs: xr.Dataset
    gap: xr.Dataset
    standard_error: xr.Dataset
    z: xr.Dataset
    times: tuple[float, ...]

    def table(self, times: Sequence[float] | None = None) -> list[Row]:
        """All curves at `times` (default: the times of the verdict), curve by curve.

        Raises:
            InputError: a time that is not common to both results.
        """
        times = self.times if times is None else _checked_times(times, self.gap)
        results = [d.sel(time=list(times)) for d in (self.theory, self.runs, self.gap, self.standard_error, self.z)]
        rows = []
        for entry in entries(self.gap):
            columns = [entry.of(result).values.tolist() for result in results]
            rows += [Row(entry.label, time, *values) for time, *values in zip(times, *columns, strict=True)]
        return Rows(rows)

    @property
    def worst(self) -> Row:
        """The curve and time of the largest |z|."""
        return max(self.table(), key=lambda row: abs(row.z))

    @property
    def max_abs_z(self) -> float:
        """The largest |z|."""
        return abs(self.worst.z)

    @property
    def rms_z(self) -> float:
        """Root mean square of z over the values that are not exact; about 1 for a true theory, 0 if all are exact."""
        z = self._uncertain()
        return math.sqrt(sum(v * v for v in z) / len(z)) if z else 0.0

    def threshold(self, level: float = LEVEL) -> float:
        """The |z| that the largest of this many independent scores exceeds with probability `level` (Sidak); 3 to 4 as a rule.

        Scores that rise and fall together exceed it more rarely, so a true theory is rejected with probability `level` at most.
        """
        if not 0 < level < 1:
            raise InputError(f"level = {level!r}: a probability between 0 and 1 is needed")
        return float(-ndtri(-np.expm1(np.log1p(-level) / max(1, len(self._uncertain()))) / 2))

    def agrees(self, level: float = LEVEL) -> bool:
        """Whether every |z| is within `threshold(level)`, and every exact value is met to rounding."""
        return self.max_abs_z <= self.threshold(level)

    def plot(self, **options: Any) -> Any:
        """`gmsym.plotting.overlay` of both results; returns its array of Axes."""
        # By name, at call time: plotting builds on comparing, so comparing cannot import plotting.
        return resolve_name("gmsym.plotting:overlay")(self.theory, self.runs, **options)

    def _uncertain(self) -> list[float]:
        """The scores of values that are not exact; an exact one has the score 0 or infinity."""
        return [row.z for row in self.table() if row.z != 0 and math.isfinite(row.z)]

    def _title(self) -> str:
        about = self.runs.attrs
        return f"{setting(self.theory)}; simulation with {size(self.runs)}, {about['replicates']} replicates"

    def _cells(self) -> list[list[str]]:
        """One line a curve: its values at the last of the times, then its z at each of them."""
        table, count = self.table(), len(self.times)
        shown = [f"{time:.6g}" for time in self.times]
        lines = [["", f"theory({shown[-1]})", f"simulation({shown[-1]})", "error", *(f"z({time})" for time in shown)]]
        for rows in (table[i : i + count] for i in range(0, len(table), count)):
            final = rows[-1]
            values = f"{final.theory:.5f}", f"{final.simulation:.5f}", f"{final.standard_error:.5f}"
            lines.append([final.entry, *values, *(f"{row.z:.1f}" for row in rows)])
        return lines

    def _summary(self) -> str:
        worst = self.worst
        return (
            f"max |z| = {abs(worst.z):.2f} ({worst.entry} at time {worst.time:.6g}), allowed {self.threshold():.2f}; "
            f"rms z = {self.rms_z:.2f}: theory and simulation {'agree' if self.agrees() else 'DISAGREE'} at level {LEVEL}"
        )

    def __repr__(self) -> str:
        return as_text(self._title(), self._cells(), self._summary())

    def _repr_html_(self) -> str:
        return as_html(self._title(), self._cells(), self._summary())


def compare_trajectories(
    theory: xr.Dataset, runs: xr.Dataset, *, times: Sequence[float] | None = None, model: xr.Dataset | None = None
) -> Comparison:
    """Order parameters of a theory against those of a simulation of the same problem.

    Args:
        theory: a result of kind "theory".
        runs: a result of kind "simulation" with at least two replicates.
        times: where the verdict is taken and the table is printed. Default: the first common time and five up to the last, equally
            spaced on a logarithmic scale.
        model: errors X_change of the model itself, of `gmsym.halving`, where the runs are on real data; beside the theory's own.

    Raises:
        InputError: the two are not about the same problem, parameters and n/d (n is a rounded number: within 1/n), share no time, or
            have no standard errors.
    """
    check_same_problem(theory, runs)
    _check_same_axes(theory, runs)
    theory, runs = xr.align(
        theory, runs, join="inner", exclude=("cluster", "block", "field", "field_b", "teacher", "parameter", "replicate")
    )
    if not theory.sizes["time"]:
        raise InputError("theory and runs have no time in common")

    theory = theory if model is None else _widened(theory, model)
    freedom = _freedom("theory", theory, "scrambles"), _freedom("runs", runs, "replicates")
    rounding = ROUNDING + _mismatch(theory, runs)
    gap, error, z = {}, {}, {}
    for name in variables(theory):
        if name in runs:
            gap[name] = runs[name] - theory[name]
            errors = theory[f"{name}_error"], runs[f"{name}_error"]
            error[name] = np.hypot(*errors)
            scale = max(1.0, float(abs(theory[name]).max()), float(abs(runs[name]).max()))
            z[name] = xr.apply_ufunc(
                score, gap[name], *errors, kwargs={"freedom": freedom, "rounding": ROUNDING * scale, "allowed": rounding * scale}
            )
    result = xr.Dataset(gap)
    checked = default_times(result["time"].values) if times is None else _checked_times(times, result)
    return Comparison(theory, runs, result, xr.Dataset(error), xr.Dataset(z), checked)


def _widened(theory: xr.Dataset, model: xr.Dataset) -> xr.Dataset:
    """The theory with the model's errors in its own."""
    if not isinstance(model, xr.Dataset) or model.attrs.get("kind") != "halving":
        raise InputError(f"model = {repr(model)[:60]}: a result of gmsym.halving is needed")
    wider = {}
    for name in variables(theory):
        if f"{name}_change" not in model:
            raise InputError(f"model lacks {name}_change: take gmsym.halving of the same problem")
        change = model[f"{name}_change"].reindex(time=theory["time"])
        if bool(change.isnull().any()) or change.shape != theory[name].shape:
            raise InputError(f"model has other times or sizes than the theory in {name}: give gmsym.halving the same options")
        wider[f"{name}_error"] = np.hypot(theory[f"{name}_error"], change)
    return theory.assign(wider)


def score(
    gap: np.ndarray, theory_error: np.ndarray, runs_error: np.ndarray, *, freedom: tuple[float, float], rounding: float, allowed: float
) -> np.ndarray:
    """gap / standard error on the normal scale, of the shape of `gap`; see `Comparison`."""
    variance = theory_error**2 + runs_error**2
    exact = runs_error <= rounding
    variance = np.where(exact, 1.0, variance)
    # Welch-Satterthwaite; the shares of the variance keep small errors from underflowing.
    spread = (theory_error**2 / variance) ** 2 / freedom[0] + (runs_error**2 / variance) ** 2 / freedom[1]
    tail = stdtr(1 / np.where(exact, 1.0, spread), -abs(gap) / np.sqrt(variance))
    score = np.copysign(-ndtri(np.maximum(tail, 1e-300)), gap)  # a tail that underflows would make every mean infinite
    return np.where(exact, np.where(abs(gap) <= allowed + _EXACT * theory_error, 0.0, np.copysign(np.inf, gap)), score)


def _mismatch(theory: xr.Dataset, runs: xr.Dataset) -> float:
    """How far apart the two results' shares of clusters and blocks are: whole numbers n_k and d_b round them in a simulation."""
    apart = 0.0
    for name in ("probabilities", "fractions"):
        if name in theory.attrs and name in runs.attrs:
            ours, theirs = (np.array(json.loads(result.attrs[name])) for result in (theory, runs))
            if ours.shape == theirs.shape:
                apart += float(abs(ours - theirs).sum())
    return apart


def _freedom(argument: str, dataset: xr.Dataset, count: str) -> float:
    """Degrees of freedom of the standard errors: one less than the number of independent repetitions."""
    errors = [dataset[f"{name}_error"] for name in variables(dataset)]
    if any(bool(e.isnull().any()) for e in errors):
        raise InputError(f"{argument} has no standard errors; at least 2 {count} are needed")
    repetitions = dataset.attrs.get(count)
    if repetitions is None and dataset.attrs["kind"] == "theory":
        return math.inf  # nothing was sampled: the errors are numerical bounds
    if repetitions is None or repetitions < 2:
        if any(bool((e > 0).any()) for e in errors):
            raise InputError(f"{argument} has standard errors but {count} = {repetitions}; at least 2 are needed")
        return math.inf  # a closed form, without error
    return float(repetitions) - 1


def check_same_problem(theory: xr.Dataset, runs: xr.Dataset) -> None:
    """Raises InputError unless two results are about one problem, in the same numbers."""
    about, of = theory.attrs, runs.attrs
    over = [*swept(theory), *([about["over"]] if "over" in about else [])]
    if over:
        raise InputError(
            f"theory is over values of {', '.join(over)}; take it at those that the runs have, such as theory.sel({over[0]}=...)"
        )
    for name in ("problem", "problem_signature", "of"):
        if about.get(name) != of.get(name):
            _refuse(name, about.get(name), of.get(name))
    ours, theirs = parameters_of(theory), parameters_of(runs)
    for name in sorted(ours.keys() | theirs.keys()):
        if not _same_number(ours.get(name), theirs.get(name)):
            _refuse(f"the parameter {name!r}", ours.get(name), theirs.get(name))
    if "n" not in of:  # online SGD, whose step is among the parameters, but for a rule without eta
        if not _same_number(about.get("step", of["step"]), of["step"]):
            _refuse("the step of online SGD", about["step"], of["step"])
    elif abs(said(theory, "alpha") - of["alpha"]) > of["alpha"] / of["n"]:
        _refuse("alpha", said(theory, "alpha"), of["alpha"])


def _check_same_axes(theory: xr.Dataset, runs: xr.Dataset) -> None:
    for dimension in ("cluster", "block", "field", "teacher", "parameter"):
        ours, theirs = theory.sizes.get(dimension), runs.sizes.get(dimension)
        if ours != theirs:
            _refuse(f"the size of {dimension!r}", ours, theirs)


def _refuse(what: str, ours: Any, theirs: Any) -> NoReturn:
    raise InputError(f"theory and runs differ in {what}: {ours!r} and {theirs!r}; compare results of the same problem")


def _same_number(a: float | None, b: float | None) -> bool:
    return a is not None and b is not None and math.isclose(a, b, rel_tol=1e-12)


def default_times(common: np.ndarray) -> tuple[float, ...]:
    """The first of common times and five up to the last, equally spaced on a logarithmic scale."""
    positions = np.geomspace(1, max(1, len(common) - 1), 5).round().astype(int)
    return tuple(common[p].item() for p in sorted({0, *positions.tolist()}) if p < len(common))


def _checked_times(times: Sequence[float], dataset: xr.Dataset) -> tuple[float, ...]:
    common = dataset["time"].values.tolist()
    for time in times:
        if time not in common:
            raise InputError(f"times holds {time!r}; theory and runs have {len(common)} times in common, from {common[0]} to {common[-1]}")
    if not len(times):
        raise InputError("times is empty; at least one time is needed")
    return tuple(type(common[0])(time) for time in times)


def setting(result: xr.Dataset) -> str:
    """The problem's name and the number that sets its limit."""
    if swept(result):
        return f"{result.attrs['problem']}, over {', '.join(swept(result))}"
    name = "alpha" if "alpha" in result.attrs or "alpha" in result.coords else "step"
    place = "eta" if name == "step" and "step" not in result.attrs else name  # one value of a sweep
    return f"{result.attrs['problem']}, {name} = {said(result, place):.6g}"


def size(runs: xr.Dataset) -> str:
    """The finite size of a simulation."""
    about = runs.attrs
    return f"n = {about['n']}, d = {about['d']}" if "n" in about else f"d = {about['d']}"
