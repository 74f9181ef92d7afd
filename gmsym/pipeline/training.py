"""Training on generated data, the witness beside every theory."""

from typing import TYPE_CHECKING

from gmsym.errors import InputError, check_integers
from gmsym.pipeline._cost import training
from gmsym.pipeline._work import working
from gmsym.problem import Problem
from gmsym.system import AbstractSystem

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr


def simulate(
    problem: Problem | AbstractSystem,
    *,
    n: int,
    d: int,
    steps: int,
    replicates: int = 8,
    seed: int = 0,
    checkpoint: "Path | str | None" = None,
    progress: bool | None = None,
    **parameters: float,
) -> "xr.Dataset":
    """Training on generated data of n samples in d dimensions: the same variables as `solve`, averaged over replicates.

    Args:
        problem: the problem (or a system derived from it).
        n, d: size of the data.
        steps: number of times; time 0 is the initial state.
        replicates: independent data sets and initial states; the standard errors come from their spread.
        seed: of the data.
        checkpoint: a file that keeps what is done every ten seconds and on Ctrl-C: the same call continues from it, to the same result to
            the last bit. It stays when all is done.
        progress: show a progress bar on stderr; by default only on a terminal.
        parameters: a number for each parameter of the problem.

    Raises:
        InputError, ComputationError: as `solve`.
    """
    problem = problem.problem if isinstance(problem, AbstractSystem) else problem
    if not isinstance(problem, Problem):
        raise InputError(f"problem = {problem!r}: a Problem is needed")
    check_integers(n=(n, 1), d=(d, 1), steps=(steps, 1), replicates=(replicates, 2), seed=(seed, 0))
    cost = training(n, d, steps, replicates, problem.fields, problem.data.clusters)
    with working("training", cost, "fewer steps or replicates, or smaller n and d", progress) as report:
        from gmsym.simulation import train

        return train(problem, n=n, d=d, steps=steps, replicates=replicates, seed=seed, checkpoint=checkpoint, report=report, **parameters)
