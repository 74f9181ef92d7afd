"""Stochastic differential equations of fluctuations around an `Ode`: online SGD at order 1/sqrt(d). Source: theory.md 6."""

from dataclasses import dataclass
from typing import Any, final

import sympy as sp

from gmsym.calculus.kernels import kernel
from gmsym.system.base import AbstractSystem
from gmsym.system.equations import Equations
from gmsym.system.ode import Ode

d = sp.Symbol("d", positive=True)  # dimension
past = sp.Symbol("s", nonnegative=True)  # an earlier time
xi = kernel("xi", r"\xi", value="c")  # sqrt(d) times the deviation of (Q, m, M, v) from the effective dynamics
dB = kernel("dB", r"\mathrm{d}B", value="c")  # Brownian motion
DF = kernel("DF", r"DF", value="cd")  # Jacobian of the drift along it
P = kernel("P", "P", value="cd")  # covariance of xi
C = kernel("C", "C", value="cd")  # E xi(t) xi(s)^T
Sigma = kernel("Sigma", r"\Sigma", value="cd")  # covariance of one sample's increment
Root = kernel("Root", r"(c\Sigma)^{1/2}", value="cd")
d_xi = kernel("d_xi", r"\mathrm{d}\xi", value="c")
dt = sp.Symbol(r"\mathrm{d}t", positive=True)
phi = kernel("phi", r"\varphi", value="c")  # increment of one sample
F = kernel("F", "F", value="c")  # drift
D2F = kernel("D2F", r"D^2F", value="cd")  # its second derivative
zeta = kernel("zeta", r"\zeta", value="c")  # d times the mean of u - ubar
chi = kernel("chi", r"\chi", value="c")  # increment of one sample to second order

# Of the vectors behind the fields (h, tau, u), in a block where there are several: the inverse of their Gram matrix on its range, its
# rank, and second moments of the fields given (h, tau).
Dual = kernel("Dual", r"(G^{+})", subscripts=-1)
vectors = sp.Symbol("N", integer=True, positive=True)  # how many they are
rank = kernel("rank", r"\mathrm{rank}\,G", subscripts=-1)
W = kernel("W", "W", subscripts=-1)

# A function f of the statistics, such as the test loss.
f = kernel("f", "f", value="c")
Df = kernel("Df", "Df", value="cd")
D2f = kernel("D2f", "D^2f", value="cd")
R = kernel("R", "R", value="cd")  # a root of P
shift_f = kernel("shift_f", r"(\mathrm{E}f(u) - f(\bar u))", value="c")
variance_f = kernel("variance_f", r"\mathrm{Cov}\,f(u)", value="cd")


class Contracted(sp.Function):
    """D^2 F : P, the second derivative of a vector contracted with a matrix."""

    is_commutative = False

    @classmethod
    def eval(cls, form: sp.Expr, matrix: sp.Expr) -> sp.Expr | None:
        if matrix.is_Add:
            return sp.Add(*(cls(form, term) for term in matrix.args))
        number, rest = matrix.args_cnc() if matrix.is_Mul else ((), ())
        return sp.Mul(*number) * cls(form, sp.Mul(*rest)) if number else None

    def _latex(self, printer, exp=None):
        return ":".join(printer._print(x) for x in self.args)


@final
@dataclass(frozen=True, repr=False)
class Sde(AbstractSystem):
    """d xi = DF xi dt + (c Sigma)^{1/2} dB for xi = sqrt(d) (u - ubar(t)), u = (Q, m, M, v): Gaussian, with covariance P(t). To order 1/d
    the mean of u is ubar + zeta/d.

    The increment phi of one sample holds all its terms: that of Q also the c sigma_k^2 a a^T of the second order, which fluctuates as
    much as the others.
    """

    ode: Ode
    fluctuation: Equations  # of xi, its law and what it changes in a function of the statistics; each is a function of the module
    limit: str = "d -> oo, order 1/sqrt(d) around the effective dynamics"

    @property
    def name(self) -> str:
        return f"{self.ode.name}_fluctuations"

    @property
    def problem(self) -> Any:
        """The problem it was derived from."""
        return self.ode.problem

    def equations(self) -> Equations:
        """The fluctuation, its covariance, the volatility, the bias, and the increments they are made of."""
        return Equations((*self.fluctuation, *self.ode.increments, *self.ode.second))

    def __repr__(self) -> str:
        return f"Sde({self.name!r})"
