"""Learning curves at finite size: the limit, the mean with its correction, and how far a single run strays."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gmsym.comparison import entries
from gmsym.errors import InputError
from gmsym.plotting.curves import label_axes, marked_times, name_curves, scale_time, style
from gmsym.plotting.style import MARK, make_room, styled

QUANTITIES = ("m", "Q", "train_loss", "test_loss", "test_error")


def bands(
    limit: xr.Dataset,
    curves: xr.Dataset,
    runs: xr.Dataset | None = None,
    quantities: Sequence[str] | None = None,
    *,
    log_time: bool | None = None,
) -> np.ndarray:
    """Draw the limit (dotted), the curves at one size (lines) with bands of one standard deviation of a single run, and runs.

    Runs are markers at their mean, with bars of one standard deviation: bars and bands should have the same length.

    Args:
        limit: a result of `gmsym.solve`, for `derive.finite_size` or the limit alone, or for `derive.effective`.
        curves: `gmsym.at_size` of a result for `derive.finite_size`; of online SGD, a result at a dimension d.
        runs: a simulation of the same size.
        quantities: variables of the schema. Default: m, Q, the training loss (online SGD: the test loss) and, if there is one, test_error.
        log_time: whether time is logarithmic. Default: if there are more than 200 times.

    Returns:
        The Axes, (len(quantities),).

    Raises:
        InputError: `curves` without standard deviations, `runs` of another size, or a quantity that a result does not have.
    """
    for argument, given in (("limit", limit), ("curves", curves), ("runs", runs)):
        if not (isinstance(given, xr.Dataset) or (argument == "runs" and given is None)):
            raise InputError(f"{argument} = {given!r}: a result is needed")
    size = ("n", "d") if "n" in curves.attrs else ("d",)
    usual = [q for q in QUANTITIES if q != ("test_loss" if "train_loss" in curves else "train_loss")]
    quantities = [q for q in usual if q in curves] if quantities is None else list(quantities)
    if not quantities:
        raise InputError("quantities is empty; at least one variable is needed")
    for name in quantities:
        entries(curves, [name])
        if "d" not in curves.attrs or f"{name}_deviation" not in curves:
            raise InputError("curves has no standard deviations; a result of gmsym.at_size, or of online SGD at a dimension d, is needed")
    for name in (*size, "problem_signature", "parameters") if runs is not None else ():
        if runs.attrs.get(name) != curves.attrs[name]:
            raise InputError(
                f"runs have {name} = {runs.attrs.get(name)}, curves {curves.attrs[name]}: both must be of one problem and size"
            )
    with styled():
        figure, axes = plt.subplots(1, len(quantities), figsize=(0.4 + 2.9 * len(quantities), 3.1), squeeze=False, layout="constrained")
        for ax, name in zip(axes[0], quantities, strict=True):
            drawn = entries(curves, [name])
            for entry in drawn:
                colour, dashes, marker = style(entry)
                time, mean, deviation = curves["time"], entry.of(curves), entry.of(curves, "_deviation")
                ax.plot(limit["time"], entry.of(limit), ":", color=colour, linewidth=1.2, zorder=2)
                ax.plot(time, mean, linestyle=dashes, color=colour, linewidth=1.4, zorder=2)
                ax.fill_between(time, mean - deviation, mean + deviation, color=colour, alpha=0.2, linewidth=0, zorder=1)
                if runs is not None:
                    shown = marked_times(runs["time"].values, log_time)
                    found = entry.of(runs).values[shown]
                    spread = entry.of(runs, "_error").values[shown] * np.sqrt(runs.attrs["replicates"])
                    ax.errorbar(runs["time"][shown], found, spread, fmt=marker, color=colour, **MARK, elinewidth=0.9, capsize=1.5, zorder=3)
            label_axes(ax, curves, name, log_time)
            name_curves(ax, drawn, marker=runs is not None)
            scale_time(ax, curves, log_time)
        figure.legend(handles=_key(curves, runs), loc="outside upper center", ncols=4, fontsize="small")
    make_room(axes[0])
    return axes[0]


def _key(curves: xr.Dataset, runs: xr.Dataset | None) -> list[Line2D | Patch]:
    sizes = [name for name in ("n", "d") if name in curves.attrs]
    values = ", ".join(f"${name} = {curves.attrs[name]}$" for name in sizes)
    handles: list[Line2D | Patch] = [
        Line2D([], [], color="0.3", linestyle=":", label=rf"limit ${', '.join(sizes)} \to \infty$"),
        Line2D([], [], color="0.3", label=rf"with the $1/{sizes[0]}$ correction, {values}"),
        Patch(color="0.3", alpha=0.2, linewidth=0, label="one standard deviation of a run"),
    ]
    if runs is not None:
        handles.append(
            Line2D([], [], color="0.3", linestyle="", marker="o", label=f"{runs.attrs['replicates']} runs, mean and deviation", **MARK)
        )
    return handles
