"""Verbs of the main chain: derive, codegen, solve, simulate, compare."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gmsym import writing
from gmsym.cli._app import (
    DatasetOption,
    FigureOption,
    ForceOption,
    JsonOption,
    QuietOption,
    TextOption,
)
from gmsym.cli._input import check_targets, partial, problem_verb, progress
from gmsym.cli._output import comparison_record, draw, equation_text, exit_unless, print_comparison, report, write, write_json
from gmsym.cli.effective import simulate_online, solve_online
from gmsym.codegen import source
from gmsym.errors import InputError
from gmsym.problem._suggest import unknown
from gmsym.problem.file import ProblemFile

if TYPE_CHECKING:
    import xarray as xr

    from gmsym.system import AbstractSystem

TheoryOption = Annotated[
    str | None, typer.Option("--theory", help="dmf, surrogate (finite size), effective (online SGD) or spectrum (Hessian).")
]


@problem_verb()
def derive(
    given: ProblemFile,
    theory: TheoryOption = None,
    style: Annotated[str, typer.Option("--format", help="latex or text.")] = "text",
    output: TextOption = None,
    force: ForceOption = False,
) -> None:
    """Print the equations of a problem: by default DMF, or the effective dynamics if it is one of online SGD."""
    if style not in ("latex", "text"):
        raise InputError(f"--format: {unknown('format', style, ['latex', 'text'])}")
    check_targets(force, output=(output,))
    system = _derived(given, theory)
    text = system.latex() if style == "latex" else "\n\n".join(map(equation_text, system.equations()))
    write(text, output, f"{'%' if style == 'latex' else '#'} {writing.MARK}\n")


@problem_verb()
def codegen(
    given: ProblemFile,
    theory: TheoryOption = None,
    output: TextOption = None,
    force: ForceOption = False,
) -> None:
    """Print the generated JAX module of a problem."""
    check_targets(force, output=(output, ".py"))
    write(source(_derived(given, theory)).rstrip("\n"), output)


@problem_verb()
def solve(
    given: ProblemFile,
    json_target: JsonOption = None,
    output: DatasetOption = None,
    force: ForceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Solve the DMF equations: order parameters in the limit of large n and d."""
    if given.is_online:
        raise InputError(
            "[run] time and step ask for online SGD, which `gmsym effective` solves; give `alpha` and `steps` for full batches"
        )
    _ = given.instance
    check_targets(force, json=(json_target,), output=(output, ".nc"))
    result = solve_limit(given, quiet, alpha=given.run.alpha)
    if output is not None:
        writing.write_datasets({None: result}, output)
    report(result, json_target, quiet)


@problem_verb()
def simulate(
    given: ProblemFile,
    json_target: JsonOption = None,
    output: DatasetOption = None,
    force: ForceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train on generated data of n = alpha*d samples in d dimensions, or online on fresh samples."""
    _ = given.instance
    check_targets(force, json=(json_target,), output=(output, ".nc"))
    result = _simulate(given, quiet, output)
    if output is not None:
        writing.write_datasets({None: result}, output)
        partial(output)["checkpoint"].unlink(missing_ok=True)
    report(result, json_target, quiet)


@problem_verb()
def compare(
    given: ProblemFile,
    json_target: JsonOption = None,
    output: DatasetOption = None,
    figure: FigureOption = None,
    force: ForceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Solve and simulate, and say how many standard errors lie between; exit status 1 if they disagree."""
    _ = given.instance
    check_targets(force, json=(json_target,), output=(output, ".nc"), figure=(figure, ".png", ".svg", ".pdf"))
    from gmsym import pipeline

    if given.is_online:
        runs = _simulate(given, quiet, output)
        theory = solve_online(given, runs["time"].values, quiet, blocks_at=given.simulation.d)
    else:
        theory = solve_limit(given, quiet, n=given.n, d=given.simulation.d)  # alpha*d, p_k n and rho_b d may not be integers
        runs = _simulate(given, quiet, output)
    comparison = pipeline.compare(theory, runs)
    if output is not None:
        writing.write_datasets({"theory": theory, "simulation": runs}, output)
        partial(output)["checkpoint"].unlink(missing_ok=True)
    if figure is not None:
        draw(comparison.plot, figure)
    if json_target is not None:
        write_json(comparison_record(comparison), json_target)
    elif not quiet:
        print_comparison(comparison)
    exit_unless(comparison.agrees())


def _derived(given: ProblemFile, theory: str | None) -> "AbstractSystem":
    from gmsym import pipeline

    chosen = theory or ("effective" if given.is_online else "dmf")
    if chosen not in pipeline.THEORIES:
        raise InputError(f"--theory: {unknown('theory', chosen, list(pipeline.THEORIES))}")
    return pipeline.THEORIES[chosen](given.problem)


def solve_limit(given: ProblemFile, quiet: bool, **size: float) -> "xr.Dataset":
    """The DMF limit of a problem file, of `alpha` or beside a simulation of size `n`, `d`."""
    from gmsym import pipeline

    run = given.run
    return pipeline.solve(
        given.problem,
        **size,
        steps=run.steps,
        samples=run.samples,
        scrambles=run.scrambles,
        seed=run.seed,
        progress=progress(quiet),
        **given.values,
    )


def _simulate(given: ProblemFile, quiet: bool, output: Path | None) -> "xr.Dataset":
    if given.is_online:
        return simulate_online(given, quiet, output)
    from gmsym import pipeline

    return pipeline.simulate(
        given.problem,
        n=given.n,
        d=given.simulation.d,
        steps=given.run.steps,
        replicates=given.simulation.replicates,
        seed=given.run.seed,
        progress=progress(quiet),
        **partial(output),
        **given.values,
    )
