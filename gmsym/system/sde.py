"""Stochastic differential equations of fluctuations around an `Ode`: online SGD at order 1/sqrt(d). Source: theory.md 6."""

from dataclasses import dataclass
from typing import Any, ClassVar, final

import sympy as sp

from gmsym.calculus.kernels import kernel
from gmsym.system.base import AbstractSystem, Equations
from gmsym.system.ode import Ode

xi = kernel("xi", r"\xi", value="c")  # sqrt(d) times the deviation of (Q, m, M, v) from the effective dynamics
dB = kernel("dB", r"\mathrm{d}B", value="c")  # Brownian motion
DF = kernel("DF", r"DF", value="cd")  # Jacobian of the drift along it
P = kernel("P", "P", value="cd")  # covariance of xi
Sigma = kernel("Sigma", r"\Sigma", value="cd")  # covariance of one sample's increment
Root = kernel("Root", r"(c\Sigma)^{1/2}", value="cd")
d_xi = kernel("d_xi", r"\mathrm{d}\xi", value="c")
dt = sp.Symbol(r"\mathrm{d}t", positive=True)
phi = kernel("phi", r"\varphi", value="c")  # increment of one sample
F = kernel("F", "F", value="c")  # drift
D2F = kernel("D2F", r"D^2F", value="cd")  # its second derivative
zeta = kernel("zeta", r"\zeta", value="c")  # d times the mean of u - ubar
chi = kernel("chi", r"\chi", value="c")  # increment of one sample to second order


class Contracted(sp.Function):
    """D^2 F : P, the second derivative of a vector contracted with a matrix."""

    is_commutative = False

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
    fluctuation: Equations
    limit: str = "d -> oo, order 1/sqrt(d) around the effective dynamics"

    writer: ClassVar[str] = "gmsym.codegen.ode:fluctuation_source"

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
        return f"Sde({self.name!r}, signature={self.signature!r})"

    def identity(self) -> tuple[sp.Basic, ...]:
        return (*self.ode.identity(), *(sp.Tuple(e.lhs, e.rhs) for e in self.fluctuation))
