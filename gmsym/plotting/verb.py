"""`plot`: a picture of a result, by its kind."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from gmsym.comparison import Comparison, measured_fluctuations
from gmsym.errors import InputError
from gmsym.plotting.bands import bands
from gmsym.plotting.curves import learning_curve
from gmsym.plotting.grids import lines, maps, score_maps
from gmsym.plotting.networks import network_plot
from gmsym.plotting.overlay import overlay
from gmsym.plotting.rest import at_rest
from gmsym.plotting.several import checked, several
from gmsym.plotting.spectrum import filmstrip, spectral_density, transition_diagram
from gmsym.plotting.style import DASHES, PALETTE, make_room, panels, styled
from gmsym.schema import swept, timed, variables

_SHOWN = ("m", "Q", "M", "trained", "train_loss", "test_loss", "test_error")


def plot(
    result: Any,
    runs: xr.Dataset | Sequence[xr.Dataset] | None = None,
    *,
    quantities: Sequence[str] | None = None,
    view: Literal["film", "transitions"] | None = None,
    limit: xr.Dataset | None = None,
    **options: Any,
) -> np.ndarray:
    """Draw a result, alone or with its witness.

    Args:
        result: of `gmsym.solve`, `gmsym.simulate` or `gmsym.sweep` (over one parameter lines, over two heat maps of the last time); or a
            comparison of order parameters, which draws both sides and the scores; or several results over time by their labels, such as
            {"adam": a, "gd": b}, on the same axes.
        runs: a simulation beside it; of networks after one gradient step over a parameter, a sequence of them at some of its values.
        quantities: which order parameters. Default: those that there are.
        view: of spectra along a path: "film", one spectrum below another (default along time), or "transitions", edges and outliers over
            the path (default over a parameter).
        limit: of curves at finite size (`gmsym.at_size`), or of online SGD at one d, the limit, drawn as dots.
        options: of the picture: axes, log_time, scores; of networks after one gradient step axes, normalised, label, colour.

    Returns:
        The Axes, an array.

    Raises:
        InputError: a result that has no picture, a quantity that it does not have.
    """
    if isinstance(result, Comparison):
        return result.plot(**({} if quantities is None else {"quantities": quantities}), **options)
    if isinstance(result, Mapping) and not isinstance(result, xr.Dataset):
        return several(result, checked(result, quantities, _SHOWN), **options)
    kind = result.attrs.get("kind") if isinstance(result, xr.Dataset) else None
    if kind in ("stationary", "stationary simulation") and not swept(result):
        return at_rest(timed(result), None if runs is None else timed(runs), quantities)
    if kind in ("stationary", "stationary simulation"):
        result, kind = timed(result), "theory"
    if kind == "spectrum":
        return np.atleast_1d(np.array(spectral_density(result, runs, **options), dtype=object))
    if kind == "spectrum along":
        shown = view or ("film" if result.attrs["over"] == "time" else "transitions")
        if shown not in ("film", "transitions"):
            raise InputError(f"view = {view!r}; allowed are film, transitions")
        return np.atleast_1d(np.array((filmstrip if shown == "film" else transition_diagram)(result, **options), dtype=object))
    if kind == "fluctuations":
        return _variances(result, runs)
    if kind == "refinement":
        return _rounds(result)
    if kind == "scores":
        return score_maps(result, swept(result))
    if kind in ("one-step", "one-step simulation"):
        return network_plot(result, runs, swept(result), quantities, **options)
    if kind not in ("theory", "simulation"):
        said = f"is of kind {kind!r}" if isinstance(result, xr.Dataset) else f"= {' '.join(repr(result)[:60].split())}"
        raise InputError(f"result {said}: a result of gmsym.solve or gmsym.simulate, or a comparison, is needed")
    over = swept(result)
    if len(over) > 2:
        raise InputError(f"result is over {', '.join(over)}: take it at one value of all but two, such as result.sel({over[0]}=...)")
    if over:
        chosen = None if quantities is None else _chosen(result, quantities)
        return maps(result, over, chosen) if len(over) == 2 else lines(result, over[0], chosen or _chosen(result, None))
    if any(str(name).endswith("_deviation") for name in result) and f"{_chosen(result, None)[0]}_bias" not in result:
        return bands(result if limit is None else limit, result, runs, quantities, **options)
    if runs is not None:
        return overlay(result, runs, quantities, **options)
    chosen = _chosen(result, quantities)
    with styled():
        _, axes = panels(len(chosen))
    for ax, quantity in zip(axes, chosen, strict=True):
        learning_curve(result, quantity, ax, **options)
    make_room(axes)
    return axes


def _chosen(result: xr.Dataset, quantities: Sequence[str] | None) -> list[str]:
    there = variables(result)
    chosen = [name for name in _SHOWN if name in there] if quantities is None else list(quantities)
    for name in chosen:
        if name not in there:
            raise InputError(f"quantity = {name!r}: this result has {', '.join(there)}")
    return chosen


def _variances(theory: xr.Dataset, runs: xr.Dataset | None) -> np.ndarray:
    """Variance of every statistic over time, lines; those over replicates of a simulation with two standard errors, bars."""
    with styled():
        _, ax = plt.subplots(figsize=(4.6, 3.0), layout="constrained")
    measured = None if runs is None else measured_fluctuations(runs)
    for i, name in enumerate(theory["statistic"].values.tolist()):
        place, colour, dashes = {"statistic": name, "statistic_b": name}, PALETTE[i % len(PALETTE)], DASHES[i % len(DASHES)]
        ax.plot(theory["time"], theory["covariance"].sel(place), color=colour, linestyle=dashes, label=name)
        if measured is not None:
            values, errors = (measured[x].sel(place) for x in ("covariance", "covariance_error"))
            ax.errorbar(measured["time"], values, 2 * errors, fmt="o", markersize=3, color=colour)
    ax.set_xlabel("time $t$ [$d/c$ steps]")
    ax.set_ylabel("$d$ times the variance")
    ax.legend(frameon=False, fontsize="small")
    return np.array([ax])


def _rounds(result: xr.Dataset) -> np.ndarray:
    """Distance to the surrogate over n, a line a round, a panel a scheme."""
    schemes = result["scheme"].values.tolist()
    with styled():
        _, axes = plt.subplots(1, len(schemes), figsize=(3.2 * len(schemes), 2.6), layout="constrained", squeeze=False, sharey=True)
    for ax, scheme in zip(axes[0], schemes, strict=True):
        for i in result["round"].values.tolist():
            values = result["error"].sel(scheme=scheme, round=i)
            mean = values.mean("replicate")
            ax.errorbar(result["n"], mean, 2 * values.std("replicate", ddof=1) / np.sqrt(values.sizes["replicate"]), label=f"round {i}")
        ax.set(xscale="log", yscale="log", xlabel="$n$", title=scheme)
    axes[0][0].set_ylabel("distance to the surrogate")
    axes[0][0].legend(frameon=False, fontsize="small")
    return axes[0]
