"""The Gaussian law of the integration variables, and the laws that tilting, conditioning and rotating turn it into."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import mpmath
import sympy as sp

from .polynomials import Polynomial
from .probing import independent, root, singular, tidy

Row = Sequence[sp.Expr]


@final
@dataclass(frozen=True)
class Gaussian:
    """Law N(mean, cov) of d real variables.

    Args:
        variables: d distinct symbols.
        mean: d expressions, kept as a d x 1 matrix.
        cov: d x d, symmetric and positive semi-definite (assumed, not checked); it may be singular.

    Raises:
        ValueError: the shapes do not agree.
    """

    variables: tuple[sp.Symbol, ...]
    mean: sp.ImmutableDenseMatrix
    cov: sp.ImmutableDenseMatrix

    def __post_init__(self) -> None:
        d = len(self.variables)
        if len(set(self.variables)) != d:
            raise ValueError(f"the variables {self.variables} are not distinct")
        entries = list(self.mean)
        mean, cov = sp.ImmutableDenseMatrix(len(entries), 1, entries), sp.ImmutableDenseMatrix(self.cov)
        if mean.shape != (d, 1) or cov.shape != (d, d):
            raise ValueError(f"{d} variables need {d} means and a {d} x {d} covariance, got {len(entries)} and {cov.shape}")
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "cov", cov)

    @property
    def dimension(self) -> int:
        return len(self.variables)

    def moments(self, w: Row, c: sp.Expr = sp.S.Zero) -> tuple[sp.Expr, sp.Expr]:
        """Mean and variance of w.x + c."""
        return tidy(_dot(w, self.mean) + c), self.covariance(w, w)

    def covariance(self, w: Row, v: Row) -> sp.Expr:
        """Covariance of w.x and v.x."""
        return tidy(_dot(w, self._gain(v)))

    def _gain(self, w: Row) -> list[sp.Expr]:
        return [_dot(self.cov[i, :], w) for i in range(self.dimension)]

    def shifted(self, gain: Row, factor: sp.Expr, curvature: sp.Expr) -> "Gaussian":
        """The law with mean + factor gain and covariance - curvature gain gain^T."""
        d = self.dimension
        mean = [tidy(self.mean[i] + factor * gain[i]) for i in range(d)]
        cov = sp.Matrix(d, d, lambda i, j: tidy(self.cov[i, j] - curvature * gain[i] * gain[j]) if i <= j else 0)
        return Gaussian(self.variables, mean, sp.Matrix(d, d, lambda i, j: cov[min(i, j), max(i, j)]))

    def condition(self, w: Row, c: sp.Expr, noise: sp.Expr = sp.S.Zero) -> tuple[sp.Expr, "Gaussian"]:
        """(density of u at 0, law of x given u = 0) for u = w.x + c + N(0, noise), the noise independent (theory.md 9.5).

        Assumes that u has a positive variance.
        """
        location, variance = self.moments(w, c)
        variance = tidy(variance + noise)
        density = sp.exp(tidy(-(location**2) / (2 * variance))) / (sp.sqrt(2 * sp.pi) * root(variance))
        return density, self.shifted(self._gain(w), -location / variance, 1 / variance)

    def tilt(self, exponent: Polynomial) -> tuple[sp.Expr, "Gaussian"] | None:
        """(c, law') with E[exp(b.x - x^T B x/2 + a) f(x)] = c E'[f(x)] (theory.md 9.4), or None for a numerical law where it diverges.

        No inverse of the covariance is taken, only that of I + V B restricted to the variables of the quadratic part.
        """
        d = self.dimension
        b, B, offset = _quadratic(exponent, d)
        shifted = self.mean + self.cov * b
        support = [i for i in range(d) if any(B[i, :])]
        log_c = offset + _dot(b, self.mean) + _dot(b, self.cov * b) / 2
        if not support:
            return sp.exp(tidy(log_c)), Gaussian(self.variables, shifted.applyfunc(tidy), self.cov)
        BS = B.extract(support, support)
        M = sp.eye(len(support)) + self.cov.extract(support, support) * BS
        if M.is_symbolic() is False and _diverges(M):
            return None
        pull = (BS * inverted(M)).applyfunc(tidy)  # B (I + V B)^{-1} on the support
        into = self.cov.extract(list(range(d)), support)
        y = shifted.extract(support, [0])
        mean = (shifted - into * pull * y).applyfunc(tidy)
        cov = self.cov - into * pull * into.T
        cov = sp.Matrix(d, d, lambda i, j: tidy(cov[min(i, j), max(i, j)]))
        c = sp.exp(tidy(log_c - _dot(y, pull * y) / 2)) / sp.sqrt(tidy(M.det()))
        return c, Gaussian(self.variables, mean, cov)

    def marginal(self, indices: Sequence[int]) -> "Gaussian":
        """Law of the chosen variables."""
        return Gaussian(tuple(self.variables[i] for i in indices), self.mean.extract(indices, [0]), self.cov.extract(indices, indices))

    def given(self, inside: Sequence[int]) -> "Gaussian":
        """Law of the other variables given the chosen ones, whose symbols appear in the mean. Assumes their covariance invertible."""
        rest = [i for i in range(self.dimension) if i not in inside]
        inverse = inverted(self.cov.extract(inside, inside))
        gain = (self.cov.extract(rest, inside) * inverse).applyfunc(tidy)
        chosen = sp.Matrix([self.variables[i] for i in inside]) - self.mean.extract(inside, [0])
        mean = self.mean.extract(rest, [0]) + gain * chosen
        cov = (self.cov.extract(rest, rest) - gain * self.cov.extract(inside, rest)).applyfunc(tidy)
        return Gaussian(tuple(self.variables[i] for i in rest), mean, cov)

    def rotate(self, rows: Sequence[Row], names: Sequence[sp.Symbol]) -> tuple["Gaussian", dict[sp.Symbol, sp.Expr]]:
        """(law of S x and as many of the x as complete it, {x eliminated: its expression}), S the independent `rows` named `names`."""
        S = sp.Matrix(rows)
        k = list(range(len(names)))
        pivots = independent(S.T.tolist())
        rest = [i for i in range(self.dimension) if i not in pivots]
        others = sp.Matrix(len(rest), 1, [self.variables[i] for i in rest])
        solved = inverted(S.extract(k, pivots)) * (sp.Matrix(names) - S.extract(k, rest) * others)
        T = S.col_join(sp.eye(self.dimension).extract(rest, list(range(self.dimension))))
        law = Gaussian((*names, *others), (T * self.mean).applyfunc(tidy), (T * self.cov * T.T).applyfunc(tidy))
        return law, {self.variables[p]: tidy(sp.expand(solved[i])) for i, p in enumerate(pivots)}

    @cached_property
    def regular(self) -> tuple["Gaussian", dict[sp.Symbol, sp.Expr]]:
        """(law of a subset of the variables with an invertible covariance, {the others: their affine expression in these})."""
        kept: list[int] = []
        for j in range(self.dimension):
            if not singular(self.cov.extract([*kept, j], [*kept, j])):
                kept.append(j)
        if len(kept) == self.dimension:
            return self, {}
        given = self.given(kept) if kept else self
        dependent = [self.variables[i] for i in range(self.dimension) if i not in kept]
        return self.marginal(kept), dict(zip(dependent, given.mean.applyfunc(tidy), strict=True))


def _dot(a: Row, b: Row) -> sp.Expr:
    return sp.Add(*(u * v for u, v in zip(a, b, strict=True)))


def inverted(M: sp.Matrix) -> sp.Matrix:
    """M^{-1}, entries tidied. `Matrix.inv` would first try to prove that the determinant is not zero."""
    determinant = tidy(M.det(method="berkowitz"))
    return M.adjugate().applyfunc(lambda entry: tidy(entry / determinant))


def _quadratic(p: Polynomial, d: int) -> tuple[sp.Matrix, sp.Matrix, sp.Expr]:
    """(b, B, a) with p = b.x - x^T B x/2 + a."""
    b, B, offset = sp.zeros(d, 1), sp.zeros(d, d), sp.S.Zero
    for exponents, c in p.items():
        where = [i for i, k in enumerate(exponents) for _ in range(k)]
        if len(where) == 2:
            i, j = where
            B[i, j] -= c
            B[j, i] -= c
        elif where:
            b[where[0]] += c
        else:
            offset += c
    return b, B, offset


def _diverges(M: sp.Matrix) -> bool:
    """Whether I + V B has an eigenvalue <= 0: for a real B they are real, being those of I + V^{1/2} B V^{1/2}."""
    with mpmath.workdps(20):
        values, _ = mpmath.eig(mpmath.matrix([[entry._to_mpmath(mpmath.mp.prec) for entry in row] for row in M.tolist()]))
        return min(map(mpmath.re, values)) < mpmath.mpf(10) ** -15
