"""A fixed point of few scalars, whose coefficients are means over a low-dimensional law and sums over eigenvalues of kernels.

The kind of theories of ridge regression on features: kernels on the law are diagonalised, their eigenvalues enter two scalar equations, and
errors are functions of the solution. Source: theory.md 8.
"""

from dataclasses import dataclass
from typing import NamedTuple, final

import sympy as sp

from gmsym.problem.base import AbstractProblem
from gmsym.system.base import AbstractSystem, Equation, Equations


class Over(sp.Expr):
    """Mean over the law of the low-dimensional projections."""

    is_commutative = True

    def _eval_derivative(self, s: sp.Symbol) -> sp.Expr:
        return self.func(self.args[0].diff(s))

    def _latex(self, printer) -> str:
        return rf"\left\langle {printer._print(self.args[0])} \right\rangle"

    def _sympystr(self, printer) -> str:
        return f"<{printer._print(self.args[0])}>"


class Total(sp.Expr):
    """Sum over all eigenvalues of a kernel; the letters with an index a or j differ from term to term."""

    is_commutative = True

    def _eval_derivative(self, s: sp.Symbol) -> sp.Expr:
        return self.func(self.args[0].diff(s))

    def _latex(self, printer) -> str:
        return rf"\sum \left[ {printer._print(self.args[0])} \right]"

    def _sympystr(self, printer) -> str:
        return f"sum[{printer._print(self.args[0])}]"


class Computed(NamedTuple):
    """Displayed equations that one generated function computes."""

    name: str
    arguments: tuple[sp.Symbol, ...]  # arrays over nodes or eigenvalues, and numbers
    equations: tuple[Equation, ...]
    stacked: bool = False  # whether the results are the rows of one array, of the shape of the first argument


@final
@dataclass(frozen=True, repr=False)
class FixedPoint(AbstractSystem):
    """Two scalars nu and lambda* of a ridge regression on random features, and what they determine."""

    name: str
    problem: AbstractProblem
    order: int  # of the Hermite expansion of the kernels
    width: sp.Symbol  # b, in terms of which moments are
    moments: tuple[Equation, ...]  # Hermite coefficients 0 .. order and E s(b z)^2, as expressions of b
    target: Equation
    computed: tuple[Computed, ...]
    limit: str = "n, samples, width -> oo in proportion; leading order, with all finite-size terms of the low-dimensional part"

    def equations(self) -> Equations:
        return Equations([*self.moments, self.target, *(e for part in self.computed for e in part.equations)])

    def __repr__(self) -> str:
        return f"FixedPoint({self.name!r}, {len(self.equations())} equations)"
