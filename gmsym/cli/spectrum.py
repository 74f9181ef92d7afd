"""The verb of spectra of Hessian and information matrices."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gmsym.cli._app import (
    FigureOption,
    FileArgument,
    JsonOption,
    LossOption,
    OptimizerOption,
    QuietOption,
    SetOption,
    app,
)
from gmsym.cli._input import check_target, read
from gmsym.cli._output import print_table, write_json
from gmsym.errors import InputError
from gmsym.problem._suggest import unknown

if TYPE_CHECKING:
    import xarray as xr


@app.command()
def spectrum(
    file: FileArgument = None,
    loss: LossOption = None,
    optimizer: OptimizerOption = None,
    settings: SetOption = None,
    matrix: Annotated[str, typer.Option("--matrix", help="hessian or information.")] = "hessian",
    block: Annotated[int | None, typer.Option("--block", help="Column of Theta whose diagonal block is wanted. Default: all.")] = None,
    trained: Annotated[
        list[str] | None, typer.Option("--trained", metavar="NAME", help="Parameter of the loss that is trained, too; may be repeated.")
    ] = None,
    points: Annotated[int, typer.Option("--points", help="Points of the density.")] = 400,
    json_target: JsonOption = None,
    figure: FigureOption = None,
    quiet: QuietOption = False,
) -> None:
    """Density, edges, atom and outliers of the Hessian or information matrix of alpha*d fresh samples, at the initial state."""
    if matrix not in ("hessian", "information"):
        raise InputError(f"--matrix: {unknown('matrix', matrix, ['hessian', 'information'])}")
    given = read(file, loss, optimizer, settings)
    check_target("--json", json_target)
    check_target("--figure", figure, ".png", ".svg", ".pdf")
    from gmsym import pipeline

    result = pipeline.spectrum(
        given.problem,
        matrix,
        alpha=given.run.alpha,
        block=block,
        trained=tuple(trained or ()),
        points=points,
        **given.values,
    )
    if figure is not None:
        _draw(result, figure)
    if json_target is not None:
        write_json(pipeline.spectrum_record(result), json_target)
    elif not quiet:
        _print(result, pipeline.spectrum_record(result))


def _draw(result: "xr.Dataset", path: Any) -> None:
    import matplotlib

    matplotlib.use("Agg")  # a file needs no screen
    from gmsym.plotting import spectral_density

    spectral_density(result).figure.savefig(path, dpi=150)


def _print(result: "xr.Dataset", record: dict[str, Any]) -> None:
    def text(value: float | None) -> str:
        return "infinite" if value is None else f"{value:.8f}"

    rows = [
        [f"band {i}, {side} edge", text(edge), "", f"{error:.1e}"]
        for i, (band, errors) in enumerate(zip(record["edges"], record["error"]["edges"], strict=True))
        for side, edge, error in zip(("left", "right"), band, errors, strict=True)
    ]
    rows += [["atom", "0", f"mass {atom['mass']:.6f}", ""] for atom in record["atoms"]]
    rows += [[f"outlier, {o['side']}", text(o["z"]), f"overlap {o['overlap']:.6f}", f"{o['z_error']:.1e}"] for o in record["outliers"]]
    print_table(f"{result.attrs['problem']}, {record['matrix']}, alpha = {record['alpha']:.6g}", ["", "z", "", "error"], rows)
