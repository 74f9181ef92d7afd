"""Spectra: density and eigenvalues with outliers marked, a filmstrip over times, an animation."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes

from gmsym.errors import InputError
from gmsym.plotting.style import PALETTE, styled

_BINS = 60


def spectral_density(theory: xr.Dataset, runs: xr.Dataset | None = None, ax: Axes | None = None) -> Axes:
    """Draw the density of the bulk, its edges and outliers; eigenvalues of a simulation as a histogram and ticks.

    The outliers' markers have the height of their overlap, on the axis at the right. Zeros are left out, the atom is named in the legend.

    Args:
        theory: a result of `gmsym.solve` for `derive.spectrum`, or one time of one along a trajectory.
        runs: eigenvalues, of `gmsym.simulate` for the same system.
        ax: where to draw; default, a new figure.

    Raises:
        InputError: a dataset that holds no spectrum.
    """
    if "density" not in theory:
        raise InputError(f"theory holds {', '.join(map(str, theory.data_vars))}; the density of a spectrum is needed")
    if ax is None:
        with styled():
            _, ax = plt.subplots(figsize=(4.6, 3.0), layout="constrained")
    _density(theory, ax, runs)
    return ax


def _density(theory: xr.Dataset, ax: Axes, runs: xr.Dataset | None = None) -> Axes:
    """Draw it; returns the Axes of the overlaps."""
    z, density = theory["z"].values, theory["density"].values
    known = np.isfinite(z)
    z, density = z[known], density[known]
    if runs is not None:
        _histogram(ax, theory, runs)
    for low, high in theory["edge"].values:
        inside = (z >= low) & (z <= high)
        if inside.any():
            ax.fill_between(z[inside], density[inside], color=PALETTE[0], alpha=0.15, linewidth=0)
            ax.plot(z[inside], density[inside], color=PALETTE[0], linewidth=1.4)
    located = np.isfinite(theory["outlier_z"].values)
    places, heights = theory["outlier_z"].values[located], theory["overlap"].values[located]
    other = ax.twinx()
    other.vlines(places, 0, heights, color=PALETTE[1], linewidth=1.2)
    other.plot(places, heights, "o", color=PALETTE[1], markersize=4, label="outlier")
    other.set_ylim(0, 1.05)
    other.set_ylabel("overlap")
    atom = float(theory["atom"])
    ax.set_xlabel("eigenvalue $z$")
    ax.set_ylabel(r"density $\rho$" + (f", atom {atom:.3g} at 0" if atom > 0 else ""))
    ax.set_ylim(bottom=0)
    other.spines["right"].set_visible(True)
    return other


def _said(at: xr.Dataset, over: str, symbol: str) -> str:
    atom = float(at["atom"])
    return f"${symbol} = {float(at[over]):.3g}$" + (f", atom {atom:.3g} at 0" if atom > 0 else "")


def filmstrip(along: xr.Dataset, times: Sequence[float] | None = None, axes: Sequence[Axes] | np.ndarray | None = None) -> np.ndarray:
    """Draw the spectrum at several times, one below another, on one axis of eigenvalues.

    Args:
        along: a result of `gmsym.solve` for `derive.spectrum` along a trajectory, or over values, which then are the times here.
        times: which of its times; default: five of them.
        axes: one Axes for each time; default: a new figure.

    Returns:
        The Axes, (len(times),).

    Raises:
        InputError: another dataset, or a wrong number of axes.
    """
    over, symbol = _path(along)
    every = along[over].values
    times = every[np.unique(np.linspace(0, len(every) - 1, 5).round().astype(int))] if times is None else times
    if axes is None:
        with styled():
            _, axes = plt.subplots(len(times), figsize=(5, 1.0 + 1.3 * len(times)), sharex=True, squeeze=False, layout="constrained")
    panels = np.asarray(axes, dtype=object).ravel()
    if len(panels) != len(times):
        raise InputError(f"axes holds {len(panels)} Axes for {len(times)} times; one each is needed")
    for ax, time in zip(panels, times, strict=True):
        at = along.sel({over: time}, method="nearest")
        other = _density(at, ax)
        ax.set_title(_said(at, over, symbol), fontsize="small", loc="right")
        ax.set_ylabel(r"$\rho$")
        other.set_ylabel("overlap", fontsize="small")
        if ax is not panels[-1]:
            ax.set_xlabel("")
    return panels


def transition_diagram(along: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw edges (bands), outliers (lines) and located transitions (dashed) over time, or over the parameter that changes.

    Raises:
        InputError: another dataset.
    """
    over, symbol = _path(along)
    if ax is None:
        with styled():
            _, ax = plt.subplots(figsize=(4.6, 3.0), layout="constrained")
    time, edges = along[over].values, along["edge"].values
    for band in range(edges.shape[1]):
        ax.fill_between(time, edges[:, band, 0], edges[:, band, 1], color=PALETTE[0], alpha=0.25, linewidth=0)
    points = np.broadcast_to(time[:, None], along["outlier_z"].shape)
    shown = np.isfinite(along["outlier_z"].values)
    drawn = ax.scatter(
        points[shown], along["outlier_z"].values[shown], c=along["overlap"].values[shown], s=9, vmin=0, vmax=1, cmap="viridis"
    )
    ax.figure.colorbar(drawn, ax=ax, label="overlap")
    for when in along[f"transition_{over}"].values:
        ax.axvline(when, color="0.4", linewidth=0.8, linestyle="--")
    ax.set_xlabel("time $t$" if over == "time" else f"${symbol}$")
    ax.set_ylabel("eigenvalue $z$")
    return ax


def animate(along: xr.Dataset, interval: int = 80) -> FuncAnimation:
    """The spectrum as a film, one frame a time; `.save("film.gif")` or `.to_jshtml()` show it.

    Args:
        along: a result of `gmsym.solve` for `derive.spectrum` along a trajectory, or over values.
        interval: milliseconds a frame.

    Raises:
        InputError: another dataset.
    """
    over, symbol = _path(along)
    with styled():
        figure, ax = plt.subplots(figsize=(4.6, 3.0), layout="constrained")
    places = np.concatenate([along["edge"].values.ravel(), along["outlier_z"].values.ravel()])
    places = places[np.isfinite(places)]
    reach = places.min() - 0.05 * np.ptp(places), places.max() + 0.05 * np.ptp(places)
    height = float(along["density"].quantile(0.98)) * 1.3

    def frame(index: int) -> list[Any]:
        for other in figure.axes[1:]:
            other.remove()
        ax.clear()
        at = along.isel({over: index})
        spectral_density(at, ax=ax)
        ax.set_xlim(*reach)
        ax.set_ylim(0, height)
        ax.set_title(f"${symbol} = {float(at[over]):.3g}$", fontsize="small")
        return figure.axes

    return FuncAnimation(figure, frame, frames=along.sizes[over], interval=interval)


def _path(along: xr.Dataset) -> tuple[str, str]:
    """(name, LaTeX) of the coordinate along which spectra were taken."""
    if "over" not in along.attrs:
        raise InputError("along: a result of gmsym.solve for a spectrum along a trajectory, or over values, is needed")
    return along.attrs["over"], along[along.attrs["over"]].attrs["latex"]


def _histogram(ax: Axes, theory: xr.Dataset, runs: xr.Dataset) -> None:
    """Eigenvalues of all replicates, zeros apart, in the normalisation of the density; those outside the bulk also as ticks."""
    values = runs["eigenvalue"].values
    every = values.size + runs.sizes["replicate"] * int(runs.attrs.get("zeros", 0))
    nonzero = values[np.abs(values) > 1e-9 * np.abs(values).max()]
    heights, ends = np.histogram(nonzero, bins=_BINS)
    ax.stairs(heights / (every * np.diff(ends)), ends, fill=True, color="0.82", zorder=0)
    edges = theory["edge"].values
    outside = np.all([(nonzero < low) | (nonzero > high) for low, high in edges], axis=0)
    ax.plot(nonzero[outside], np.zeros(outside.sum()), "|", color="0.3", markersize=8, clip_on=False)
