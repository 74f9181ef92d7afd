"""Verbs of a problem: derive, codegen, solve, simulate, compare, plot; `--theory` chooses another theory than the natural one."""

from pathlib import Path
from typing import Annotated, Any

import typer

import gmsym as gm
from gmsym import writing
from gmsym.cli._app import (
    DatasetOption,
    FigureOption,
    ForceOption,
    JsonOption,
    QuietOption,
    TextOption,
    TheoryOption,
)
from gmsym.cli._input import check_targets, partial, problem_verb, progress
from gmsym.cli._output import draw, equation_text, exit_unless, report, report_comparison, write
from gmsym.errors import InputError
from gmsym.files import ProblemFile
from gmsym.files.suggest import unknown


@problem_verb()
def derive(
    given: ProblemFile,
    theory: TheoryOption = None,
    style: Annotated[str, typer.Option("--format", help="latex or text.")] = "text",
    output: TextOption = None,
    force: ForceOption = False,
) -> None:
    """Print the equations of a problem."""
    if style not in ("latex", "text"):
        raise InputError(f"--format: {unknown('format', style, ['latex', 'text'])}")
    check_targets(force, output=(output,))

    system = gm.pipeline.derive_file(given, theory)
    equations = system.equations() if hasattr(system, "equations") else system
    text = equations.latex() if style == "latex" else "\n\n".join(map(equation_text, equations))
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

    write(gm.source(gm.pipeline.derive_file(given, theory)).rstrip("\n"), output)


@problem_verb()
def solve(
    given: ProblemFile,
    theory: TheoryOption = None,
    json_target: JsonOption = None,
    output: DatasetOption = None,
    figure: FigureOption = None,
    force: ForceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Solve its theory: DMF, online SGD, or that of --theory."""
    _check(given, theory)
    check_targets(force, json=(json_target,), output=(output, ".nc"), figure=(figure, ".png", ".svg", ".pdf"))

    result = gm.pipeline.solve_file(given, theory, **partial(output), progress=progress(quiet))
    _finish(result, json_target, output, figure, quiet)


@problem_verb()
def simulate(
    given: ProblemFile,
    theory: TheoryOption = None,
    json_target: JsonOption = None,
    output: DatasetOption = None,
    figure: FigureOption = None,
    force: ForceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train on generated data, or diagonalise (--theory spectrum)."""
    _check(given, theory)
    check_targets(force, json=(json_target,), output=(output, ".nc"), figure=(figure, ".png", ".svg", ".pdf"))

    result = gm.pipeline.simulate_file(given, theory, **partial(output), progress=progress(quiet))
    _finish(result, json_target, output, figure, quiet)


@problem_verb()
def compare(
    given: ProblemFile,
    theory: TheoryOption = None,
    json_target: JsonOption = None,
    output: DatasetOption = None,
    figure: FigureOption = None,
    force: ForceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Solve and simulate; status 1 if they disagree."""
    _check(given, theory)
    check_targets(force, json=(json_target,), output=(output, ".nc"), figure=(figure, ".png", ".svg", ".pdf"))

    found = gm.pipeline.compare_file(given, theory, **partial(output), progress=progress(quiet))
    if output is not None:
        writing.write_datasets({"theory": found.theory, "simulation": found.runs}, output)
        partial(output)["checkpoint"].unlink(missing_ok=True)
    if figure is not None:
        draw(lambda: gm.plot(found.theory, found.runs), figure)
    report_comparison(found.comparison, json_target, quiet)
    exit_unless(found.comparison.agrees())


@problem_verb()
def plot(
    given: ProblemFile,
    theory: TheoryOption = None,
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="The figure: .png, .svg or .pdf.")] = Path("gmsym_plot.png"),
    force: ForceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Solve its theory and draw it."""
    _check(given, theory)
    check_targets(force, output=(output, ".png", ".svg", ".pdf"))

    result = gm.pipeline.solve_file(given, theory, progress=progress(quiet))
    draw(lambda: gm.plot(result), output)
    if not quiet:
        print(f"Written to {output}")


def _check(given: ProblemFile, theory: str | None) -> None:
    """Refuse bad numbers before anything heavy is loaded; a spectrum does not need those of the optimizer."""
    if theory != "spectrum":
        _ = given.instance


def _finish(result: Any, json_target: str | None, output: Path | None, figure: Path | None, quiet: bool) -> None:
    if output is not None:
        writing.write_datasets({None: result}, output)
        partial(output)["checkpoint"].unlink(missing_ok=True)
    if figure is not None:
        draw(lambda: gm.plot(result), figure)
    report(result, json_target, quiet)
