"""A study: one verb at every point of a grid, on one machine or a cluster, kept point by point.

Points of one problem follow each other, so that a process compiles it once; what is compiled is kept for all of them
(`gmsym.compilation_cache`). Cost: that of the points, about 10 ms a point for its file, and a second or two for each process to start.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, final

import jax
import numpy as np

from gmsym.errors import ComputationError, InputError, check_flag, check_integers
from gmsym.files import ProblemFile
from gmsym.files.reader import RUN_OPTIONS, SIMULATION_OPTIONS, Matrix, Run, Simulation
from gmsym.files.suggest import unknown
from gmsym.files.sweep import check_grid, places
from gmsym.pipeline._joining import on_grid
from gmsym.pipeline._provenance import package_version
from gmsym.pipeline._study import GROUPS, Folder
from gmsym.pipeline._verbs import simulate, solve
from gmsym.pipeline.tables import Table
from gmsym.pipeline.tasks import compare_file, simulate_file, solve_file, theory_of
from gmsym.problem import AbstractProblem
from gmsym.progress import progress_bar
from gmsym.runtime.cache import compilation_cache

if TYPE_CHECKING:
    import xarray as xr

_TASKS: dict[str, Callable[..., Any]] = {"solve": solve_file, "simulate": simulate_file, "compare": compare_file}
_NOUNS = ("loss", "optimizer", "sampling")  # parts of a problem that a sweep may go over
_SHOWN = 5  # failures with their reasons


class Point(NamedTuple):
    """A place in the grid, and the question that is asked there."""

    at: Mapping[str, Any]  # number or name, by the sweep's dimension
    given: ProblemFile
    theory: str
    verb: str

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits of everything that the result depends on."""
        given = self.given
        parts = (given.run, given.simulation, given.matrix)
        about = [given.problem.signature, self.theory, self.verb, dict(given.values), *map(asdict, parts)]
        about += [dict(given.run_options), dict(given.simulation_options), package_version("gmsym")]
        return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()[:16]


@final
@dataclass(frozen=True)
class Study:
    """What a sweep found, and how much of it was new."""

    result: "xr.Dataset"  # over the grid; of comparisons max_abs_z, rms_z and agrees
    theory: "xr.Dataset | None"  # both sides of comparisons
    runs: "xr.Dataset | None"
    points: int
    computed: int
    reused: int
    failures: tuple[tuple[Mapping[str, Any], str], ...]  # where, and why
    store: Path

    @property
    def failed(self) -> int:
        return len(self.failures)

    @property
    def record(self) -> dict[str, Any]:
        """What the command line prints with --json."""
        counts = {name: getattr(self, name) for name in ("points", "computed", "reused", "failed")}
        return {**counts, "store": str(self.store)}

    @property
    def table(self) -> Table:
        """The same as text, with the first reasons."""
        rows = [[name, str(getattr(self, name))] for name in ("points", "computed", "reused", "failed")]
        reasons = [f"failed at {', '.join(f'{k}={x}' for k, x in at.items())}: {reason}" for at, reason in self.failures[:_SHOWN]]
        more = [f"and {self.failed - _SHOWN} more, each recorded in {self.store}"] if self.failed > _SHOWN else []
        return Table(f"study in {self.store}", ["", ""], rows, [*reasons, *more])


def sweep(
    problem: AbstractProblem | ProblemFile,
    over: Mapping[str, Sequence[Any]],
    values: Mapping[str, float] | None = None,
    *,
    verb: str | Callable[..., Any] = "solve",
    store: str | Path = "study",
    theory: str | None = None,
    workers: int | None = None,
    client: Any = None,
    retry: bool = False,
    progress: bool | None = None,
    **options: Any,
) -> Study:
    """Solve, simulate or compare at every point of a grid; what is there already is not computed again.

    Every point has a file of its own in `store`, which appears when the point is done: a call that is killed loses the points under way,
    and the same call computes what is missing. A point that fails is recorded with its reason and stops nothing.

    Args:
        problem: the problem, or a problem file with its numbers (`gmsym.read`).
        over: the grid: values by name, of parameters of the problem, alpha and options; `loss`, `optimizer` and `sampling` go over nouns.
        values: a number for each other parameter.
        verb: "solve", "simulate" or "compare" (the theory and its witness at every point, with the scores between them); or these verbs
            of gmsym themselves.
        store: a folder, new or of an earlier study; on a cluster one that all machines see.
        theory: by its name on the command line, such as "surrogate". Default: the natural one of the problem.
        workers: processes on this machine, each of one thread; default one a core; 0: this process. A script that is run as a file needs
            its `if __name__ == "__main__":` before it starts processes.
        client: a `dask.distributed.Client`, or any `concurrent.futures.Executor` whose processes are spawned, not forked; in place of
            `workers`.
        retry: whether points that failed before are tried again.
        progress: whether a bar with the time left is drawn. Default: on a terminal.
        options: of the theory and of its witness, as `gmsym.solve` and `gmsym.simulate` take them.

    Returns:
        A Study: `.result` is a Dataset with the grid's dimensions, NaN where a point failed, which is also kept as
        `store/result.zarr`; of comparisons `.result` holds the scores, `.theory` and `.runs` both sides. `.computed`, `.reused`,
        `.failures` say what was done.

    Raises:
        InputError: a value, name or option that is not allowed; a store that is something else; before anything is computed.
        ComputationError: no point has a result.

    Example:
        >>> import tempfile, gmsym as gm
        >>> problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.gd())
        >>> values = {"sigma": 1.0, "mu_norm": 1.0, "eta": 0.2}
        >>> with tempfile.TemporaryDirectory() as store:
        ...     study = gm.sweep(problem, {"alpha": [1.0, 2.0]}, values, steps=5, store=store, workers=0)
        >>> study.computed, study.result["m"].dims
        (2, ('alpha', 'time', 'cluster', 'field'))
    """
    name = _verb_name(verb)
    grid = _checked_grid(over)
    if isinstance(problem, ProblemFile):
        if values or options:
            raise InputError("values and options stand in the problem file already; give them to gmsym.read as settings")
        points = [(at, problem.at(at)) for at in places(grid)]
    elif isinstance(problem, AbstractProblem):
        base = _as_file(problem, values or {}, options)
        points = [(at, _changed(base, at)) for at in places(grid)]
    else:
        raise InputError(f"problem = {repr(problem)[:60]}: a Problem, or a problem file that gmsym.read has read, is needed")
    labelled = {key: [_label(x) for x in values] for key, values in grid.items()}
    return run_study(
        labelled, points, verb=name, store=store, theory=theory, workers=workers, client=client, retry=retry, progress=progress
    )


def sweep_file(given: ProblemFile, *, store: Path | None = None, theory: str | None = None, progress: bool | None = None) -> Study:
    """The study that the table [sweep] of a problem file asks for.

    Raises:
        InputError: there is no such table; as `sweep`.
        ComputationError: no point has a result.
    """
    asked = given.sweep
    if asked is None:
        raise InputError("[sweep] is missing: what to go over, such as over = { alpha = [0.5, 1.0] }")
    return run_study(
        asked.over,
        [(at, given.at(at)) for at in places(asked.over)],
        verb=asked.verb,
        store=asked.store if store is None else store,
        theory=theory or asked.theory,
        workers=asked.workers,
        retry=asked.retry,
        progress=progress,
    )


def run_study(
    over: Mapping[str, Sequence[Any]],
    points: Sequence[tuple[Mapping[str, Any], ProblemFile]],
    *,
    verb: str,
    store: str | Path,
    theory: str | None = None,
    workers: int | None = None,
    client: Any = None,
    retry: bool = False,
    progress: bool | None = None,
) -> Study:
    """`sweep` of points that are stated already, in the order of the grid."""
    check_flag("retry", retry)
    if workers is not None:
        check_integers(workers=(workers, 0))
    if client is not None and not hasattr(client, "get_executor") and not isinstance(client, Executor):
        raise InputError(f"client = {repr(client)[:60]}: a dask.distributed.Client or a concurrent.futures.Executor is needed")
    asked = [Point({k: _label(x) for k, x in at.items()}, given, theory_of(given, theory)[0], verb) for at, given in points]
    for point in asked:
        if point.theory != "spectrum":
            _ = point.given.instance
    keys = [point.key for point in asked]
    folder = Folder(Path(store))
    unique = dict(zip(keys, asked, strict=True))
    folder.start([key for key in unique if retry])
    done = {key for key in unique if folder.result(key).exists()}
    missing = {key: point for key, point in unique.items() if key not in done and folder.reason(key) is None}
    about = {"verb": verb, "over": dict(over), "gmsym": package_version("gmsym")}
    folder.describe(about, {key: point.at for key, point in unique.items()})
    try:
        lost = _compute(missing, folder, workers, client, progress)
    except (KeyboardInterrupt, SystemExit) as stop:
        kept = sum(folder.result(key).exists() for key in unique)
        stop.add_note(f"{kept} of {len(unique)} points are kept in {folder.path}: the same call continues")
        raise
    folder.describe(about, {key: point.at for key, point in unique.items()})
    reasons = {key: lost.get(key) or folder.reason(key) for key in unique if not folder.result(key).exists()}
    failures = [(unique[key].at, str(reason)) for key, reason in reasons.items()]
    if len(failures) == len(unique):
        raise ComputationError(f"every point failed; the first: {failures[0][1]} ({len(unique)} points, recorded in {folder.path})")
    groups: tuple[str | None, ...] = (None, *GROUPS) if verb == "compare" else (None,)
    found = {group: on_grid([folder.load(key, group) for key in keys], over) for group in groups}
    folder.replace(found)
    computed = sum(folder.result(key).exists() for key in missing)
    return Study(found[None], found.get("theory"), found.get("simulation"), len(unique), computed, len(done), tuple(failures), folder.path)


# --- the grid ---------------------------------------------------------------------------------------------------------


def _verb_name(verb: Any) -> str:
    """The verb by its name, which it may be itself."""
    name = verb if isinstance(verb, str) else {solve: "solve", simulate: "simulate"}.get(verb, getattr(verb, "__name__", ""))
    if name not in _TASKS:
        raise InputError(f"verb: {unknown('verb of a sweep', str(name), _TASKS)}")
    return name


def _checked_grid(over: Any) -> dict[str, list[Any]]:
    """Lists of plain numbers, texts and nouns."""
    if isinstance(over, Mapping):
        over = {name: values.tolist() if isinstance(values, np.ndarray) else values for name, values in over.items()}
    check_grid(over)
    for name, values in over.items():
        if len({_label(x) for x in values}) < len(values):
            raise InputError(f"over {name} = {repr(values)[:60]}: nouns of different names are needed")
    return {name: list(values) for name, values in over.items()}


def _label(value: Any) -> Any:
    """How a value is called in results."""
    if isinstance(value, (int, float, str)):
        return value
    return getattr(value, "name", None) or getattr(value, "kind", None) or repr(value)


# --- a problem with numbers, as a file states it ----------------------------------------------------------------------


def _as_file(problem: Any, values: Mapping[str, Any], options: Mapping[str, Any]) -> ProblemFile:
    """The problem with its numbers and options where a problem file has them."""
    given = ProblemFile(problem, {}, Run(), Simulation(), Matrix(), {}, {})
    for name, value in {**values, **options}.items():
        given = _with(given, name, value, is_option=name in options)
    return given


def _changed(given: ProblemFile, at: Mapping[str, Any]) -> ProblemFile:
    """The question at a point."""
    parameters = {"alpha"}
    for name in _NOUNS:
        if name in at:
            given = replace(given, problem=_with_noun(given.problem, name, at[name]))
    parameters |= {s.name for s in given.problem.parameters}
    for name, value in at.items():
        if name not in _NOUNS:
            given = _with(given, name, value, is_option=name not in parameters)
    return given


def _with_noun(problem: Any, name: str, value: Any) -> Any:
    parts = {f.name: getattr(problem, f.name) for f in fields(problem)} | {name: value}
    data, loss, optimizer = (parts.pop(x) for x in ("data", "loss", "optimizer"))
    return type(problem)(data, loss, optimizer, **parts)


def _with(given: ProblemFile, name: str, value: Any, is_option: bool) -> ProblemFile:
    if not is_option:
        run = replace(given.run, alpha=value) if name == "alpha" else given.run
        return replace(given, values={**given.values, name: value}, run=run)
    own = {kind: {f.name for f in fields(kind)} for kind in (Run, Simulation, Matrix)}
    known = (own[Run] - {"alpha"}) | own[Simulation] | own[Matrix] | {*RUN_OPTIONS, *SIMULATION_OPTIONS}
    if name not in known:
        raise InputError(unknown("parameter or option", name, [*(s.name for s in given.problem.parameters), "alpha", *sorted(known)]))
    if name in own[Matrix]:
        return replace(given, matrix=replace(given.matrix, **{name: value}))
    if name in own[Run]:
        given = replace(given, run=replace(given.run, **{name: value}))
    if name in own[Simulation]:
        given = replace(given, simulation=replace(given.simulation, **{name: value}))
    if name in own[Run] or name in RUN_OPTIONS:
        given = replace(given, run_options={**given.run_options, name: value})
    if name in SIMULATION_OPTIONS:
        given = replace(given, simulation_options={**given.simulation_options, name: value})
    return given


# --- the computation --------------------------------------------------------------------------------------------------


def _compute(missing: Mapping[str, Point], folder: Folder, workers: int | None, client: Any, progress: bool | None) -> dict[str, str]:
    """All of these points, those of one problem one after the other; those whose process was lost, which another call tries again."""
    order = sorted(missing, key=lambda key: (missing[key].given.problem.signature, missing[key].theory))
    lost: dict[str, str] = {}
    if not order:
        return lost
    cache = jax.config.jax_compilation_cache_dir
    count = min(len(order), workers if workers is not None else len(os.sched_getaffinity(0)))
    with progress_bar(f"Computing {len(order)} points", progress) as report:
        if count == 0 and client is None:
            for index, key in enumerate(order):
                compute_point(missing[key], str(folder.path.resolve()), None)
                report((index + 1) / len(order))
            return lost
        with _executor(count, client) as executor:
            pending = {executor.submit(compute_point, missing[key], str(folder.path.resolve()), cache): key for key in order}
            try:
                for index, future in enumerate(as_completed(pending)):
                    if (error := future.exception()) is not None:
                        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
                        lost[pending[future]] = f"its process was lost, another call tries again ({reason})"
                    report((index + 1) / len(order))
            except BaseException:
                for future in pending:
                    future.cancel()
                raise
    return lost


@contextmanager
def _executor(count: int, client: Any) -> Iterator[Executor]:
    """The executor that was given, or one over processes of this machine that end with the block."""
    if isinstance(client, Executor):
        yield client
        return
    if client is not None:
        with client.get_executor(pure=False) as executor:
            yield executor
        return
    try:
        from dask.distributed import Client, LocalCluster
    except ImportError:
        raise InputError(
            "a sweep over several processes needs dask: pip install 'gmsym[sweep]'; workers = 0 computes in this process, "
            "client takes any concurrent.futures.Executor"
        ) from None
    with (
        LocalCluster(n_workers=count, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0) as cluster,
        Client(cluster) as own,
        own.get_executor(pure=False) as executor,
    ):
        yield executor


def compute_point(point: Point, store: str, cache: str | None) -> None:
    """Compute a point into its file, in whatever process; a failure of the computation is written down beside it."""
    folder, key = Folder(Path(store)), point.key
    if cache is not None and jax.config.jax_compilation_cache_dir != cache:
        compilation_cache(cache)
    try:
        found = _TASKS[point.verb](point.given, point.theory, progress=False)
    except InputError as error:
        folder.fail(key, f"bad input: {error}")
    except Exception as error:  # whatever it is must not stop the other points
        named = "" if isinstance(error, ComputationError) else f"{type(error).__name__}: "
        folder.fail(key, f"{named}{' '.join(str(error).split())[:1000]}")
    else:
        # What cannot be written (no room) is no failure of the point: another call computes it.
        with _locks_of_this_process():
            folder.keep(key, found)


@contextmanager
def _locks_of_this_process() -> Iterator[None]:
    """Within it xarray does not ask the scheduler of a cluster for a lock at every access to a file, 200 a point: no other process
    writes it."""
    if "dask" not in sys.modules:
        yield
        return
    import dask

    with dask.config.set(scheduler="synchronous"):
        yield
