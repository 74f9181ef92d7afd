"""Structural questions (is it zero? which rows are independent?) answered at random points, and light tidying.

Deciding these by `simplify` can take minutes and still leave a true zero undecided. A rational or analytic expression that
vanishes at a few random points with 25 digits vanishes identically, up to a probability nobody will meet.
"""

import zlib
from collections.abc import Iterable, Sequence

import mpmath
import sympy as sp
from sympy.core.function import AppliedUndef

from gmsym import budget

DIGITS = 30
_DRAWS = 3


def sample(symbols: Iterable[sp.Symbol], draw: int) -> dict[sp.Symbol, sp.Rational]:
    """A rational value for each symbol that respects its sign and integrality; the same in every process."""
    return {s: _value(s, zlib.crc32(f"{s.name}/{draw}".encode())) for s in symbols}


def _value(s: sp.Symbol, seed: int) -> sp.Rational:
    magnitude = sp.Integer(2 + seed % 7) if s.is_integer else sp.Rational(300 + seed % 1409, 1013)
    negative = s.is_negative or not (s.is_nonnegative or (seed >> 16) % 2)
    return -magnitude if negative else magnitude


def _number(expr: sp.Expr, draw: int) -> sp.Expr:
    unknown = {u: _value(sp.Dummy(real=True), zlib.crc32(f"{u}/{draw}".encode())) for u in expr.atoms(AppliedUndef)}
    expr = expr.xreplace(unknown)
    return expr.xreplace(sample(expr.free_symbols, draw)).evalf(DIGITS)


def vanishes(expr: sp.Expr) -> bool:
    """Whether `expr` is identically zero; an expression that has no numerical value counts as non-zero."""
    if expr.is_zero is not None:
        return bool(expr.is_zero)
    return all(_small(_number(expr, draw)) for draw in range(_DRAWS if expr.free_symbols else 1))


def _small(value: sp.Expr) -> bool:
    magnitude = sp.Abs(value).evalf(15)
    return bool(magnitude.is_Float or magnitude.is_Integer) and magnitude < sp.Float(10) ** (5 - DIGITS)


def singular(M: sp.Matrix) -> bool:
    """Whether the determinant of `M` is identically zero; that of a large matrix would be long to write."""
    return all(_small(sp.Float(mpmath.fabs(_determinant(M, draw)), 15)) for draw in range(_DRAWS if M.free_symbols else 1))


def _determinant(M: sp.Matrix, draw: int) -> mpmath.mpf:
    with mpmath.workdps(DIGITS):
        return mpmath.det(mpmath.matrix([[_number(entry, draw)._to_mpmath(mpmath.mp.prec) for entry in row] for row in M.tolist()]))


def independent(rows: Sequence[Sequence[sp.Expr]]) -> list[int]:
    """Indices of the first maximal set of linearly independent rows, for generic values of their symbols."""
    chosen: list[int] = []
    basis: list[mpmath.matrix] = []
    with mpmath.workdps(DIGITS):
        for index, row in enumerate(rows):
            v = mpmath.matrix([_number(sp.sympify(entry), 0)._to_mpmath(mpmath.mp.prec) for entry in row])
            size = mpmath.norm(v)
            for _ in range(2):  # twice is enough
                for b in basis:
                    v -= b * mpmath.fdot(zip(v, b, strict=True), conjugate=True)
            if mpmath.norm(v) > size * mpmath.mpf(10) ** (8 - DIGITS):
                chosen.append(index)
                basis.append(v / mpmath.norm(v))
    return chosen


def tidy(expr: sp.Expr) -> sp.Expr:
    """A small polynomial expanded, a small rational function in lowest terms when that is shorter; others as they are."""
    # An operation has at most three nodes of its own; counting those stops early.
    if expr.is_Atom or budget.larger(expr, 4 * budget.TIDY) or expr.count_ops() > budget.TIDY:
        return expr
    if expr.is_polynomial():
        return sp.expand(expr)
    if expr.is_rational_function():
        return min(sp.factor_terms(sp.cancel(expr)), expr, key=sp.count_ops)
    return expr


def flat(expr: sp.Expr) -> sp.Expr:
    """A small polynomial expanded; others as they are, so that a variance still cancels the root of a variance."""
    return tidy(expr) if expr.is_polynomial() else expr


def root(variance: sp.Expr) -> sp.Expr:
    """Square root of a variance, its numerical factor apart."""
    content, primitive = variance.primitive()
    return sp.sqrt(content) * sp.sqrt(primitive)
