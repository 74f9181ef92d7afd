"""Several results on the same axes: a colour and a label each, dashes and markers for the curves of one."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.lines import Line2D

from gmsym.comparison import entries
from gmsym.errors import InputError
from gmsym.plotting.curves import draw_curve, label_axes, place_legend
from gmsym.plotting.style import DASHES, MARK, MARKERS, PALETTE, make_room, panels, styled
from gmsym.schema import swept, variables


def several(results: Mapping[str, xr.Dataset], quantities: Sequence[str], *, log_time: bool | None = None) -> np.ndarray:
    """Draw results over time together; theories as lines with bands, simulations as markers with bars.

    Args:
        results: theories or simulations by the label that each has in the legend.
        quantities: variables that all of them have.
        log_time: whether time is logarithmic. Default: if the first has more than 200 times.

    Returns:
        The Axes, (len(quantities),).
    """
    with styled():
        figure, axes = panels(len(quantities))
    for ax, name in zip(axes, quantities, strict=True):
        for place, result in enumerate(results.values()):
            for index, entry in enumerate(entries(result, [name])):
                look = PALETTE[place % len(PALETTE)], DASHES[index % len(DASHES)], MARKERS[index % len(MARKERS)]
                draw_curve(ax, result, entry, log_time, look=look)
        first = next(iter(results.values()))
        label_axes(ax, first, name, log_time)
        found = entries(first, [name])
        grey = {"color": "0.3"}
        place_legend(ax, [Line2D([], [], **grey | _dashes(i, entry.latex)) for i, entry in enumerate(found if len(found) > 1 else [])])
    figure.legend(
        handles=list(_labels(results)), loc="outside upper center", ncols=min(2 * len(axes), len(results)), fontsize="small", frameon=False
    )
    make_room(axes)
    return axes


def checked(results: Mapping[Any, Any], quantities: Sequence[str] | None, usual: Sequence[str]) -> list[str]:
    """The quantities of all results.

    Raises:
        InputError: no results, one that is not over time alone, or no quantity that all of them have.
    """
    for label, result in results.items():
        if not isinstance(result, xr.Dataset) or result.attrs.get("kind") not in ("theory", "simulation") or swept(result):
            raise InputError(f"result {label!r}: a theory or a simulation over time is needed for each label")
    there = [set(variables(result)) for result in results.values()]
    shared = set.intersection(*there) if there else set()
    chosen = [name for name in usual if name in shared] if quantities is None else list(quantities)
    missing = [name for name in chosen if name not in shared]
    if missing or not chosen:
        raise InputError(f"quantities = {missing or chosen}: these results share {', '.join(sorted(shared)) or 'nothing'}")
    return chosen


def _dashes(index: int, symbol: str) -> dict[str, Any]:
    return {"linestyle": DASHES[index % len(DASHES)], "label": f"${symbol}$"}


def _labels(results: Mapping[str, xr.Dataset]) -> Any:
    for place, (label, result) in enumerate(results.items()):
        colour, said = PALETTE[place % len(PALETTE)], str(label).replace("$", r"\$")  # a text, no formula
        if result.attrs["kind"] == "simulation":
            yield Line2D([], [], color=colour, linestyle="", marker="o", label=said, **MARK)
        else:
            yield Line2D([], [], color=colour, linewidth=1.6, label=said)
