"""Hermite coefficients against integrals at 30 digits, for closed and open activations."""

import math

import mpmath
import pytest
import sympy as sp

from gmsym.calculus import is_closed
from gmsym.calculus.hermite import hermite_means, hermite_numbers, kernel_mean, kinks
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


@pytest.mark.parametrize("text", ["max(z, 0)", "erf(z)", "sin(z)", "exp(z/2)", "z + z**2/2"])
def test_kernels_in_closed_form_are_their_series(text):
    """K(v, w, r) = sum_p p! h_p(v) h_p(w) (r/sqrt(v w))^p; the arc-cosine and the arcsine kernel among them."""
    s = parse(text, {"z": z})
    v, w, r = sp.symbols("v w r", positive=True)
    at = {v: 1.2, w: 0.8, r: 0.3}
    closed = float(kernel_mean(s, z, v, w, r).subs(at))
    first, second = (hermite_numbers(s, z, math.sqrt(x), 14)[0] for x in (1.2, 0.8))
    series = sum(math.factorial(p) * h * g * (0.3 / math.sqrt(0.96)) ** p for p, (h, g) in enumerate(zip(first, second, strict=True)))
    assert closed == pytest.approx(series, rel=1e-8)
    assert kernel_mean(parse("tanh(z)", {"z": z}), z, v, w, r) is None
