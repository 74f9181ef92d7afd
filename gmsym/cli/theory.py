"""Verbs of a problem: derive, codegen, solve, simulate, compare, plot, sweep; `--theory` chooses another theory than the natural one."""

from pathlib import Path
from typing import Annotated, Any

import typer

import gmsym as gm
from gmsym import writing
from gmsym.cli._app import (
    FigureOption,
    ForceOption,
    JsonOption,
    LossOption,
    OptimizerOption,
    QuietOption,
    SetOption,
    TextOption,
    TheoryOption,
    app,
)
from gmsym.cli._input import Targets, check_numbers, check_targets, computing_verb, problem_verb, progress, read
from gmsym.cli._output import draw, equation_text, exit_unless, filmed, report, report_comparison, show, write, write_json
from gmsym.errors import InputError
from gmsym.files import ProblemFile
from gmsym.files.suggest import unknown


@problem_verb()
def derive(
    given: ProblemFile,
    theory: TheoryOption = None,
    style: Annotated[str, typer.Option("--format", help="latex or text.")] = "text",
    standalone: Annotated[bool, typer.Option("--standalone", help="With latex: a whole document, which compiles as it is.")] = False,
    output: TextOption = None,
    force: ForceOption = False,
) -> None:
    """Print the equations of a problem."""
    if style not in ("latex", "text"):
        raise InputError(f"--format: {unknown('format', style, ['latex', 'text'])}")
    if standalone and style != "latex":
        raise InputError("--standalone is for --format latex")
    check_targets(force, output=(output,))

    system = gm.pipeline.derive_file(given, theory)
    if standalone:
        write(gm.to_tex(system, standalone=True), output, f"% {writing.MARK}\n")
        return
    equations = system.equations() if hasattr(system, "equations") else system
    text = equations.latex() if style == "latex" else "\n\n".join(map(equation_text, equations))
    write(text, output, f"{'%' if style == 'latex' else '#'} {writing.MARK}\n")


@problem_verb()
def codegen(
    given: ProblemFile,
    theory: TheoryOption = None,
    standalone: Annotated[
        bool, typer.Option("--standalone", help="One file with solver and numbers, which runs without gmsym and prints the curve.")
    ] = False,
    output: TextOption = None,
    force: ForceOption = False,
) -> None:
    """Print the generated JAX module of a problem."""
    check_targets(force, output=(output, ".py"))

    if standalone:
        check_numbers(given, theory)
        write(gm.pipeline.standalone_file(given, theory).rstrip("\n"), output)
        return
    write(gm.source(gm.pipeline.derive_file(given, theory)).rstrip("\n"), output)


@computing_verb
def solve(given: ProblemFile, theory: str | None, targets: Targets) -> None:
    """Solve its theory: DMF, online SGD, or that of --theory."""
    _finish(gm.pipeline.solve_file(given, theory, **targets.partial, progress=targets.progress), targets)


@computing_verb
def simulate(given: ProblemFile, theory: str | None, targets: Targets) -> None:
    """Train on generated data, or diagonalise (--theory spectrum)."""
    _finish(gm.pipeline.simulate_file(given, theory, **targets.partial, progress=targets.progress), targets)


@computing_verb
def compare(given: ProblemFile, theory: str | None, targets: Targets) -> None:
    """Solve and simulate; status 1 if they disagree."""
    found = gm.pipeline.compare_file(given, theory, **targets.partial, progress=targets.progress)
    _keep({"theory": found.theory, "simulation": found.runs}, targets)
    if targets.figure is not None:
        draw(lambda: gm.plot(found.theory, found.runs), targets.figure)
    report_comparison(found.comparison, targets.json, targets.quiet)
    exit_unless(found.comparison.agrees())


@app.command()
def plot(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Problem file in TOML, or a result that --output has kept.")] = None,
    loss: LossOption = None,
    optimizer: OptimizerOption = None,
    settings: SetOption = None,
    theory: TheoryOption = None,
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="The figure: .png, .svg or .pdf.")] = Path("gmsym_plot.png"),
    force: ForceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Draw a kept result, or solve a theory and draw it."""
    check_targets(force, output=(output, ".png", ".svg", ".pdf"))
    shown = _shown(file, loss, optimizer, settings, theory, quiet)
    draw(lambda: gm.plot(*shown), output)
    if not quiet:
        print(f"Written to {output}")


@app.command()
def animate(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Problem file in TOML, or a result that --output has kept.")] = None,
    loss: LossOption = None,
    optimizer: OptimizerOption = None,
    settings: SetOption = None,
    output: Annotated[Path, typer.Option("--output", metavar="FILE.gif", help="The film.")] = Path("gmsym_film.gif"),
    force: ForceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Film spectra over a parameter or along training, as GIF."""
    check_targets(force, output=(output, ".gif"))
    result, *_ = _shown(file, loss, optimizer, settings, None if _is_kept(file) else "spectrum", quiet)
    filmed(lambda: gm.animate(result), output)
    if not quiet:
        print(f"Written to {output}")


@problem_verb()
def sweep(
    given: ProblemFile,
    theory: TheoryOption = None,
    json_target: JsonOption = None,
    store: Annotated[
        Path | None, typer.Option("--store", metavar="FOLDER", help="Where the study is kept, in place of the file's.")
    ] = None,
    figure: FigureOption = None,
    force: ForceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Do a verb at every point of a grid; continues a study."""
    check_targets(force, json=(json_target,), figure=(figure, ".png", ".svg", ".pdf"))

    study = gm.pipeline.sweep_file(given, store=store, theory=theory, progress=progress(quiet))
    if figure is not None:
        draw(lambda: gm.plot(study.result), figure)
    if json_target is not None:
        write_json(study.record, json_target)
    elif not quiet:
        show(study.table)


def _is_kept(file: Path | None) -> bool:
    return file is not None and file.suffix == ".nc"


def _shown(
    file: Path | None, loss: str | None, optimizer: str | None, settings: list[str] | None, theory: str | None, quiet: bool
) -> tuple[Any, ...]:
    """What is drawn: a kept result with its simulation or None, or what solves a theory."""
    if not _is_kept(file):
        given = read(file, loss, optimizer, settings)
        check_numbers(given, theory)
        return (gm.pipeline.solve_file(given, theory, progress=progress(quiet)),)
    if loss or optimizer or settings or theory:
        raise InputError(f"{file}: a kept result is drawn as it is; --loss, --optimizer, --set and --theory are for problems")
    kept = writing.read_datasets(file)
    pair = kept.get("theory", kept.get(None)), kept.get("simulation")
    if pair[0] is None:
        raise InputError(f"{file}: it has the groups {', '.join(map(str, kept))}; a theory, or one result, is needed")
    return pair


def _finish(result: Any, targets: Targets) -> None:
    _keep({None: result}, targets)
    if targets.figure is not None:
        draw(lambda: gm.plot(result), targets.figure)
    report(result, targets.json, targets.quiet)


def _keep(datasets: dict[str | None, Any], targets: Targets) -> None:
    """Write the results, after which what was kept of an unfinished computation has no use."""
    if targets.output is not None:
        writing.write_datasets(datasets, targets.output)
        targets.partial["checkpoint"].unlink(missing_ok=True)
