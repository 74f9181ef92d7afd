"""Verbs that need no problem file: the demonstration, and building case folders."""

from pathlib import Path
from typing import Annotated

import typer

import gmsym as gm
from gmsym.cli._app import ForceOption, QuietOption, app
from gmsym.cli._input import progress
from gmsym.cli._output import exit_unless, report_comparison
from gmsym.errors import InputError


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", metavar="DIRECTORY", help="Where the figure and the table go.")] = Path("."),
    force: ForceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Do the main job on the logistic case; writes three files."""

    comparison = gm.pipeline.demo(output, progress=progress(quiet), force=force)
    report_comparison(comparison, None, quiet)
    if not quiet:
        print(f"Written to {output}: gmsym_demo.png, gmsym_demo.csv, gmsym_demo_logistic.py")
    exit_unless(comparison.agrees())


@app.command()
def build(
    folders: Annotated[list[Path] | None, typer.Argument(metavar="CASE...", help="Case folders. Default: all in ./derivations.")] = None,
    force: ForceOption = False,
) -> None:
    """Regenerate case folders; executes their problem.py.

    The generated modules and manifests are written anew. Running the problem.py of each case runs its Python: see SECURITY.md.
    """
    cases = folders or sorted(path.parent for path in Path("derivations").glob("*/problem.py"))
    if not cases:
        raise InputError("there is no case in ./derivations; give case folders, each with a problem.py")
    for case in cases:
        if not (case / "problem.py").is_file():
            raise InputError(f"case {str(case)!r}: there is no problem.py in it")

    for case in cases:
        changed = gm.pipeline.build(case, force)
        print(f"{case}: {', '.join(str(path.relative_to(case)) for path in changed) or 'current'}")
