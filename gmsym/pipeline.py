"""The stages by name, in order: derive, codegen, solve; simulate beside them; compare and plot after both.

    problem -> derive.dmf -> system -> source -> load -> engine -> Dataset
    problem ------------------------> simulation ------> Dataset

Every intermediate object is kept: a system knows its problem and writes its source, a result knows how it was made.
"""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from numbers import Integral, Real
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from gmsym import derive, schema, symbols
from gmsym.comparison import Comparison, Row, compare
from gmsym.errors import InputError
from gmsym.problem import GaussianMixture, Instance, Problem, losses, optimizers
from gmsym.problem.design import design
from gmsym.system import AbstractSystem, CausalKernels, Recursion

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["build", "compare", "demo", "kernels", "load_case", "simulate", "solve", "surrogate"]


def solve(
    system: CausalKernels | Problem,
    *,
    alpha: float,
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
        steps: number of times; time 0 is the initial state.
        samples: population size of each cluster, a power of two; the error falls about like 1/samples.
        scrambles: independent repetitions, whose spread gives the standard errors.
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
    system, instance, solution = _solved(system, alpha, parameters, progress, steps=steps, samples=samples, scrambles=scrambles, seed=seed)
    attributes = {
        "problem": problem_name(system.problem),
        "problem_signature": system.problem.signature,
        "alpha": float(alpha),
        "parameters": instance.values,
        "response": system.response,
        "rank": list(solution.ranks),
        "signature": system.signature,
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
    _, _, solution = _solved(
        system, alpha, parameters, progress, steps=steps, samples=samples, scrambles=scrambles, seed=seed, two_time=True
    )
    return solution.two_time


def _solved(
    system: Any, alpha: float, parameters: dict[str, float], progress: bool | None, **options: Any
) -> tuple[CausalKernels, Instance, Any]:
    if isinstance(system, Problem):
        system = derive.dmf(system)
    if not isinstance(system, CausalKernels):
        raise InputError(f"system = {system!r}: DMF equations (derive.dmf) or a Problem are needed")
    problem: Problem = system.problem
    if isinstance(alpha, bool) or not isinstance(alpha, Real) or not 0 < alpha < float("inf"):
        raise InputError(f"alpha = {alpha!r}: samples per dimension, a positive number, are needed")
    instance = _instance(problem, float(alpha), parameters)

    from gmsym.engine.causal_kernels import solve_causal_kernels

    module = load(system)
    with _progress("solving DMF", progress) as report:
        return system, instance, solve_causal_kernels(module, numbers(instance, float(alpha)), report=report, **options)


def _instance(problem: Problem, alpha: float, parameters: dict[str, float]) -> Instance:
    """The problem in numbers; where its expressions hold `alpha`, that is samples per dimension."""
    return problem.at(**parameters, **({"alpha": alpha} if symbols.alpha in problem.parameters else {}))


def simulate(
    problem: Problem | CausalKernels,
    *,
    n: int,
    d: int,
    steps: int,
    replicates: int = 8,
    seed: int = 0,
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
        progress: show a progress bar on stderr; by default only on a terminal.
        parameters: a number for each parameter of the problem.

    Raises:
        InputError, ComputationError: as `solve`.
    """
    problem = problem.problem if isinstance(problem, AbstractSystem) else problem
    if not isinstance(problem, Problem):
        raise InputError(f"problem = {problem!r}: a Problem is needed")
    from gmsym.simulation import train

    with _progress("training", progress) as report:
        return train(problem, n=n, d=d, steps=steps, replicates=replicates, seed=seed, report=report, **parameters)


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
        as `simulate`, with X_runs for each X, and the program's own scalars: Cholesky factors L and M, responses qz and ug,
        fluctuation parameters phi and psi (replicate, time, ..., direction), as of engine.recursion.

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
    instance = _instance(problem, n / d, parameters)
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
    with _progress("sampling the surrogate", progress) as report:
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
    directions = {"L": ("cluster", "field"), "M": ("cluster", "field")} | dict.fromkeys(("qz", "ug", "phi", "psi"), ("field", "cluster"))
    return result.assign({f"surrogate_{name}": (("replicate", "time", *directions[name], "direction"), scalars[name]) for name in scalars})


def problem_name(problem: Problem) -> str:
    """Loss and optimizer, as results and titles name a problem."""
    return f"{problem.loss.name} / {problem.optimizer.name}"


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


def load(system: AbstractSystem) -> ModuleType:
    """The generated module of a system; the same object for the same source, so that compiled functions are reused."""
    return _load(system.source())


@lru_cache(maxsize=64)
def _load(source: str) -> ModuleType:
    from gmsym.runtime import load as load_text

    return load_text(source, "gmsym_generated")


def demo(directory: Path, progress: bool | None = None) -> Comparison:
    """The main job on the logistic case: derive, generate, solve, simulate, compare; writes a figure, a table and the module.

    Writes `gmsym_demo.png`, `gmsym_demo.csv` and `gmsym_demo_logistic.py` to `directory`. About half a minute on two cores.
    """
    from gmsym.plotting import overlay

    problem = Problem(GaussianMixture.symmetric(), losses.logistic(), optimizers.gd())
    values = {"sigma": 1.0, "mu_norm": 1.2, "eta": 1.0, "ridge": 0.05}
    system = derive.dmf(problem)
    theory = solve(system, alpha=1.5, steps=60, progress=progress, **values)
    runs = simulate(problem, n=1500, d=1000, steps=60, replicates=8, progress=progress, **values)
    comparison = compare(theory, runs)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "gmsym_demo_logistic.py").write_text(system.source())
    with (directory / "gmsym_demo.csv").open("w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(Row._fields)
        writer.writerows(comparison.table(theory["time"].values))
    overlay(theory, runs)[0].figure.savefig(directory / "gmsym_demo.png", dpi=150)
    return comparison


def load_case(folder: Path) -> ModuleType:
    """The `problem.py` of a case: a module that declares PROBLEM, VALUES, ALPHA, STEPS and SIMULATION.

    Raises:
        InputError: there is no such file, or it declares no PROBLEM.
    """
    path = folder / "problem.py"
    if not path.is_file():
        raise InputError(f"case {str(folder)!r}: there is no problem.py in it")
    spec = spec_from_file_location(f"gmsym_case_{folder.name}", path)
    assert spec is not None and spec.loader is not None
    case = module_from_spec(spec)
    spec.loader.exec_module(case)
    if not isinstance(getattr(case, "PROBLEM", None), Problem):
        raise InputError(f"case {str(folder)!r}: problem.py must declare PROBLEM, a gmsym Problem")
    return case


def build(folder: Path) -> list[Path]:
    """Write the generated module and the manifest of a case; files whose text is current are left alone.

    Returns:
        the files that changed.
    """
    system = derive.dmf(load_case(folder).PROBLEM)
    manifest = {"kind": type(system).__name__, "signature": system.signature, "sympy": sp.__version__, "module": "generated/dmf.py"}
    texts = {folder / "generated" / "dmf.py": system.source(), folder / "manifest.json": json.dumps(manifest, indent=2) + "\n"}
    changed = [path for path, text in texts.items() if not path.is_file() or path.read_text() != text]
    for path in changed:
        path.parent.mkdir(exist_ok=True)
        path.write_text(texts[path])
    return changed


@contextmanager
def _progress(description: str, wanted: bool | None) -> Iterator[Callable[[float], None]]:
    """A function that takes the completed fraction, drawn as a bar on stderr."""
    if wanted is False or (wanted is None and not sys.stderr.isatty()):
        yield lambda fraction: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=1.0)
        yield lambda fraction: bar.update(task, completed=fraction)
