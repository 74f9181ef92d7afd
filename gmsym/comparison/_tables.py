"""A comparison as text and as HTML."""

import html
from collections.abc import Sequence
from typing import Any, final


@final
class Rows(list[Any]):
    """Rows of a table, named tuples of one kind; HTML in a notebook."""

    def _repr_html_(self) -> str:
        if not self:
            return "<p>no rows</p>"
        head = [name.replace("_", " ") for name in self[0]._fields]
        return as_html("", [head, *([_shown(x) for x in row] for row in self)], "")


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def as_text(title: str, cells: Sequence[Sequence[str]], summary: str) -> str:
    """Columns aligned, the first to the left; the first row is the head."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in cells]
    return "\n".join([title, *lines, summary])


def as_html(title: str, cells: Sequence[Sequence[str]], summary: str) -> str:
    """The same for a notebook."""
    head, *body = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in cells)
    rows = "".join(f"<tr>{row}</tr>" for row in body)
    above, below = (f"<p>{html.escape(text)}</p>" if text else "" for text in (title, summary))
    return f"{above}<table><thead><tr>{head.replace('td>', 'th>')}</tr></thead><tbody>{rows}</tbody></table>{below}"
