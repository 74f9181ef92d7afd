"""DMF equations solved: order parameters and kernels of training as n, d -> infinity. Source: theory.md 2."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gmsym import schema
from gmsym.engine.causal_kernels import solve_causal_kernels
from gmsym.errors import InputError, check_flag, check_integers
from gmsym.pipeline._cost import limit
from gmsym.pipeline._stages import load, say_unobserved
from gmsym.pipeline._verbs import solving
from gmsym.pipeline._work import working
from gmsym.problem import Instance, Problem
from gmsym.problem.design import design, instance_of_size, shares
from gmsym.runtime.causal_kernels import Numbers
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
    samples: int = 8192,
    scrambles: int = 4,
    two_time: bool = False,
    seed: int = 0,
    progress: bool | None = None,
) -> "xr.Dataset":
    """Order parameters of training in the limit n, d -> infinity, at the times 0..steps-1.

    Args:
        system: DMF equations from `derive.dmf`.
        values: a number for each parameter of the problem, and alpha, samples per dimension, n/d.
        steps: number of times; time 0 is the initial state.
        n, d: in place of alpha, the size of a simulation that the limit is to be held against: alpha is n/d, and clusters and blocks have
            the shares n_k/n and d_b/d that whole numbers allow.
        samples: population size of each cluster, a power of two; the error falls about like 1/samples.
        scrambles: independent repetitions, whose spread gives the standard errors; each is solved again with fewer points and a
            larger tolerance, whose effect is in the errors too.
        two_time: whether the two-time kernels are wanted too, in memory O(T^2 C^2).
        seed: of the scrambles.
        progress: show a progress bar on stderr; by default only on a terminal.

    Returns:
        Dataset with m (time, cluster, field), Q (time, field, field_b), Q_k (time, cluster, field, field_b), train_loss, test_loss,
        test_error (time), M (time, teacher, field) with teachers and trained (time, parameter) with trained parameters, and the standard
        error X_error of each X; perhaps Q_two_time (time, time_b, field, field_b), the overlaps Theta(t)^T Theta(s), and C_two_time, the
        gradient correlations E[a(t) a(s)^T] over the mixture.

    Raises:
        InputError: a number is unknown, missing or out of range; before anything is computed.
        ComputationError: the trajectory diverged; names the step and the quantity.
    """
    problem: Problem = system.problem
    if (n is None) != (d is None):
        raise InputError(f"n = {n!r}, d = {d!r}: alpha among the values, or both n and d, are needed")
    if n is not None:
        check_integers(n=(n, 1), d=(d, 1))
        instance = design(instance_of_size(problem, values, n, d), n, d).instance
    else:
        instance = problem.at(values)
    alpha = instance.ratio
    say_unobserved(problem, "derive.dmf")

    check_flag("two_time", two_time)
    check_integers(steps=(steps, 1), samples=(samples, 64), scrambles=(scrambles, 2), seed=(seed, 0))
    tangents, sampled = system.response == "tangent", system.response != "exact"
    cost = limit(samples, steps, scrambles, problem.fields, problem.data.clusters, tangents, sampled, two_time)
    with working("solving DMF", cost, "fewer samples, steps or scrambles", progress) as report:
        options = {"steps": steps, "samples": samples, "scrambles": scrambles, "seed": seed, "two_time": two_time}
        module, given = load(system), numbers(instance)
        solution = reporting(lambda heard: solve_causal_kernels(module, given, report=heard, **options), report)
    attributes = {
        "problem": problem.name,
        "problem_signature": problem.signature,
        "alpha": alpha,
        **shares(instance),
        "parameters": instance.values,
        "response": system.response,
        "rank": list(solution.ranks),
        **({} if system.response == "exact" else {"samples": samples, "scrambles": scrambles, "seed": seed}),
    }
    result = schema.to_dataset(
        "theory", solution.values, solution.errors, attributes, parameters=[x.name for x in problem.trained_parameters]
    )
    if not two_time:
        return result
    dims = ("time", "time_b", "field", "field_b")
    about = {"Q": "overlap of the weights at two times", "C": "correlation of the gradients at two times"}
    kernels = {f"{name}_two_time": (dims, solution.two_time[name], {"long_name": words, "latex": name}) for name, words in about.items()}
    return result.assign(kernels).assign_coords(time_b=result["time"].values)


def numbers(instance: Instance) -> Any:
    """The arrays of an instance as the engine takes them."""

    return Numbers(
        probabilities=instance.probabilities,
        labels=instance.labels,
        means_gram=instance.means_gram,
        fractions=instance.fractions,
        variance=instance.variance,
        initial_gram=instance.initial_gram,
        initial_overlap=instance.initial_overlap,
        ridge=instance.ridge,
        alpha=instance.ratio,
        parameters=list(instance.parameters.values()),
        teacher_gram=instance.teacher_gram,
        teacher_overlap=instance.teacher_overlap,
        teacher_means=instance.teacher_means,
        trained=instance.trained,
        trained_parameters=list(instance.trained_parameters.values()),
        trained_ridge=instance.trained_ridge,
    )
