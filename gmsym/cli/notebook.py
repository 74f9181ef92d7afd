"""The verb that writes a notebook of a problem."""

from os.path import relpath
from pathlib import Path
from typing import Annotated

import typer

import gmsym as gm
from gmsym import writing
from gmsym.cli._app import FileArgument, ForceOption, LossOption, OptimizerOption, SetOption, app
from gmsym.cli._input import check_targets, read
from gmsym.files.reader import parse_settings

OutputOption = Annotated[Path, typer.Option("--output", metavar="FILE.ipynb", help="Where the notebook goes.")]


@app.command()
def notebook(
    file: FileArgument = None,
    loss: LossOption = None,
    optimizer: OptimizerOption = None,
    settings: SetOption = None,
    output: OutputOption = Path("gmsym_study.ipynb"),
    force: ForceOption = False,
) -> None:
    """Write a notebook that does all of this, to run and to change."""
    given = read(file, loss, optimizer, settings)
    _ = given.instance
    check_targets(force, output=(output, ".ipynb"))

    options = {"loss": loss, "optimizer": optimizer, "settings": parse_settings(settings or [])}
    written = [f"{name}={value!r}" for name, value in options.items() if value]
    reading = f"gm.read({', '.join([repr(relpath(file, output.parent)), *written])})" if file else f"gm.from_options({', '.join(written)})"
    made = gm.pipeline.notebook(given, reading)
    import nbformat

    writing.write_text(nbformat.writes(made) + "\n", output)
    typer.echo(f"Written to {output}")
