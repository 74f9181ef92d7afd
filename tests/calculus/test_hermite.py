"""Hermite coefficients against integrals at 30 digits, for closed and open activations."""

import math

import mpmath
import pytest
import sympy as sp

from gmsym.calculus import is_closed
from gmsym.calculus.hermite import hermite_means, hermite_numbers, kinks
from gmsym.files.parser import parse

z, b = sp.Symbol("z", real=True), sp.Symbol("b", positive=True)
ACTIVATIONS = {  # text: (a function of mpmath, its kinks, whether closed)
    "max(z, 0)": (lambda x: max(x, 0), [0], True),
    "max(z, z/10)": (lambda x: max(x, x / 10), [0], True),
    "abs(z - 1/2)": (lambda x: abs(x - mpmath.mpf(1) / 2), [0.5], True),
    "sign(z)": (mpmath.sign, [0], True),
    "erf(z)": (mpmath.erf, [], True),
    "z*Phi(z)": (lambda x: x * mpmath.ncdf(x), [], True),
    "sin(z)": (mpmath.sin, [], True),
    "exp(z/2)": (lambda x: mpmath.exp(x / 2), [], True),
    "exp(-z**2/2)": (lambda x: mpmath.exp(-(x**2) / 2), [], True),
    "z + z**2/2": (lambda x: x + x**2 / 2, [], True),
    "tanh(z)": (mpmath.tanh, [], False),
    "z*sigmoid(1.7*z)": (lambda x: x / (1 + mpmath.exp(-1.7 * x)), [], False),
}


@pytest.mark.parametrize("text", ACTIVATIONS)
def test_coefficients_against_integrals(text):
    s, edges, closed = ACTIVATIONS[text]
    expr, width = parse(text, {"z": z}), 1.3
    assert is_closed(hermite_means(expr, z, b, 1).coefficients[0]) == closed
    found, rest = hermite_numbers(expr, z, width, 4)
    with mpmath.workdps(30):
        points = [-14, *sorted({0.0, *(x / width for x in edges)}), 14]

        def mean(f):
            return mpmath.quad(lambda x: mpmath.npdf(x) * f(x), points)

        for j, h in enumerate(found):
            wanted = mean(lambda x, j=j: mpmath.hermite(j, x / mpmath.sqrt(2)) / mpmath.sqrt(2) ** j * s(width * x)) / mpmath.factorial(j)
            assert abs(h - wanted) < 1e-12
        energy = mean(lambda x: s(width * x) ** 2)
        assert abs(rest - (energy - sum(math.factorial(j) * h**2 for j, h in enumerate(found)))) < 1e-12


def test_the_rest_of_a_polynomial_is_zero_and_kinks_are_found():
    assert hermite_numbers(z + z**2 / 2, z, 0.9, 4)[1] < 1e-15
    assert kinks(sp.Max(z, 0) + sp.Abs(z - 2), z) == [0.0, 2.0]
