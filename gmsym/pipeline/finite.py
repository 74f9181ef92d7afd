"""Training at finite n and d without its data: the exact surrogate, its refinement, and fluctuations around the limit.

Source: theory.md 1, Panahi 2026 (arXiv 2603.09310).
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import product
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from gmsym import schema
from gmsym.codegen import signature
from gmsym.derive import size_expansion
from gmsym.engine.bars import standard_error, student
from gmsym.engine.fluctuation import Doubling, double_runs, relative_variances
from gmsym.engine.recursion import sample_recursion
from gmsym.engine.refinement import limit_scalars, refinement_errors
from gmsym.errors import InputError, check_integers
from gmsym.pipeline import _cost
from gmsym.pipeline._provenance import signature_of
from gmsym.pipeline._stages import DEVIATION, deviation_labels, load, say_unobserved
from gmsym.pipeline._verbs import solving
from gmsym.pipeline._work import check, memory_named, working
from gmsym.pipeline.dmf import solve_dmf
from gmsym.pipeline.training import counted
from gmsym.problem import Instance, Problem
from gmsym.problem.design import design, instance_of_size, realised, start, stated
from gmsym.progress import progress_bar
from gmsym.runtime.arguments import named
from gmsym.runtime.checkpoint import Checkpoint
from gmsym.runtime.recursion import Design
from gmsym.runtime.size_expansion import SizeExpansionModule
from gmsym.system import FiniteSize, Recursion, Refinement

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr


BIAS = "_bias"  # suffix of the 1/n correction
_POPULATION = 1024
_DEVIATIONS = 2.0  # a bar that rests on a spread alone: two hold 95%, which leaves 1.6% beyond three for 4 populations, 4% otherwise
_SMALLEST = 200  # min(n, d) of the smaller size at which the bias is measured


@solving(Recursion)
def solve_surrogate(
    system: Recursion,
    values: Mapping[str, float],
    *,
    d: int,
    steps: int,
    n: int | None = None,
    replicates: int = 1000,
    seed: int = 0,
    checkpoint: "Path | str | None" = None,
    progress: bool | None = None,
) -> "xr.Dataset":
    """Trajectories of the exact finite-size surrogate, equal in law to `simulate`: the same variables, averaged over replicates.

    Args:
        system: the surrogate from `derive.surrogate`.
        values: a number for each parameter of the problem; alpha, where it is given, is n/d.
        d: dimension of the data that the surrogate stands for.
        n: its samples. Default: alpha d to the nearest integer.
        steps: number of times; at most min(n, d).
        replicates: independent trajectories.
        seed: of all Gaussians.
        checkpoint: as `simulate`; whole batches of replicates are kept.
        progress: show a progress bar; by default on a terminal, and in a notebook after two seconds.

    Returns:
        as `simulate`, with X_runs for each X, and the program's own scalars `surrogate_X`: Cholesky factors L and M, responses qz and ug,
        fluctuation parameters phi and psi, overlaps m and mean gradients asum (replicate, time, cluster, field, ...).

    Raises:
        InputError, ComputationError: as `gmsym.solve`.
    """
    problem: Problem = system.problem
    check_integers(d=(d, 1), steps=(steps, 1), replicates=(replicates, 2), seed=(seed, 0))
    if n is None:
        n = counted(problem.at(values).ratio, d)
    check_integers(n=(n, 1))
    instance = instance_of_size(problem, values, n, d)
    if problem.batches is not None:
        problem.batches.check_size(n, instance.values)
    numbers = design_numbers(instance, n, d)
    cost = _cost.surrogate(n, d, steps, replicates, problem.fields, problem.data.clusters)
    with working("sampling the surrogate", cost, "fewer steps or replicates, or smaller n and d", progress) as report:
        asked = {"steps": steps, "replicates": replicates, "seed": seed}
        kept = Checkpoint(checkpoint, signature=signature(system), values=instance.values, n=n, d=d, **asked)
        runs, scalars = sample_recursion(load(system), numbers, **asked, checkpoint=kept, report=report)
    about = {"n": n, "d": d, "replicates": replicates, "seed": seed, "sampler": "surrogate"}
    result = schema.of_runs(
        runs,
        stated(problem, realised(instance, d, n), n / d) | about,
        parameters=[x.name for x in problem.trained_parameters],
        observables=problem.observable_names,
    )
    dims = {name: ("replicate", "time", "cluster", "field", *(() if name in ("m", "asum") else ("direction",))) for name in scalars}
    return result.assign({f"surrogate_{name}": (dims[name], scalars[name]) for name in scalars})


@solving(FiniteSize)
def solve_finite_size(
    system: FiniteSize,
    values: Mapping[str, float],
    *,
    steps: int,
    n: int | None = None,
    times: Sequence[int] | None = None,
    population: int | None = None,
    populations: int = 4,
    replicates: int = 200,
    samples: int = 8192,
    scrambles: int = 4,
    seed: int = 0,
    checkpoint: "Path | str | None" = None,
    progress: bool | None = None,
) -> "xr.Dataset":
    """Mean and standard deviation of learning curves for every n, d of one ratio: y(n) = y + bias/n + O(1/n^2), sd = deviation/sqrt(n).

    y is the DMF limit. The deviation comes from influence functions, without sampling training (engine.fluctuation), averaged
    over independent populations. The bias is fitted to the exact surrogate at two sizes, n and 2n, where the larger run has the
    samples and coordinates of two smaller ones: bias = -2n E[y(2n) - y(n)], whose error is stated; it includes O(1/n). Sizes are
    understood to be exact: where n/d, p_k n or rho_b d is rounded, a curve moves by another O(1/n).

    Args:
        system: from `derive.finite_size`.
        values: a number for each parameter of the problem, and alpha, n/d.
        steps: times 0..steps-1.
        n: a size; the result is then what `gmsym.at_size` makes of it.
        times: where the curves are taken. Default: 0 and up to nine more up to the last, spaced on a logarithmic scale.
        population: samples of a population on which influences are evaluated; the relative error falls as its inverse root. Default:
            1024, or more where clusters or blocks would be too small.
        populations: how many, at least 2: their spread is the deviation's error.
        replicates: pairs of runs of the surrogate, at least 2, behind the bias.
        samples, scrambles: of the DMF solver.
        seed: of everything random.
        checkpoint: as `simulate`; whole populations and pairs of runs are kept.
        progress: show progress bars; by default on a terminal, and in a notebook after two seconds.

    Returns:
        Dataset of kind "theory" at `times`: each X of `solve` with X_error, X_deviation and X_bias with X_deviation_error and
        X_bias_error. `at_size` turns it into curves for one n.

    Raises:
        InputError: an argument out of range; more steps than directions.
        ComputationError: training diverged.
    """
    problem: Problem = system.problem
    instance = problem.at(values)
    alpha = instance.ratio
    if n is not None:
        check_integers(n=(n, 1))
    check_integers(steps=(steps, 1), populations=(populations, 2), replicates=(replicates, 2), seed=(seed, 0))
    C, K = problem.fields, problem.data.clusters
    most = _POPULATION if population is None else _count("population", population)
    check("finite_size", _cost.influences(max(most, steps), 1, steps, 1, populations, C, K), "fewer steps, or a smaller population")
    chosen = _times(steps, times)
    say_unobserved(problem, "derive.finite_size", "training")
    module, adjoint, sizes = load(system.surrogate), load(system.influence), load(system.sizes)

    first, d = _matching_size(instance, alpha, max(_SMALLEST, 2 * steps))
    if population is None:
        population = max(_POPULATION, 2 * _enough(instance, alpha), first)
    check_integers(population=(population, 2))
    if min(_size(alpha, population)) < steps:
        raise InputError(f"population = {population}: {steps} steps need at least as many samples, and dimensions at alpha = {alpha:.6g}")
    less = "fewer steps, times or populations, or a smaller population"
    outputs = len(chosen) * (K * C + (1 + K) * C**2 + 3)
    check("influence functions", _cost.influences(*_size(alpha, population), steps, outputs, populations, C, K), less)
    check("the 1/n correction", _cost.surrogate(2 * first, 2 * d, steps, replicates, C, K), "fewer steps or replicates")
    small, large = design_numbers(instance, first, d), design_numbers(instance, *_size(alpha, population))
    asked = {"steps": steps, "times": chosen, "population": population, "seed": seed}
    kept = Checkpoint(checkpoint, system=signature_of(system), values=instance.values, alpha=alpha, **asked)
    limit = solve_dmf(system.dmf, values, steps=steps, samples=samples, scrambles=scrambles, seed=seed, progress=progress)
    of_training = [f"train_{name}{suffix}" for name in problem.observable_names for suffix in ("", "_error")]
    limit = limit.sel(time=list(chosen)).drop_vars(of_training)

    with memory_named("influence functions", less), progress_bar("influence functions", progress) as report:
        stage = kept.stage("population")
        variances = relative_variances(
            module, adjoint, large, times=chosen, populations=populations, seed=seed, checkpoint=stage, report=report
        )
    with progress_bar(f"surrogate at n = {first} and {2 * first}", progress) as report:
        stage = kept.stage("pair")
        runs = double_runs(module, small, times=chosen, replicates=replicates, seed=seed + 1, checkpoint=stage, report=report)
    limit = _with_deviations(limit, sizes, variances, runs, first)
    about = {"bias_size": first, "bias_replicates": replicates, "population": population, "populations": populations}
    found = limit.assign_attrs(about)
    return found if n is None else _at_size(sizes, found, n)


def _with_deviations(
    limit: "xr.Dataset", sizes: SizeExpansionModule, variances: Mapping[str, np.ndarray], runs: Doubling, total: int
) -> "xr.Dataset":
    """The limit with X_deviation, X_bias and their errors, from variances of populations and from runs at a total and twice as many."""
    added = {}
    for name, variance in variances.items():
        values = named(sizes.scaled, {"variance": variance})
        spread = student(len(variance), _DEVIATIONS) * standard_error(values)
        change = named(sizes.bias, {"total": total, "single": runs.single[name], "double": runs.double[name]})
        bias, bias_error = change.mean(0), student(len(change), _DEVIATIONS) * standard_error(change)
        columns = {
            DEVIATION: ("standard deviation times root n of", r"\sqrt{n}\,\mathrm{sd}", values.mean(0), spread),
            BIAS: ("n times the finite-size shift of", r"n\,\Delta", bias, bias_error),
        }
        about = limit[name].attrs
        for suffix, (words, symbol, value, error) in columns.items():
            labels = {"long_name": f"{words} the {about['long_name']}", "latex": f"{symbol}({about['latex']})"}
            added |= {f"{name}{suffix}": (limit[name].dims, value, labels), f"{name}{suffix}_error": (limit[name].dims, error)}
    return limit.assign(added)


def at_size(finite: "xr.Dataset", n: int) -> "xr.Dataset":
    """Curves of training with n samples, from a result of `derive.finite_size`: X with the bias added, X_error, and X_deviation of one run.

    d is n/alpha to the nearest integer; a ratio or counts that are not whole move curves by another O(1/n), see there.

    Raises:
        InputError: `finite` is of another kind, or n is not an integer that leaves a sample for each cluster and a dimension.
    """
    return _at_size(load(size_expansion()), finite, n)


def _at_size(sizes: SizeExpansionModule, finite: "xr.Dataset", n: int) -> "xr.Dataset":
    names = [name for name in getattr(finite, "data_vars", ()) if f"{name}{BIAS}" in finite]
    if not names:
        raise InputError("finite holds no finite-size curves; a result of gmsym.derive.finite_size is needed")
    check_integers(n=(n, max(finite.sizes["cluster"], int(np.ceil(finite.attrs["alpha"])))))
    curves = finite.drop_vars([f"{name}{BIAS}{suffix}" for name in names for suffix in ("", "_error")])

    def mean(limit: "xr.DataArray | float", bias: "xr.DataArray | float") -> "xr.DataArray":
        return named(sizes.mean, {"asymptote": limit, "bias": bias, "total": n})

    def deviation(scaled: "xr.DataArray") -> "xr.DataArray":
        return named(sizes.deviation, {"scaled": scaled, "total": n})

    for name in names:
        about, bias = finite[name].attrs, f"{name}{BIAS}"
        error = np.hypot(mean(finite[f"{name}_error"], 0.0), mean(0.0, finite[f"{bias}_error"]))  # of a sum of two
        curves = curves.assign(
            {
                name: mean(finite[name], finite[bias]).assign_attrs(about),
                f"{name}_error": error.assign_attrs(finite[f"{name}_error"].attrs),
                f"{name}{DEVIATION}": deviation(finite[f"{name}{DEVIATION}"]).assign_attrs(deviation_labels(about)),
                f"{name}{DEVIATION}_error": deviation(finite[f"{name}{DEVIATION}_error"]),
            }
        )
    return curves.assign_attrs({"n": int(n), "d": round(n / finite.attrs["alpha"])})


@solving(Refinement)
def solve_refinement(
    system: Refinement,
    values: Mapping[str, float],
    *,
    steps: int,
    sizes: Sequence[int] = (600, 2400, 9600),
    rounds: int = 3,
    replicates: int = 20,
    seed: int = 0,
    checkpoint: "Path | str | None" = None,
    progress: bool | None = None,
) -> "xr.Dataset":
    """How fast rounds of Picard's and Newton's iteration lead from the limit to the exact surrogate. Source: theory.md 1.3.

    The limit's scalars are means over `replicates` surrogates of four times the largest size.

    Args:
        system: from `derive.refinement`.
        values: a number for each parameter of the problem, and alpha, n/d.
        steps: T, a few: Cholesky factors of Gram matrices of T nearly collinear iterates lose their digits.
        sizes: n at which the rounds are made.
        rounds: rounds of each method.
        replicates: draws of all Gaussians, at each n.
        seed: of all Gaussians.
        checkpoint: as `simulate`; whole replicates are kept.
        progress: show a progress bar; by default on a terminal, and in a notebook after two seconds.

    Returns:
        Dataset with `error` (scheme, n, replicate, round), scheme "picard" or "newton":
        distance of Q_k(t, s), s <= t, and m to the exact ones, the square root of the sum of their mean squares, which is known to
        rounding; and `moved` (scheme, n, replicate, made), made = 1, 2, ...: by how much each round moved them. For Newton that states
        the error of the round before, to a few per cent from the first one, without the exact run; Picard's may move less than they err.

    Raises:
        InputError: an argument out of range.
        ComputationError: training diverged, or a round left the domain of the map.
    """
    import xarray as xr

    problem: Problem = system.problem
    instance = problem.at(values)
    alpha = instance.ratio
    check_integers(steps=(steps, 1), rounds=(rounds, 1), replicates=(replicates, 1), seed=(seed, 0))
    if not isinstance(sizes, Collection) or not len(sizes) or len(set(sizes)) < len(sizes):
        raise InputError(f"sizes = {sizes!r}: different integers are needed, at least one")
    largest = _size(alpha, max(_count("sizes", n) for n in sizes))
    cost = _cost.rounds(*largest, len(sizes), steps, replicates, rounds, problem.fields, problem.data.clusters)
    designs = [design_numbers(instance, *_size(alpha, n)) for n in sizes]
    large = design_numbers(instance, *_size(alpha, 4 * max(sizes)))
    module = load(system.recursion)
    methods = ("picard", "newton")
    asked = {"steps": steps, "sizes": sizes, "rounds": rounds, "replicates": replicates, "seed": seed}
    kept = Checkpoint(checkpoint, system=signature_of(system), values=instance.values, alpha=alpha, **asked)
    with working("refinement", cost, "fewer steps, rounds or replicates, or smaller sizes", progress) as report:
        start = limit_scalars(module, large, steps, replicates=replicates, seed=seed + 1, checkpoint=kept.stage("limit"))
        pairs = list(product(methods, designs))
        rows = [
            refinement_errors(
                module,
                numbers,
                start,
                steps=steps,
                rounds=rounds,
                method=method,
                replicates=replicates,
                seed=seed,
                checkpoint=kept.stage(f"rounds of {method} {sum(numbers.counts)}"),
                report=lambda part, done=done: report((done + part) / len(pairs)),
            )
            for done, (method, numbers) in enumerate(pairs)
        ]
    shape, cells = (len(methods), len(designs), replicates, -1), ("scheme", "n", "replicate")
    error, moved = (np.stack(part).reshape(shape) for part in zip(*rows, strict=True))
    coordinates = {"scheme": list(methods), "n": list(sizes), "replicate": np.arange(replicates)}
    coordinates |= {"round": np.arange(rounds + 1), "made": np.arange(1, rounds + 1)}
    about = {"kind": "refinement", "problem": problem.name, "alpha": float(alpha), "steps": steps}
    return xr.Dataset({"error": ((*cells, "round"), error), "moved": ((*cells, "made"), moved)}, coordinates, about)


def design_numbers(instance: Instance, n: int, d: int) -> Any:
    """The numbers of an instance at size n, d, as the engine takes them."""

    if instance.placed is not None or instance.vectors is not None:
        raise InputError("Gram matrices block by block are not treated by surrogates and finite-size theory; derive.dmf and simulate do")
    plan = design(instance, n, d)
    return Design(
        labels=instance.labels,
        variance=instance.variance,
        counts=plan.counts,
        sizes=plan.sizes,
        root=start(instance)[0],
        ridge=np.asarray(instance.ridge),
        parameters=tuple(map(np.asarray, instance.parameters.values())),
        trained=instance.trained,
        trained_parameters=tuple(map(np.asarray, instance.trained_parameters.values())),
        trained_ridge=np.asarray(instance.trained_ridge),
    )


def _enough(instance: Instance, alpha: float) -> int:
    """Samples that leave ten for each cluster, and for each block twice as many coordinates as moments that the start fixes."""
    vectors = len(instance.initial_gram) + len(instance.means_gram)
    moments = 1 + vectors * (vectors + 1) // 2
    return int(np.ceil(max(10 / instance.probabilities.min(), 2 * moments * alpha / instance.fractions.min())))


def _count(name: str, value: Any) -> int:
    check_integers(**{name: (value, 1)})
    return int(value)


def _size(alpha: float, n: int) -> tuple[int, int]:
    check_integers(n=(n, 1))
    d = n / alpha
    if not d < 2**63:
        raise InputError(f"alpha = {alpha:.6g} with n = {n} asks for {d:.3g} dimensions: less than 2^63 are needed; take alpha larger")
    return n, max(1, round(d))


def _matching_size(instance: Instance, alpha: float, least: int) -> tuple[int, int]:
    """(n, d) with min(n, d) >= `least`: of the first n the one whose counts n_k, d_b and ratio are nearest to exact."""

    def mismatch(n: int) -> float:
        d = n / alpha
        parts = [*(instance.probabilities * n), d, *(instance.fractions * round(d))]
        return max(abs(part - round(part)) for part in parts)

    if not least * max(1.0, alpha) < 2**62:
        raise InputError(f"alpha = {alpha:.6g}: so many samples for each of {least} dimensions are more than can be drawn; take it smaller")
    first = max(int(np.ceil(least * max(1.0, alpha))), _enough(instance, alpha))
    n = min(range(first, first + 121), key=lambda n: (round(mismatch(n), 3), n))
    return _size(alpha, n)


def _times(steps: int, times: Sequence[int] | None) -> tuple[int, ...]:
    if times is None:
        return tuple(sorted({0, *np.geomspace(1, max(1, steps - 1), 9).round().astype(int).tolist()} & set(range(steps))))
    if not isinstance(times, (Collection, np.ndarray)):
        raise InputError(f"times = {times!r}: integers from 0 to steps - 1 = {steps - 1} are needed")
    wrong = [time for time in times if isinstance(time, bool) or not isinstance(time, Integral) or not 0 <= time < steps]
    if wrong or not len(times):
        raise InputError(f"times = {list(times)!r}: integers from 0 to steps - 1 = {steps - 1} are needed")
    return tuple(sorted({int(time) for time in times}))
