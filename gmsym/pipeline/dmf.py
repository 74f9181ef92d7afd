"""DMF equations solved: order parameters and kernels of training as n, d -> infinity. Source: theory.md 2."""

from typing import TYPE_CHECKING, Any

import numpy as np

from gmsym import derive, schema
from gmsym.codegen import signature
from gmsym.errors import InputError, check_integers
from gmsym.pipeline._cost import limit
from gmsym.pipeline._stages import check_alpha, instance_at, load, problem_name
from gmsym.pipeline._work import working
from gmsym.problem import Instance, Problem
from gmsym.problem.design import design, shares
from gmsym.system import CausalKernels

if TYPE_CHECKING:
    import xarray as xr


def solve(
    system: CausalKernels | Problem,
    *,
    alpha: float | None = None,
    n: int | None = None,
    d: int | None = None,
    steps: int,
    samples: int = 8192,
    scrambles: int = 4,
    seed: int = 0,
    progress: bool | None = None,
    **parameters: float,
) -> "xr.Dataset":
    """Order parameters of training in the limit n, d -> infinity, at the times 0..steps-1.

    Args:
        system: DMF equations from `derive.dmf`, or a problem, which is derived first.
        alpha: samples per dimension, n/d.
        n, d: in place of alpha, the size of a simulation that the limit is to be held against: alpha is n/d, and clusters and blocks have
            the shares n_k/n and d_b/d that whole numbers allow.
        steps: number of times; time 0 is the initial state.
        samples: population size of each cluster, a power of two; the error falls about like 1/samples.
        scrambles: independent repetitions, whose spread gives the standard errors; each is solved again with fewer points and a
            larger tolerance, whose effect is in the errors too.
        seed: of the scrambles.
        progress: show a progress bar on stderr; by default only on a terminal.
        parameters: a number for each parameter of the problem.

    Returns:
        Dataset with m (time, cluster, field), Q (time, field, field_b), Q_k (time, cluster, field, field_b), train_loss,
        test_loss, test_error (time) and the standard error X_error of each X.

    Raises:
        InputError: an argument is unknown, missing or out of range; before anything is computed.
        ComputationError: the trajectory diverged; names the step and the quantity.
    """
    system, instance, alpha, solution = _solved(
        system, alpha, parameters, progress, n=n, d=d, steps=steps, samples=samples, scrambles=scrambles, seed=seed
    )
    attributes = {
        "problem": problem_name(system.problem),
        "problem_signature": system.problem.signature,
        "alpha": alpha,
        **shares(instance),
        "parameters": instance.values,
        "response": system.response,
        "rank": list(solution.ranks),
        "signature": signature(system),
        **({} if system.response == "exact" else {"samples": samples, "scrambles": scrambles, "seed": seed}),
    }
    return schema.to_dataset("theory", solution.values, solution.errors, attributes)


def kernels(
    system: CausalKernels | Problem,
    *,
    alpha: float,
    steps: int,
    samples: int = 8192,
    scrambles: int = 4,
    seed: int = 0,
    progress: bool | None = None,
    **parameters: float,
) -> dict[str, np.ndarray]:
    """Two-time kernels of the limit, for the arguments of `solve`.

    Returns:
        Q (T, T, C, C), the overlaps Theta(t)^T Theta(s), and C (T, T, C, C), the gradient correlations E[a(t) a(s)^T] over
        the mixture. Memory is O(T^2 C^2).

    Raises:
        InputError, ComputationError: as `solve`.
    """
    *_, solution = _solved(system, alpha, parameters, progress, steps=steps, samples=samples, scrambles=scrambles, seed=seed, two_time=True)
    return solution.two_time


def _solved(
    system: Any,
    alpha: float | None,
    parameters: dict[str, float],
    progress: bool | None,
    *,
    n: int | None = None,
    d: int | None = None,
    steps: int,
    samples: int,
    scrambles: int,
    seed: int,
    two_time: bool = False,
) -> tuple[CausalKernels, Instance, float, Any]:
    if isinstance(system, Problem):
        system = derive.dmf(system)
    if not isinstance(system, CausalKernels):
        raise InputError(f"system = {system!r}: DMF equations (derive.dmf) or a Problem are needed")
    problem: Problem = system.problem
    if (n is None) != (d is None) or (alpha is None) == (n is None):
        raise InputError(f"alpha = {alpha!r}, n = {n!r}, d = {d!r}: alpha, or both n and d, are needed")
    if n is not None:
        check_integers(n=(n, 1), d=(d, 1))
        alpha = n / d
    alpha = check_alpha(alpha)
    instance = instance_at(problem, alpha, parameters)
    if n is not None:
        instance = design(instance, n, d).instance

    check_integers(steps=(steps, 1), samples=(samples, 64), scrambles=(scrambles, 2), seed=(seed, 0))
    tangents, sampled = system.response == "tangent", system.response != "exact"
    cost = limit(samples, steps, scrambles, problem.fields, problem.data.clusters, tangents, sampled, two_time)
    with working("solving DMF", cost, "fewer samples, steps or scrambles", progress) as report:
        from gmsym.engine.causal_kernels import solve_causal_kernels
        from gmsym.runtime.interrupt import reporting

        options = {"steps": steps, "samples": samples, "scrambles": scrambles, "seed": seed, "two_time": two_time}
        module, given = load(system), numbers(instance, alpha)
        return system, instance, alpha, reporting(lambda heard: solve_causal_kernels(module, given, report=heard, **options), report)


def numbers(instance: Instance, alpha: float) -> Any:
    """The arrays of an instance as the engine takes them."""
    from gmsym.runtime.causal_kernels import Numbers

    return Numbers(
        probabilities=instance.probabilities,
        labels=instance.labels,
        means_gram=instance.means_gram,
        fractions=instance.fractions,
        variance=instance.variance,
        initial_gram=instance.initial_gram,
        initial_overlap=instance.initial_overlap,
        ridge=instance.ridge,
        alpha=alpha,
        parameters=list(instance.parameters.values()),
    )
