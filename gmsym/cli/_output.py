"""What verbs write: numbers to stdout or a file, tables and figures."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sympy as sp
import typer

import gmsym as gm
from gmsym import writing
from gmsym.cli._terminal import print_table

if TYPE_CHECKING:
    import xarray as xr

    from gmsym.pipeline.tables import Table
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
    if json_target is not None:
        write_json(gm.pipeline.record(result), json_target)
    elif not quiet:
        show(gm.pipeline.table(result))


def report_comparison(comparison: Any, json_target: str | None, quiet: bool) -> None:
    """A comparison as JSON, or as a table with its verdict."""
    if json_target is not None:
        write_json(gm.pipeline.comparison_record(comparison), json_target)
    elif not quiet:
        show(gm.pipeline.comparison_table(comparison))


def show(table: "Table") -> None:
    """Print a table and what is said after it."""
    print_table(table.title, table.header, table.rows)
    for sentence in table.after:
        print(sentence)


def draw(picture: Callable[[], Any], path: Path) -> None:
    """Write the figure whose Axes, one or several, `picture` returns."""
    import matplotlib

    matplotlib.use("Agg")  # a file needs no screen
    axes = picture()
    writing.write_figure((axes if hasattr(axes, "figure") else axes[0]).figure, path)


def filmed(film: Callable[[], Any], path: Path) -> None:
    """Write the animation that `film` returns."""
    import matplotlib

    matplotlib.use("Agg")
    writing.write_film(film(), path)


def equation_text(equation: "Equation") -> str:
    """An equation in two dimensions, under a line that says what it is."""
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    body = sp.pretty(sp.Eq(equation.lhs, equation.rhs, evaluate=False), use_unicode=unicode, wrap_line=False)
    domain = ", " + equation.domain.replace(r"\le", "<=") if equation.domain else ""
    lines = [f"{equation.meaning}{domain} ({equation.status}; {equation.source})", *("    " + line for line in body.splitlines())]
    return "\n".join(line.rstrip() for line in lines)
