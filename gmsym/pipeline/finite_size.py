"""Training at finite n and d without its data: the exact surrogate. Source: theory.md 1, Panahi 2026 (arXiv 2603.09310)."""

from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from gmsym import derive, schema
from gmsym.errors import InputError
from gmsym.pipeline._stages import instance_at, load, problem_name, progress_bar
from gmsym.problem import Problem
from gmsym.problem.design import design
from gmsym.system import Recursion

if TYPE_CHECKING:
    import xarray as xr


def surrogate(
    system: Recursion | Problem,
    *,
    n: int,
    d: int,
    steps: int,
    replicates: int = 1000,
    seed: int = 0,
    progress: bool | None = None,
    **parameters: float,
) -> "xr.Dataset":
    """Trajectories of the exact finite-size surrogate, equal in law to `simulate`: the same variables, averaged over replicates.

    Args:
        system: the surrogate from `derive.surrogate`, or a problem, which is derived first.
        n, d: size of the data that the surrogate stands for.
        steps: number of times; at most min(n, d).
        replicates: independent trajectories.
        seed: of all Gaussians.
        progress: show a progress bar on stderr; by default only on a terminal.
        parameters: a number for each parameter of the problem.

    Returns:
        as `simulate`, with X_runs for each X, and the program's own scalars `surrogate_X`: Cholesky factors L and M, responses qz and ug,
        fluctuation parameters phi and psi, overlaps m and mean gradients asum (replicate, time, cluster, field, ...).

    Raises:
        InputError, ComputationError: as `solve`.
    """
    if isinstance(system, Problem):
        system = derive.surrogate(system)
    if not isinstance(system, Recursion):
        raise InputError(f"system = {system!r}: a surrogate (derive.surrogate) or a Problem is needed")
    problem: Problem = system.problem
    for name, value in (("n", n), ("d", d)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise InputError(f"{name} = {value!r}: an integer of at least 1 is needed")
    instance = instance_at(problem, n / d, parameters)
    plan = design(instance, n, d)

    from gmsym.engine.recursion import sample_recursion
    from gmsym.runtime.recursion import Design

    numbers = Design(
        labels=instance.labels,
        variance=instance.variance,
        counts=plan.counts,
        sizes=plan.sizes,
        root=plan.root,
        ridge=instance.ridge,
        parameters=tuple(instance.parameters.values()),
    )
    with progress_bar("sampling the surrogate", progress) as report:
        runs, scalars = sample_recursion(load(system), numbers, steps=steps, replicates=replicates, seed=seed, report=report)
    attributes = {
        "problem": problem_name(problem),
        "problem_signature": problem.signature,
        "alpha": n / d,
        "parameters": instance.values,
        "n": n,
        "d": d,
        "replicates": replicates,
        "seed": seed,
        "sampler": "surrogate",
        "signature": system.signature,
    }
    means = {name: array.mean(0) for name, array in runs.items()}
    errors = {name: array.std(0, ddof=1) / np.sqrt(replicates) for name, array in runs.items()}
    result = schema.to_dataset("simulation", means, errors, attributes, runs)
    dims = {name: ("replicate", "time", "cluster", "field", *(() if name in ("m", "asum") else ("direction",))) for name in scalars}
    return result.assign({f"surrogate_{name}": (dims[name], scalars[name]) for name in scalars})
