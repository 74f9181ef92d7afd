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
from gmsym.cli._terminal import print_table

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
    """A result as JSON, or as a table: of a trajectory its last time."""
    from gmsym import pipeline

    if json_target is not None:
        write_json(pipeline.record(result), json_target)
    elif not quiet:
        from gmsym.cli import _tables

        _tables.show(result)


def comparison_record(comparison: Any) -> dict[str, Any]:
    """Rows and verdict; the score of two exact values that differ is infinite, which JSON writes as null."""
    from gmsym.comparison import Comparison

    def finite(value: float) -> float | None:
        return value if math.isfinite(value) else None

    verdict = {"max_abs_z": finite(comparison.max_abs_z), "agrees": bool(comparison.agrees())}
    rows = [row._asdict() for row in comparison.table()]
    if isinstance(comparison, Comparison):
        rows = [{"quantity": row.pop("entry"), **row} for row in rows]
        verdict = {"rms_z": comparison.rms_z, **verdict}
    elif getattr(comparison, "distances", None) is not None:
        verdict = {"distances": comparison.distances.tolist(), **verdict}
    plain = [{k: finite(v) if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    return {"rows": plain, **verdict}


def show_comparison(comparison: Any) -> None:
    """A comparison of any kind."""
    from gmsym.comparison import Comparison

    if isinstance(comparison, Comparison):
        print_comparison(comparison)
    else:
        print(repr(comparison))


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
