"""One verb a task: `solve` and `simulate` find what does it by the kind of what they are given.

A module registers its solver under a kind of system by `@solving(kind)`, a simulation under a kind of sampling or of system by
`@simulating(kind)`; the keyword-only arguments of what is registered are the options of that theory, and its docstring describes them.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from itertools import product
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from gmsym import derive
from gmsym.errors import InputError
from gmsym.pipeline._joining import folded
from gmsym.pipeline._keeping import points_kept
from gmsym.pipeline._provenance import signature_of, with_provenance
from gmsym.problem import AbstractProblem, Problem
from gmsym.progress import progress_bar
from gmsym.system import AbstractSystem

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

Verb = Callable[..., Any]
_SOLVERS: dict[type, Verb] = {}
_SIMULATIONS: dict[type, Verb] = {}
_SWEEPS: dict[type, Verb] = {}
_GRIDS: set[type] = set()  # kinds with a sweep of their own that are solved point by point over several parameters


def solving(kind: type[AbstractSystem]) -> Callable[[Verb], Verb]:
    """Register what solves systems of a kind: (system, values, *, options) -> Dataset."""
    return _registering(_SOLVERS, kind)


def simulating(kind: type) -> Callable[[Verb], Verb]:
    """Register what simulates problems of a kind of sampling, or systems of a kind: (problem or system, values, *, options) -> Dataset."""
    return _registering(_SIMULATIONS, kind)


def sweeping(kind: type[AbstractSystem], *, grids: bool = False) -> Callable[[Verb], Verb]:
    """Register what solves systems of a kind over values of one parameter: (system, values, name, *, options) -> Dataset.

    Systems of other kinds are solved at one value after the other.
    """
    if grids:  # over several parameters, too, one point after the other
        _GRIDS.add(kind)
    return _registering(_SWEEPS, kind)


def _registering(table: dict[type, Verb], kind: type) -> Callable[[Verb], Verb]:
    def register(verb: Verb) -> Verb:
        table[kind] = verb
        return verb

    return register


def solve(system: Any, values: Mapping[str, Any] | None = None, **options: Any) -> "xr.Dataset":
    """Solve a theory of training in numbers.

    Args:
        system: what a verb of `gmsym.derive` made of a problem; or a problem, which takes its natural theory: DMF for full batches, the
            effective dynamics online, of a `OneStep` its fixed point.
        values: a number for each parameter of the problem, by name, and `alpha`, samples per dimension, where the theory has it. Arrays
            give the result their dimensions, named as they are.
        options: keyword arguments of the theory, below; `gmsym.options(system)` describes them. Where arrays are among the values,
            `checkpoint` too: a file that keeps finished points, so that the same call continues after an interruption. One solve of
            DMF, of the effective dynamics or of a spectrum keeps nothing, and says so.

    =============================  ==================================================================================================
    `derive.dmf`                   steps, n and d (or alpha), rtol or samples and scrambles, two_time, of ("average"), seed, progress
    `derive.dmf` of a flow         time, points, n and d, tolerance, samples, scrambles, seed, progress
    `derive.dmf` of `single`       n and d (in place of alpha), parts, samples, scrambles, seed, progress
    `derive.surrogate`             d, steps, n (default alpha d), replicates, seed, checkpoint, progress
    `derive.finite_size`           steps, n, times, population, populations, replicates, samples, scrambles, seed, checkpoint, progress
    `derive.refinement`            steps, sizes, rounds, replicates, seed, checkpoint, progress
    `derive.effective`             time, d, blocks_at, tolerance, solver, of, progress
    `derive.fluctuations`          time, initial, paths, seed, progress
    `derive.spectrum`              m, Q, M (the state), along and times (states along a result), points, grid, checkpoint, progress
    `derive.stationary`            none but progress
    `derive.one_step`              level ("B+", "C" or "A"), weights and seed (of level A), progress
    =============================  ==================================================================================================

    Returns:
        A Dataset with a standard error X_error of each X, and attributes that say how it was made: `gmsym.problem_of(result)` gives the
        problem back.

    Raises:
        InputError: a system that nothing solves, an unknown option, a number that is unknown, missing or out of range; before anything
            is computed.
        ComputationError: the computation diverged or did not converge; says where.

    Example:
        >>> import gmsym as gm
        >>> problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.gd())
        >>> values = {"alpha": 2.0, "sigma": 1.0, "mu_norm": 1.0, "eta": 0.2}
        >>> result = gm.solve(problem, values, steps=5)
        >>> round(float(result["m"][-1, 0, 0]), 4)
        0.4353
    """
    system = derived(system)
    solver = found_for(_SOLVERS, system, "solve", "what a verb of gmsym.derive gives, or a Problem")
    values = checked(values)
    kept = options.pop("checkpoint", None) if _keeps_points(system, values) else None
    check_options(solver, options, f"solving {type(system).__name__}")
    started = perf_counter()
    over = [name for name, value in values.items() if np.ndim(value)]
    result = _over(solver, system, values, over, options, kept) if over else solver(system, values, **options)
    return with_provenance(result, system, values, options, perf_counter() - started)


def simulate(problem: Any, values: Mapping[str, float] | None = None, **options: Any) -> "xr.Dataset":
    """Train on generated data, or generate the matrices of a spectrum: the witness beside a theory, which shares only the problem with it.

    Args:
        problem: a problem, or a system derived from it; a spectrum's system gives eigenvalues of generated matrices.
        values: a number for each parameter of the problem, by name; `alpha`, where it is given, is n/d.
        options: keyword arguments, below; `gmsym.options(problem, "simulate")` describes them.

    =============================  ==================================================================================================
    full batches                   d, steps, n (default alpha d), replicates, of ("average"), seed, checkpoint, progress
    a flow                         d, time, points, n (default alpha d), replicates, seed, checkpoint, progress
    one sample at a time           d, n (default alpha d), replicates, points, seed, checkpoint, progress
    online                         d, time, replicates, points, sampler ("online" or "chain"), of, seed, checkpoint, progress
    `derive.spectrum`              d, m, Q, M (the state), replicates, extreme, vectors, seed, checkpoint, progress
    `derive.stationary`            d, n (default alpha d), replicates, seed, progress
    `OneStep`                      replicates, degree (of a Hermite model beside it), eigenvalues, tests, seed, checkpoint, progress
    =============================  ==================================================================================================

    Returns:
        A Dataset of the same variables as the theory, averaged over replicates, with X_error and X_runs for each X.

    Raises:
        InputError: as `solve`.
        ComputationError: training diverged; says where.
    """
    simulation = found_for(_SIMULATIONS, _witnessed(problem), "simulate", "a Problem, or a system derived from one")
    given = problem if type(problem) in _SIMULATIONS or isinstance(problem, AbstractProblem) else problem.problem
    check_options(simulation, options, f"simulating {given.name}")
    values = checked(values)
    for name, value in values.items():
        if np.ndim(value):
            raise InputError(f"{name} = {repr(value)[:60]}: a simulation takes one number; call it for each")
    started = perf_counter()
    result = simulation(given, values, **options)
    return with_provenance(result, problem, values, options, perf_counter() - started)


def options(system: Any, verb: str = "solve") -> str:
    """What `solve` or `simulate` takes for a system or a problem, in words.

    Raises:
        InputError: nothing solves or simulates it.
    """
    if verb not in ("solve", "simulate"):
        raise InputError(f"verb = {verb!r}; allowed are solve, simulate")
    if verb == "solve":
        system = derived(system)
    found = _SOLVERS.get(type(system)) if verb == "solve" else _SIMULATIONS.get(type(_witnessed(system)))
    if found is None:
        raise InputError(f"system = {system!r}: nothing to {verb} there")
    return inspect.cleandoc(found.__doc__ or "")


def derived(system: Any) -> Any:
    """The system of a problem's natural theory; what is no problem stays."""
    return getattr(derive, system.natural.replace("-", "_"))(system) if isinstance(system, AbstractProblem) else system


def option_names(kind: type, verb: str = "solve") -> dict[str, inspect.Parameter]:
    """Keyword arguments of what solves or simulates a kind."""
    return keywords((_SOLVERS if verb == "solve" else _SIMULATIONS)[kind])


def keywords(verb: Verb) -> dict[str, inspect.Parameter]:
    """Keyword-only arguments of a function."""
    return {name: x for name, x in inspect.signature(verb).parameters.items() if x.kind is inspect.Parameter.KEYWORD_ONLY}


def keeps(system: AbstractSystem, values: Mapping[str, Any]) -> bool:
    """Whether `solve` takes a checkpoint."""
    return _keeps_points(system, values) or "checkpoint" in option_names(type(system))


def _keeps_points(system: Any, values: Mapping[str, Any]) -> bool:
    return type(system) not in _SWEEPS and any(np.ndim(value) for value in values.values())


def _witnessed(problem: Any) -> Any:
    """What decides how something is simulated: a system with a simulation of its own, the sampling of the problem, or the optimizer of a
    flow, which has no steps to sample at."""
    if type(problem) in _SIMULATIONS:
        return problem
    own = getattr(problem, "problem", problem) if isinstance(problem, AbstractSystem) else problem
    if isinstance(own, Problem) and own.is_flow:
        return own.optimizer
    return getattr(own, "sampling", own) if isinstance(own, AbstractProblem) else own


def found_for(table: Mapping[type, Verb], thing: Any, verb: str, needed: str) -> Verb:
    if type(thing) not in table:
        hint = ""
        if isinstance(thing, AbstractSystem):
            kinds = ", ".join(sorted(kind.__name__ for kind in table))
            hint = f"; a system of kind {type(thing).__name__} is for reading, kinds to {verb} are {kinds}"
        raise InputError(f"system = {' '.join(repr(thing)[:80].split())}: {needed} is needed{hint}")
    return table[type(thing)]


def check_options(verb: Verb, options: Mapping[str, Any], doing: str) -> None:
    """Refuses options that there are not and misses those that there must be, each by name."""
    allowed = keywords(verb)
    for name in options:
        if name not in allowed:
            near = get_close_matches(name, allowed, 1)
            meant = f"; did you mean {near[0]!r}?" if near else "; numbers of the problem belong into values"
            raise InputError(f"{name} is no option of {doing}{meant} (options: {', '.join(allowed)})")
    for name, parameter in allowed.items():
        if parameter.default is inspect.Parameter.empty and name not in options:
            raise InputError(f"{name} is missing: {doing} needs it")


def checked(values: Any) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise InputError(f"values = {repr(values)[:60]}: numbers by name are needed, such as {{'alpha': 2.0, 'eta': 0.5}}")
    for name in values:
        if not isinstance(name, str):
            raise InputError(f"values has the key {name!r}; names of parameters are needed")
    return values


def _over(
    solver: Verb,
    system: Any,
    values: Mapping[str, Any],
    over: Sequence[str],
    options: Mapping[str, Any],
    kept: "Path | str | None",
) -> "xr.Dataset":
    """The result over the grid of all arrays among the values, whose points are kept; a kind with a sweep of its own takes one array."""
    arrays = {name: increasing(name, values[name]) for name in over}
    fixed = {name: value for name, value in values.items() if name not in arrays}
    problem = system.problem
    names = {"alpha", *(s.name for s in problem.parameters)}
    for name in over:
        if name not in names:
            raise InputError(f"unknown parameter {name!r}; this problem has {', '.join(sorted(names))}")
    if "alpha" in arrays and problem.is_online and type(system) not in _SWEEPS:
        raise InputError(f"alpha = {arrays['alpha'].tolist()}: online SGD has no samples per dimension; only spectra are taken over alpha")

    if type(system) in _SWEEPS and not (len(over) > 1 and type(system) in _GRIDS):
        if len(over) > 1:
            raise InputError(f"values has arrays for {' and '.join(over)}; spectra are taken over one parameter at a time")
        return _SWEEPS[type(system)](system, {**fixed, **arrays}, over[0], **options)
    points = [dict(zip(over, point, strict=True)) for point in product(*(x.tolist() for x in arrays.values()))]

    def at(index: int) -> "xr.Dataset":
        return solver(system, {**fixed, **points[index]}, **options)

    asked = {name: value for name, value in options.items() if name != "progress"}
    computation = {"problem": problem.signature, "system": signature_of(system), "values": dict(values), "options": asked}
    with progress_bar(f"{len(points)} points", options.get("progress")) as report:

        def counted(index: int) -> "xr.Dataset":
            found = at(index)
            report((index + 1) / len(points))
            return found

        return folded(points_kept(counted, len(points), kept, **computation), arrays)


def increasing(name: str, value: Any) -> np.ndarray:
    """The values of a parameter along an axis. Raises InputError unless they are increasing numbers."""
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all() or (np.diff(array) <= 0).any():
        raise InputError(f"{name} = {repr(value)[:60]}: a number, or increasing numbers, are needed")
    return array
