"""Theory and simulation in one figure, and how many standard errors lie between them."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from gmsym.comparison import Comparison, compare, entries
from gmsym.errors import InputError
from gmsym.plotting.curves import draw_curve, label_axes, name_curves, scale_time, style
from gmsym.plotting.style import ERRORS, MARK, make_room, styled

QUANTITIES = ("m", "Q", "M", "trained", "train_loss", "test_error")


def overlay(
    theory: xr.Dataset,
    runs: xr.Dataset,
    quantities: Sequence[str] | None = None,
    axes: Sequence[Axes] | np.ndarray | None = None,
    *,
    scores: bool = True,
    log_time: bool | None = None,
) -> np.ndarray:
    """Draw theory (lines, bands) and simulation (markers, bars) together, one panel a quantity; bands and bars are two standard errors.

    Args:
        theory: a result of kind "theory".
        runs: a result of kind "simulation" of the same problem.
        quantities: variables of the schema. Default: m, Q, M, trained, train_loss and test_error, as far as both have them.
        axes: one Axes for each quantity, to draw in. Default: a new figure.
        scores: in a new figure, whether a panel below each shows z (`gmsym.comparison.Comparison`) and, dashed, what is allowed of it.
        log_time: whether time is logarithmic. Default: if there are more than 200 steps.

    Returns:
        The Axes of the quantities, (len(quantities),).

    Raises:
        InputError: a quantity that a result does not have, a wrong number of axes, or, with scores, results that `compare` refuses.
    """
    quantities = [q for q in QUANTITIES if q in theory and q in runs] if quantities is None else list(quantities)
    if not quantities:
        raise InputError("quantities is empty; at least one variable is needed")
    for dataset in (theory, runs):
        entries(dataset, quantities)  # refuses unknown ones before anything is drawn
    if axes is not None:
        panels = np.asarray(axes, dtype=object).ravel()
        if len(panels) != len(quantities):
            raise InputError(f"axes holds {len(panels)} Axes for {len(quantities)} quantities; one each is needed")
        _draw_panels(panels, theory, runs, quantities, log_time, key=_key())
        return panels
    comparison = compare(theory, runs) if scores else None
    with styled():
        figure, panels, below = _figure(len(quantities), scores)
        _draw_panels(panels, theory, runs, quantities, log_time)
        if comparison is not None:
            for ax, quantity in zip(below, quantities, strict=True):
                _draw_scores(ax, comparison, quantity, log_time)
            for ax in panels:  # the panel below has the label
                ax.set_xlabel("")
        figure.legend(handles=_key(runs), loc="outside upper center", ncols=min(2, len(panels)), fontsize="small")
    make_room(panels)
    return panels


def _figure(count: int, scores: bool) -> tuple[Figure, np.ndarray, np.ndarray]:
    """A figure with `count` panels, up to four in a row or else three, and with scores a lower panel under each; both (count,)."""
    columns = count if count <= 4 else 3
    rows = -(-count // columns)
    heights = [2.6, 1.0] if scores else [2.6]
    figure, grid = plt.subplots(
        rows * len(heights),
        columns,
        figsize=(0.4 + 2.9 * columns, 0.5 + rows * sum(heights)),
        sharex="col",
        squeeze=False,
        gridspec_kw={"height_ratios": heights * rows},
        layout="constrained",
    )
    upper, lower = grid[:: len(heights)].ravel(), grid[len(heights) - 1 :: len(heights)].ravel()
    for ax in {*upper[count:], *lower[count:]}:
        ax.remove()
    for ax in lower[:count]:  # also where a removed panel would have been below
        ax.tick_params(labelbottom=True)
    return figure, upper[:count], lower[:count]


def _draw_panels(
    panels: np.ndarray,
    theory: xr.Dataset,
    runs: xr.Dataset,
    quantities: Sequence[str],
    log_time: bool | None,
    key: Sequence[Line2D] = (),
) -> None:
    for ax, quantity in zip(panels, quantities, strict=True):
        curves = entries(theory, [quantity])
        for entry in curves:
            draw_curve(ax, theory, entry, log_time)
            draw_curve(ax, runs, entry, log_time)
        label_axes(ax, theory, quantity, log_time)
        name_curves(ax, curves, also=key if ax is panels[0] else ())


def _draw_scores(ax: Axes, comparison: Comparison, quantity: str, log_time: bool | None) -> None:
    allowed = comparison.threshold()
    for entry in entries(comparison.z, [quantity]):
        colour, dashes, _ = style(entry)
        z = entry.of(comparison.z)
        ax.plot(z["time"], z.where(np.isfinite(z)), linestyle=dashes, color=colour, linewidth=0.9)
    ax.axhspan(-1, 1, color="0.9", linewidth=0, zorder=0)
    for level in (-allowed, allowed):
        ax.axhline(level, color="0.5", linewidth=0.8, linestyle="--")
    reach = max(1.3 * allowed, *np.abs(ax.dataLim.intervaly))
    ax.set_ylim(-reach, reach)
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True, symmetric=True))
    ax.set_ylabel("$z$")
    scale_time(ax, comparison.theory, log_time)


def _key(runs: xr.Dataset | None = None) -> list[Line2D]:
    """What is a line, what is a marker; with `runs`, of which size and with what bars."""
    about = runs.attrs if runs is not None else {}
    samples = rf", $n = {about['n']}$" if "n" in about else ""
    sizes = rf"{samples}, $d = {about['d']}$, {about['replicates']} runs, $\pm {ERRORS}$ s.e." if about else ""
    return [
        Line2D([], [], color="0.3", linewidth=1.4, label="theory"),
        Line2D([], [], color="0.3", linestyle="", marker="o", label=f"simulation{sizes}", **MARK),
    ]
