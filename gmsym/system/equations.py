"""Equations with their source, as LaTeX."""

import math
from dataclasses import dataclass
from typing import Literal, final

import sympy as sp

from gmsym.latex import NOTEBOOK, WIDTH, letters, lines, stacked, width_of

Status = Literal["theorem", "heuristic", "own"]
Role = Literal["computed", "notation"]
_SIGN = 1.4  # em of an equality sign


class Phrase(sp.Symbol):
    """LaTeX of several letters, shown as it is written; it has no meaning of its own for a legend."""


@final
@dataclass(frozen=True)
class Equation:
    """lhs = rhs, or lhs := rhs for a definition."""

    lhs: sp.Expr
    rhs: sp.Expr
    meaning: str  # one line
    source: str  # paper and theory.md number
    status: Status
    domain: str = ""  # LaTeX of the times for which it holds, e.g. "s < t"
    role: Role = "computed"  # "notation" names what other equations spell out: nothing is generated from it

    def latex(self) -> str:
        """One aligned line of LaTeX."""
        condition = rf", \qquad {self.domain}" if self.domain else ""
        return f"{letters(self.lhs)} &= {letters(self.rhs)}{condition}"

    def lines(self, width: float = WIDTH, column: float = 0.0) -> list[str]:
        """Aligned lines of LaTeX at most `width` em wide, sums broken at their terms.

        Args:
            width: of a line.
            column: em that left sides have; one that is wider stands in a line of its own.
        """
        left = letters(self.lhs)
        alone = width_of(left) > max(column, width / 4)
        room = width - max(column, 0.0 if alone else width_of(left)) - _SIGN
        first, *others = lines(letters(self.rhs), width=room - (2 if alone else 0))
        found = [f"& {left}", rf"&\quad = {first}"] if alone else [f"{left} &= {first}"]
        found += [rf"&\quad {line}" for line in others]
        if self.domain and width_of(found[-1].split("&", 1)[1]) + width_of(self.domain) + 2.5 > width - column:
            found[-1] += ","
            return [*found, rf"&\quad {self.domain}"]
        return [*found[:-1], found[-1] + (rf", \qquad {self.domain}" if self.domain else "")]


@final
class Equations(tuple[Equation, ...]):
    """Equations in the order of computation, shown as LaTeX in a notebook."""

    def latex(self, width: float = math.inf) -> str:
        """One `aligned` environment, its lines at most `width` em wide."""
        rows = (e.latex() for e in self) if width == math.inf else (line for e in self.lines(width) for line in e)
        return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"

    def lines(self, width: float = WIDTH) -> list[list[str]]:
        """The aligned lines of each equation, at most `width` em wide together with the column of the left sides."""
        column = max((w for e in self if (w := width_of(letters(e.lhs))) <= width / 4), default=0.0)
        return [e.lines(width, column) for e in self]

    def _repr_latex_(self) -> str:
        return stacked(self.latex(NOTEBOOK))
