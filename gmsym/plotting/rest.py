"""The end of training: values side by side, theory as lines and minima on generated data as circles with two standard errors."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from gmsym.comparison import entries
from gmsym.plotting.style import ERRORS, MARK, PALETTE, styled

_RATES = ("train_loss", "test_loss", "train_error", "test_error", "nonzero")


def at_rest(result: xr.Dataset, runs: xr.Dataset | None, quantities: Sequence[str] | None) -> np.ndarray:
    """Order parameters in one panel, losses and errors in another.

    Args:
        result: a trajectory of one time; of kind theory its values are lines.
        runs: a simulation beside it.
        quantities: variables of the schema. Default: all but V.

    Returns:
        The Axes, two, or one if there is nothing for the other.
    """
    found = [entry for entry in entries(result, quantities) if quantities is not None or entry.variable != "V"]
    panels = [[entry for entry in found if (entry.variable in _RATES) == rates] for rates in (False, True)]
    panels = [panel for panel in panels if panel]
    with styled():
        _, axes = plt.subplots(1, len(panels), figsize=(3.4 * len(panels), 2.6), layout="constrained", squeeze=False)
    for ax, panel in zip(axes[0], panels, strict=True):
        for dataset in (result, *([] if runs is None else [runs])):
            for place, entry in enumerate(panel):
                value, error = (float(entry.of(dataset, suffix).values[-1]) for suffix in ("", "_error"))
                colour = PALETTE[place % len(PALETTE)]
                if dataset.attrs["kind"] == "theory":
                    ax.plot([place - 0.3, place + 0.3], [value, value], color=colour, linewidth=1.6)
                else:
                    ax.errorbar(place, value, ERRORS * error, fmt="o", color=colour, capsize=1.5, **MARK)
        ax.set_xticks(range(len(panel)), [f"${entry.latex}$" for entry in panel])
        if len(panel) > 6:
            ax.tick_params(axis="x", labelrotation=60)
    return axes[0]
