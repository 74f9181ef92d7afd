"""The rules of the Gaussian calculus, one function each, numbered as in theory.md 9.

Each takes an integrand and the law of its variables and returns an equal expression, in `GaussianMean` nodes where something
remains to be integrated. `strategy.expectation` decides which to apply.
"""

from collections.abc import Sequence

import sympy as sp
from sympy.polys.rings import PolyElement, PolyRing

from .law import Gaussian
from .mean import mean_of
from .polynomials import Polynomial, add, affine, as_polynomial, degree, lower
from .probing import flat, vanishes


def linearity(f: sp.Expr, law: Gaussian) -> sp.Expr:
    """E[sum_k c_k f_k] = sum_k c_k E[f_k], the c_k free of the variables (9.1). Only sums and products on the surface of f are read."""
    total = sp.S.Zero
    for term in sp.Add.make_args(sp.expand_mul(f)):
        coefficient, rest = term.as_independent(*law.variables, as_Add=False)
        total += coefficient * mean_of(rest, law)
    return total


def wick(f: sp.Expr, law: Gaussian) -> sp.Expr:
    """Mean of a polynomial of any degree (9.2; Isserlis 1918), with any mean and a possibly singular covariance.

    Raises:
        ValueError: f is not a polynomial in the variables of the law.
    """
    p = as_polynomial(f, law.variables)
    if p is None:
        raise ValueError(f"Wick's theorem needs a polynomial in {law.variables}, got `{f}`")
    return polynomial_mean(p, law)


def polynomial_mean(p: Polynomial, law: Gaussian) -> sp.Expr:
    """`wick` of a polynomial already collected."""
    value, _ = strip(p, law, range(law.dimension))
    return flat(value.get((0,) * law.dimension, sp.S.Zero))


def stein(f: sp.Expr, i: int, law: Gaussian) -> sp.Expr:
    """E[x_i f] = m_i E[f] + sum_j V_ij E[d_j f] (9.3; Stein 1981). A kink of f contributes through its Heaviside and delta."""
    gradient = (law.cov[i, j] * mean_of(f.diff(x), law) for j, x in enumerate(law.variables))
    return law.mean[i] * mean_of(f, law) + sp.Add(*gradient)


def strip(p: Polynomial, law: Gaussian, indices: Sequence[int]) -> tuple[Polynomial, list[Polynomial]]:
    """(p', r) with E[p F] = E[p' F] + sum_i E[r_i d_i F] for every F, p' free of the chosen variables: Stein until it is."""
    stripper = _Stripper(law, tuple(indices))
    parts = [(c, *stripper.monomial(exponents)) for exponents, c in p.items()]

    def combined(terms: list[tuple[sp.Expr, _Ringed]]) -> Polynomial:
        return add(*({e: c * stripper.expr(value) for e, value in q.items()} for c, q in terms))

    stripped = combined([(c, q) for c, q, _ in parts])
    return stripped, [combined([(c, r[i]) for c, _, r in parts]) for i in range(law.dimension)]


_Ringed = dict[tuple[int, ...], PolyElement]


class _Stripper:
    """Strips monomials, with the means and covariances as generators of a sparse polynomial ring: fast, and flat in the end."""

    def __init__(self, law: Gaussian, indices: tuple[int, ...]):
        d = law.dimension
        self.indices = indices
        self.values = [*law.mean, *(law.cov[i, j] for i in range(d) for j in range(i, d))]
        self.ring = PolyRing([f"g{k}" for k in range(len(self.values))], sp.ZZ)
        gens = [gen if value != 0 else self.ring.zero for gen, value in zip(self.ring.gens, self.values, strict=True)]
        upper = iter(gens[d:])
        cov = {(i, j): next(upper) for i in range(d) for j in range(i, d)}
        self.mean = gens[:d]
        self.cov = [[cov[min(i, j), max(i, j)] for j in range(d)] for i in range(d)]
        self.known: dict[tuple[int, ...], tuple[_Ringed, list[_Ringed]]] = {}

    def expr(self, value: PolyElement) -> sp.Expr:
        return value.as_expr(*self.values)

    def monomial(self, exponents: tuple[int, ...]) -> tuple[_Ringed, list[_Ringed]]:
        if exponents not in self.known:
            self.known[exponents] = self._stein(exponents)
        return self.known[exponents]

    def _stein(self, exponents: tuple[int, ...]) -> tuple[_Ringed, list[_Ringed]]:
        """x_j x^b F = m_j x^b F + sum_i V_ji (b_i x^(b - e_i) F + x^b d_i F), each term then stripped in turn."""
        d = len(exponents)
        j = next((i for i in self.indices if exponents[i]), None)
        if j is None:
            return {exponents: self.ring.one}, [{} for _ in range(d)]
        b = lower(exponents, j)
        parts = [(self.mean[j], b)] + [(b[i] * self.cov[j][i], lower(b, i)) for i in range(d) if b[i]]
        parts = [(c, *self.monomial(e)) for c, e in parts if c]
        value = _combined([(c, q) for c, q, _ in parts])
        here = [{b: self.cov[j][i]} if self.cov[j][i] else {} for i in range(d)]
        return value, [_combined([(self.ring.one, here[i]), *((c, r[i]) for c, _, r in parts)]) for i in range(d)]


def _combined(terms: list[tuple[PolyElement, _Ringed]]) -> _Ringed:
    total: _Ringed = {}
    for c, q in terms:
        for exponents, value in q.items():
            total[exponents] = total[exponents] + c * value if exponents in total else c * value
    return total


def price(f: sp.Expr, i: int, j: int, law: Gaussian) -> sp.Expr:
    """dE[f]/dV_ij = E[d_i d_j f] (9.3; Price 1958), V_ij and V_ji moving together; half of it for i = j."""
    node = mean_of(f.diff(law.variables[i], law.variables[j]), law)
    return node / 2 if i == j else node


def tilt(exponent: sp.Expr, law: Gaussian) -> tuple[sp.Expr, Gaussian]:
    """(c, law') with E[exp(exponent) f] = c E'[f] for every f, `exponent` quadratic in the variables (9.4).

    V^{-1} is not needed: V may be singular. With symbols in it the mean is assumed to exist.

    Raises:
        ValueError: `exponent` is not a polynomial of degree at most two, or the mean of exp(exponent) is infinite.
    """
    p = as_polynomial(exponent, law.variables)
    if p is None or degree(p) > 2:
        raise ValueError(f"tilting needs a quadratic exponent in {law.variables}, got `{exponent}`")
    tilted = law.tilt(p)
    if tilted is None:
        raise ValueError(f"E[exp({exponent})] is infinite under a covariance {law.cov.tolist()}")
    return tilted


def condition(u: sp.Expr, law: Gaussian) -> tuple[sp.Expr, Gaussian]:
    """(density, law') with E[delta(u) f] = density E'[f] for every f, u affine: the density of u at 0 and the law given u = 0 (9.5).

    Raises:
        ValueError: u is not affine in the variables, or it is constant under the law.
    """
    form = affine(u, law.variables)
    if form is None:
        raise ValueError(f"conditioning needs an affine form in {law.variables}, got `{u}`")
    if vanishes(law.moments(*form)[1]):
        raise ValueError(f"`{u}` is constant under the law: its delta has no density")
    return law.condition(*form)
