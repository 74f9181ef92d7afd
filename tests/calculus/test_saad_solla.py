"""Erf committees: the integrals of Saad and Solla, Phys. Rev. E 52, 4225 (1995), typed from the paper; g(x) = erf(x / sqrt 2)."""

import pytest
import sympy as sp

from gmsym.calculus import expectation

u, v, w, z = FIELDS = sp.symbols("u v w z", real=True)
C = sp.Matrix(4, 4, lambda i, j: sp.Symbol(f"C{min(i, j) + 1}{max(i, j) + 1}", positive=True if i == j else None, real=True))
C11, C22, C33, C44 = (C[i, i] for i in range(4))
C12, C13, C14, C23, C24, C34 = C[0, 1], C[0, 2], C[0, 3], C[1, 2], C[1, 3], C[2, 3]

Lambda3 = (1 + C11) * (1 + C33) - C13**2
Lambda4 = (1 + C11) * (1 + C22) - C12**2
Lambda0 = Lambda4 * C34 - C23 * C24 * (1 + C11) - C13 * C14 * (1 + C22) + C12 * C13 * C24 + C12 * C14 * C23
Lambda1 = Lambda4 * (1 + C33) - C23**2 * (1 + C11) - C13**2 * (1 + C22) + 2 * C12 * C13 * C23
Lambda2 = Lambda4 * (1 + C44) - C24**2 * (1 + C11) - C14**2 * (1 + C22) + 2 * C12 * C14 * C24


def g(x):
    return sp.erf(x / sp.sqrt(2))


def dg(x):
    return sp.sqrt(2 / sp.pi) * sp.exp(-(x**2) / 2)


GOLDEN = {
    "I2": (g(u) * g(v), 2 / sp.pi * sp.asin(C12 / sp.sqrt((1 + C11) * (1 + C22)))),
    "I3": (dg(u) * v * g(w), 2 / sp.pi / sp.sqrt(Lambda3) * (C23 * (1 + C11) - C12 * C13) / (1 + C11)),
    "I4": (dg(u) * dg(v) * g(w) * g(z), 4 / sp.pi**2 / sp.sqrt(Lambda4) * sp.asin(Lambda0 / sp.sqrt(Lambda1 * Lambda2))),
}

# Covariances A A^T: generic; and with w = u, z = u + v (a student that has found its teacher), which is singular.
GENERIC = sp.Matrix([[1, 0, 0, 0], [1, 2, 0, 0], [-1, 1, 1, 0], [2, -1, 1, 3]]) / 2
SINGULAR = sp.Matrix([[1, 0], [1, 2], [1, 0], [2, 2]]) / 3


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("A", [GENERIC, SINGULAR], ids=["generic", "singular"])
def test_closed_form_with_symbols(name, A):
    f, golden = GOLDEN[name]
    values = {C[i, j]: (A * A.T)[i, j] for i in range(4) for j in range(i, 4)}
    gap = (expectation(f, FIELDS, (0, 0, 0, 0), C) - golden).xreplace(values)
    assert abs(gap.evalf(30, maxn=200)) < sp.Float("1e-30")
    assert abs(golden.xreplace(values).evalf()) > 1e-3


@pytest.mark.parametrize("name", GOLDEN)
def test_numerical_singular_covariance(name):
    """The same through the other path: the dependent fields are eliminated first."""
    f, golden = GOLDEN[name]
    cov = SINGULAR * SINGULAR.T
    values = {C[i, j]: cov[i, j] for i in range(4) for j in range(i, 4)}
    assert abs((expectation(f, FIELDS, (0, 0, 0, 0), cov) - golden.xreplace(values)).evalf(30, maxn=200)) < sp.Float("1e-30")


def test_non_zero_means_reduce_to_the_golden_forms():
    """The closed form with means, at zero means."""
    m = sp.symbols("m1:5", real=True)
    for name in ("I2", "I3"):
        f, golden = GOLDEN[name]
        values = {C[i, j]: (GENERIC * GENERIC.T)[i, j] for i in range(4) for j in range(i, 4)}
        shifted = expectation(f, FIELDS, m, C).xreplace(values)
        assert abs(shifted.subs(dict.fromkeys(m, 0)).evalf(30) - golden.xreplace(values).evalf(30)) < sp.Float("1e-28")
        assert abs(shifted.subs(dict.fromkeys(m, sp.Rational(1, 2))).evalf(30) - golden.xreplace(values).evalf(30)) > 1e-3
