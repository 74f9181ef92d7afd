"""The command line: one small function a verb, which reads a problem, calls the pipeline and reports.

Exit status: 0 done, 1 the computation failed or theory and simulation disagree, 2 bad input. Numbers go to stdout, everything else
to stderr, so that `--json -` can be piped. What needs JAX, xarray or matplotlib is imported inside the verbs, after the input is checked.
"""

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import sympy as sp
import typer

from gmsym.errors import ComputationError, InputError, UnprintableError
from gmsym.problem import file as problem_file
from gmsym.problem._suggest import unknown
from gmsym.problem.file import ProblemFile
from gmsym.problem.parser import ParseError

if TYPE_CHECKING:
    import xarray as xr

    from gmsym.comparison import Comparison
    from gmsym.system import Equation

FileArgument = Annotated[Path | None, typer.Argument(metavar="FILE", help="Problem file in TOML.", show_default=False)]
LossOption = Annotated[str | None, typer.Option("--loss", help="Loss: a name, or an expression of h and y such as 'log(1 + exp(-y*h))'.")]
OptimizerOption = Annotated[str | None, typer.Option("--optimizer", help="Optimizer by name, such as heavy_ball.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="A number of the problem or a setting, such as eta=0.5, alpha=2, steps=50; may be repeated."
    ),
]
JsonOption = Annotated[str | None, typer.Option("--json", metavar="PATH", help="Write JSON to a file, or to stdout with -.")]
DatasetOption = Annotated[Path | None, typer.Option("--output", metavar="FILE.nc", help="Keep the whole trajectory, as netCDF.")]
TextOption = Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Write to a file instead of stdout.")]
FigureOption = Annotated[Path | None, typer.Option("--figure", metavar="FILE", help="Draw theory and simulation: .png, .svg or .pdf.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No table and no progress bar.")]

app = typer.Typer(
    name="gmsym",
    help="Training dynamics on Gaussian mixtures: derive, generate, solve, simulate, compare.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line and exit with its status; one line on stderr says what went wrong."""
    try:
        app(prog_name="gmsym")
    except (InputError, UnprintableError) as error:
        _fail(error, 2)
    except (ComputationError, OSError) as error:
        _fail(error, 1)


def _fail(error: Exception, status: int) -> NoReturn:
    text = str(error) if isinstance(error, ParseError) else " ".join(str(error).split())
    print(f"gmsym: {text}", file=sys.stderr)
    sys.exit(status)


# --- verbs ------------------------------------------------------------------------------------------------------------


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", metavar="DIRECTORY", help="Where the figure and the table go.")] = Path("."),
    quiet: QuietOption = False,
) -> None:
    """Derive, solve, simulate and compare the logistic case; writes a figure, a table and the generated code."""
    from gmsym import pipeline

    comparison = pipeline.demo(output, progress=_progress(quiet))
    if not quiet:
        _print_comparison(comparison)
        print(f"Written to {output}: gmsym_demo.png, gmsym_demo.csv, gmsym_demo_logistic.py")
    _exit_unless(comparison.agrees())


@app.command()
def derive(
    file: FileArgument = None,
    loss: LossOption = None,
    optimizer: OptimizerOption = None,
    settings: SetOption = None,
    style: Annotated[str, typer.Option("--format", help="latex or text.")] = "text",
    output: TextOption = None,
) -> None:
    """Print the DMF equations of a problem."""
    if style not in ("latex", "text"):
        raise InputError(f"--format: {unknown('format', style, ['latex', 'text'])}")
    problem = _read(file, loss, optimizer, settings).problem
    _check_target("--output", output)
    from gmsym.derive import dmf

    system = dmf(problem)
    _write(system.latex() if style == "latex" else "\n\n".join(map(_equation_text, system.equations())), output)


@app.command()
def codegen(
    file: FileArgument = None,
    loss: LossOption = None,
    optimizer: OptimizerOption = None,
    settings: SetOption = None,
    output: TextOption = None,
) -> None:
    """Print the generated JAX module of a problem."""
    problem = _read(file, loss, optimizer, settings).problem
    _check_target("--output", output, ".py")
    from gmsym.derive import dmf

    _write(dmf(problem).source().rstrip("\n"), output)


@app.command()
def solve(
    file: FileArgument = None,
    loss: LossOption = None,
    optimizer: OptimizerOption = None,
    settings: SetOption = None,
    json_target: JsonOption = None,
    output: DatasetOption = None,
    quiet: QuietOption = False,
) -> None:
    """Solve the DMF equations: order parameters in the limit of large n and d."""
    given = _read(file, loss, optimizer, settings)
    _ = given.instance
    _check_target("--json", json_target)
    _check_target("--output", output, ".nc")
    result = _solve(given, given.run.alpha, quiet)
    if output is not None:
        result.to_netcdf(output)
    _report(result, json_target, quiet)


@app.command()
def simulate(
    file: FileArgument = None,
    loss: LossOption = None,
    optimizer: OptimizerOption = None,
    settings: SetOption = None,
    json_target: JsonOption = None,
    output: DatasetOption = None,
    quiet: QuietOption = False,
) -> None:
    """Train on generated data of n = alpha*d samples in d dimensions."""
    given = _read(file, loss, optimizer, settings)
    _ = given.instance
    _check_target("--json", json_target)
    _check_target("--output", output, ".nc")
    result = _simulate(given, quiet)
    if output is not None:
        result.to_netcdf(output)
    _report(result, json_target, quiet)


@app.command()
def compare(
    file: FileArgument = None,
    loss: LossOption = None,
    optimizer: OptimizerOption = None,
    settings: SetOption = None,
    json_target: JsonOption = None,
    output: DatasetOption = None,
    figure: FigureOption = None,
    quiet: QuietOption = False,
) -> None:
    """Solve and simulate, and say how many standard errors lie between; exit status 1 if they disagree."""
    given = _read(file, loss, optimizer, settings)
    _ = given.instance
    _check_target("--json", json_target)
    _check_target("--output", output, ".nc")
    _check_target("--figure", figure, ".png", ".svg", ".pdf")
    from gmsym import pipeline

    theory = _solve(given, given.n / given.simulation.d, quiet)  # the simulation's n/d: alpha*d may not be an integer
    runs = _simulate(given, quiet)
    comparison = pipeline.compare(theory, runs)
    if output is not None:
        theory.to_netcdf(output, group="theory")
        runs.to_netcdf(output, group="simulation", mode="a")
    if figure is not None:
        _draw(comparison, figure)
    if json_target is not None:
        _write_json(_comparison_record(comparison), json_target)
    elif not quiet:
        _print_comparison(comparison)
    _exit_unless(comparison.agrees())


@app.command()
def surrogate(
    file: FileArgument = None,
    loss: LossOption = None,
    optimizer: OptimizerOption = None,
    settings: SetOption = None,
    n: Annotated[int | None, typer.Option("--n", help="Samples. Default: alpha*d of the problem.")] = None,
    d: Annotated[int | None, typer.Option("--d", help="Dimension. Default: that of the simulation.")] = None,
    replicates: Annotated[
        int | None, typer.Option("--replicates", help="Independent trajectories. Default: those of the simulation.")
    ] = None,
    json_target: JsonOption = None,
    output: DatasetOption = None,
    quiet: QuietOption = False,
) -> None:
    """Sample the finite-size surrogate, equal in law to training: mean, standard deviation and standard error at the last step."""
    given = _read(file, loss, optimizer, settings)
    _ = given.instance
    _check_target("--json", json_target)
    _check_target("--output", output, ".nc")
    size = d or given.simulation.d
    from gmsym import pipeline, schema

    result = pipeline.surrogate(
        given.problem,
        n=n or round(given.run.alpha * size),
        d=size,
        steps=given.run.steps,
        replicates=replicates or given.simulation.replicates,
        seed=given.run.seed,
        progress=_progress(quiet),
        **given.values,
    )
    if output is not None:
        result.to_netcdf(output)
    if json_target is not None:
        _write_json(schema.last(result) | {"deviation": schema.last_deviation(result)}, json_target)
    else:
        _report(result, None, quiet)


@app.command()
def build(
    folders: Annotated[list[Path] | None, typer.Argument(metavar="CASE...", help="Case folders. Default: all in ./derivations.")] = None,
) -> None:
    """Regenerate the generated modules and manifests of case folders."""
    cases = folders or sorted(path.parent for path in Path("derivations").glob("*/problem.py"))
    if not cases:
        raise InputError("there is no case in ./derivations; give case folders, each with a problem.py")
    for case in cases:
        if not (case / "problem.py").is_file():
            raise InputError(f"case {str(case)!r}: there is no problem.py in it")
    from gmsym import pipeline

    for case in cases:
        changed = pipeline.build(case)
        print(f"{case}: {', '.join(str(path.relative_to(case)) for path in changed) or 'current'}")


# --- input ------------------------------------------------------------------------------------------------------------


def _read(file: Path | None, loss: str | None, optimizer: str | None, settings: list[str] | None) -> ProblemFile:
    """The problem of a file, of options, or of a file changed by options."""
    chosen = problem_file.parse_settings(settings or [])
    if file is not None:
        if "=" in file.name and not file.exists():
            raise InputError(f"{file}: no such file; a setting is written --set {file}")
        return problem_file.read(file, loss=loss, optimizer=optimizer, settings=chosen)
    if loss is None:
        raise InputError("a problem is needed: a file, or --loss with --optimizer and --set")
    return problem_file.from_options(loss, optimizer or "gd", chosen)


def _check_target(option: str, target: Path | str | None, *suffixes: str) -> None:
    """Refuse, before a long computation, a file that could not be written after it."""
    if target is None or str(target) == "-" and not suffixes:
        return
    path = Path(target)
    if suffixes and path.suffix not in suffixes:
        raise InputError(f"{option} {target}: a file name that ends in {' or '.join(suffixes)} is needed")
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"{option} {target}: a file in an existing folder is needed")


def _progress(quiet: bool) -> bool | None:
    return False if quiet else None  # None: on a terminal only


def _solve(given: ProblemFile, alpha: float, quiet: bool) -> "xr.Dataset":
    from gmsym import pipeline

    run = given.run
    return pipeline.solve(
        given.problem,
        alpha=alpha,
        steps=run.steps,
        samples=run.samples,
        scrambles=run.scrambles,
        seed=run.seed,
        progress=_progress(quiet),
        **given.values,
    )


def _simulate(given: ProblemFile, quiet: bool) -> "xr.Dataset":
    from gmsym import pipeline

    return pipeline.simulate(
        given.problem,
        n=given.n,
        d=given.simulation.d,
        steps=given.run.steps,
        replicates=given.simulation.replicates,
        seed=given.run.seed,
        progress=_progress(quiet),
        **given.values,
    )


# --- output -----------------------------------------------------------------------------------------------------------


def _write(text: str, target: Path | str | None) -> None:
    if target is None or str(target) == "-":
        print(text)
    else:
        Path(target).write_text(text + "\n", encoding="utf-8")


def _write_json(record: dict[str, Any], target: str) -> None:
    _write(json.dumps(record, allow_nan=False), target)


def _exit_unless(agrees: bool) -> None:
    if not agrees:
        raise typer.Exit(1)


def _report(result: "xr.Dataset", json_target: str | None, quiet: bool) -> None:
    """The last step, as JSON or as a table."""
    if json_target is not None:
        from gmsym import schema

        _write_json(schema.last(result), json_target)
    elif not quiet:
        from gmsym.comparison import entries

        last = result.isel(time=-1)
        rows = [[entry.label, f"{float(entry.of(last)):.6f}", f"{float(entry.of(last, '_error')):.1e}"] for entry in entries(result)]
        title = f"{result.attrs['problem']}, {result.attrs['kind']}, alpha = {result.attrs['alpha']:.6g}, time {int(last['time'])}"
        _print_table(title, ["", "value", "standard error"], rows)


def _comparison_record(comparison: "Comparison") -> dict[str, Any]:
    """Rows and verdict; the score of two exact values that differ is infinite, which JSON writes as null."""

    def finite(value: float) -> float | None:
        return value if math.isfinite(value) else None

    rows = [{"quantity": row.entry, **row._asdict(), "z": finite(row.z)} for row in comparison.table()]
    for row in rows:
        del row["entry"]
    return {"rows": rows, "rms_z": comparison.rms_z, "max_abs_z": finite(comparison.max_abs_z), "agrees": bool(comparison.agrees())}


def _print_comparison(comparison: "Comparison") -> None:
    """One line a curve: the values at the last checked time, and the score at each of them."""
    times, table = comparison.times, comparison.table()
    rows = []
    for first in range(0, len(table), len(times)):
        curve = table[first : first + len(times)]
        last = curve[-1]
        values = (last.theory, last.simulation, last.standard_error)
        rows.append([last.entry, *(f"{value:.5f}" for value in values), *(f"{row.z:.1f}" for row in curve)])
    about = comparison.runs.attrs
    title = f"{about['problem']}, n = {about['n']}, d = {about['d']}, {about['replicates']} replicates, time {times[-1]}"
    _print_table(title, ["", "theory", "simulation", "error", *(f"z({time})" for time in times)], rows)
    verdict = "agree" if comparison.agrees() else "DISAGREE"
    print(f"max |z| = {comparison.max_abs_z:.2f}, allowed {comparison.threshold():.2f}; rms z = {comparison.rms_z:.2f}: they {verdict}")


def _print_table(title: str, header: list[str], rows: list[list[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    print(title)
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = 200  # nothing is cut off in a file
    console.print(table)


def _draw(comparison: "Comparison", path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")  # a file needs no screen
    comparison.plot()[0].figure.savefig(path, dpi=150)


def _equation_text(equation: "Equation") -> str:
    """An equation in two dimensions, under a line that says what it is."""
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    body = sp.pretty(sp.Eq(equation.lhs, equation.rhs, evaluate=False), use_unicode=unicode, wrap_line=False)
    domain = ", " + equation.domain.replace(r"\le", "<=") if equation.domain else ""
    lines = [f"{equation.meaning}{domain} ({equation.status}; {equation.source})", *("    " + line for line in body.splitlines())]
    return "\n".join(line.rstrip() for line in lines)
