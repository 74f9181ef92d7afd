"""Exact values of kernel equations: every kernel is a rational 2 x 2 matrix, every sum and mean is written out.

Two expressions are the same identity when their values agree at several random points; a transposed or commuted C x C
factor, a shifted limit or a missing term shows. Integrals count as sums over their end points and the integers between
them, which is a linear functional and so tells different integrands and limits apart.
"""

import zlib

import sympy as sp

from gmsym.calculus.kernels import Kernel, Transposed
from gmsym.system.causal_kernels import B, K, Mean, Partial, S, b, e, e_other, i, j, j_other, k, l, r, rank, rank_a, s, t
from gmsym.system.recursion import Inner

SIZE = 2
POINT = {K: 2, B: 2, S: 2, e: 1, e_other: 2, rank: 3, rank_a: 2, t: 4, s: 2, r: 3, k: 1, l: 2, b: 1, i: 1, j: 2, j_other: 1}


def value(expr: sp.Expr, draw: int = 0) -> sp.Matrix:
    """Value of an equation's side as a SIZE x SIZE matrix of rationals."""
    return _value(sp.sympify(expr), dict(POINT), draw)


def same(left: sp.Expr, right: sp.Expr) -> bool:
    """Structural equality, else equal values at three random points."""
    return left == right or all(value(left, draw) == value(right, draw) for draw in range(3))


def _value(expr: sp.Expr, at: dict, draw: int) -> sp.Matrix:
    if isinstance(expr, sp.Add):
        return sum((_value(x, at, draw) for x in expr.args), sp.zeros(SIZE, SIZE))
    if isinstance(expr, sp.Mul):
        product = sp.eye(SIZE)
        for factor in expr.args:
            product = product * _value(factor, at, draw)
        return product
    if isinstance(expr, (sp.Sum, sp.Integral)):
        *inner, (index, low, high) = expr.limits
        rest = expr.func(expr.function, *inner) if inner else expr.function
        low, high = int(low.subs(at)), int(high.subs(at))
        return sum((_value(rest, {**at, index: x}, draw) for x in range(low, high + 1)), sp.zeros(SIZE, SIZE))
    if isinstance(expr, Transposed):
        return _value(expr.args[0], at, draw).T
    if isinstance(expr, sp.Pow) and expr.exp.is_Integer:
        return _value(expr.base, at, draw) ** expr.exp
    if isinstance(expr, (Mean, Partial, Inner)):
        # Linear and injective is all that matters: a mean or derivative is named by the expression it is of.
        return _random(f"{type(expr).__name__} {sp.srepr(expr.xreplace(_numbers(at)))}", draw, True)
    if isinstance(expr, sp.Pow):
        return _random(sp.srepr(expr.xreplace(_numbers(at))), draw, False)
    if isinstance(expr, sp.KroneckerDelta):
        return sp.eye(SIZE) * expr.subs(at)
    if isinstance(expr, Kernel):
        return _random(f"{type(expr).__name__}{[str(a.subs(at)) for a in expr.args]}", draw, not expr.is_commutative)
    if expr.is_number:
        return sp.eye(SIZE) * expr
    if expr in at:
        return sp.eye(SIZE) * at[expr]
    if isinstance(expr, sp.Symbol):
        return _random(expr.name, draw, False)
    raise TypeError(f"no value for {expr!r}")


def _numbers(at: dict) -> dict:
    return {symbol: sp.Integer(x) for symbol, x in at.items()}


def _random(name: str, draw: int, matrix: bool) -> sp.Matrix:
    def rational(entry: int) -> sp.Rational:
        seed = zlib.crc32(f"{name}/{entry}/{draw}".encode())
        return sp.Rational(seed % 97 + 1, (seed >> 8) % 89 + 2) * (-1) ** (seed >> 20)

    return sp.Matrix(SIZE, SIZE, lambda x, y: rational(SIZE * x + y)) if matrix else sp.eye(SIZE) * rational(0)
