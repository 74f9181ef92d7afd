"""The closed forms that the strategy ends in (theory.md 9.6): products of steps, and sines and cosines.

Phi and erf are steps seen through an independent Gaussian, Phi(u) = E[H(u + xi)], so one table serves them all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Self, final

import sympy as sp

from gmsym.functions import BivariateNormalCDF, NormalCDF

from .law import Gaussian, Row
from .polynomials import Polynomial, add, affine, scale
from .probing import root, tidy, vanishes
from .rules import strip


@final
@dataclass(frozen=True)
class Step:
    """E[H(w.x + c + N(0, noise))], or E[sign(...)] = 2 E[H(...)] - 1 when `odd` (so that erf stays erf)."""

    w: Row
    c: sp.Expr
    noise: sp.Expr
    odd: bool

    @classmethod
    def read(cls, factor: sp.Expr, xs: Sequence[sp.Symbol]) -> Self:
        """The step that `factor`, a Heaviside, NormalCDF or erf of an affine form, stands for."""
        noise = {sp.Heaviside: sp.S.Zero, NormalCDF: sp.S.One, sp.erf: sp.S.Half}[type(factor)]
        w, c = affine(factor.args[0], xs)
        return cls(w, c, noise, isinstance(factor, sp.erf))

    def factor(self, xs: Sequence[sp.Symbol]) -> sp.Expr:
        """The Heaviside, NormalCDF or erf it stands for."""
        u = sp.Add(self.c, *(w * x for w, x in zip(self.w, xs, strict=True)))
        if self.odd:
            return sp.erf(u / sp.sqrt(2 * self.noise))
        return NormalCDF(u / sp.sqrt(self.noise)) if self.noise != 0 else sp.Heaviside(u)

    def moments(self, law: Gaussian) -> tuple[sp.Expr, sp.Expr]:
        mean, variance = law.moments(self.w, self.c)
        return mean, tidy(variance + self.noise)

    def mean(self, law: Gaussian) -> sp.Expr:
        location, variance = self.moments(law)
        if vanishes(variance):
            return 2 * sp.Heaviside(location) - 1 if self.odd else sp.Heaviside(location)
        return sp.erf(location / root(2 * variance)) if self.odd else NormalCDF(location / root(variance))


def collinear(a: Step, b: Step, law: Gaussian) -> tuple[sp.Expr, sp.Expr] | None:
    """(k, c) with u_b = k u_a + c almost surely, both steps sharp; None when they are not collinear under the law."""
    if a.noise != 0 or b.noise != 0:
        return None
    (ma, va), (mb, vb), cov = a.moments(law), b.moments(law), law.covariance(a.w, b.w)
    if not vanishes(sp.expand(va * vb - cov**2)):
        return None
    slope = tidy(cov / va)
    return slope, tidy(mb - slope * ma)


def steps_mean(steps: Sequence[Step], law: Gaussian) -> sp.Expr | None:
    """E of a product of steps, no two of them collinear: up to two, or three that are centred. None beyond.

    Source: Sheppard (1899) for the centred cases; Phi_2 otherwise.
    """
    if len(steps) <= 1:
        return steps[0].mean(law) if steps else sp.S.One
    if any(step.odd for step in steps):
        parts = [(number, steps_mean(part, law)) for number, part in even_parts(steps)]
        return None if any(value is None for _, value in parts) else sp.Add(*(number * value for number, value in parts))
    locations, variances = zip(*(step.moments(law) for step in steps), strict=True)
    roots = [root(v) for v in variances]
    pairs = combinations(range(len(steps)), 2)
    rho = [tidy(law.covariance(steps[i].w, steps[j].w) / (roots[i] * roots[j])) for i, j in pairs]
    if len(steps) == 2:
        return BivariateNormalCDF(locations[0] / roots[0], locations[1] / roots[1], rho[0])
    if len(steps) == 3 and all(map(vanishes, locations)):
        return sp.Rational(1, 8) + sp.Add(*map(sp.asin, rho)) / (4 * sp.pi)
    return None


def even_parts(steps: Sequence[Step]) -> Iterator[tuple[int, list[Step]]]:
    """The product of the steps with each odd one written 2 H - 1, as (coefficient, product of even steps)."""
    odd = [step for step in steps if step.odd]
    even = [step for step in steps if not step.odd]
    for count in range(len(odd) + 1):
        for kept in combinations(odd, count):
            yield 2**count * (-1) ** (len(odd) - count), [*even, *(replace(step, odd=False) for step in kept)]


def waves_mean(p: Polynomial, waves: Sequence[sp.Expr], law: Gaussian) -> sp.Expr:
    """E[p times a product of sines and cosines of affine forms], by the product-to-sum formulas."""
    total = [(sp.S.One, sp.cos, sp.S.Zero)]
    for wave in waves:
        total = [term for c, kind, u in total for term in _product_to_sum(c / 2, kind, u, type(wave), wave.args[0])]
    return sp.Add(*(_wave_mean(scale(p, c), kind, u, law) for c, kind, u in total))


def _product_to_sum(c: sp.Expr, a: type, u: sp.Expr, b: type, v: sp.Expr) -> list[tuple[sp.Expr, type, sp.Expr]]:
    """2 c a(u) b(v) as a sum of single waves."""
    if a is b:
        return [(c, sp.cos, u - v), (c if a is sp.cos else -c, sp.cos, u + v)]
    return [(c, sp.sin, u + v), (c if a is sp.sin else -c, sp.sin, u - v)]


def _wave_mean(p: Polynomial, kind: type, u: sp.Expr, law: Gaussian) -> sp.Expr:
    """E[p cos(u)] or E[p sin(u)]: the characteristic function, after Stein for the polynomial."""
    w, c = affine(u, law.variables)
    location, variance = law.moments(w, c)
    value, remainders = strip(p, law, range(law.dimension))
    total = value.get((0,) * law.dimension, sp.S.Zero) * kind(location) * sp.exp(-variance / 2)
    turned = add(*(scale(r, w[i]) for i, r in enumerate(remainders)))
    if not turned:
        return total
    return total + _wave_mean(turned if kind is sp.sin else scale(turned, sp.S.NegativeOne), sp.cos if kind is sp.sin else sp.sin, u, law)
