"""A comparison as text and as HTML."""

import html
from collections.abc import Sequence


def as_text(title: str, cells: Sequence[Sequence[str]], summary: str) -> str:
    """Columns aligned, the first to the left; the first row is the head."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in cells]
    return "\n".join([title, *lines, summary])


def as_html(title: str, cells: Sequence[Sequence[str]], summary: str) -> str:
    """The same for a notebook."""
    head, *body = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in cells)
    rows = "".join(f"<tr>{row}</tr>" for row in body)
    return (
        f"<p>{html.escape(title)}</p><table><thead><tr>{head.replace('td>', 'th>')}</tr></thead><tbody>{rows}</tbody></table>"
        f"<p>{html.escape(summary)}</p>"
    )
