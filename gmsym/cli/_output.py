"""What verbs write: numbers to stdout or a file, tables and figures."""

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sympy as sp
import typer

from gmsym import writing

if TYPE_CHECKING:
    import xarray as xr

    from gmsym.comparison import Comparison
    from gmsym.system import Equation


def write(text: str, target: Path | str | None, first: str = "") -> None:
    """A text to stdout or a file, there under a first line that says who wrote it."""
    if target is None or str(target) == "-":
        print(text)
    else:
        writing.write_text(first + text + "\n", target)


def write_json(record: dict[str, Any], target: str) -> None:
    mine = {} if target == "-" else {"written_by": writing.MARK}
    write(json.dumps(mine | record, allow_nan=False), target)


def exit_unless(agrees: bool) -> None:
    if not agrees:
        raise typer.Exit(1)


def report(result: "xr.Dataset", json_target: str | None, quiet: bool) -> None:
    """The last step, as JSON or as a table; with the standard deviation of a run where that is predicted."""
    predicted = any(str(name).endswith("_deviation") for name in result)
    if json_target is not None:
        from gmsym import schema

        write_json(schema.last(result) | ({"deviation": schema.last_deviation(result)} if predicted else {}), json_target)
    elif not quiet:
        from gmsym.comparison import entries, setting, size

        last = result.isel(time=-1)
        found = entries(result)
        rows = [[entry.label, f"{float(entry.of(last)):.6f}", f"{float(entry.of(last, '_error')):.1e}"] for entry in found]
        if predicted:
            rows = [[*row, f"{float(entry.of(last, '_deviation')):.6f}"] for row, entry in zip(rows, found, strict=True)]
        sized = f", {size(result)}" if "d" in result.attrs else ""
        title = f"{setting(result)}, {result.attrs['kind']}{sized}, time {last['time'].item():.6g}"
        print_table(title, ["", "value", "standard error", *(["deviation"] if predicted else [])], rows)


def comparison_record(comparison: "Comparison") -> dict[str, Any]:
    """Rows and verdict; the score of two exact values that differ is infinite, which JSON writes as null."""

    def finite(value: float) -> float | None:
        return value if math.isfinite(value) else None

    rows = [{"quantity": row.entry, **row._asdict(), "z": finite(row.z)} for row in comparison.table()]
    for row in rows:
        del row["entry"]
    return {"rows": rows, "rms_z": comparison.rms_z, "max_abs_z": finite(comparison.max_abs_z), "agrees": bool(comparison.agrees())}


def print_comparison(comparison: "Comparison") -> None:
    """One line a curve: the values at the last checked time, and the score at each of them."""
    times, table = comparison.times, comparison.table()
    rows = []
    for first in range(0, len(table), len(times)):
        curve = table[first : first + len(times)]
        last = curve[-1]
        values = (last.theory, last.simulation, last.standard_error)
        rows.append([last.entry, *(f"{value:.5f}" for value in values), *(f"{row.z:.1f}" for row in curve)])
    from gmsym.comparison import size

    about = comparison.runs.attrs
    title = f"{about['problem']}, {size(comparison.runs)}, {about['replicates']} replicates, time {times[-1]:.6g}"
    print_table(title, ["", "theory", "simulation", "error", *(f"z({time:.6g})" for time in times)], rows)
    verdict = "agree" if comparison.agrees() else "DISAGREE"
    print(f"max |z| = {comparison.max_abs_z:.2f}, allowed {comparison.threshold():.2f}; rms z = {comparison.rms_z:.2f}: they {verdict}")


def print_table(title: str, header: list[str], rows: list[list[str]]) -> None:
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


def draw(picture: Callable[[], Any], path: Path) -> None:
    """Write the figure whose Axes, one or several, `picture` returns."""
    import matplotlib

    matplotlib.use("Agg")  # a file needs no screen
    axes = picture()
    writing.write_figure((axes if hasattr(axes, "figure") else axes[0]).figure, path)


def equation_text(equation: "Equation") -> str:
    """An equation in two dimensions, under a line that says what it is."""
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    body = sp.pretty(sp.Eq(equation.lhs, equation.rhs, evaluate=False), use_unicode=unicode, wrap_line=False)
    domain = ", " + equation.domain.replace(r"\le", "<=") if equation.domain else ""
    lines = [f"{equation.meaning}{domain} ({equation.status}; {equation.source})", *("    " + line for line in body.splitlines())]
    return "\n".join(line.rstrip() for line in lines)
