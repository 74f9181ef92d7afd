"""Results as tables on the terminal, by their kind."""

from typing import TYPE_CHECKING, Any

import numpy as np

from gmsym import pipeline
from gmsym.cli._terminal import print_table
from gmsym.comparison import entries, setting, size

if TYPE_CHECKING:
    import xarray as xr


def show(result: "xr.Dataset") -> None:
    """Print a result."""
    kind, over = result.attrs["kind"], result.attrs.get("over")
    if kind == "spectrum along":
        _path(result, pipeline.record(result))
    elif over is not None:
        _swept(result, over)
    elif kind == "spectrum":
        _spectrum(result, pipeline.record(result))
    elif kind == "spectrum simulation":
        _eigenvalues(result)
    elif kind == "fluctuations":
        _covariance(result)
    elif kind == "refinement":
        _rounds(result)
    else:
        _order_parameters(result)


def _order_parameters(result: "xr.Dataset") -> None:
    """The last time, with the standard deviation of a run where that is predicted."""
    predicted = any(str(name).endswith("_deviation") for name in result)
    last = result.isel(time=-1)
    found = entries(result)
    rows = [[entry.label, f"{float(entry.of(last)):.6f}", f"{float(entry.of(last, '_error')):.1e}"] for entry in found]
    if predicted:
        rows = [[*row, f"{float(entry.of(last, '_deviation')):.6f}"] for row, entry in zip(rows, found, strict=True)]
    sized = f", {size(result)}" if "d" in result.attrs else ""
    title = f"{setting(result)}, {result.attrs['kind']}{sized}, time {last['time'].item():.6g}"
    print_table(title, ["", "value", "standard error", *(["deviation"] if predicted else [])], rows)


def _swept(result: "xr.Dataset", over: str) -> None:
    """The last time at each value of a parameter."""
    last = result.isel(time=-1)
    found = entries(result)
    values = result[over].values
    rows = [[entry.label, *(f"{float(entry.of(last.isel({over: i}))):.6f}" for i in range(len(values)))] for entry in found]
    print_table(f"{result.attrs['problem']}, time {last['time'].item():.6g}", ["", *(f"{over} = {x:.6g}" for x in values)], rows)


def _eigenvalues(result: "xr.Dataset") -> None:
    about, values = result.attrs, result["eigenvalue"].values
    rows = [[str(i), f"{run[0]:.6f}", f"{np.median(run):.6f}", f"{run[-1]:.6f}"] for i, run in enumerate(values)]
    title = f"{about['problem']}, {about['matrix']}, n = {about['n']}, d = {about['d']}, {values.shape[1]} eigenvalues"
    print_table(title, ["replicate", "smallest", "median", "largest"], rows)


def _covariance(result: "xr.Dataset") -> None:
    last = result.isel(time=-1)
    rows = []
    for name in last["statistic"].values.tolist():
        place = {"statistic": name, "statistic_b": name}
        values = float(last["covariance"].sel(place)), float(last["covariance_error"].sel(place))
        rows.append([name, f"{float(last['mean'].sel(statistic=name)):.6f}", f"{values[0]:.6f}", f"{values[1]:.1e}"])
    title = f"{result.attrs['problem']}, fluctuations, time {last['time'].item():.6g}"
    print_table(title, ["", "mean", "d * variance", "error"], rows)


def _rounds(result: "xr.Dataset") -> None:
    mean = result["error"].mean("replicate")
    rows = [
        [scheme, str(n), *(f"{float(x):.2e}" for x in mean.sel(scheme=scheme, n=n).values)]
        for scheme in result["scheme"].values.tolist()
        for n in result["n"].values.tolist()
    ]
    title = f"{result.attrs['problem']}, distance to the surrogate, alpha = {result.attrs['alpha']:.6g}"
    print_table(title, ["scheme", "n", *(f"round {i}" for i in result["round"].values.tolist())], rows)


def _path(result: "xr.Dataset", record: dict[str, Any]) -> None:
    over = record["over"]
    rows = [
        [
            f"{at[over]:.6g}",
            *(f"{x:.6f}" if x is not None else "infinite" for x in band),
            ", ".join(f"{o['z']:.6f}" for o in at["outliers"]),
        ]
        for at in record["spectra"]
        for band in at["edges"]
    ]
    print_table(f"{result.attrs['problem']}, {record['matrix']}", [over, "left edge", "right edge", "outliers"], rows)
    for found in record["transitions"]:
        print(f"{over} = {found[over]:.6g}: an outlier at the {found['side']} edge, z = {found['z']:.6f}, {found['kind']}")
    for early, late in record["unlocated"]:
        print(f"{over} from {early:.6g} to {late:.6g}: the number of bands changes, transitions there are not located")


def _spectrum(result: "xr.Dataset", record: dict[str, Any]) -> None:
    def text(value: float | None) -> str:
        return "infinite" if value is None else f"{value:.8f}"

    rows = [
        [f"band {i}, {side} edge", text(edge), "", f"{error:.1e}"]
        for i, (band, errors) in enumerate(zip(record["edges"], record["error"]["edges"], strict=True))
        for side, edge, error in zip(("left", "right"), band, errors, strict=True)
    ]
    rows += [
        [f"band {i}", "", f"mass {mass:.6f}", f"{error:.1e}"]
        for i, (mass, error) in enumerate(zip(record["masses"], record["error"]["masses"], strict=True))
    ]
    rows += [["atom", "0", f"mass {atom['mass']:.6f}", ""] for atom in record["atoms"]]
    rows += [[f"outlier, {o['side']}", text(o["z"]), f"overlap {o['overlap']:.6f}", f"{o['z_error']:.1e}"] for o in record["outliers"]]
    print_table(f"{result.attrs['problem']}, {record['matrix']}, alpha = {record['alpha']:.6g}", ["", "z", "", "error"], rows)
    for low, high in record["undecided"]:
        print(f"from z = {low:.6f} to {high:.6f}: perhaps a gap, narrower than the nodes can tell")
