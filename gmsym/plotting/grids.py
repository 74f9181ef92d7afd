"""Results over parameters: lines over one, heat maps over two, and where theory and simulation disagree."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.colors import TwoSlopeNorm

from gmsym.comparison import Entry, entries
from gmsym.errors import InputError
from gmsym.plotting.curves import name_curves, style
from gmsym.plotting.style import PALETTE, make_room, name_parameter, panels, scale_parameter, styled
from gmsym.schema import variables

_SCALARS = ("train_loss", "test_loss", "test_error")
_SEQUENTIAL, _DIVERGING = "viridis", "coolwarm"
_NOTICED = 3.0  # scores from which a colour leaves the middle of the scale


def lines(result: xr.Dataset, over: str, quantities: Sequence[str]) -> np.ndarray:
    """The last time of a swept result, over the parameter; a panel a quantity, bands of two standard errors."""
    final = last_time(result)
    with styled():
        _, axes = panels(len(quantities))
    for ax, name in zip(axes, quantities, strict=True):
        found = entries(result, [name])
        for entry in found:
            colour, dashes, _ = style(entry)
            value, error = (entry.of(final, suffix).values for suffix in ("", "_error"))
            ax.plot(final[over], value, marker=".", linestyle=dashes, color=colour)
            ax.fill_between(final[over], value - 2 * error, value + 2 * error, color=colour, alpha=0.25, linewidth=0)
        name_curves(ax, found, marker=False)
        scale_parameter(ax, final[over].values)
        ax.set_xlabel(name_parameter(over))
        ax.set_ylabel(f"{result[name].attrs['long_name']} ${result[name].attrs['latex']}$")
    make_room(axes)
    return axes


def maps(result: xr.Dataset, over: Sequence[str], quantities: Sequence[str] | None) -> np.ndarray:
    """The last time of a result swept over two parameters: a heat map an entry, the first parameter upwards; what failed is left white.

    Args:
        result: of kind theory or simulation.
        over: its two swept dimensions.
        quantities: variables of the schema. Default: the losses and the test error that there are, else the first variable.

    Returns:
        The Axes, one an entry.
    """
    there = variables(result)
    chosen = quantities or [name for name in _SCALARS if name in there] or there[:1]
    found = entries(result, chosen)
    final = last_time(result)
    return _panels(
        [(title(result, entry), entry.of(final).transpose(*over)) for entry in found], over, _SEQUENTIAL, [name_parameter(x) for x in over]
    )


def score_maps(result: xr.Dataset, over: Sequence[str]) -> np.ndarray:
    """The largest score between theory and simulation at each point of a study: a heat map over two parameters, a line over one.

    Raises:
        InputError: more than two parameters.
    """
    score = result["max_abs_z"]
    if len(over) == 1:
        with styled():
            _, ax = plt.subplots(figsize=(4.2, 2.8), layout="constrained")
        ax.plot(result[over[0]], score, "o", color=PALETTE[0])
        ax.axhline(_NOTICED, color="0.5", linewidth=0.8, linestyle="--")
        scale_parameter(ax, result[over[0]].values)
        ax.set(xlabel=over[0].replace("_", " "), ylabel="largest score $\\max |z|$", ylim=(0, None))
        return np.array([ax])
    if len(over) != 2:
        raise InputError(f"result is over {', '.join(over)}: take it at one value of all but two, such as result.sel({over[0]}=...)")
    axes = _panels(
        [("largest score $\\max |z|$", score.transpose(*over))], over, _DIVERGING, [x.replace("_", " ") for x in over], middle=_NOTICED
    )
    return axes


def last_time(result: xr.Dataset) -> xr.Dataset:
    """The result at its last time, if it has times."""
    return result.isel(time=-1) if "time" in result.dims else result


def title(result: xr.Dataset, entry: Entry) -> str:
    return f"{result[entry.variable].attrs['long_name']} ${entry.latex}$"


def _panels(
    panels: Sequence[tuple[str, xr.DataArray]], over: Sequence[str], colours: str, names: Sequence[str], middle: float | None = None
) -> np.ndarray:
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    with styled():
        figure, grid = plt.subplots(rows, columns, figsize=(3.6 * columns, 2.9 * rows), layout="constrained", squeeze=False)
    axes = grid.ravel()
    for ax in axes[len(panels) :]:
        ax.remove()
    for ax, (name, array) in zip(axes, panels, strict=False):
        shown = np.ma.masked_invalid(array.values.astype(float))
        scale: dict[str, Any] = {}
        if middle is not None:
            scale["norm"] = TwoSlopeNorm(middle, 0, max(2 * middle, float(shown.max()) if shown.count() else 0))
        image = ax.pcolormesh(np.arange(shown.shape[1]), np.arange(shown.shape[0]), shown, cmap=colours, shading="nearest", **scale)
        for axis, dimension in ((ax.yaxis, over[0]), (ax.xaxis, over[1])):
            _name_ticks(axis, array[dimension].values)
        ax.set(xlabel=names[1], ylabel=names[0], title=name)
        ax.title.set_fontsize("medium")
        figure.colorbar(image, ax=ax)
    return axes[: len(panels)]


def _name_ticks(axis: Any, values: np.ndarray) -> None:
    """Values of a grid at their places, at most eight of them."""
    shown = np.unique(np.linspace(0, len(values) - 1, min(8, len(values))).round().astype(int))
    labels = [str(values[i]) if values.dtype.kind in "US" else f"{values[i]:.3g}" for i in shown]
    axis.set_ticks(shown, labels)
