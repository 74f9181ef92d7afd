"""The verb of spectra of Hessian and information matrices."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gmsym.cli._app import (
    FigureOption,
    ForceOption,
    JsonOption,
    QuietOption,
)
from gmsym.cli._input import check_targets, problem_verb, progress
from gmsym.cli._output import draw, print_table, write_json
from gmsym.cli.dmf import solve_limit
from gmsym.cli.effective import solve_online
from gmsym.errors import InputError
from gmsym.files.reader import ProblemFile, parse_settings
from gmsym.files.suggest import unknown

if TYPE_CHECKING:
    import xarray as xr


@problem_verb()
def spectrum(
    given: ProblemFile,
    matrix: Annotated[str, typer.Option("--matrix", help="hessian or information.")] = "hessian",
    block: Annotated[int | None, typer.Option("--block", help="Column of Theta whose diagonal block is wanted. Default: all.")] = None,
    trained: Annotated[
        list[str] | None, typer.Option("--trained", metavar="NAME", help="Parameter of the loss that is trained, too; may be repeated.")
    ] = None,
    points: Annotated[int, typer.Option("--points", help="Points of the density.")] = 400,
    alpha: Annotated[
        float | None, typer.Option("--alpha", help="Samples of the matrix per dimension. Default: that of the problem.")
    ] = None,
    time: Annotated[
        float | None,
        typer.Option("--time", help="Time of the problem's dynamics (online SGD, or steps). Default: the initial state."),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option(
            "--sweep",
            metavar="KEY=[VALUES]",
            help="Over values of alpha or a parameter, such as alpha=[2,4,8], with static transitions.",
        ),
    ] = None,
    json_target: JsonOption = None,
    figure: FigureOption = None,
    force: ForceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Density, edges, atom and outliers of the Hessian or information matrix of alpha*d fresh samples, at one state."""
    over, values = _sweep(sweep)
    if matrix not in ("hessian", "information"):
        raise InputError(f"--matrix: {unknown('matrix', matrix, ['hessian', 'information'])}")
    check_targets(force, json=(json_target,), figure=(figure, ".png", ".svg", ".pdf"))
    if alpha is None and over != "alpha":
        if given.is_online:
            raise InputError("--alpha is missing: a matrix has n = alpha*d samples, which a problem of online SGD does not say")
        alpha = given.run.alpha
    if time is not None and (not 0 <= time < float("inf") or (not given.is_online and not time.is_integer())):
        raise InputError(f"--time {time:g}: a time from 0 is needed, of full-batch training a whole number of steps")
    from gmsym import pipeline

    system = pipeline.THEORIES["spectrum"](given.problem, matrix, block, tuple(trained or ()))
    state = {} if time is None else _state(given, time, quiet)
    numbers = {**given.values, **state}
    if over is not None:
        numbers.pop(over, None)
        result = pipeline.spectrum_sweep(system, over=over, values=values, alpha=alpha, progress=progress(quiet), **numbers)
        record, show, picture = pipeline.path_record(result), _print_path, "transition_diagram"
    else:
        result = pipeline.spectrum(system, alpha=alpha, points=points, **numbers)
        record, show, picture = pipeline.spectrum_record(result), _print, "spectral_density"
    if figure is not None:
        from gmsym import plotting

        draw(lambda: getattr(plotting, picture)(result), figure)
    if json_target is not None:
        write_json(record, json_target)
    elif not quiet:
        show(result, record)


def _sweep(text: str | None) -> tuple[str | None, Any]:
    """(what changes, its values) of "key=[values]"."""
    if text is None:
        return None, None
    ((over, values),) = parse_settings([text]).items()
    if not isinstance(values, list):
        raise InputError(f"--sweep {text}: a list of values is needed, such as alpha=[2,4,8]")
    return over, values


def _state(given: ProblemFile, time: float, quiet: bool) -> dict[str, Any]:
    """m, Q, perhaps M, and the trained parameters of the problem at a time of its dynamics; by blocks if there are several."""
    if time == 0:
        return {}
    if given.is_online:
        last = solve_online(given, [0.0, time], quiet).isel(time=-1)
        trained = {str(name): float(last["trained"].sel(parameter=name)) for name in last.get("parameter", ())}
    else:
        run = replace(given.run, steps=int(time) + 1)
        last, trained = solve_limit(replace(given, run=run), quiet, alpha=run.alpha).isel(time=-1), {}
    names = ["m", "Q"] if given.problem.teacher is None else ["m", "Q", "M"]
    suffix = "" if given.problem.data.blocks == 1 else "_b"
    missing = [name + suffix for name in names if name + suffix not in last]
    if missing:
        raise InputError(f"--time {time:g}: the dynamics does not give {missing[0]}, the state within each block of coordinates")
    return {**{name: last[name + suffix].values for name in names}, **trained}


def _print_path(result: "xr.Dataset", record: dict[str, Any]) -> None:
    over = record["over"]
    rows = [
        [
            f"{at[over]:.6g}",
            *(f"{x:.6f}" if x is not None else "infinite" for x in band),
            ", ".join(f"{o['z']:.6f}" for o in at["outliers"]),
        ]
        for at in record["spectra"]
        for band in at["edges"]
    ]
    print_table(f"{result.attrs['problem']}, {record['matrix']}", [over, "left edge", "right edge", "outliers"], rows)
    for found in record["transitions"]:
        print(f"{over} = {found[over]:.6g}: an outlier at the {found['side']} edge, z = {found['z']:.6f}, {found['kind']}")
    for early, late in record["unlocated"]:
        print(f"{over} from {early:.6g} to {late:.6g}: the number of bands changes, transitions there are not located")


def _print(result: "xr.Dataset", record: dict[str, Any]) -> None:
    def text(value: float | None) -> str:
        return "infinite" if value is None else f"{value:.8f}"

    rows = [
        [f"band {i}, {side} edge", text(edge), "", f"{error:.1e}"]
        for i, (band, errors) in enumerate(zip(record["edges"], record["error"]["edges"], strict=True))
        for side, edge, error in zip(("left", "right"), band, errors, strict=True)
    ]
    rows += [
        [f"band {i}", "", f"mass {mass:.6f}", f"{error:.1e}"]
        for i, (mass, error) in enumerate(zip(record["masses"], record["error"]["masses"], strict=True))
    ]
    rows += [["atom", "0", f"mass {atom['mass']:.6f}", ""] for atom in record["atoms"]]
    rows += [[f"outlier, {o['side']}", text(o["z"]), f"overlap {o['overlap']:.6f}", f"{o['z_error']:.1e}"] for o in record["outliers"]]
    print_table(f"{result.attrs['problem']}, {record['matrix']}, alpha = {record['alpha']:.6g}", ["", "z", "", "error"], rows)
    for low, high in record["undecided"]:
        print(f"from z = {low:.6f} to {high:.6f}: perhaps a gap, narrower than the nodes can tell")
