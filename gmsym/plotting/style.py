"""The one style sheet of all figures: colours that all kinds of eyes tell apart, dashes, markers, panels, names of axes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito
DASHES: tuple[Any, ...] = (
    "-",
    "--",
    ":",
    "-.",
    (0, (6, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (1, 3)),
    (0, (8, 2, 2, 2)),
    (0, (2, 1)),
    (0, (5, 5)),
)
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLE: dict[Any, Any] = {
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9,
    "legend.fontsize": "small",
    "legend.frameon": False,
}
MARK: dict[str, Any] = {"markersize": 3.8, "markerfacecolor": "white", "markeredgewidth": 0.9}
ERRORS = 2  # half-width of bands and bars, in standard errors
_LOGARITHMIC = 20.0  # ratio of the largest to the smallest value from which an axis of a parameter is logarithmic
_ROW = 0.17  # inches that a row of a small legend takes
_PARAMETERS = {
    "alpha": r"samples per dimension $\alpha = n/d$",
    "eta": r"step size $\eta$",
    "momentum": r"momentum $\beta$",
    "mu_norm": r"norm of the means $|\mu|$",
    "ridge": r"ridge $\lambda$",
    "sigma": r"noise deviation $\sigma$",
}


@contextmanager
def styled() -> Iterator[None]:
    """The style of figures created within it."""
    plt.draw_if_interactive()  # loads the backend, whose settings the style would otherwise undo: a notebook shows one figure only
    with plt.rc_context(STYLE):
        yield


def panels(count: int, width: float = 3.2, height: float = 2.6) -> tuple[Figure, np.ndarray]:
    """A figure with `count` panels, up to four in a row or else three; (figure, its Axes (count,))."""
    columns = count if count <= 4 else 3
    rows = -(-count // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(width * columns, height * rows), layout="constrained", squeeze=False)
    for ax in grid.ravel()[count:]:
        ax.remove()
    return figure, grid.ravel()[:count]


def make_room(axes: Sequence[Axes] | np.ndarray) -> None:
    """Let a figure grow by the rows of the legends above its panels, so that the panels keep their height."""
    figure = axes[0].figure
    above = [ax.get_legend() for ax in axes if ax.get_legend() is not None and ax.get_legend().get_bbox_to_anchor().y0 >= ax.bbox.y1 - 1]
    rows = max((-(-len(legend.get_texts()) // legend._ncols) for legend in above), default=0)
    figure.set_size_inches(figure.get_figwidth(), figure.get_figheight() + _ROW * rows)


def name_parameter(name: str) -> str:
    """What an axis over a parameter of a `Problem` says."""
    return _PARAMETERS.get(name, name.replace("_", " "))


def scale_parameter(ax: Axes, values: np.ndarray) -> None:
    """Scale of a horizontal axis over a parameter: logarithmic where its values span a factor of 20."""
    if values.dtype.kind in "fiu" and len(values) > 2 and values.min() > 0 and values.max() / values.min() >= _LOGARITHMIC:
        ax.set_xscale("log")
