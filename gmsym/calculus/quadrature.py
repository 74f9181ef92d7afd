"""Gaussian means by quadrature in arbitrary precision: the witness that the identities of the calculus are checked against.

Not a production integrator: one dimension takes milliseconds, two a second or so, each further one a factor of a hundred.
"""

from collections.abc import Callable

import mpmath
import sympy as sp

from gmsym.functions import kinked_arguments
from gmsym.functions import numeric as numeric

from .law import Gaussian
from .polynomials import as_polynomial

_GUARD = 10
_HALVINGS = 12
_REACH = 200  # standard deviations; an integrand still growing there has no mean


def gaussian_quadrature(law: Gaussian, f: sp.Expr, digits: int) -> mpmath.mpf:
    """E[f] under a law without free symbols, to about `digits` digits (in one dimension also across kinks).

    Each variable in turn is integrated given the previous ones: by the trapezoidal rule, spectrally accurate on the whole
    line, or by tanh-sinh between the kinks that the integrand has in it. Returns nan when the integrand outgrows the law.
    """
    with mpmath.workdps(digits + _GUARD):
        standard, g = _standardise(law, f)
        return _integrate(standard, g)


def _standardise(law: Gaussian, f: sp.Expr) -> tuple[tuple[sp.Symbol, ...], sp.Expr]:
    """(variables, g) with E[f] = E[g] under independent standard normals."""
    reduced, dependent = law.regular
    d = reduced.dimension
    cov = mpmath.matrix(d, d)
    for i in range(d):
        for j in range(d):
            cov[i, j] = mpmath.mpf(reduced.cov[i, j].evalf(mpmath.mp.dps))
    factor = mpmath.cholesky(cov)
    xi = tuple(sp.Dummy(f"_{i}", real=True) for i in range(d))
    rows = [sum(sp.Float(factor[i, j], mpmath.mp.dps) * xi[j] for j in range(i + 1)) for i in range(d)]
    rule = {x: m.evalf(mpmath.mp.dps) + row for x, m, row in zip(reduced.variables, reduced.mean, rows, strict=True)}
    return xi, f.xreplace(dependent).xreplace(rule)


def _integrate(xi: tuple[sp.Symbol, ...], g: sp.Expr) -> mpmath.mpf:
    value = numeric(g, xi)
    breaks = _breaks(g, xi)

    def given(*outer: mpmath.mpf) -> mpmath.mpf:
        level = len(outer)
        if level == len(xi):
            return value(*outer)
        points = sorted({point for find in breaks[level] for point in find(*outer)})
        return _line(lambda z: mpmath.npdf(z) * given(*outer, z), points)

    return given()


def _line(g: Callable[[mpmath.mpf], mpmath.mpf], points: list[mpmath.mpf]) -> mpmath.mpf:
    if not points:
        return _trapezoid(g)
    reach = mpmath.sqrt(2 * mpmath.log(10) * mpmath.mp.dps)
    size = max(abs(g(z + mpmath.mpf(k))) for z in points for k in (-1, 0, 1))
    while max(abs(g(-reach)), abs(g(reach))) > mpmath.eps * (size + mpmath.eps):
        reach *= mpmath.mpf(5) / 4
        if reach > _REACH:
            return mpmath.nan
    return mpmath.quad(g, [-reach, *(z for z in points if abs(z) < reach), reach])


def _trapezoid(g: Callable[[mpmath.mpf], mpmath.mpf]) -> mpmath.mpf:
    """Integral over the line of an analytic, Gaussian-tailed g: halve the step until the sum stops moving."""
    tolerance = mpmath.mpf(10) ** (_GUARD // 2 - mpmath.mp.dps)
    step, centre = mpmath.mpf(1), g(mpmath.mpf(0))
    total, size = _wings(g, step, step)
    total, size = total + centre, size + abs(centre)
    for _ in range(_HALVINGS):
        added, added_size = _wings(g, step / 2, step)
        refined, size, step = total + added, size + added_size, step / 2
        if mpmath.isnan(refined) or abs(refined - 2 * total) <= tolerance * size:
            break
        total = refined
    return step * refined


def _wings(g: Callable[[mpmath.mpf], mpmath.mpf], first: mpmath.mpf, step: mpmath.mpf) -> tuple[mpmath.mpf, mpmath.mpf]:
    """Sum of g, and of |g|, at +-first, +-(first + step), ... until the tails are negligible; nan when they are out of reach."""
    total = size = mpmath.mpf(0)
    z, quiet = first, 0
    while quiet < 3:
        if z > _REACH:
            return mpmath.nan, mpmath.nan
        right, left = g(z), g(-z)
        total, added = total + right + left, abs(right) + abs(left)
        size += added
        quiet = quiet + 1 if z > 6 and added <= mpmath.eps * (size + mpmath.eps) else 0
        z += step
    return total, size


def _breaks(g: sp.Expr, xi: tuple[sp.Symbol, ...]) -> list[list[Callable[..., list[mpmath.mpf]]]]:
    """For each variable the functions of the previous ones that find where the integrand has a kink in it."""
    levels: list[list[sp.Expr]] = [[] for _ in xi]
    for u in kinked_arguments(g):
        _file(u, levels, xi)
    for level in reversed(range(1, len(xi))):  # where two kinks meet, the inner integral has a kink in an outer variable
        affine = [(p, u) for u in levels[level] if (p := as_polynomial(u, xi[level : level + 1])) and set(p) <= {(0,), (1,)}]
        for i, (p, _) in enumerate(affine):
            for q, _ in affine[:i]:
                _file(sp.expand(p[1,] * q.get((0,), 0) - q[1,] * p.get((0,), 0)), levels, xi)
    return [[_root_finder(u, xi[: level + 1]) for u in arguments] for level, arguments in enumerate(levels)]


def _file(u: sp.Expr, levels: list[list[sp.Expr]], xi: tuple[sp.Symbol, ...]) -> None:
    inside = [i for i, x in enumerate(xi) if u.has(x)]
    if inside and u not in levels[inside[-1]]:
        levels[inside[-1]].append(u)


def _root_finder(u: sp.Expr, variables: tuple[sp.Symbol, ...]) -> Callable[..., list[mpmath.mpf]]:
    """Real roots of u in the last variable, as a function of the others."""
    *outer, x = variables
    p = as_polynomial(u, (x,))
    if p is None:
        return _scan(numeric(u, variables))
    top = max(k for (k,) in p)
    coefficients = numeric(sp.Tuple(*(p.get((k,), sp.S.Zero) for k in range(top, -1, -1))), tuple(outer))

    def roots(*values: mpmath.mpf) -> list[mpmath.mpf]:
        found = mpmath.polyroots(coefficients(*values), maxsteps=200, extraprec=60)
        return [mpmath.re(r) for r in found if abs(mpmath.im(r)) < mpmath.sqrt(mpmath.eps)]

    return roots


def _scan(u: Callable[..., mpmath.mpf]) -> Callable[..., list[mpmath.mpf]]:
    """Sign changes of u in its last variable within ten standard deviations, by bisection."""

    def roots(*outer: mpmath.mpf) -> list[mpmath.mpf]:
        grid = [mpmath.mpf(k) / 8 + mpmath.mpf(1) / 97 for k in range(-80, 80)]
        values = [u(*outer, z) for z in grid]
        return [_bisect(lambda z: u(*outer, z), a, b) for a, b, s, t in zip(grid, grid[1:], values, values[1:], strict=False) if s * t < 0]

    return roots


def _bisect(u: Callable[[mpmath.mpf], mpmath.mpf], a: mpmath.mpf, b: mpmath.mpf) -> mpmath.mpf:
    return mpmath.findroot(u, (a, b), solver="anderson", verify=False)


def breaks(f: sp.Expr, x: sp.Symbol) -> list[mpmath.mpf]:
    """Where an f of x alone may have a kink or a jump."""
    return [point for find in _breaks(f, (x,))[0] for point in find()]
