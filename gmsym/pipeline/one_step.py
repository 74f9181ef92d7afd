"""A two-layer network after one gradient step: theory, witness, and what a result says of itself. Source: theory.md 8."""

import json
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from gmsym import symbols
from gmsym.calculus.hermite import hermite_numbers, kinks
from gmsym.engine.fixed_point import Solution, solve
from gmsym.errors import InputError, check_integers
from gmsym.pipeline import _cost
from gmsym.pipeline._stages import load
from gmsym.pipeline._verbs import simulating, solving
from gmsym.pipeline._work import working
from gmsym.problem import OneStep, OneStepNumbers
from gmsym.problem.one_step import t, z
from gmsym.runtime.checkpoint import Checkpoint
from gmsym.runtime.fixed_point import Numbers
from gmsym.schema import ONE_STEP
from gmsym.simulation.one_step import Hermite, simulate_networks
from gmsym.system import FixedPoint

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

_STRONG = 0.03  # theta/n, (eta s_u/k)^2 and |mu|^2/n from which B+ is off by more than a per cent
_NODES, _FEWER = 12, 9  # a direction
_RATIOS = (0.5, 2.0)  # width/samples that were checked


@solving(FixedPoint)
def solve_one_step(system: FixedPoint, values: Mapping[str, float], *, progress: bool | None = None) -> "xr.Dataset":
    """Errors of a two-layer network after one gradient step, its degrees, and the spikes of its feature matrix, at level B+.

    Args:
        system: from `derive.one_step`.
        values: a number for each parameter of the problem; arrays give dimensions.
        progress: has no effect; a point takes less than a second.

    Returns:
        Dataset with train_mse, objective, test_mse (no factor 1/2) and for targets +1 and -1 test_error; each with X_error, the change by
        coarser nodes, and X_normalised, divided by target_square = E y^2; spike and edge of the bulk, in units of features^T
        features/samples; degrees; and the attributes level and `outside`, what was not verified there.

    Raises:
        InputError: a parameter is missing, unknown or out of range.
        ComputationError: no solution was found.
    """
    problem: OneStep = system.problem
    given = problem.at(values)
    module, numbers = load(system), _numbers(problem, given)
    classified = problem.is_classification and given.noise == 0
    fine, coarse = (solve(module, numbers, nodes, classified) for nodes in (_NODES, _FEWER))
    return _labelled(problem, given, module, fine, coarse)


@simulating(OneStep)
def simulate_one_step(
    problem: OneStep,
    values: Mapping[str, float],
    *,
    replicates: int = 8,
    degree: int | None = None,
    eigenvalues: int = 0,
    tests: int | None = None,
    seed: int = 0,
    checkpoint: "Path | str | None" = None,
    progress: bool | None = None,
) -> "xr.Dataset":
    """Networks trained by one gradient step on generated data, their second layer fitted on fresh samples, all drawn anew a replicate.

    Args:
        problem: from `gmsym.OneStep`.
        values: a number for each parameter.
        replicates: independent repetitions.
        degree: also the Hermite model of that degree on the same draws: features sum_j h_j He_j(x/b) up to the degree, and fresh noise
            of the remaining energy; variables hermite_X.
        eigenvalues: that many largest eigenvalues of features^T features/samples.
        tests: fresh samples behind the test error; default five times `samples`.
        seed: replicate r is the same for every number of replicates.
        checkpoint: a file that keeps finished replicates.
        progress: show a progress bar on stderr; by default only on a terminal.

    Returns:
        Dataset of the variables of the theory with X_error over replicates and X_runs.

    Raises:
        InputError: a number out of range.
        ComputationError: a run is not finite.
    """
    given = problem.at(values)
    tests = 5 * given.samples if tests is None else tests
    check_integers(replicates=(replicates, 2), eigenvalues=(eigenvalues, 0), tests=(tests, 1), seed=(seed, 0))
    if degree is not None:
        check_integers(degree=(degree, 0))
    if eigenvalues > given.width:
        raise InputError(f"eigenvalues = {eigenvalues}: the feature matrix has {given.width}")
    model = None if degree is None else _hermite_model(problem, given, degree)
    kept = Checkpoint(
        checkpoint, problem=problem.signature, values=given.values, degree=degree, tests=tests, eigenvalues=eigenvalues, seed=seed
    )
    cost = _cost.networks(given.n, given.samples, given.width, tests, replicates, degree is not None, eigenvalues)
    with working("training networks", cost, "fewer samples, neurons or replicates", progress) as report:
        runs = simulate_networks(
            problem,
            given,
            replicates=replicates,
            tests=tests,
            model=model,
            eigenvalues=eigenvalues,
            seed=seed,
            seconds=cost.seconds / replicates,
            checkpoint=kept,
            report=report,
        )
    return _runs_labelled(problem, given, runs, {"replicates": replicates, "seed": seed, "tests": tests})


# --- numbers ----------------------------------------------------------------------------------------------------------


def _numbers(problem: OneStep, given: OneStepNumbers) -> Numbers:
    own = {symbols.symbol(name): sp.Float(value, 17) for name, value in given.parameters.items()}
    at_cluster = tuple(
        tuple(_kinks(problem.target.xreplace(own | {symbols.y: sp.Float(label, 17)}), t)) if problem.uses_direction else ()
        for label in given.labels.tolist()
    )
    return Numbers(
        n=given.n,
        samples=given.samples,
        width=given.width,
        ridge=given.ridge / given.n,
        step=given.step,
        noise=given.noise,
        trace=given.trace,
        probabilities=given.probabilities,
        labels=given.labels,
        means=given.means,
        covariances=given.covariances,
        direction=given.direction,
        parameters=tuple(given.parameters[s.name] for s in problem.own_parameters),
        kinks=tuple(_kinks(problem.activation.xreplace(own), z)),
        target_kinks=at_cluster,
    )


@lru_cache(maxsize=256)
def _kinks(f: sp.Expr, x: sp.Symbol) -> tuple[float, ...]:
    return tuple(kinks(f, x))


def _hermite_model(problem: OneStep, given: OneStepNumbers, degree: int) -> Hermite:
    """Numbers of the Hermite model; b is that of a preactivation across the frame."""
    own = {symbols.symbol(name): sp.Float(value, 17) for name, value in given.parameters.items()}
    b = math.sqrt(given.n / given.trace)
    coefficients, rest = _coefficients(problem.activation.xreplace(own), b, degree)
    return Hermite(b, np.array(coefficients), math.sqrt(rest))


@lru_cache(maxsize=64)
def _coefficients(activation: sp.Expr, b: float, degree: int) -> tuple[list[float], float]:
    return hermite_numbers(activation, z, b, degree)


# --- what a result says -----------------------------------------------------------------------------------------------


def _labelled(problem: OneStep, given: OneStepNumbers, module: Any, fine: Solution, coarse: Solution) -> "xr.Dataset":
    import xarray as xr

    square = float(fine.square)
    found = {
        "train_mse": (fine.train_mse, coarse.train_mse),
        "objective": (fine.objective, coarse.objective),
        "test_mse": (fine.test_mse, coarse.test_mse),
    }
    if problem.is_classification and given.noise == 0:
        found["test_error"] = (fine.test_error, coarse.test_error)
    variables: dict[str, Any] = {}
    for name, (value, other) in found.items():
        long_name, latex = ONE_STEP[name]
        variables[name] = ((), float(value), {"long_name": long_name, "latex": latex})
        variables[f"{name}_error"] = ((), abs(float(value - other)), {"long_name": f"numerical error of the {long_name}"})
        if name != "test_error":
            variables[f"{name}_normalised"] = ((), float(value) / square, {"long_name": f"{long_name} over E y^2"})
    visible = fine.spikes
    strength = _strengths(given, fine)
    degrees = _degrees(module, problem, given, strength["gradient"])
    variables |= {
        "target_square": ((), square, {"long_name": "mean square of the target"}),
        "spike": ("spike_index", np.sort(visible)[::-1], {"long_name": "eigenvalues beyond the bulk", "latex": "x_a"}),
        "edge": ((), float(fine.edge), {"long_name": "upper edge of the bulk of features^T features/samples"}),
        "effective_ridge": ((), float(fine.effective_ridge), {"long_name": "effective ridge", "latex": r"\lambda_*"}),
        "degree": ("degree_kind", [math.nan if x is None else x for x in degrees.values()], {"long_name": "degree that survives"}),
        "data_strength": ((), strength["data"], {"long_name": "theta/n"}),
        "mean_strength": ((), strength["means"], {"long_name": "largest |mu|^2/n"}),
        "gradient_strength": ((), strength["gradient"], {"long_name": "(eta s_u/width)^2"}),
    }
    coordinates = {"spike_index": np.arange(len(visible)), "degree_kind": list(degrees)}
    outside = _outside(problem, given, strength)
    about = {"kind": "one-step", "level": "B+", "outside": json.dumps(outside), "strong": _STRONG}
    return xr.Dataset(variables, coordinates, about | _about(problem, given))


def _strengths(given: OneStepNumbers, fine: Solution) -> dict[str, float]:
    """How far the low-dimensional part is from small, which decides the level."""
    means = float((given.means**2).sum(axis=1).max(initial=0.0)) / given.n
    return {"data": given.spread / given.n, "means": means, "gradient": float(fine.pull)}


def _degrees(module: Any, problem: OneStep, given: OneStepNumbers, gradient: float) -> dict[str, float | None]:
    """Degrees by the generated rules; None where no degree bounds them. Exponents of the gradient are those of the limit where the target
    says them, and otherwise measured at this n."""
    log = math.log(given.n)
    data = math.log(max(given.spread, 1.0)) / log
    step = math.log(max(given.step, 1.0)) / log
    if problem.uses_direction and problem.direction == "random":
        pulled = step - data / 2
    elif problem.uses_direction:
        pulled = step + data
    else:
        pulled = math.log(max(gradient**0.5 * given.width, 1.0)) / log
    if step == 0:
        pulled = 0.0
    exponents = [min(x, 1.0) - 1e-9 for x in (step + data, data, max(pulled, 0.0))]  # a boundary belongs to the lower degree
    found = [float(x) for x in module.degrees(*exponents)]
    return {name: None if x > 1e6 else max(x, 0.0) for name, x in zip(("l", "l_D", "l_G"), found, strict=True)}


def _outside(problem: OneStep, given: OneStepNumbers, strength: Mapping[str, float]) -> list[str]:
    """What was not verified, in words."""
    found = []
    words = {"data": "theta/n", "means": "|mu|^2/n", "gradient": "(eta s_u/width)^2"}
    for name, value in strength.items():
        if value > _STRONG:
            found.append(
                f"{words[name]} = {value:.2g} exceeds {_STRONG}: level B+ may miss by 6% in the test error, 8% in the training error"
            )
    ratio = given.width / given.samples
    if not _RATIOS[0] <= ratio <= _RATIOS[1]:
        found.append(f"width/samples = {ratio:.3g} is outside {_RATIOS[0]} to {_RATIOS[1]}, where the theory was checked against networks")
    if given.n < 400:
        found.append(f"n = {given.n} is below 400: the equations are asymptotic")
    if max(given.spread, given.step) > given.n:
        found.append("spread and step beyond n were not checked")
    return found


def _about(problem: OneStep, given: OneStepNumbers) -> dict[str, Any]:
    counts = {name: getattr(given, name) for name in ("n", "samples", "width")}
    return {"problem": problem.name, **counts, "parameters": json.dumps(given.values, sort_keys=True)}


def _runs_labelled(problem: OneStep, given: OneStepNumbers, runs: dict[str, np.ndarray], about: dict[str, Any]) -> "xr.Dataset":
    import xarray as xr

    count = about["replicates"]
    variables: dict[str, Any] = {}
    for name, values in runs.items():
        base = name.removeprefix("hermite_")
        if base == "test_error" and not (problem.is_classification and given.noise == 0):
            continue
        long_name, latex = ONE_STEP.get(base, (name, name))
        words = f"{long_name}, Hermite model" if base != name else long_name
        dims = ("eigenvalue_index",) if values.ndim > 1 else ()
        variables[name] = (dims, values.mean(axis=0), {"long_name": words, "latex": latex})
        variables[f"{name}_error"] = (dims, values.std(axis=0, ddof=1) / math.sqrt(count), {"long_name": f"standard error of the {words}"})
        variables[f"{name}_runs"] = (("replicate", *dims), values, {"long_name": f"{words}, each replicate"})
    square = float(runs["target_square"].mean())
    for name in [x for x in variables if x.removeprefix("hermite_") in ("train_mse", "objective", "test_mse")]:
        variables[f"{name}_normalised"] = ((), float(variables[name][1]) / square, {"long_name": "over the mean square of the target"})
    return xr.Dataset(variables, {"replicate": np.arange(count)}, {"kind": "one-step simulation", **_about(problem, given), **about})


def one_step_record(result: "xr.Dataset") -> dict[str, Any]:
    """A result as plain numbers, ready for JSON: MSE without the factor 1/2, and under `normalised` over E y^2."""
    names = [name for name in ("train_mse", "objective", "test_mse", "test_error") if name in result]
    record: dict[str, Any] = {name: float(result[name]) for name in names}
    errors = {name: float(result[f"{name}_error"]) for name in names}
    normalised = {name: float(result[f"{name}_normalised"]) for name in names if f"{name}_normalised" in result}
    if result.attrs["kind"] == "one-step":
        degrees = dict(zip(result["degree_kind"].values.tolist(), result["degree"].values.tolist(), strict=True))
        record["level"] = result.attrs["level"]
        record["degrees"] = {name: None if math.isnan(x) else int(x) for name, x in degrees.items()}
        record["spikes"] = [x for x in result["spike"].values.tolist() if not math.isnan(x)]
        record |= {"error": errors, "normalised": normalised, "edge": float(result["edge"])}
        return record | {"outside": json.loads(result.attrs.get("outside", "[]"))}
    hermite = {name: float(result[f"hermite_{name}"]) for name in names if f"hermite_{name}" in result}
    record |= {"hermite": hermite} if hermite else {}
    record |= {"eigenvalues": result["eigenvalue"].values.tolist()} if "eigenvalue" in result else {}
    return record | {"error": errors, "normalised": normalised, "replicates": result.attrs["replicates"]}
