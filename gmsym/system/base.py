"""What every symbolic system shares: a name, and equations with their source, as LaTeX."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, final

import sympy as sp

Status = Literal["theorem", "heuristic", "own"]
Role = Literal["computed", "notation"]
_LETTERS = {"momentum": r"\beta", "weight_decay": r"\gamma"}  # parameters whose names are words


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
        names = {x: _LETTERS[x.name] for x in self.rhs.atoms(sp.Symbol) if x.name in _LETTERS}
        return f"{sp.latex(self.lhs)} &= {sp.latex(self.rhs, symbol_names=names)}{condition}"


@final
class Equations(tuple[Equation, ...]):
    """Equations in the order of computation, shown as LaTeX in a notebook."""

    def latex(self) -> str:
        """One `aligned` environment."""
        return "\\begin{aligned}\n" + " \\\\\n".join(e.latex() for e in self) + "\n\\end{aligned}"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"


class AbstractSystem(ABC):
    """A derived symbolic system. Frozen; everything in it has a declared order."""

    name: str  # "problem_theory"

    @abstractmethod
    def equations(self) -> Equations:
        """The system's equations in the order of computation."""

    def latex(self) -> str:
        """All equations as one `aligned` environment."""
        return self.equations().latex()

    def _repr_latex_(self) -> str:
        return self.equations()._repr_latex_()
