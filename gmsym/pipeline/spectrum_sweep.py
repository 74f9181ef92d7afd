"""Spectra over values of n/d or of a parameter, and the static transitions between them. Source: theory.md 7."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import sympy as sp

from gmsym import symbols
from gmsym.errors import InputError
from gmsym.pipeline._verbs import sweeping
from gmsym.pipeline.spectrum import state_instance
from gmsym.pipeline.spectrum_path import Path, spectra_on
from gmsym.problem import Instance
from gmsym.system import Spectral

if TYPE_CHECKING:
    from pathlib import Path as FilePath

    import xarray as xr


@sweeping(Spectral)
def sweep_spectrum(
    system: Spectral,
    values: Mapping[str, Any],
    over: str,
    *,
    m: Any = None,
    Q: Any = None,
    M: Any = None,
    points: int | None = None,
    checkpoint: "FilePath | str | None" = None,
    progress: bool | None = None,
    **others: Any,
) -> "xr.Dataset":
    """Spectrum at each value of n/d or of one parameter of the problem, at the same state, and its static transitions.

    A transition is the value at which an outlier detaches from the bulk or is absorbed, to a millionth of the spacing of the values.
    Arguments, returns and errors as `gmsym.solve` for a spectrum, with the dimension `over` in place of `time`.
    """
    for name, value in others.items():
        if value is not None:
            raise InputError(f"{name} = {repr(value)[:40]}: over values of {over} the state is one; leave {name} out")
    chosen = values[over]
    if len(chosen) < 2:
        raise InputError(f"{over} = {chosen.tolist()}: at least two increasing numbers are needed")

    def at(x: float) -> Instance:
        return state_instance(system.problem, {**values, over: float(x)}, m, Q, M)

    for x in chosen:  # refuses before anything long
        at(x)
    return spectra_on(
        Path(over, sp.latex(symbols.symbol(over)), chosen, at), system, 200 if points is None else points, checkpoint, progress
    )
