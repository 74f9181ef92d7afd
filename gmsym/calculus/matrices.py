"""Expressions in vectors and matrices written out in their entries."""

from collections.abc import Callable, Mapping

import sympy as sp

from gmsym.calculus.kernels import Kernel, Transposed


def explicit(expr: sp.Expr, entries: Callable[[Kernel], sp.MatrixBase | sp.Expr], sizes: Mapping[sp.Symbol, int]) -> sp.Matrix:
    """`expr` as a matrix of scalars; a number is 1 x 1, a vector a column.

    Args:
        expr: sums, products and transposes of kernels, with sums over indices from 1.
        entries: the matrix, or the number, that a kernel stands for.
        sizes: the numbers that the upper limits of sums stand for.
    """
    if isinstance(expr, Kernel):
        value = entries(expr)
        return sp.Matrix(value) if isinstance(value, sp.MatrixBase) else sp.Matrix([[value]])
    if isinstance(expr, Transposed):
        return explicit(expr.args[0], entries, sizes).T
    if isinstance(expr, sp.Sum):
        (index, low, high), *others = expr.limits[::-1]
        inner = sp.Sum(expr.function, *others[::-1]) if others else expr.function
        terms = [inner.xreplace({index: sp.Integer(i)}) for i in range(int(low), int(high.xreplace(sizes)) + 1)]
        return _sum([explicit(term, entries, sizes) for term in terms])
    if expr.is_Add:
        return _sum([explicit(term, entries, sizes) for term in expr.args])
    if expr.is_Mul:
        total = sp.Matrix([[1]])
        for factor in map(lambda e: explicit(e, entries, sizes), expr.args):
            total = total[0] * factor if total.shape == (1, 1) else factor[0] * total if factor.shape == (1, 1) else total * factor
        return total
    if expr.is_Pow and expr.has(Kernel):
        return sp.Matrix([[explicit(expr.base, entries, sizes)[0] ** expr.exp]])
    return sp.Matrix([[expr]])


def _sum(terms: list[sp.Matrix]) -> sp.Matrix:
    total = terms[0] if terms else sp.zeros(1, 1)
    for term in terms[1:]:
        total = total + term
    return total
