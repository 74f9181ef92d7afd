"""Verbs of online SGD."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gmsym import writing
from gmsym.cli._app import DatasetOption, ForceOption, JsonOption, QuietOption
from gmsym.cli._input import check_targets, partial, problem_verb, progress
from gmsym.cli._output import report
from gmsym.errors import InputError
from gmsym.files.reader import ProblemFile

if TYPE_CHECKING:
    import xarray as xr


DimensionOption = Annotated[
    int | None, typer.Option("--d", help="Dimension: mean over runs to order 1/d, and deviation of a run. Default: the limit.")
]


@problem_verb()
def effective(
    given: ProblemFile,
    d: DimensionOption = None,
    json_target: JsonOption = None,
    output: DatasetOption = None,
    force: ForceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Solve the effective dynamics of online SGD: order parameters at the time of the problem, in the limit of large d or at one d."""
    if not given.is_online:
        raise InputError("[run] time and step are missing: online SGD needs the final time (t = steps * c/d) and the step c")
    _ = given.instance
    check_targets(force, json=(json_target,), output=(output, ".nc"))
    if d is not None and d < 1:
        raise InputError(f"--d {d}: an integer of at least 1 is needed")
    result = solve_online(given, given.run.time, quiet, d)
    if output is not None:
        writing.write_datasets({None: result}, output)
    report(result, json_target, quiet)


def solve_online(given: ProblemFile, time: Any, quiet: bool, d: int | None = None, blocks_at: int | None = None) -> "xr.Dataset":
    """The effective dynamics of a problem file, recorded as `gm.effective` does for `time`."""
    from gmsym import pipeline

    return pipeline.effective(
        given.problem, time=time, step=given.run.step, d=d, blocks_at=blocks_at, progress=progress(quiet), **given.values
    )


def simulate_online(given: ProblemFile, quiet: bool, output: Path | None) -> "xr.Dataset":
    """Online SGD of a problem file; what is done is kept beside `output`."""
    from gmsym import pipeline

    return pipeline.simulate_online(
        given.problem,
        d=given.simulation.d,
        time=given.run.time,
        step=given.run.step,
        replicates=given.simulation.replicates,
        seed=given.run.seed,
        progress=progress(quiet),
        **partial(output),
        **given.values,
    )
