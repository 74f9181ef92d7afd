"""The quadrature against integrals known in closed form, typed here by hand."""

import mpmath
import pytest
import sympy as sp

from gmsym.functions import LogSumExp, Softplus

h, a, b = sp.symbols("h a b", real=True)
ROOT = sp.sqrt(2)

KNOWN = [  # f, E[f] for h ~ N(1/2, 2)
    (h**4, sp.Rational(1, 16) + 6 * sp.Rational(1, 4) * 2 + 3 * 4),
    (sp.exp(-h), sp.exp(sp.Rational(1, 2))),
    (sp.cos(h), sp.exp(-1) * sp.cos(sp.Rational(1, 2))),
    (sp.Heaviside(h), (1 + sp.erf(sp.Rational(1, 4))) / 2),
    (sp.sign(h - 1), -sp.erf(sp.Rational(1, 4))),
    (sp.Abs(h), 2 * sp.exp(-sp.Rational(1, 16)) / sp.sqrt(sp.pi) + sp.erf(sp.Rational(1, 4)) / 2),
    (sp.Max(h, 1) + sp.Min(h, 1), sp.Rational(3, 2)),
    (sp.Piecewise((1, h**2 < 1), (0, True)), (sp.erf(sp.Rational(3, 4)) + sp.erf(sp.Rational(1, 4))) / 2),
    (sp.Heaviside(sp.exp(h) - 3), (1 - sp.erf((sp.log(3) - sp.Rational(1, 2)) / 2)) / 2),
    (Softplus(h) - Softplus(-h), sp.Rational(1, 2)),
]


@pytest.mark.parametrize(("f", "exact"), KNOWN)
def test_one_dimension_to_thirty_digits(f, exact, quadrature, close):
    close(exact, quadrature(f, (h,), (sp.Rational(1, 2),), [[2]], 30), 28)


def test_two_dimensions(quadrature, close):
    cov = [[1, sp.Rational(1, 3)], [sp.Rational(1, 3), 2]]
    close(sp.Rational(1, 3), quadrature(a * b, (a, b), (0, 0), cov, 10), 9)
    close(sp.exp(sp.Rational(11, 6)), quadrature(sp.exp(a + b), (a, b), (0, 0), cov, 10), 9)
    quadrant = sp.Rational(1, 4) + sp.asin(1 / (3 * ROOT)) / (2 * sp.pi)
    close(quadrant, quadrature(sp.Heaviside(a) * sp.Heaviside(b), (a, b), (0, 0), cov, 2), 5)


@pytest.mark.slow
def test_kinks_that_cross(quadrature, close):
    """max(a, b, 0) of two independent standard normals: its two kinks meet inside the outer integral."""
    close((2 + ROOT) / (2 * sp.sqrt(2 * sp.pi)), quadrature(sp.Max(a, b, 0), (a, b), (0, 0), sp.eye(2), 2), 5)


def test_singular_covariance(quadrature, close):
    cov = [[1, -2], [-2, 4]]
    close(-2, quadrature(a * b, (a, b), (0, 0), cov, 25), 24)
    close(LogSumExp(1, 2, 0), quadrature(LogSumExp(a, b, 0), (a, b), (1, 2), sp.zeros(2), 20), 19)


def test_infinite_mean_is_nan(quadrature):
    assert mpmath.isnan(quadrature(sp.exp(h**2), (h,), (0,), [[1]], 15))
    assert mpmath.isnan(quadrature(sp.exp(h**2) * sp.Heaviside(h), (h,), (0,), [[1]], 15))


def test_the_panels_of_these_tests(panels):
    """The second witness against the same integrals, in double precision."""
    for f, exact in KNOWN[:6]:
        assert panels(f, (h,), (0.5,), [[2]], breaks=(0, 1)) == pytest.approx(float(exact), abs=1e-13)
    cov = [[1, 1 / 3], [1 / 3, 2]]
    assert panels(sp.Max(a, b), (a, b), (0, 0), cov, axes=(a - b, b)) == pytest.approx((7 / 3 / 2 / 3.141592653589793) ** 0.5, abs=1e-12)
