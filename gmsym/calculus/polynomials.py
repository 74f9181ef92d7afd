"""Polynomials in the integration variables, as `{exponents: coefficient}` with SymPy coefficients."""

from collections.abc import Sequence

import sympy as sp

from gmsym import budget

from .probing import tidy

Polynomial = dict[tuple[int, ...], sp.Expr]


class TooLargeError(Exception):
    """An expansion would exceed its bound; the caller keeps the expression whole."""


def constant(value: sp.Expr, dimension: int) -> Polynomial:
    """The polynomial `value` in `dimension` variables."""
    return {(0,) * dimension: value}


def variable(index: int, dimension: int) -> Polynomial:
    """The variable number `index`, from 0, of `dimension` variables."""
    return {tuple(int(i == index) for i in range(dimension)): sp.S.One}


def add(*polynomials: Polynomial) -> Polynomial:
    """Their sum, in the same variables, without monomials whose coefficient SymPy finds to be 0."""
    coefficients: dict[tuple[int, ...], list[sp.Expr]] = {}
    for p in polynomials:
        for exponents, c in p.items():
            coefficients.setdefault(exponents, []).append(c)
    sums = {exponents: sp.Add(*cs) for exponents, cs in coefficients.items()}
    return {exponents: c for exponents, c in sums.items() if c != 0}


def multiply(p: Polynomial, q: Polynomial) -> Polynomial:
    """Raises TooLargeError beyond the budget of an expansion."""
    if len(p) * len(q) > budget.EXPANSION:
        raise TooLargeError
    return add(*({tuple(map(sum, zip(a, b, strict=True))): c * e} for a, c in p.items() for b, e in q.items()))


def scale(p: Polynomial, factor: sp.Expr) -> Polynomial:
    return {exponents: factor * c for exponents, c in p.items()} if factor != 0 else {}


def lower(exponents: tuple[int, ...], index: int) -> tuple[int, ...]:
    """The exponents after division by one variable."""
    return (*exponents[:index], exponents[index] - 1, *exponents[index + 1 :])


def degree(p: Polynomial) -> int:
    return max(map(sum, p), default=0)


def to_expr(p: Polynomial, xs: Sequence[sp.Symbol]) -> sp.Expr:
    return sp.Add(*(c * sp.Mul(*(x**k for x, k in zip(xs, exponents, strict=True))) for exponents, c in p.items()))


def as_polynomial(expr: sp.Expr, xs: Sequence[sp.Symbol]) -> Polynomial | None:
    """`expr` as a polynomial in `xs`, or None when it is not one (or is too large to expand)."""
    if budget.expanded_size(expr, tuple(xs)) > budget.EXPANSION:
        return None
    try:
        p = _expand(expr, tuple(xs))
    except TooLargeError:
        return None
    if p is None:
        return None
    tidied = {exponents: tidy(c) for exponents, c in p.items()}
    return {exponents: c for exponents, c in tidied.items() if c != 0}


def _expand(expr: sp.Expr, xs: tuple[sp.Symbol, ...]) -> Polynomial | None:
    if not expr.has_free(*xs):
        return constant(expr, len(xs))
    if expr in xs:
        return variable(xs.index(expr), len(xs))
    if expr.is_Pow and expr.exp.is_Integer and expr.exp.is_positive:
        if expr.exp > budget.EXPANSION:
            raise TooLargeError
        factors = [_expand(expr.base, xs)] * int(expr.exp)
    elif expr.is_Add or expr.is_Mul:
        factors = [_expand(a, xs) for a in expr.args]
    else:
        return None
    if any(p is None for p in factors):
        return None
    if expr.is_Add:
        return add(*factors)
    product = constant(sp.S.One, len(xs))
    for p in factors:
        product = multiply(product, p)
    return product


def affine(expr: sp.Expr, xs: Sequence[sp.Symbol]) -> tuple[tuple[sp.Expr, ...], sp.Expr] | None:
    """(w, c) with expr = w.x + c, or None when `expr` is not affine in `xs`."""
    p = as_polynomial(expr, xs)
    if p is None or degree(p) > 1:
        return None
    size = len(xs)
    gradient = tuple(p.get(next(iter(variable(i, size))), sp.S.Zero) for i in range(size))
    return gradient, p.get((0,) * size, sp.S.Zero)
