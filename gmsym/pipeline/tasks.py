"""What the command line asks of a problem file: its theory derived, solved, simulated, compared, in the numbers that it states."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gmsym.comparison import compare
from gmsym.errors import InputError
from gmsym.files import ProblemFile
from gmsym.files.reader import Matrix
from gmsym.files.suggest import unknown
from gmsym.pipeline._verbs import keeps, option_names, simulate, solve
from gmsym.pipeline.standalone import standalone, standalone_options
from gmsym.pipeline.theories import THEORIES, Theory
from gmsym.pipeline.tuning import Tuned, options_of, tune
from gmsym.problem import AbstractProblem, Optimizer, Problem
from gmsym.problem.sampling import Single
from gmsym.system import AbstractSystem, CausalKernels, FiniteSize, Flow, Passes, Recursion, Spectral, Stationary

if TYPE_CHECKING:
    import xarray as xr

_OVERLAPS = ("m", "Q", "M")  # of a state, beside trained parameters
_COMPARED = ("dmf", "finite-size", "effective", "fluctuations", "spectrum", "stationary", "one-step")
_OWN = ("spectrum", "stationary")  # whose systems have a witness of their own


class Compared(NamedTuple):
    """A theory beside its witness."""

    theory: "xr.Dataset"
    runs: "xr.Dataset"
    comparison: Any


def theory_of(given: ProblemFile, name: str | None, solved: bool = True) -> tuple[str, Theory]:
    """The theory of that name, or the natural one of the problem.

    Args:
        given: the problem.
        name: of a theory.
        solved: whether numbers must come of it.

    Raises:
        InputError: there is none of that name, or it is for reading only.
    """
    chosen = given.problem.natural if name is None else name
    allowed = [x for x, row in THEORIES.items() if row.solved or not solved]
    if chosen not in allowed:
        raise InputError(f"--theory: {unknown('theory', chosen, allowed)}")
    if not isinstance(given.problem, THEORIES[chosen].of):
        own = [x for x in allowed if isinstance(given.problem, THEORIES[x].of)]
        raise InputError(f"--theory {chosen} is about another kind of problem; allowed here are {', '.join(own)}")
    return chosen, THEORIES[chosen]


def derive_file(given: ProblemFile, name: str | None = None, solved: bool = False) -> Any:
    """The system, or the equations, of a theory of the problem."""
    chosen, _ = theory_of(given, name, solved)
    return _derived(given.problem, chosen, given.matrix if chosen == "spectrum" else None)


@lru_cache(maxsize=64)
def _derived(problem: Problem, name: str, matrix: Matrix | None) -> Any:
    """The system, derived once for all points of a study."""
    about = () if matrix is None else (matrix.matrix, matrix.block, matrix.trained)
    return THEORIES[name].derive(problem, *about)


def solve_file(
    given: ProblemFile, name: str | None = None, *, checkpoint: Path | None = None, progress: bool | None = None
) -> "xr.Dataset":
    """The theory in the numbers of the file.

    Raises:
        InputError, ComputationError: as `gmsym.solve`.
    """
    system = derive_file(given, name, solved=True)
    state = _state(given, system, progress)
    values = _values(given, system, state)
    kept = {"checkpoint": checkpoint} if checkpoint is not None and keeps(system, values) else {}
    return solve(system, values, **_options(given, system, state), **kept, progress=progress)


def standalone_file(given: ProblemFile, name: str | None = None) -> str:
    """The theory in a file of its own, in the numbers of the problem file. Raises as `gmsym.standalone`."""
    system = derive_file(given, name, solved=True)
    taken = standalone_options(system)
    options = {key: value for key, value in _options(given, system, {}).items() if key in taken}
    values = _values(given, system, {})
    return standalone(system, values if isinstance(system, Stationary) else _scalars(values), **options)


def simulate_file(
    given: ProblemFile, name: str | None = None, *, checkpoint: Path | None = None, progress: bool | None = None
) -> "xr.Dataset":
    """The witness of a theory: training, or for a spectrum generated matrices.

    Raises:
        InputError, ComputationError: as `gmsym.simulate`.
    """
    chosen, _ = theory_of(given, name)
    what = derive_file(given, chosen) if chosen in _OWN else given.problem
    return _witness(given, what, _state(given, what, progress), checkpoint, progress)


def compare_file(given: ProblemFile, name: str | None = None, *, checkpoint: Path | None = None, progress: bool | None = None) -> Compared:
    """Theory and witness at the size of the simulation, where alpha d, p_k n and rho_b d may not be whole numbers.

    Raises:
        InputError: a theory that has no witness here; as `gmsym.solve` and `gmsym.simulate`.
        ComputationError: as these.
    """
    chosen, _ = theory_of(given, name)
    if chosen not in _COMPARED:
        raise InputError(f"--theory: {unknown('theory to compare', chosen, _COMPARED)}")
    system = derive_file(given, chosen)
    state, d = _state(given, system, progress), given.simulation.d
    values, options = _values(given, system, state), _options(given, system, state)
    swept = [key for key, value in values.items() if isinstance(value, list)]
    if swept:
        raise InputError(f"{swept[0]} = {values[swept[0]]}: a comparison takes one number; call it for each")
    if chosen in ("effective", "fluctuations"):
        runs = _witness(given, given.problem, {}, checkpoint, progress)
        options.pop("d", None)  # the limit is compared
        beside = {"time": runs["time"].values} | ({"blocks_at": d} if chosen == "effective" else {})
        theory = solve(system, values, **options | beside, progress=progress)
    else:
        counted = given.n
        sized = {"dmf": {"n": counted, "d": d}, "finite-size": {"n": counted}}.get(chosen, {})
        if sized or chosen == "stationary":
            values = {**values, "alpha": counted / d}
        theory = solve(system, values, **options | sized, progress=progress)
        runs = _witness(given, system if chosen in _OWN else given.problem, state, checkpoint, progress)
    return Compared(theory, runs, compare(theory, runs))


def state_at(given: ProblemFile, time: float, progress: bool | None = None) -> dict[str, Any]:
    """m, Q, perhaps M, and the trained parameters of the problem at a time of its dynamics; by blocks if there are several.

    Raises:
        InputError: full batches and a time that is no whole number; a dynamics that does not give the state within each block.
    """
    problem: Problem = given.problem
    if problem.single is not None:
        raise InputError(
            f"[spectrum] at = {time:g}: one sample at a time gives no state here; full batches, mini-batches and online SGD do"
        )
    if problem.is_flow:
        raise InputError(f"[spectrum] at = {time:g}: a flow gives no state here; full batches, mini-batches and online SGD do")
    if not problem.is_online and not float(time).is_integer():
        raise InputError(f"[spectrum] at = {time:g}: of full-batch training a whole number of steps is needed")
    if time == 0:
        return {}
    if problem.is_online:
        last = solve(problem, _scalars(given.values), time=[0.0, time], progress=progress).isel(time=-1)
        trained = {str(name): float(last["trained"].sel(parameter=name)) for name in last["parameter"].values} if "trained" in last else {}
    else:
        said = {name: given.run_options[name] for name in ("rtol", "samples", "scrambles") if name in given.run_options}
        sampling = {**said, "seed": given.run.seed}
        last, trained = solve(problem, _scalars(given.values), steps=int(time) + 1, **sampling, progress=progress).isel(time=-1), {}
    names = ["m", "Q"] if problem.teacher is None else ["m", "Q", "M"]
    suffix = "" if problem.data.blocks == 1 else "_b"
    missing = [name + suffix for name in names if name + suffix not in last]
    if missing:
        raise InputError(f"[spectrum] at = {time:g}: the dynamics does not give {missing[0]}, the state within each block of coordinates")
    return {**{name: last[name + suffix].values for name in names}, **trained}


def _state(given: ProblemFile, what: Any, progress: bool | None) -> dict[str, Any]:
    """The state at which a spectrum is taken, where [spectrum] says at which time of the dynamics; computed once for theory and witness."""
    return state_at(given, given.matrix.at, progress) if isinstance(what, Spectral) and given.matrix.at is not None else {}


def _values(given: ProblemFile, system: AbstractSystem, state: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(given.values)
    if isinstance(system, Recursion) and given.run_options.get("n") is not None:
        values.pop("alpha", None)  # n and d say it
    return values | {k: v for k, v in state.items() if k not in _OVERLAPS}


def tune_file(
    given: ProblemFile,
    name: str | None,
    names: Sequence[str],
    objective: str,
    index: Sequence[int],
    stop: bool,
    progress: bool | None = None,
) -> Tuned:
    """Parameters that make a number of a theory least, at the last step or time of the file, or with `stop` at the best one.

    Raises:
        InputError: as `gmsym.tune`; a theory that has no gradient.
    """
    system = derive_file(given, name, solved=True)
    allowed = options_of(system)
    if "time" in allowed and given.run.time is None:
        raise InputError("[run] time is missing: online SGD needs the final time")
    options = {key: getattr(given.run, key) for key in ("steps", "time", "seed") if key in allowed}
    options |= {"at": "best"} if stop and "at" in allowed else {}
    if stop and "at" not in allowed:
        raise InputError("--stop: the end of training has no time")
    return tune(system, _scalars(given.values), names, objective=objective, index=index, progress=progress, **options)


def _scalars(values: Mapping[str, Any]) -> dict[str, float]:
    swept = [name for name, value in values.items() if isinstance(value, list)]
    if swept:
        raise InputError(f"{swept[0]} = {values[swept[0]]}: the state comes from the dynamics at one number; leave [spectrum] at out")
    return dict(values)


def _options(given: ProblemFile, system: AbstractSystem, state: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the theory: its own from [run], what the file says of the run anyway, and sizes where the theory has one."""
    allowed = option_names(type(system))
    run, said = given.run, given.run_options
    points = () if isinstance(system, CausalKernels) else ("samples", "scrambles")  # which an accuracy chooses, unless the file says them
    options = {name: getattr(run, name) for name in ("steps", *points, "seed") if name in allowed}
    if "time" in allowed:
        if run.time is None:
            raise InputError("[run] time is missing: a flow, and online SGD, need the final time")
        options["time"] = run.time
        if given.simulation_options.get("points") is not None and isinstance(system, Flow):
            options["points"] = given.simulation_options["points"]  # the same times in both
    counted = None if isinstance(given.values.get("alpha"), list) else given.n  # alpha d at each alpha
    if isinstance(system, Recursion):
        options |= {"d": given.simulation.d, "n": counted, "replicates": given.simulation.replicates}
    if isinstance(system, FiniteSize):
        if counted is None and "n" not in said:
            raise InputError("[run] n is missing: over values of alpha, curves at finite size need the number of samples")
        options["n"] = counted
    options |= {k: v for k, v in state.items() if k in _OVERLAPS}
    beside = ("n", "d") if isinstance(system, (CausalKernels, Flow, Passes)) else ()  # the limit of alpha; a size is for comparing
    own = {name: value for name, value in said.items() if name in allowed and name not in beside}
    if isinstance(system, Recursion) and "d" in own and "n" not in own:
        own["n"] = None  # alpha d of the new d
    witness = option_names(_witness_kind(given.problem, system), "simulate")
    for name in said:
        if name not in allowed and name not in ("steps", "time", "samples", "scrambles", "seed") and name not in witness:
            taken = ", ".join(x for x in allowed if x not in ("progress", "checkpoint"))
            raise InputError(f"[run] {name}: {type(system).__name__} takes {taken}")
    return options | own


def _witness(given: ProblemFile, what: Any, state: Mapping[str, Any], checkpoint: Path | None, progress: bool | None) -> "xr.Dataset":
    kind = _witness_kind(given.problem, what)
    allowed = option_names(kind, "simulate")
    options: dict[str, Any] = {"replicates": given.simulation.replicates, "seed": given.run.seed}
    if "d" in allowed:
        options["d"] = given.simulation.d
    if "steps" in allowed:
        options |= {"steps": given.run.steps, "n": given.n}
    if kind is Single:
        options["n"] = given.n
    if "time" in allowed:
        if given.run.time is None:
            raise InputError("[run] time is missing: a flow, and online SGD, need the final time")
        options["time"] = given.run.time
    if "of" in given.run_options and "of" in allowed:
        options["of"] = given.run_options["of"]
    if kind is Optimizer:
        options |= {"n": given.n, **({"points": given.run_options["points"]} if "points" in given.run_options else {})}
    options |= {k: v for k, v in state.items() if k in _OVERLAPS}
    for name, value in given.simulation_options.items():
        if name not in allowed:
            listed = ", ".join(x for x in allowed if x not in ("progress", "checkpoint"))
            raise InputError(f"[simulation] {name}: allowed here are {listed}")
        options[name] = value
    values = _values(given, what, state) if isinstance(what, AbstractSystem) else dict(given.values)
    if given.simulation_options.get("n") is not None:
        values.pop("alpha", None)  # n and d say it
    return simulate(what, values, **options, **_kept(kind, checkpoint), progress=progress)


def _witness_kind(problem: AbstractProblem, what: Any) -> type:
    """What the witness is registered under: the system of a spectrum, the sampling of training, another kind of problem itself."""
    if isinstance(what, Spectral | Stationary):
        return type(what)
    if isinstance(problem, Problem):
        return type(problem.optimizer if problem.is_flow else problem.sampling)
    return type(problem)


def _kept(kind: type, checkpoint: Path | None) -> dict[str, Path]:
    """The option that keeps what is done, where the simulation has it."""
    return {"checkpoint": checkpoint} if checkpoint is not None and "checkpoint" in option_names(kind, "simulate") else {}
