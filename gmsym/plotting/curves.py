"""Curves over time: a theory is a line with a band, a simulation is markers with error bars."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from gmsym.comparison import Entry, entries
from gmsym.plotting.style import DASHES, ERRORS, MARK, MARKERS, PALETTE, make_room, styled

MARKED_TIMES = 20
LONG = 200  # more steps than this are shown on a logarithmic scale


_WITHIN = 2  # labels that a panel has room for
_KEYED = 8  # curves from which a legend names colours and dashes apart


def learning_curve(dataset: xr.Dataset, quantity: str, ax: Axes | None = None, *, log_time: bool | None = None) -> Axes:
    """Draw all components of one quantity over time, with bands or bars of two standard errors.

    Clusters differ by colour, the fields of a cluster by dashes and markers; one legend entry each if there are several.

    Args:
        dataset: a result.
        quantity: a variable of the schema, such as "m" or "test_error".
        ax: where to draw; default, a new figure.
        log_time: whether time is logarithmic (linear below one step). Default: if there are more than 200 steps.

    Raises:
        InputError: a quantity that the result does not have.
    """
    curves = entries(dataset, [quantity])
    own = ax is None
    if ax is None:
        with styled():
            _, ax = plt.subplots(figsize=(4.2, 3.0), layout="constrained")
    for entry in curves:
        draw_curve(ax, dataset, entry, log_time)
    label_axes(ax, dataset, quantity, log_time)
    name_curves(ax, curves, line=dataset.attrs["kind"] == "theory", marker=dataset.attrs["kind"] == "simulation")
    if own:
        make_room([ax])
    return ax


def draw_curve(ax: Axes, dataset: xr.Dataset, entry: Entry, log_time: bool | None = None, look: tuple[str, Any, str] | None = None) -> None:
    """One curve, in the way of its kind; `look` in place of its own colour, dashes and marker."""
    time, value, error = dataset["time"].values, entry.of(dataset).values, ERRORS * entry.of(dataset, "_error").values
    colour, dashes, marker = look or style(entry)
    if dataset.attrs["kind"] == "theory":
        ax.plot(time, value, linestyle=dashes, color=colour, linewidth=1.4, zorder=2)
        ax.fill_between(time, value - error, value + error, color=colour, alpha=0.25, linewidth=0, zorder=1)
        return
    shown = marked_times(time, log_time)
    ax.errorbar(
        time[shown],
        value[shown],
        error[shown],
        fmt=marker,
        color=colour,
        **MARK,
        elinewidth=0.9,
        capsize=1.5,
        zorder=3,
    )


def label_axes(ax: Axes, dataset: xr.Dataset, quantity: str, log_time: bool | None = None) -> None:
    """Names and symbols on both axes, from the dataset's own attributes."""
    about = dataset[quantity].attrs
    ax.set_ylabel(f"{about['long_name']} ${about['latex']}$")
    scale_time(ax, dataset, log_time)


def scale_time(ax: Axes, dataset: xr.Dataset, log_time: bool | None) -> None:
    """The time axis: label, unit, scale."""
    time = dataset["time"]
    ax.set_xlabel(f"{time.attrs['long_name']} ${time.attrs['latex']}$ [{time.attrs['units']}]")
    if is_log(time.values, log_time):
        ax.set_xscale("symlog", linthresh=1, linscale=0.4)
        ax.set_xlim(time.values[0] - 0.2, time.values[-1] * 1.1)  # whole markers at both ends


def is_log(time: np.ndarray, log_time: bool | None) -> bool:
    """The choice of the scale of time."""
    return len(time) > LONG if log_time is None else log_time


def marked_times(time: np.ndarray, log_time: bool | None) -> np.ndarray:
    """Positions of the markers: the first time, the last one, and about twenty in all, evenly spaced on the scale shown."""
    final = len(time) - 1
    if is_log(time, log_time):
        spread = np.geomspace(1, max(1, final), MARKED_TIMES - 1)
    else:
        spread = np.linspace(0, final, MARKED_TIMES)
    return np.unique([0, *np.minimum(spread.round().astype(int), final)])


def style(entry: Entry) -> tuple[str, Any, str]:
    """(colour, dashes, marker) of a curve by its two places."""
    place, fields = _places(entry)
    colour = fields if place is None else place
    return PALETTE[colour % len(PALETTE)], DASHES[fields % len(DASHES)], MARKERS[fields % len(MARKERS)]


def _places(entry: Entry) -> tuple[int | None, int]:
    """The number that gives the colour, the cluster or teacher, else the block (None without any of them: the fields give it), and the one
    that gives dashes and markers, the fields. Blocks of a cluster or teacher follow each other like its fields."""
    row, column = (*entry.fields, 0, 0)[:2]
    fields = column * (column + 1) // 2 + row if len(entry.fields) == 2 else row  # pairs row <= column are numbered column by column
    place = entry.cluster if entry.part is None else entry.part[1]
    if entry.block is not None:
        return (entry.block, fields) if place is None else (place, fields + entry.block)
    return place, fields


def name_curves(ax: Axes, curves: Sequence[Entry], *, line: bool = True, marker: bool = True, also: Sequence[Line2D] = ()) -> None:
    """The legend of a panel: the symbol of each curve, unless there is one only and the axis already names it; then `also`.

    Two labels find a place in the panel, more go above it (`make_room`). More than eight curves are named by what their colours and
    what their dashes mean.
    """
    if len(curves) > _KEYED and _places(curves[0])[0] is not None and all(entry.block is None for entry in curves):
        handles = [*_keys(curves, line, marker), *also]
    else:
        handles = [*(_handle(entry, line, marker) for entry in (curves if len(curves) > 1 else ())), *also]
    place_legend(ax, handles)


def place_legend(ax: Axes, handles: Sequence[Line2D]) -> None:
    """Up to two in the panel, where four cover curves, more above it."""
    if len(handles) > _WITHIN:
        ax.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4, columnspacing=1, fontsize="small", frameon=False)
    elif handles:
        ax.legend(handles=handles, loc="best", fontsize="small", frameon=False)


def _handle(entry: Entry, line: bool, marked: bool, **changed: Any) -> Line2D:
    colour, dashes, shape = style(entry)
    mark = {"marker": shape, **MARK} if marked else {}
    return Line2D([], [], **{"color": colour, "linestyle": dashes if line else "", "label": f"${entry.latex}$", **mark, **changed})


def _keys(curves: Sequence[Entry], line: bool, marker: bool) -> list[Line2D]:
    """A line a cluster or teacher in its colour, then a grey one for the fields of each."""
    first = {_places(entry)[0]: entry for entry in reversed(curves)}
    several = {_places(entry)[1]: entry for entry in reversed(curves)}
    plain = {"linestyle": "-", "marker": "", "linewidth": 3}
    named = [_handle(first[i], line, False, **plain, label=f"${_symbol(first[i], ())}$") for i in sorted(first)]
    fields = [
        _handle(several[j], line, marker, color="0.3", label=f"$({','.join(map(str, several[j].fields))})$")
        for j in sorted(several)
        if several[j].several_fields
    ]
    return [*named, *fields]


def _symbol(entry: Entry, fields: tuple[int, ...]) -> str:
    return replace(entry, fields=fields).latex
