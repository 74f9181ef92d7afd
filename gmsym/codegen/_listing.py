"""Generated text as a notebook shows it: folded, with its syntax in colour."""

import html
from typing import Any, final

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer


@final
class Source(str):
    """The text of a module: a string, which a notebook shows as one line that unfolds."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        title, *_ = self.lstrip('"').splitlines() or [""]
        # Styles stand in the elements: a notebook's page has no style sheet of ours.
        body = highlight(self, PythonLexer(), HtmlFormatter(noclasses=True, nobackground=True))
        return f"<details><summary>{html.escape(title)} ({len(self.splitlines())} lines)</summary>{body}</details>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))
