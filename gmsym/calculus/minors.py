"""X = A (1 + S'A)^{-1} of small symmetric matrices as a rational function of S', linear in the minors of A. Own derivation."""

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import NamedTuple

import sympy as sp

Minor = tuple[tuple[int, ...], tuple[int, ...]]  # its rows and its columns


class RationalForm(NamedTuple):
    """Coefficients of the minors of A, in the entries (i <= j) of S'."""

    entries: tuple[sp.Symbol, ...]
    denominator: tuple[sp.Expr, ...]  # in det - 1, det the determinant that X is divided by
    numerator: tuple[tuple[sp.Expr, ...], ...]  # in each entry (i <= j) of X det


def rational_form(
    share: sp.Expr, update: sp.Symbol, form: sp.Expr, identity: sp.Expr, size: int, minors: Sequence[Minor]
) -> RationalForm | None:
    """The form of `share` = u A (1 + v S'A)^{-1} with numbers u and v, A = `update`, S' = `form`; None if it is not of that kind.

    det(1 + v S'A) is linear in the minors (Cauchy-Binet), and A (1 + v S'A)^{-1} is the gradient of its logarithm in v S', so that over
    fixed nodes the means of X and of X kron X are matrix products.
    """
    factors = _factors(share, update, form, identity)
    if factors is None or not minors:
        return None
    u, v = factors
    at = {(i, j): sp.Symbol(f"s{i}{j}") for i in range(size) for j in range(i, size)}
    matrix = sp.Matrix(size, size, lambda i, j: at[min(i, j), max(i, j)])
    plain = [
        (1 if rows == columns else 2) * matrix.extract(list(rows), list(columns)).det(method="berkowitz").expand()
        for rows, columns in minors
    ]
    orders = [len(rows) for rows, _ in minors]
    denominator = tuple(v**order * c for order, c in zip(orders, plain, strict=True))
    numerator = tuple(
        tuple(u * v ** (order - 1) * c.diff(entry) / (1 if i == j else 2) for order, c in zip(orders, plain, strict=True))
        for (i, j), entry in at.items()
    )
    return RationalForm(tuple(at.values()), denominator, numerator)


def _factors(share: sp.Expr, update: sp.Symbol, form: sp.Expr, identity: sp.Expr) -> tuple[sp.Expr, sp.Expr] | None:
    inverses = [e for e in share.atoms(sp.Pow) if e.exp == -1 and e.has(update)]
    if len(inverses) != 1:
        return None
    v = sp.expand(inverses[0].base - identity).subs(form * update, 1)
    u = share.subs(inverses[0], 1).subs(update, 1)
    same = v.is_Rational and u.is_Rational and sp.expand(share - u * update * (identity + v * form * update) ** -1) == 0
    return (u, v) if same and v != 0 else None


def symmetric_minors(size: int, minors: Sequence[Minor], entries: Sequence[sp.Symbol]) -> list[sp.Expr]:
    """The minors of a symmetric matrix from its entries (i <= j)."""
    packed = {pair: x for pair, x in zip(combinations_with_replacement(range(size), 2), entries, strict=True)}
    matrix = sp.Matrix(size, size, lambda i, j: packed[min(i, j), max(i, j)])
    return [matrix.extract(list(rows), list(columns)).det(method="berkowitz") for rows, columns in minors]
