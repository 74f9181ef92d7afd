"""A fixed point of few scalars, whose coefficients are means over a low-dimensional law and sums over eigenvalues of kernels.

The kind of theories of ridge regression on features: kernels on the law are diagonalised, their eigenvalues enter two scalar equations, and
errors are functions of the solution. Source: theory.md 8.
"""

from dataclasses import dataclass
from typing import NamedTuple, final

import sympy as sp

from gmsym.problem.base import AbstractProblem
from gmsym.system.base import AbstractSystem
from gmsym.system.equations import Equation, Equations


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


class _Arrays(sp.Expr):
    """Algebra of arrays over the nodes of the law, over neurons' weights, and of the small matrices between them."""

    is_commutative = True
    tex = ""  # LaTeX of it, in terms of {0}, {1}, ...

    def _latex(self, printer) -> str:
        return self.tex.format(*(printer._print(a) for a in self.args))

    def _sympystr(self, printer) -> str:
        return f"{type(self).__name__}({', '.join(printer._print(a) for a in self.args)})"


class OverNeurons(_Arrays):
    """OverNeurons(f, C): mean over neurons of f(A) C(A, kappa), a function of kappa."""

    tex = r"\left\langle {0}\, {1} \right\rangle_A"


class OverSamples(_Arrays):
    """OverSamples(f, C): mean over the law of C(A, kappa) f(kappa), a function of A."""

    tex = r"\left\langle {1}\, {0} \right\rangle_\kappa"


class Gram(_Arrays):
    """Gram(f, a): mean of f a a^T over the nodes of a, a matrix."""

    tex = r"\left\langle {0}\, {1} {1}^{{\top}} \right\rangle"


class Projection(_Arrays):
    """Projection(f, a): mean of f a over the nodes of a, a vector."""

    tex = r"\left\langle {0}\, {1} \right\rangle"


class Form(_Arrays):
    """Form(R, a): a^T R a at each node of a."""

    tex = r"{1}^{{\top}} {0} {1}"


class Along(_Arrays):
    """Along(c, a): c^T a at each node of a."""

    tex = r"{0}^{{\top}} {1}"


class Times(_Arrays):
    """Product of two matrices, or of a matrix and a vector."""

    tex = r"{0} {1}"


class Solved(_Arrays):
    """Solved(L, X, B): (L I + X)^{-1} B."""

    tex = r"\left( {0} I + {1} \right)^{{-1}} {2}"


class Inverted(_Arrays):
    """Inverted(L, X): (L I + X)^{-1}."""

    tex = r"\left( {0} I + {1} \right)^{{-1}}"


class TraceOf(_Arrays):
    """Trace of a matrix."""

    tex = r"\operatorname{{tr}} {0}"


class TraceProduct(_Arrays):
    """Trace of the product of two matrices."""

    tex = r"\operatorname{{tr}}\left( {0} {1} \right)"


class Combined(_Arrays):
    """Combined(w, S): sum of w_c S_c over clusters c; S_c numbers, vectors or matrices."""

    tex = r"\sum_c {{{0}}}_c {{{1}}}_c"


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
    moments: Equations  # Hermite coefficients 0 .. order, E s(b z)^2 and E s'(b z)^2, as expressions of b
    conditional: Equations  # the same of a preactivation with a mean: H_0 .. H_last and E s(c + b z)^2, in c and b
    centre: sp.Symbol  # c
    closed: Equations  # kernels in closed form, where there is one; for reading
    target: Equation
    computed: tuple[Computed, ...]
    jumps: bool = False  # whether the activation does, so that it has no mean-square slope
    limit: str = "n, samples, width -> oo in proportion; leading order, with all finite-size terms of the low-dimensional part"

    def equations(self) -> Equations:
        return Equations(
            [*self.moments, *self.conditional, *self.closed, self.target, *(e for part in self.computed for e in part.equations)]
        )

    def __repr__(self) -> str:
        return f"FixedPoint({self.name!r}, {len(self.equations())} equations)"
