"""What every symbolic system shares: equations with their source, LaTeX, a signature, and the way to its source text."""

import hashlib
import pkgutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, final

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

    writer: ClassVar[str]  # "module:function" that turns the system into source text

    @abstractmethod
    def equations(self) -> Equations:
        """The system's equations in the order of computation."""

    @abstractmethod
    def identity(self) -> tuple[sp.Basic, ...]:
        """Everything that determines the generated code, in a fixed order."""

    @cached_property
    def signature(self) -> str:
        """Twelve hexadecimal digits, equal for equal systems whatever the hash seed."""
        return hashlib.sha256("\n".join(map(sp.srepr, self.identity())).encode()).hexdigest()[:12]

    def latex(self) -> str:
        """All equations as one `aligned` environment."""
        return self.equations().latex()

    def _repr_latex_(self) -> str:
        return self.equations()._repr_latex_()

    def source(self) -> str:
        """The generated JAX module as text.

        The writer is resolved by name, as an entry point is: the symbolic side imports nothing of what is built on it.
        """
        return self._source

    @cached_property
    def _source(self) -> str:
        return pkgutil.resolve_name(self.writer)(self)
