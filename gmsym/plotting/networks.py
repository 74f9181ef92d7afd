"""Networks after one gradient step: errors over a parameter, heat maps over two, and the largest eigenvalues of the feature matrix."""

import json
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from gmsym.errors import InputError
from gmsym.plotting.style import DASHES, ERRORS, MARK, MARKERS, PALETTE, scale_parameter, styled

_ERRORS = ("train_mse", "objective", "test_mse", "test_error")


def network_plot(
    result: xr.Dataset,
    runs: xr.Dataset | Sequence[xr.Dataset] | None,
    over: Sequence[str],
    quantities: Sequence[str] | None,
    *,
    normalised: bool = False,
    axes: Sequence[Axes] | None = None,
    label: str = "",
    colour: int = 0,
) -> np.ndarray:
    """Lines over one parameter, heat maps over two, and at one point the spectrum of the feature matrix beside its errors.

    Args:
        result: of a theory, or of networks at one point.
        runs: networks beside it; over a parameter one result for each of some of its values. A Hermite model that they have is drawn too.
        over: swept dimensions.
        quantities: which errors; default: test_mse, and train_mse over one parameter or at one point.
        normalised: divide by E y^2.
        axes: to draw into, one a quantity.
        label, colour: of the lines.

    Raises:
        InputError: an error that the result does not have; runs at a value of the parameter that do not say it.
    """
    there = [name for name in _ERRORS if name in result]
    chosen = list(quantities or (["test_mse"] if len(over) == 2 else [name for name in ("train_mse", "test_mse") if name in there]))
    for name in chosen:
        if name not in there:
            raise InputError(f"quantity = {name!r}: this result has {', '.join(there)}")
    several = [] if runs is None else [runs] if isinstance(runs, xr.Dataset) else list(runs)
    if len(over) == 0:
        return _point(result, several[0] if several else None, chosen)
    if len(over) > 2:
        raise InputError(f"result is over {', '.join(over)}: take it at one value of all but two, such as result.sel({over[0]}=...)")
    if axes is None:
        with styled():
            _, drawn = plt.subplots(1, len(chosen), figsize=(3.4 * len(chosen), 2.8), layout="constrained", squeeze=False)
        axes = drawn[0]
    for ax, name in zip(axes, chosen, strict=True):
        if len(over) == 2:
            _map(result, over, name, normalised, ax)
        else:
            _line(result, several, over[0], name, normalised, ax, label, colour)
    return np.array(axes, dtype=object)


def _scaled(result: xr.Dataset, name: str, normalised: bool) -> tuple[np.ndarray, np.ndarray]:
    """(values, errors), over E y^2 where that is wanted and means something."""
    scale = result["target_square"].values if normalised and not name.endswith("test_error") else 1.0
    return result[name].values / scale, result[f"{name}_error"].values / scale


def _line(
    result: xr.Dataset, runs: Sequence[xr.Dataset], over: str, name: str, normalised: bool, ax: Axes, label: str, colour: int
) -> None:
    x, shade = result[over].values, PALETTE[colour % len(PALETTE)]
    values, errors = _scaled(result, name, normalised)
    ax.plot(x, values, color=shade, label=label or "theory")
    ax.fill_between(x, values - errors, values + errors, color=shade, alpha=0.25, linewidth=0)
    kinds = [(name, MARKERS[0], "networks"), (f"hermite_{name}", MARKERS[1], "Hermite model")]
    for variable, marker, what in kinds:
        points = [(_place(run, over), *_scaled(run, variable, normalised)) for run in runs if variable in run]
        if points:
            at, values, errors = np.array(points, float).T
            said = f"{label}, {what}" if label else what
            ax.errorbar(at, values, ERRORS * errors, fmt=marker, color=shade, label=said, **MARK)
    scale_parameter(ax, x)
    ax.set_xlabel(over.replace("_", " "))
    ax.set_ylabel(_title(result, name, normalised))
    ax.legend(frameon=False, fontsize="small")


def _place(run: xr.Dataset, over: str) -> float:
    known = json.loads(run.attrs["parameters"])
    if over not in known:
        raise InputError(f"runs: a result of gmsym.simulate for each of some values of {over} is needed")
    return known[over]


def _map(result: xr.Dataset, over: Sequence[str], name: str, normalised: bool, ax: Axes) -> None:
    share = result[name] / result["target_square"] if normalised and name != "test_error" else result[name]
    picture = ax.pcolormesh(result[over[1]], result[over[0]], share.transpose(*over), cmap="viridis", shading="nearest")
    ax.figure.colorbar(picture, ax=ax, label=_title(result, name, normalised))
    ax.set(xlabel=over[1].replace("_", " "), ylabel=over[0].replace("_", " "))


def _title(result: xr.Dataset, name: str, normalised: bool) -> str:
    about = result[name].attrs
    return f"{about['long_name']} ${about['latex']}$" + (" over $E y^2$" if normalised and name != "test_error" else "")


def _point(result: xr.Dataset, runs: xr.Dataset | None, chosen: Sequence[str]) -> np.ndarray:
    """Errors, and the largest eigenvalues: spikes and edge of the theory as lines, those of networks as points."""
    with styled():
        _, (left, right) = plt.subplots(1, 2, figsize=(7.0, 2.6), layout="constrained")
    for i, (name, what) in enumerate((name, kind) for name in chosen for kind in ("", "hermite_")):
        place, shade = i // 2, PALETTE[i // 2 % len(PALETTE)]
        if not what:
            left.errorbar(place, float(result[name]), float(result[f"{name}_error"]), fmt="_", color=shade, markersize=14)
        beside = runs if runs is not None else result if what else None
        if beside is not None and f"{what}{name}" in beside:
            offset, marker = (0.12, MARKERS[0]) if not what else (0.24, MARKERS[1])
            value, error = (float(beside[f"{what}{name}{suffix}"]) for suffix in ("", "_error"))
            left.errorbar(place + offset, value, ERRORS * error, fmt=marker, color=shade, **MARK)
    left.set_xticks(range(len(chosen)), [name.replace("_", " ") for name in chosen])
    left.set(ylim=(0, None), xlim=(-0.5, len(chosen) - 0.5))
    witness = runs if runs is not None and "eigenvalue" in runs else result if "eigenvalue" in result else None
    if witness is not None:
        values = witness["eigenvalue"]
        right.errorbar(
            np.arange(1, values.size + 1), values, ERRORS * witness["eigenvalue_error"], fmt=MARKERS[0], color=PALETTE[0], **MARK
        )
    if "edge" in result:
        spikes = result["spike"].values
        right.plot(np.arange(1, len(spikes) + 1), spikes, "x", color=PALETTE[1], label="spikes")
        right.axhline(float(result["edge"]), color="0.5", linewidth=0.8, linestyle=DASHES[1], label="edge of the bulk")
        right.legend()
    right.set(yscale="log", xlabel="index", ylabel="eigenvalue of $\\Phi\\Phi^\\top/m$")
    return np.array([left, right], dtype=object)
