"""Networks after one gradient step: errors over a parameter, heat maps over two, and the largest eigenvalues of the feature matrix."""

import json
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from gmsym.errors import InputError
from gmsym.plotting.curves import place_legend
from gmsym.plotting.style import DASHES, ERRORS, MARK, MARKERS, PALETTE, scale_parameter, styled

_ERRORS = ("train_mse", "objective", "test_mse", "test_error")
_KINDS = (("", MARKERS[0], "networks"), ("hermite_", MARKERS[1], "Hermite model"))
_COLUMNS = 5  # of the legend above the panels
_GREY = "0.35"  # of marks that mean the same in every colour
_NAMES = {
    "alignment": "alignment of the spikes",
    "alpha": r"exponent $\alpha$",
    "beta": r"exponent $\beta$",
    "n": "input dimension $n$",
    "ridge": r"ridge $n\lambda$",
    "samples": "samples $m$",
    "spread": r"spread $\theta$",
    "step": r"step size $\eta$",
    "width": "neurons $k$",
}


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
    if len(over) == 1:
        _name_all(axes)
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
    for prefix, marker, _ in _KINDS:
        variable = f"{prefix}{name}"
        points = [(_place(run, over), *_scaled(run, variable, normalised)) for run in runs if variable in run]
        if points:
            at, values, errors = np.array(points, float).T
            ax.errorbar(at, values, ERRORS * errors, fmt=marker, color=shade, **MARK)
    scale_parameter(ax, x)
    ax.set_xlabel(_named(over))
    ax.set_ylabel(_title(result, name, normalised))


def _named(over: str) -> str:
    return _NAMES.get(over, over.replace("_", " "))


def _name_all(axes: Sequence[Axes]) -> None:
    """One legend above all panels; in the first of them where the figure has others."""
    figure, handles = axes[0].figure, _legend(axes[0])
    if list(figure.axes) != list(axes):
        place_legend(axes[0], handles)
        return
    for before in figure.legends:  # of an earlier call with fewer lines
        before.remove()
    figure.legend(handles=handles, loc="outside upper center", ncols=_COLUMNS, fontsize="small", frameon=False)


def _legend(ax: Axes) -> list[Line2D]:
    """Lines by their labels, then the marks that are there, whatever their colour."""
    lines = [line for line in ax.get_lines() if not str(line.get_label()).startswith("_")]
    marks = {line.get_marker() for line in ax.get_lines()}
    return [*lines, *_marks([kind for kind in _KINDS if kind[1] in marks])]


def _marks(kinds: Sequence[tuple[str, str, str]]) -> list[Line2D]:
    return [Line2D([], [], linestyle="", marker=marker, color=_GREY, label=what, **MARK) for _, marker, what in kinds]


def _place(run: xr.Dataset, over: str) -> float:
    known = json.loads(run.attrs["parameters"])
    if over not in known:
        raise InputError(f"runs: a result of gmsym.simulate for each of some values of {over} is needed")
    return known[over]


def _map(result: xr.Dataset, over: Sequence[str], name: str, normalised: bool, ax: Axes) -> None:
    share = result[name] / result["target_square"] if normalised and name != "test_error" else result[name]
    picture = ax.pcolormesh(result[over[1]], result[over[0]], share.transpose(*over), cmap="viridis", shading="nearest")
    ax.figure.colorbar(picture, ax=ax, label=_title(result, name, normalised))
    ax.set(xlabel=_named(over[1]), ylabel=_named(over[0]))


def _title(result: xr.Dataset, name: str, normalised: bool) -> str:
    about = result[name].attrs
    return f"{about['long_name']} ${about['latex']}$" + (" over $E y^2$" if normalised and name != "test_error" else "")


def _point(result: xr.Dataset, runs: xr.Dataset | None, chosen: Sequence[str]) -> np.ndarray:
    """Errors, and the largest eigenvalues: spikes and edge of the theory as lines, those of networks as points."""
    with styled():
        _, (left, right) = plt.subplots(1, 2, figsize=(7.0, 2.6), layout="constrained")
    witness = runs if runs is not None else result if result.attrs["kind"] == "one-step simulation" else None
    drawn = []
    for place, name in enumerate(chosen):
        shade = PALETTE[place % len(PALETTE)]
        if witness is not result:
            left.errorbar(place, float(result[name]), float(result[f"{name}_error"]), fmt="_", color=shade, markersize=14)
        for offset, kind in zip((0.12, 0.24), _KINDS, strict=True):
            prefix, marker, _ = kind
            if witness is not None and f"{prefix}{name}" in witness:
                value, error = (float(witness[f"{prefix}{name}{suffix}"]) for suffix in ("", "_error"))
                left.errorbar(place + offset, value, ERRORS * error, fmt=marker, color=shade, **MARK)
                drawn.append(kind)
    theory = [Line2D([], [], linestyle="", marker="_", markersize=14, color=_GREY, label="theory")] if witness is not result else []
    left.set_xticks(range(len(chosen)), [f"{result[name].attrs['long_name']} ${result[name].attrs['latex']}$" for name in chosen])
    left.set(ylim=(0, None), xlim=(-0.5, len(chosen) - 0.5), ylabel="mean over samples")
    left.legend(handles=[*theory, *_marks([kind for kind in _KINDS if kind in drawn])], fontsize="small", frameon=False)
    if witness is not None and "eigenvalue" in witness:
        values, bars = (witness[name].values for name in ("eigenvalue", "eigenvalue_error"))
        right.errorbar(np.arange(1, values.size + 1), values, ERRORS * bars, fmt=MARKERS[0], color=PALETTE[0], label="networks", **MARK)
    if "edge" in result:
        spikes = result["spike"].values
        right.plot(np.arange(1, len(spikes) + 1), spikes, "x", color=PALETTE[1], label="spikes")
        right.axhline(float(result["edge"]), color="0.5", linewidth=0.8, linestyle=DASHES[1], label="edge of the bulk")
    if right.get_legend_handles_labels()[0]:
        right.legend(fontsize="small", frameon=False)
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.set(yscale="log", xlabel="index", ylabel="eigenvalue of $\\Phi\\Phi^\\top/m$")
    return np.array([left, right], dtype=object)
