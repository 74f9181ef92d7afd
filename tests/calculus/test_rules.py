"""Each rule as an identity on random rational laws, singular covariances and non-zero means included."""

import mpmath
import pytest
import sympy as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gmsym.calculus import Gaussian, GaussianMean, condition, evaluated, expectation, linearity, mean_of, price, stein, terms, tilt, wick
from gmsym.functions import Sigmoid, Softplus

a, b, y, xi, eta = sp.symbols("a b y xi eta", real=True)
SOFT = Softplus(a - 2 * b) * sp.cos(b)  # smooth, closed by no rule
FEW = settings(max_examples=6, deadline=None, derandomize=True)

numbers = st.fractions(min_value=-2, max_value=2, max_denominator=7).map(sp.Rational)
pairs = st.tuples(numbers, numbers)


def law(mean, *columns) -> Gaussian:
    """x = mean + columns times independent standard normals: of rank one or less with one column."""
    A = sp.Matrix(columns).T
    return Gaussian((a, b), mean, A * A.T)


def agree(one: sp.Expr, other: sp.Expr, digits: int) -> bool:
    """Each side on its own: `evalf` of a difference that is zero raises its precision again and again."""
    left, right = one.evalf(digits + 3), other.evalf(digits + 3)
    return abs(left - right) < sp.Float(10, 30) ** -digits * (1 + abs(left))


def exact_moment(f, mean, first, second) -> sp.Expr:
    """E of a polynomial from the moments (n - 1)!! of a standard normal."""
    poly = sp.Poly(f.xreplace({a: mean[0] + first[0] * xi + second[0] * eta, b: mean[1] + first[1] * xi + second[1] * eta}), xi, eta)
    moment = [sp.factorial2(n - 1) if n % 2 == 0 else 0 for n in range(20)]
    return sum(c * moment[i] * moment[j] for (i, j), c in poly.terms())


@FEW
@given(pairs, pairs, pairs, numbers, st.integers(0, 4), st.integers(0, 4))
def test_wick(mean, first, second, shift, i, j):
    f = (a - b + shift) ** i * b**j
    assert wick(f, law(mean, first, second)) == exact_moment(f, mean, first, second)


def test_wick_keeps_symbols_and_refuses_what_is_no_polynomial():
    m, q = sp.symbols("m q", real=True)
    one = Gaussian((a,), (m,), sp.Matrix([[q]]))
    assert wick((a - y) ** 4, one) == sp.expand((m - y) ** 4 + 6 * q * (m - y) ** 2 + 3 * q**2)
    assert wick(sp.sin(y) * a**2, one) == sp.sin(y) * (m**2 + q)
    with pytest.raises(ValueError, match="polynomial"):
        wick(sp.exp(a), one)


def test_linearity():
    line = Gaussian((a,), (0,), sp.eye(1))
    total = linearity(3 * y * Softplus(a) - a**2 * sp.exp(y) + 7, line)
    assert total == 3 * y * mean_of(Softplus(a), line) - sp.exp(y) * mean_of(a**2, line) + 7


@FEW
@given(pairs, pairs)
def test_stein_on_a_line(mean, direction):
    """Covariance of rank one: both sides to 25 digits."""
    assume(any(direction))
    degenerate = law(mean, direction)
    for i, x in enumerate((a, b)):
        assert agree(mean_of(x * SOFT, degenerate), stein(SOFT, i, degenerate), 20)


def test_stein_through_a_kink(panels):
    mean, cov = (sp.Rational(1, 3), sp.Rational(-1, 2)), sp.Matrix([[1, sp.Rational(-2, 5)], [sp.Rational(-2, 5), sp.Rational(3, 4)]])
    f = sp.Heaviside(a) * sp.cos(b)
    value = evaluated(stein(f, 1, Gaussian((a, b), mean, cov)))  # a delta at a = 0
    assert float(value.evalf(15)) == pytest.approx(panels(b * f, (a, b), mean, cov), abs=1e-11)


@FEW
@given(pairs, pairs, numbers)
def test_price(mean, direction, slope):
    """Along V + e w w^T: the derivative of the quadrature in e against Price's terms."""
    assume(any(direction))
    w = sp.Matrix(direction)
    e = sp.Symbol("e", nonnegative=True)
    base = Gaussian((a, b), mean, w * w.T)
    f = sp.cos(a - slope * b) * sp.exp(b / 3)
    moved = expectation(f, (a, b), mean, (1 + e) * w * w.T)
    change = sum(w[i] * w[j] * price(f, i, j, base) for i, j in ((0, 0), (1, 1), (0, 1)))
    assert agree(sp.diff(moved, e).subs(e, 0), evaluated(change), 20)
    node = GaussianMean(sp.Lambda((a, b), f), mean, (1 + e) * w * w.T)
    assert agree(sp.diff(node, e).subs(e, 0), change, 20)


quadratics = st.tuples(numbers, numbers, numbers, numbers, numbers, numbers)


@FEW
@given(pairs, pairs, quadratics)
def test_tilt_of_a_singular_law(mean, direction, coefficients):
    """V^{-1} does not exist; E[exp(...) f] = c E'[f] all the same."""
    assume(any(direction))
    p, q, r, s, t, u = coefficients
    exponent = p * a + q * b + u - (r * a + s * b) ** 2 - t**2 * a * b / 8
    w = sp.Matrix(direction)
    curvature = -(w.T * sp.hessian(exponent, (a, b)) * w)[0]
    assume(1 + curvature > sp.Rational(1, 5))
    c, tilted = tilt(exponent, law(mean, direction))
    assert agree(mean_of(sp.exp(exponent) * SOFT, law(mean, direction)), c * mean_of(SOFT, tilted), 16)


def test_tilt_of_a_regular_law(panels):
    mean, cov = (sp.Rational(1, 3), sp.Rational(-1, 2)), sp.Matrix([[1, sp.Rational(-2, 5)], [sp.Rational(-2, 5), sp.Rational(3, 4)]])
    exponent = a / 2 - a**2 / 3 + a * b - b**2 + 1
    c, tilted = tilt(exponent, Gaussian((a, b), mean, cov))
    direct = panels(sp.exp(exponent) * SOFT, (a, b), mean, cov)
    assert float(c) * panels(SOFT, (a, b), tilted.mean, tilted.cov) == pytest.approx(direct, abs=1e-12)


def test_tilt_refuses_what_it_cannot_do():
    one = Gaussian((a,), (0,), sp.eye(1))
    with pytest.raises(ValueError, match="infinite"):
        tilt(a**2, one)
    with pytest.raises(ValueError, match="quadratic"):
        tilt(a**3, one)


@FEW
@given(pairs, pairs, pairs, numbers)
def test_condition(mean, first, second, level):
    """E[delta(a - level) f] is the integral of f times the joint density along a = level."""
    assume(first[0] * second[1] - first[1] * second[0] != 0)
    joint = law(mean, first, second)
    f = Softplus(a - 2 * b)
    density, conditioned = condition(a - level, joint)
    value = density * mean_of(f, conditioned)
    away = sp.Matrix([level - mean[0], b - mean[1]])
    weight = sp.exp(-(away.T * joint.cov.inv() * away)[0] / 2) / (2 * sp.pi * sp.sqrt(joint.cov.det()))
    spread = joint.cov[1, 1] - joint.cov[0, 1] ** 2 / joint.cov[0, 0]
    centre = mean[1] + joint.cov[0, 1] / joint.cov[0, 0] * (level - mean[0])
    with mpmath.workdps(25):
        integrand = sp.lambdify(b, weight * sp.log(1 + sp.exp(level - 2 * b)), "mpmath")
        low, mid, high = (mpmath.mpf((centre + k * sp.sqrt(spread)).evalf(30)) for k in (-12, 0, 12))
        assert (
            abs(mpmath.mpf(value.evalf(25)) - mpmath.quad(integrand, mpmath.linspace(low, mid, 4) + mpmath.linspace(mid, high, 4)[1:]))
            < 1e-18
        )


def test_condition_refuses_what_it_cannot_do():
    singular = law((0, 0), (1, -1))
    with pytest.raises(ValueError, match="affine"):
        condition(a * b, singular)
    with pytest.raises(ValueError, match="constant"):
        condition(a + b, singular)


@pytest.mark.parametrize("f", [sp.Heaviside(a - y), sp.Abs(a - y), sp.exp(-sp.Abs(a)) * Sigmoid(a)])
def test_delta_derivatives(f, close):
    """E[delta''(a - 1) f]: the second derivative of density times f, beside the kink at y = 1/2."""
    value = expectation(sp.DiracDelta(a - 1, 2) * f, (a,), (sp.Rational(1, 4),), [[2]]).subs(y, sp.Rational(1, 2))
    branch = {sp.Heaviside(a - y): sp.S.One, sp.Abs(a - y): a - sp.Rational(1, 2)}.get(f, sp.exp(-a) * Sigmoid(a))
    density = sp.exp(-((a - sp.Rational(1, 4)) ** 2) / 4) / sp.sqrt(4 * sp.pi)
    close(value, mpmath.mpmathify(sp.diff(density * branch, a, 2).subs(a, 1).evalf(30)), 15)


def test_a_step_with_a_factor_of_known_sign_is_resolved():
    """The step of that factor is a number; found by random texts."""
    h = sp.Symbol("h", real=True)
    assert terms._resolved(sp.Heaviside((1 + sp.exp(h)) * (h - 1), evaluate=False), (h,))
    assert not terms._resolved(sp.Heaviside((2 + sp.sin(3 * h) ** 3 * h) * (h - 1), evaluate=False), (h,))
