"""Differentials of products of matrices, against finite differences of rational matrices that are exact in the step."""

import pytest
import sympy as sp

from gmsym.calculus.differential import differential, factored_out
from gmsym.calculus.kernels import Transposed, kernel

A, B, X, dX = sp.symbols("A B X dX", commutative=False)
i = sp.Symbol("i", integer=True)


def rational(seed: int) -> sp.Matrix:
    return sp.Matrix(2, 2, lambda r, c: sp.Rational((3 * r + 2 * c + seed) ** 2 % 11 - 4, 5 + r))


def value(expr, **matrices):
    """The expression with matrices in place of letters."""
    if expr.is_Add:
        return sum((value(x, **matrices) for x in expr.args), sp.zeros(2))
    if expr.is_Mul:
        return sp.prod([value(x, **matrices) for x in expr.args], start=sp.eye(2))
    if expr.is_Pow:
        return value(expr.base, **matrices) ** int(expr.exp)
    if isinstance(expr, Transposed):
        return value(expr.args[0], **matrices).T
    return matrices[expr.name] if expr.is_Symbol else expr * sp.eye(2)


@pytest.mark.parametrize(
    "expr",
    [A * X * B * X, X**3, X**-1, X**-2, A * (1 + X * A) ** -1, Transposed(X) * A - 2 * X, (A + X * B * X) ** -1 * X],
    ids=str,
)
def test_it_is_the_derivative_at_rational_matrices(expr):
    """In the direction dX: the derivative in t of the expression at X + t dX, exactly."""
    t = sp.Symbol("t")
    given = {"A": rational(1), "B": rational(2)}
    along = value(expr, X=rational(3) + t * rational(5), **given)
    derivative = along.applyfunc(lambda x: sp.diff(sp.together(x), t).subs(t, 0))
    change = differential(expr, {X: dX})
    assert sp.simplify(derivative - value(change, X=rational(3), dX=rational(5), **given)) == sp.zeros(2)


def test_sums_and_linear_functions_are_entered():
    f, mean = kernel("fcd", "f", value="cd"), sp.Function("mean", commutative=False)
    total = sp.Sum(i * mean(A * X * f(i), i), (i, 0, 3))
    assert differential(total, {X: 2 * dX}, (mean,)) == 2 * sp.Sum(i * mean(A * dX * f(i), i), (i, 0, 3))
    with pytest.raises(TypeError, match="mean"):
        differential(total, {X: dX})
    assert differential(A * B, {X: dX}) == 0


def test_a_last_factor_comes_out():
    assert factored_out(A * B * X - 3 * X + B, X) == (A * B - 3, B)
