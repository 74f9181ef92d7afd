"""The application that every verb registers with, and the options that verbs share."""

from pathlib import Path
from typing import Annotated

import typer

from gmsym import losses, optimizers

THEORIES = (
    *("dmf", "surrogate", "finite-size", "refinement", "effective", "fluctuations", "spectrum", "stationary", "one-step"),
    *("gradient-flow", "gordon", "influence"),
)


def _losses(incomplete: str) -> list[str]:
    return [name for name in losses.CATALOG if name.startswith(incomplete)]


def _optimizers(incomplete: str) -> list[str]:
    return [name for name in optimizers.CATALOG if name.startswith(incomplete)]


def _theories(incomplete: str) -> list[str]:
    return [name for name in THEORIES if name.startswith(incomplete)]


FileArgument = Annotated[Path | None, typer.Argument(metavar="FILE", help="Problem file in TOML.", show_default=False)]
LossOption = Annotated[
    str | None,
    typer.Option("--loss", autocompletion=_losses, help="Loss: a name, or an expression of h and y such as 'log(1 + exp(-y*h))'."),
]
OptimizerOption = Annotated[
    str | None, typer.Option("--optimizer", autocompletion=_optimizers, help="Optimizer by name, such as heavy_ball.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="A number of the problem or a setting, such as eta=0.5, alpha=2, steps=50; may be repeated."
    ),
]
JsonOption = Annotated[str | None, typer.Option("--json", metavar="PATH", help="Write JSON to a file, or to stdout with -.")]
DatasetOption = Annotated[Path | None, typer.Option("--output", metavar="FILE.nc", help="Keep the whole trajectory, as netCDF.")]
TextOption = Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Write to a file instead of stdout.")]
FigureOption = Annotated[Path | None, typer.Option("--figure", metavar="FILE", help="Draw the result: .png, .svg or .pdf.")]
TheoryOption = Annotated[
    str | None,
    typer.Option(
        "--theory",
        metavar="NAME",
        autocompletion=_theories,
        help="dmf, surrogate, finite-size, refinement, effective, fluctuations, spectrum, stationary, one-step; "
        "to read: gradient-flow, gordon, influence.",
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite files that gmsym did not write.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No table and no progress bar.")]

app = typer.Typer(
    name="gmsym",
    help="Training dynamics on Gaussian mixtures: derived, solved and simulated.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
