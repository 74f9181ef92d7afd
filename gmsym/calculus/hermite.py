"""Hermite coefficients of a function of a Gaussian variable, by derivatives of its conditional mean; never by direct integration.

g(nu, b) = E s(nu + b z) is the calculus' job; then h_j = (b^j/j!) d^j g/dnu^j at nu = 0. Where g has no closed form, Stein's lemma
moves the derivatives back: h_j = E[He_j(z) s(b z)]/j!, one mean of one dimension. Source: theory.md 8.1.
"""

from typing import NamedTuple

import mpmath
import sympy as sp

from .law import Gaussian
from .mean import is_closed, mean_of
from .quadrature import breaks
from .strategy import expectation

_DIGITS = 22


class HermiteMeans(NamedTuple):
    """Of s(b z), z ~ N(0, 1), as expressions of b: closed, or means of one dimension."""

    coefficients: tuple[sp.Expr, ...]  # h_0 .. h_order, s(b z) = sum_j h_j He_j(z)
    energy: sp.Expr  # E s(b z)^2


def hermite_means(s: sp.Expr, z: sp.Symbol, b: sp.Symbol, order: int, centre: sp.Expr = sp.S.Zero) -> HermiteMeans:
    """Hermite coefficients of z -> s(centre + b z) up to an order, and E s(centre + b z)^2."""
    x, nu = sp.Dummy("x", real=True), sp.Dummy("nu", real=True)
    standard = Gaussian((x,), (sp.S.Zero,), sp.eye(1))
    conditional = expectation(s.xreplace({z: nu + b * x}), (x,), (0,), [[1]])
    if is_closed(conditional):
        found, derivative = [], conditional
        for j in range(order + 1):
            found.append(sp.powdenest(b**j / sp.factorial(j) * derivative.subs(nu, centre)))
            derivative = derivative.diff(nu)
    else:
        body = s.xreplace({z: centre + b * x})
        found = [mean_of(sp.hermite_prob(j, x) / sp.factorial(j) * body, standard) for j in range(order + 1)]
    return HermiteMeans(tuple(found), _mean_square(s, z, b, centre))


def slope_energy(s: sp.Expr, z: sp.Symbol, b: sp.Symbol) -> sp.Expr | None:
    """E s'(b z)^2; None where s jumps, so that there is none."""
    slope = s.diff(z)
    return None if slope.has(sp.DiracDelta) or s.has(sp.sign, sp.Heaviside, sp.floor, sp.ceiling) else _mean_square(slope, z, b)


def _mean_square(s: sp.Expr, z: sp.Symbol, b: sp.Symbol, centre: sp.Expr = sp.S.Zero) -> sp.Expr:
    x = sp.Dummy("x", real=True)
    body = (s**2).xreplace({z: centre + b * x})
    found = expectation(body, (x,), (0,), [[1]])
    return found if is_closed(found) else mean_of(body, Gaussian((x,), (sp.S.Zero,), sp.eye(1)))


def kernel_mean(s: sp.Expr, z: sp.Symbol, v: sp.Symbol, w: sp.Symbol, r: sp.Symbol) -> sp.Expr | None:
    """K(v, w, r) = E s(X) s(Y), X and Y Gaussian of variances v and w and covariance r; None without a closed form.

    The arc-cosine kernel of ReLU, the arcsine kernel of erf, and others that the calculus finds.
    """
    x, y = sp.Dummy("x", real=True), sp.Dummy("y", real=True)
    found = expectation(s.xreplace({z: x}) * s.xreplace({z: y}), (x, y), (0, 0), [[v, r], [r, w]])
    return found if is_closed(found) else None


def hermite_numbers(s: sp.Expr, z: sp.Symbol, b: float, order: int) -> tuple[list[float], float]:
    """(h_0 .. h_order, E s(b z)^2 - sum_j j! h_j^2, at least 0) of an s without parameters, to double precision."""
    width = sp.Symbol("b", positive=True)
    means = hermite_means(s, z, width, order)
    at = {width: sp.Float(b, _DIGITS)}
    numbers = [mpmath.mpf(e.xreplace(at).evalf(_DIGITS)) for e in (*means.coefficients, means.energy)]
    *coefficients, energy = numbers
    rest = energy - sum(mpmath.factorial(j) * h**2 for j, h in enumerate(coefficients))  # at 22 digits: no cancellation to speak of
    return [float(h) for h in coefficients], max(0.0, float(rest))


def kinks(f: sp.Expr, x: sp.Symbol) -> list[float]:
    """Where an f without parameters may have a kink or a jump, in increasing order."""
    return sorted({float(point) for point in breaks(f, x)})
