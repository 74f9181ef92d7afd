"""Spectra over values of n/d or of a parameter, and the static transitions between them. Source: theory.md 7."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from gmsym import symbols
from gmsym.errors import InputError
from gmsym.pipeline.spectrum import derived, state_instance
from gmsym.pipeline.spectrum_path import Path, spectra_on
from gmsym.problem import Instance, Problem
from gmsym.system import Spectral
from gmsym.system.spectral import MatrixKind

if TYPE_CHECKING:
    import xarray as xr


def spectrum_sweep(
    system: Spectral | Problem,
    matrix: MatrixKind = "hessian",
    *,
    over: str,
    values: Sequence[float],
    alpha: float | None = None,
    block: int | None = None,
    trained: Sequence[str] = (),
    m: Any = None,
    Q: Any = None,
    M: Any = None,
    points: int = 200,
    progress: bool | None = None,
    **parameters: float,
) -> "xr.Dataset":
    """Spectrum at each value of n/d or of one parameter of the problem, and its static transitions.

    A transition is the value at which an outlier detaches from the bulk or is absorbed, to a millionth of the spacing of the values.

    Args:
        system, matrix, block, trained, m, Q, M, points, parameters: as `gmsym.spectrum`; the state is the same at all values.
        over: "alpha", or the name of a parameter.
        values: which values, at least two, increasing.
        alpha: samples per dimension, unless it is what changes.
        progress: show a progress bar on stderr; by default only on a terminal.

    Returns:
        As `gmsym.spectrum_along`, with the dimension `over` in place of `time` and transition_X, X the name of what changes.

    Raises:
        InputError: an argument outside what is allowed.
        ComputationError: as `gmsym.spectrum`.
    """
    system = derived(system, matrix, block, trained)
    problem: Problem = system.problem
    known = ["alpha", *(s.name for s in problem.parameters if s.name != "alpha")]
    if over not in known:
        raise InputError(f"over = {over!r}: what changes is one of {', '.join(known)}")
    if (alpha is None) == (over != "alpha"):
        given = "is missing: samples per dimension are needed" if alpha is None else f"= {alpha!r} is what changes; leave it out"
        raise InputError(f"alpha {given}")
    if over in parameters:
        raise InputError(f"{over} = {parameters[over]!r} is what changes; leave it out")
    try:
        chosen = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        chosen = np.zeros(0)
    if chosen.ndim != 1 or len(chosen) < 2 or not np.isfinite(chosen).all() or (np.diff(chosen) <= 0).any():
        raise InputError(f"values = {values!r}: at least two increasing numbers are needed")

    def at(x: float) -> tuple[Instance, float]:
        own, ratio = ({}, float(x)) if over == "alpha" else ({over: float(x)}, alpha)
        return state_instance(problem, ratio, {**parameters, **own}, m, Q, M), ratio

    for x in chosen:  # refuses before anything long
        at(x)
    path = Path(over, sp.latex(symbols.symbol(over)), chosen, at)
    return spectra_on(path, system, points, progress)
