"""Training on generated data, the witness beside every theory: full batches, and online SGD."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from gmsym.errors import InputError, check_integers, check_positive
from gmsym.pipeline._cost import online_sgd, training
from gmsym.pipeline._verbs import simulating
from gmsym.pipeline._work import working
from gmsym.problem import Problem
from gmsym.problem.sampling import Batches, Full, Online
from gmsym.simulation import run_chain, run_online, train

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr


@simulating(Batches)
@simulating(Full)
def simulate_full(
    problem: Problem,
    values: Mapping[str, float],
    *,
    steps: int,
    d: int | None = None,
    n: int | None = None,
    replicates: int = 8,
    of: str | None = None,
    seed: int = 0,
    checkpoint: "Path | str | None" = None,
    progress: bool | None = None,
) -> "xr.Dataset":
    """Training on generated data of n samples in d dimensions: the variables of the limit, averaged over replicates.

    Args:
        problem: the problem.
        values: a number for each parameter of the problem; alpha, where it is given, is n/d.
        steps: number of times; time 0 is the initial state.
        d: dimension; that of the coordinates, where the mixture has such, if left out.
        n: samples. Default: alpha d to the nearest integer.
        replicates: independent data sets and initial states; the standard errors come from their spread.
        of: a state variable of the optimizer that is reported in place of Theta, as in `gmsym.solve`.
        seed: of the data.
        checkpoint: a file that keeps what is done every ten seconds and on Ctrl-C: the same call continues from it, to the same result to
            the last bit. It stays when all is done.
        progress: show a progress bar; by default on a terminal, and in a notebook after two seconds.

    Returns:
        As `gmsym.solve` for DMF, with X_runs for each X, one value a replicate.

    Raises:
        InputError: a number is unknown, missing or out of range; before anything is computed.
        ComputationError: training diverged; names the step and the quantity.
    """
    problem.check_full_batch("simulate (full-batch training)", batches=True, teachers=True, trained=True, noise=True, own=True)
    d = dimension(problem, d)
    check_integers(d=(d, 1), steps=(steps, 1), replicates=(replicates, 2), seed=(seed, 0))
    if n is None:
        n = counted(problem.at(values).ratio, d)
    check_integers(n=(n, 1))
    cost = training(n, d, steps, replicates, problem.fields, problem.data.clusters)
    with working("training", cost, "fewer steps or replicates, or smaller n and d", progress) as report:
        options = {"replicates": replicates, "of": of, "seed": seed, "checkpoint": checkpoint, "report": report}
        return train(problem, values, n=n, d=d, steps=steps, **options)


@simulating(Online)
def simulate_online(
    problem: Problem,
    values: Mapping[str, float],
    *,
    time: float,
    d: int | None = None,
    replicates: int = 8,
    points: int = 21,
    seed: int = 0,
    sampler: Literal["online", "chain"] = "online",
    of: str | None = None,
    checkpoint: "Path | str | None" = None,
    progress: bool | None = None,
) -> "xr.Dataset":
    """Online SGD at dimension d: the variables of the effective dynamics, averaged over replicates.

    Args:
        problem: the problem.
        values: a number for each parameter of the problem; that of eta is c, and each step of online SGD is c/d.
        d: dimension; that of the coordinates, where the mixture has such, if left out.
        time: final time t = steps * c/d.
        replicates: independent samples and initial orientations; the standard errors come from their spread.
        points: number of recorded times.
        seed: of everything random.
        sampler: "online", d-dimensional vectors; or "chain", the exact Markov chain of the Gram matrix, whose cost does not grow with d, of
            gradient descent.
        of: a state variable of the optimizer that is reported in place of Theta, with sampler "online".
        checkpoint: a file that keeps what is done every ten seconds and on Ctrl-C: the same call continues from it, to the same result to
            the last bit. It stays when all is done.
        progress: show a progress bar; by default on a terminal, and in a notebook after two seconds.

    Raises:
        InputError: a number is unknown, missing or out of range; before anything is computed.
        ComputationError: a run diverged; names the time.
    """
    if sampler not in ("online", "chain"):
        raise InputError(f"sampler = {sampler!r}; allowed are online, chain")
    d = dimension(problem, d)
    if of is not None and sampler == "chain":
        raise InputError(f"of = {of!r}: the chain is that of Theta; sampler = 'online' records a state of the optimizer")
    check_integers(d=(d, 1), points=(points, 2), replicates=(replicates, 2), seed=(seed, 0))
    instance = problem.at(values)
    sizes = problem.fields, problem.data.clusters, problem.data.blocks, len(instance.teacher_gram) + len(instance.trained)
    steps = check_positive("time", time, "a positive number is needed, t = steps * c/d") * d / instance.online_step
    cost = online_sgd(d, steps, points, replicates, *sizes, chain=sampler == "chain")
    with working("online SGD", cost, "a shorter time, a larger step, fewer replicates or points", progress) as report:
        run = run_online if sampler == "online" else run_chain
        options: dict[str, Any] = {"replicates": replicates, "points": points, "seed": seed, "checkpoint": checkpoint, "report": report}
        return run(problem, values, d=d, time=time, **options, **({} if of is None else {"of": of}))


def dimension(problem: Problem, d: int | None) -> int:
    """d, or that of the coordinates of a mixture that has such.

    Raises:
        InputError: there is none.
    """
    if d is None:
        if problem.data.embedded is None:
            raise InputError(f"d is missing: simulating {problem.name} needs it")
        return problem.data.embedded.d
    return d


def counted(alpha: float, d: int) -> int:
    """n = alpha d to the nearest integer, at least 1.

    Raises:
        InputError: so many that they cannot be counted, or less than one half.
    """
    if not alpha * d < 2**63:
        raise InputError(f"alpha = {alpha!r} with d = {d} asks for {alpha * d:.3g} samples: less than 2^63 are needed")
    if round(alpha * d) < 1:
        raise InputError(f"alpha = {alpha!r} with d = {d} leaves no sample; alpha*d of at least 1 is needed")
    return round(alpha * d)
