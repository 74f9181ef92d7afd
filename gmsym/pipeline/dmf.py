"""DMF equations solved: order parameters and kernels of training as n, d -> infinity. Source: theory.md 2."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gmsym import schema
from gmsym.engine.causal_kernels import Effort, effort, solve_causal_kernels
from gmsym.engine.coordinates import Start
from gmsym.errors import InputError, check_flag, check_integers
from gmsym.pipeline._cost import limit
from gmsym.pipeline._stages import load, say
from gmsym.pipeline._verbs import solving
from gmsym.pipeline._work import working
from gmsym.problem import Instance, Problem
from gmsym.problem.design import design, instance_of_size, start, stated
from gmsym.runtime.causal_kernels import Numbers, head, opens_always, sampled_coordinates
from gmsym.runtime.interrupt import reporting
from gmsym.system import CausalKernels

if TYPE_CHECKING:
    import xarray as xr


@solving(CausalKernels)
def solve_dmf(
    system: CausalKernels,
    values: Mapping[str, float],
    *,
    steps: int,
    n: int | None = None,
    d: int | None = None,
    rtol: float | None = None,
    samples: int | None = None,
    scrambles: int | None = None,
    two_time: bool = False,
    of: str | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> "xr.Dataset":
    """Order parameters of training in the limit n, d -> infinity, at the times 0..steps-1.

    Args:
        system: DMF equations from `derive.dmf`.
        values: a number for each parameter of the problem, and alpha, samples per dimension, n/d.
        steps: number of times; time 0 is the initial state.
        n, d: in place of alpha, the size of a simulation that the limit is to be held against: alpha is n/d, and clusters and blocks have
            the shares n_k/n and d_b/d that whole numbers allow. Of a mixture in coordinates, which has a d of its own, n alone: alpha is
            n/d and the clusters keep their shares, as in random draws of given samples (`gmsym.train`).
        rtol: the largest error bar that is wanted, relative to max(1, largest value of a curve); 1e-4 by default. It chooses the points:
            a few small populations and one as large as it must be, at most 4 of 8192 points for each cluster (of more where every step
            opens directions). The result says what was reached.
        samples, scrambles: in place of rtol, the points of each of several equal populations, a power of two (default 8192), and how many
            (default 4). Their spread gives the standard errors; each is solved again with fewer points and a larger tolerance, whose
            effect is in the errors too. The error falls about like 1/samples.
        two_time: whether the two-time kernels are wanted too, in memory O(T^2 C^2).
        of: a state variable of the optimizer, such as the `average` of `gmsym.optimizers.averaged`, whose overlaps, losses and error are
            wanted in place of those of Theta. It is a linear combination of the iterates before the time.
        seed: of the scrambles.
        progress: show a progress bar; by default on a terminal, and in a notebook after two seconds.

    Returns:
        Dataset with m (time, cluster, field), Q (time, field, field_b), Q_k (time, cluster, field, field_b), train_loss, test_loss,
        test_error (time), M (time, teacher, field) with teachers and trained (time, parameter) with trained parameters, train_NAME and
        test_NAME (time) of each of the problem's observables, and the standard error X_error of each X; perhaps Q_two_time (time, time_b,
        field, field_b), the overlaps Theta(t)^T Theta(s), and C_two_time, the gradient correlations E[a(t) a(s)^T] over the mixture.
        Attributes samples, populations and scrambles (repetitions behind the errors) say what was taken, rtol_reached the largest error
        bar, relative as rtol is.

    Raises:
        InputError: a number is unknown, missing or out of range; before anything is computed.
        ComputationError: the trajectory diverged; names the step and the quantity.
    """
    problem: Problem = system.problem
    instance = sized(problem, values, n, d)
    alpha = instance.ratio
    problem.optimizer.check_of(of)
    if of is not None:
        problem.check_blocks("solve of another than Theta")
    if of is not None and system.update is not None:
        raise InputError(f"of = {of!r}: where the update rule is not linear, only Theta is reported")
    check_flag("two_time", two_time)
    check_integers(steps=(steps, 1), seed=(seed, 0))
    most, populations, _ = effort(samples, scrambles, rtol)
    if two_time and system.head:
        raise InputError("two_time: not of a closure in which coordinates respond together; closure = 'diagonal' has them")
    tangents, sampled = system.response == "tangent", system.response != "exact"
    module = load(system)
    shape = shape_of(module, problem, instance)
    cost = limit(most, steps, populations, problem.fields, problem.data.clusters, tangents, sampled, two_time, **shape)
    with working("solving DMF", cost, "fewer samples, steps or scrambles", progress) as report:
        options = {"steps": steps, "rtol": rtol, "samples": samples, "scrambles": scrambles, "seed": seed, "two_time": two_time, "of": of}
        given = numbers(instance)
        coordinates = Start(*start(instance)) if system.update is not None else None
        options["coordinates"] = coordinates
        solution = reporting(lambda heard: solve_causal_kernels(module, given, report=heard, **options), report)
    taken = solution.effort
    if rtol is not None and taken is not None and taken.reached > rtol:
        say(f"rtol = {rtol:g} is not reached: {taken.reached:.2g} with {taken.populations} x {taken.samples} points; give samples for more")
    attributes = {
        **stated(problem, instance, alpha),
        "response": system.response,
        **({} if of is None else {"of": of}),
        "rank": list(solution.ranks),
        **({} if taken is None else _about(taken, seed)),
    }
    names = {"parameters": [x.name for x in problem.trained_parameters], "observables": problem.observable_names}
    result = schema.to_dataset("theory", solution.values, solution.errors, attributes, **names)
    if not two_time:
        return result
    dims = ("time", "time_b", "field", "field_b")
    about = {"Q": "overlap of the weights at two times", "C": "correlation of the gradients at two times"}
    kernels = {f"{name}_two_time": (dims, solution.two_time[name], {"long_name": words, "latex": name}) for name, words in about.items()}
    return result.assign(kernels).assign_coords(time_b=result["time"].values)


def _about(taken: Effort, seed: int) -> dict[str, float]:
    asked = {} if taken.rtol is None else {"rtol": taken.rtol}
    counts = {"samples": taken.samples, "populations": taken.populations, "scrambles": taken.repetitions}
    return {**counts, **asked, "rtol_reached": taken.reached, "seed": seed}


def shape_of(module: Any, problem: Problem, instance: Instance) -> dict[str, Any]:
    """What the cost of a solution depends on beside its size, as `_cost.limit` takes it."""
    vectors = instance.vectors
    return {
        "B": problem.data.blocks,
        "every_step": opens_always(module) or sampled_coordinates(module),
        "coordinates": sampled_coordinates(module),
        "head": head(module),
        "covariances": None if vectors is None else 0 if vectors.covariance is None else len(vectors.covariance),
    }


def sized(problem: Problem, values: Mapping[str, float], n: int | None, d: int | None) -> Instance:
    """The problem in numbers: at the alpha among the values, or in the shares that n samples in d dimensions allow; with n alone, of a
    mixture in coordinates, at n/d with shares as they are: draws of given samples have them on average."""
    place = problem.data.embedded
    if n is not None and d is None and place is not None:
        check_integers(n=(n, 1))
        return instance_of_size(problem, values, n, place.d)
    if (n is None) != (d is None):
        raise InputError(f"n = {n!r}, d = {d!r}: alpha among the values, or both n and d, are needed")
    if n is None or d is None:
        return problem.at(values)
    check_integers(n=(n, 1), d=(d, 1))
    return design(instance_of_size(problem, values, n, d), n, d).instance


def numbers(instance: Instance) -> Any:
    """The arrays of an instance as the engine takes them."""
    C, K = instance.initial_overlap.shape
    vectors, none = instance.vectors, np.zeros(0)
    full = vectors is not None and vectors.covariance is not None
    grams = np.zeros((1, C + K, C + K)) if vectors is not None else instance.block_grams / instance.fractions[:, None, None]
    return Numbers(
        probabilities=instance.probabilities,
        labels=instance.labels,
        means_gram=grams[:, C : C + K, C : C + K],
        fractions=instance.fractions,
        variance=instance.variance,
        initial_gram=grams[:, :C, :C],
        initial_overlap=grams[:, :C, C : C + K],
        ridge=instance.ridge,
        alpha=instance.ratio,
        parameters=list(instance.parameters.values()),
        teacher_gram=grams[:, C + K :, C + K :],
        teacher_overlap=grams[:, :C, C + K :],
        teacher_means=grams[:, C + K :, C : C + K],
        trained=instance.trained,
        trained_parameters=list(instance.trained_parameters.values()),
        trained_ridge=instance.trained_ridge,
        means=none if vectors is None else vectors.means,
        start=none if vectors is None else vectors.start,
        covariance=vectors.covariance if full else none,
        members=np.eye(len(vectors.covariance))[list(vectors.groups)] if full else none,
    )
