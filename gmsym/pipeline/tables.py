"""Results as tables of text, by their kind."""

import json
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gmsym import schema
from gmsym.comparison import Comparison, as_html, as_text, entries, setting, size
from gmsym.errors import InputError
from gmsym.pipeline.records import record

if TYPE_CHECKING:
    import xarray as xr


class Table(NamedTuple):
    """A table of text, and the sentences after it; HTML in a notebook."""

    title: str
    header: list[str]
    rows: list[list[str]]
    after: list[str]

    def __repr__(self) -> str:
        return as_text(self.title, [self.header, *self.rows], "\n".join(self.after))

    def _repr_html_(self) -> str:
        return as_html(self.title, [self.header, *self.rows], " ".join(self.after))


def tuned_table(found: Any, objective: str) -> Table:
    """Tuned parameters as text."""
    rows = [[name, f"{value:.6g}"] for name, value in found.values.items()]
    when = "" if found.time is None else f" at time {found.time:.6g}"
    return Table("tuned", ["parameter", "value"], rows, [f"{objective}{when}: {found.history[0]:.6g} -> {found.history[-1]:.6g}"])


def table(result: "xr.Dataset") -> Table:
    """A result in numbers: of a trajectory its last time, of a spectrum edges, masses and outliers, each with its error.

    Args:
        result: of `gmsym.solve` or `gmsym.simulate`.

    Raises:
        InputError: something else.

    Example:
        >>> import gmsym as gm
        >>> problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.gd())
        >>> values = {"alpha": 2.0, "sigma": 1.0, "mu_norm": 1.0, "eta": 0.2}
        >>> gm.table(gm.solve(problem, values, steps=1)).header
        ['', 'value', 'standard error']
    """
    if not getattr(result, "attrs", {}).get("kind"):
        raise InputError(f"result = {' '.join(repr(result)[:60].split())}: a result of gmsym.solve or gmsym.simulate is needed")
    result = schema.timed(result)
    kind, over = result.attrs["kind"], schema.swept(result)
    if kind == "spectrum along":
        return _path(result, record(result))
    if kind.startswith("one-step"):
        return _errors(result, over)
    if over:
        return _swept(result, over)
    if kind == "spectrum":
        return _spectrum(result, record(result))
    shown = {"spectrum simulation": _eigenvalues, "fluctuations": _covariance, "refinement": _rounds}
    return shown.get(kind, _order_parameters)(result)


def comparison_table(comparison: Any) -> Table:
    """A comparison as text: of order parameters the values at the last checked time, and the score at each of them."""
    if not isinstance(comparison, Comparison):
        head, *rows = comparison.cells()
        return Table(comparison.title, head, rows, [comparison.summary()])
    times, entered = comparison.times, comparison.table()
    rows = []
    for first in range(0, len(entered), len(times)):
        curve = entered[first : first + len(times)]
        last = curve[-1]
        values = (last.theory, last.simulation, last.standard_error)
        rows.append([last.entry, *(f"{value:.5f}" for value in values), *(f"{row.z:.1f}" for row in curve)])
    about = comparison.runs.attrs
    title = f"{about['problem']}, {size(comparison.runs)}, {about['replicates']} replicates, time {times[-1]:.6g}"
    verdict = "agree" if comparison.agrees() else "DISAGREE"
    said = f"max |z| = {comparison.max_abs_z:.2f}, allowed {comparison.threshold():.2f}; rms z = {comparison.rms_z:.2f}: they {verdict}"
    return Table(title, ["", "theory", "simulation", "error", *(f"z({time:.6g})" for time in times)], rows, [said])


def _order_parameters(result: "xr.Dataset") -> Table:
    """The last time, with the standard deviation of a run where that is predicted."""
    predicted = any(str(name).endswith("_deviation") for name in result)
    last = result.isel(time=-1)
    found = entries(result)
    rows = [[entry.label, f"{float(entry.of(last)):.6f}", f"{float(entry.of(last, '_error')):.1e}"] for entry in found]
    if predicted:
        rows = [[*row, f"{float(entry.of(last, '_deviation')):.6f}"] for row, entry in zip(rows, found, strict=True)]
    sized = f", {size(result)}" if "d" in result.attrs else ""
    title = f"{setting(result)}, {result.attrs['kind']}{sized}, time {last['time'].item():.6g}"
    return Table(title, ["", "value", "standard error", *(["deviation"] if predicted else [])], rows, [])


def _swept(result: "xr.Dataset", over: list[str]) -> Table:
    """The last time at each value of the parameters."""
    last = result.isel(time=-1)
    places = [dict(zip(over, values, strict=True)) for values in product(*(result[name].values.tolist() for name in over))]
    heads = [", ".join(f"{name} = {x:.6g}" for name, x in place.items()) for place in places]
    rows = [[entry.label, *(f"{float(entry.of(last.sel(place))):.6f}" for place in places)] for entry in entries(result)]
    return Table(f"{result.attrs['problem']}, time {last['time'].item():.6g}", ["", *heads], rows, [])


def _errors(result: "xr.Dataset", over: list[str]) -> Table:
    """Errors of a network after one gradient step, at each value of what was swept; beside them E y^2 taken out."""
    names = [name for name in ("train_mse", "objective", "test_mse", "test_error") if name in result]
    about = result.attrs
    sized = f"n = {about['n']}, " if "n" in about else ""
    level = "" if "level" not in result else ", level " + " or ".join(dict.fromkeys(result["level"].values.ravel().tolist()))
    title = f"{about['problem']}, {about['kind']}, {sized}".rstrip(", ") + level
    if over:
        places = [dict(zip(over, values, strict=True)) for values in product(*(result[name].values.tolist() for name in over))]
        rows = [[*(f"{x:.6g}" for x in place.values()), *(f"{float(result[name].sel(place)):.6f}" for name in names)] for place in places]
        return Table(title, [*over, *names], rows, [])
    rows = []
    for name in [*names, *(f"hermite_{x}" for x in names if f"hermite_{x}" in result)]:
        share = f"{float(result[f'{name}_normalised']):.6f}" if f"{name}_normalised" in result else ""
        rows.append([name, f"{float(result[name]):.6f}", f"{float(result[f'{name}_error']):.1e}", share])
    return Table(title, ["", "value", "error", "over E y^2"], rows, _said_of_errors(result))


def _said_of_errors(result: "xr.Dataset") -> list[str]:
    """Degrees, spikes and what was not verified, in words."""
    if "degree" not in result:
        return []
    known = record(result)
    said = ["degrees: " + ", ".join(f"{name} = {x}" for name, x in known["degrees"].items())]
    said.append("spikes of the feature matrix: " + ", ".join(f"{x:.6g}" for x in known["spikes"]) + f"; edge {float(result['edge']):.6g}")
    return said + [f"not verified here: {sentence}" for sentence in json.loads(str(result["outside"].values))]


def _eigenvalues(result: "xr.Dataset") -> Table:
    about, values = result.attrs, result["eigenvalue"].values
    rows = [[str(i), f"{run[0]:.6f}", f"{np.median(run):.6f}", f"{run[-1]:.6f}"] for i, run in enumerate(values)]
    title = f"{about['problem']}, {about['matrix']}, n = {about['n']}, d = {about['d']}, {values.shape[1]} eigenvalues"
    return Table(title, ["replicate", "smallest", "median", "largest"], rows, [])


def _covariance(result: "xr.Dataset") -> Table:
    last = result.isel(time=-1)
    rows = []
    for name in last["statistic"].values.tolist():
        place = {"statistic": name, "statistic_b": name}
        values = float(last["covariance"].sel(place)), float(last["covariance_error"].sel(place))
        rows.append([name, f"{float(last['mean'].sel(statistic=name)):.6f}", f"{values[0]:.6f}", f"{values[1]:.1e}"])
    title = f"{result.attrs['problem']}, fluctuations, time {last['time'].item():.6g}"
    return Table(title, ["", "mean", "d * variance", "error"], rows, [])


def _rounds(result: "xr.Dataset") -> Table:
    mean = result["error"].mean("replicate")
    rows = [
        [scheme, str(n), *(f"{float(x):.2e}" for x in mean.sel(scheme=scheme, n=n).values)]
        for scheme in result["scheme"].values.tolist()
        for n in result["n"].values.tolist()
    ]
    title = f"{result.attrs['problem']}, distance to the surrogate, alpha = {result.attrs['alpha']:.6g}"
    return Table(title, ["scheme", "n", *(f"round {i}" for i in result["round"].values.tolist())], rows, [])


def _path(result: "xr.Dataset", known: dict[str, Any]) -> Table:
    over = known["over"]
    rows = [
        [
            f"{at[over]:.6g}",
            *(f"{x:.6f}" if x is not None else "infinite" for x in band),
            ", ".join(f"{o['z']:.6f}" for o in at["outliers"]),
        ]
        for at in known["spectra"]
        for band in at["edges"]
    ]
    after = [
        f"{over} = {found[over]:.6g}: an outlier at the {found['side']} edge, z = {found['z']:.6f}, {found['kind']}"
        for found in known["transitions"]
    ]
    after += [
        f"{over} from {early:.6g} to {late:.6g}: the number of bands changes, transitions there are not located"
        for early, late in known["unlocated"]
    ]
    return Table(f"{result.attrs['problem']}, {known['matrix']}", [over, "left edge", "right edge", "outliers"], rows, after)


def _spectrum(result: "xr.Dataset", known: dict[str, Any]) -> Table:
    def text(value: float | None) -> str:
        return "infinite" if value is None else f"{value:.8f}"

    rows = [
        [f"band {i}, {side} edge", text(edge), "", f"{error:.1e}"]
        for i, (band, errors) in enumerate(zip(known["edges"], known["error"]["edges"], strict=True))
        for side, edge, error in zip(("left", "right"), band, errors, strict=True)
    ]
    rows += [
        [f"band {i}", "", f"mass {mass:.6f}", f"{error:.1e}"]
        for i, (mass, error) in enumerate(zip(known["masses"], known["error"]["masses"], strict=True))
    ]
    rows += [["atom", "0", f"mass {atom['mass']:.6f}", ""] for atom in known["atoms"]]
    rows += [[f"outlier, {o['side']}", text(o["z"]), f"overlap {o['overlap']:.6f}", f"{o['z_error']:.1e}"] for o in known["outliers"]]
    after = [f"from z = {low:.6f} to {high:.6f}: perhaps a gap, narrower than the nodes can tell" for low, high in known["undecided"]]
    return Table(f"{result.attrs['problem']}, {known['matrix']}, alpha = {known['alpha']:.6g}", ["", "z", "", "error"], rows, after)
