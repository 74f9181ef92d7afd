"""`compare`: a theory beside its witness, by the kind of the results."""

from collections.abc import Callable
from typing import Any

import xarray as xr

from gmsym.comparison.compare import compare_trajectories
from gmsym.comparison.fluctuations import compare_fluctuations
from gmsym.comparison.one_step import compare_networks
from gmsym.comparison.spectrum import compare_spectra
from gmsym.errors import InputError
from gmsym.schema import timed

_BY_KINDS: dict[tuple[str, str], Callable[..., Any]] = {
    ("theory", "simulation"): compare_trajectories,
    ("spectrum", "spectrum simulation"): compare_spectra,
    ("fluctuations", "simulation"): compare_fluctuations,
    ("stationary", "stationary simulation"): lambda theory, runs, **options: compare_trajectories(timed(theory), timed(runs), **options),
    ("one-step", "one-step simulation"): compare_networks,
}


def compare(theory: xr.Dataset, runs: xr.Dataset, **options: Any) -> Any:
    """Compare a theory with a simulation of the same problem.

    Args:
        theory: a result of `gmsym.solve`.
        runs: a result of `gmsym.simulate`, with at least two replicates.
        options: `times` at which the verdict is taken, of order parameters and of fluctuations.

    Returns:
        A comparison that shows itself as a table: gap, standard error and score z of each quantity; `.agrees()`, `.max_abs_z`,
        `.table()`, and of order parameters `.plot()`. Of spectra the distance of the distributions and the scores of outliers, of
        fluctuations the scores of covariances.

    Raises:
        InputError: the two are not about the same problem, parameters and n/d, or of kinds that do not go together.
    """
    kinds = tuple(x.attrs.get("kind", "") if isinstance(x, xr.Dataset) else type(x).__name__ for x in (theory, runs))
    found = _BY_KINDS.get(kinds)
    if found is None:
        known = [ours for ours, _ in _BY_KINDS]
        if kinds[0] in known:
            argument, kind, needed = "runs", kinds[1], [theirs for ours, theirs in _BY_KINDS if ours == kinds[0]]
        else:
            argument, kind, needed = "theory", kinds[0], known
        allowed = " or ".join(map(repr, needed))
        raise InputError(f"{argument} is of kind {kind!r}; a result of kind {allowed} is needed: compare(theory, runs)")
    return found(theory, runs, **options)
