"""Every primitive of generated code has the right value, first and second derivative, far out too, in both precisions."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from gmsym.runtime import functions as rt

mpmath.mp.dps = 60
POINTS = [-1e4, -300.0, -37.3, -6.1, -1.0, -1e-3, 0.0, 0.4, 3.3, 8.9, 36.7, 300.0, 1e4]


def ratio(u):
    return mpmath.npdf(u) / mpmath.ncdf(u)


def curvature(u):
    return ratio(u) * (u + ratio(u))


def logistic(u):
    return 1 / (1 + mpmath.exp(-u))


def logistic_slope(u):
    return logistic(u) * logistic(-u)


def mills_slope(u):
    return ratio(u) - curvature(u) * (u + 2 * ratio(u))


def erf_slope(u):
    return 2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-(u**2))


# value, first and second derivative
EXACT = {
    rt.softplus: (lambda u: mpmath.log1p(mpmath.exp(u)) if u < 0 else u + mpmath.log1p(mpmath.exp(-u)), logistic, logistic_slope),
    rt.sigmoid: (logistic, logistic_slope, lambda u: logistic_slope(u) * (logistic(-u) - logistic(u))),
    rt.normal_cdf: (mpmath.ncdf, mpmath.npdf, lambda u: -u * mpmath.npdf(u)),
    rt.log_normal_cdf: (lambda u: mpmath.log(mpmath.ncdf(u)) if u < 0 else mpmath.log1p(-mpmath.ncdf(-u)), ratio, lambda u: -curvature(u)),
    rt.inverse_mills: (ratio, lambda u: -curvature(u), lambda u: -mills_slope(u)),
    rt.mills_curvature: (curvature, mills_slope, lambda u: mpmath.diff(mills_slope, u, h=mpmath.mpf("1e-12"))),
    rt.erf: (mpmath.erf, erf_slope, lambda u: -2 * u * erf_slope(u)),
    rt.erfc: (mpmath.erfc, lambda u: -erf_slope(u), lambda u: 2 * u * erf_slope(u)),
    rt.absolute: (abs, mpmath.sign, lambda u: mpmath.mpf(0)),
    rt.step: (lambda u: (1 + mpmath.sign(u)) / 2, lambda u: mpmath.mpf(0), lambda u: mpmath.mpf(0)),
    lambda u: rt.logsumexp(u, -2 * u, 0 * u): (
        lambda u: mpmath.log(mpmath.exp(u) + mpmath.exp(-2 * u) + 1),
        lambda u: (mpmath.exp(u) - 2 * mpmath.exp(-2 * u)) / (mpmath.exp(u) + mpmath.exp(-2 * u) + 1),
        lambda u: (
            (mpmath.exp(u) + 4 * mpmath.exp(-2 * u)) / (mpmath.exp(u) + mpmath.exp(-2 * u) + 1)
            - ((mpmath.exp(u) - 2 * mpmath.exp(-2 * u)) / (mpmath.exp(u) + mpmath.exp(-2 * u) + 1)) ** 2
        ),
    ),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("function", EXACT, ids=lambda f: f.__name__)
def test_value_and_derivatives(function, dtype):
    orders = (function, jax.grad(function), jax.grad(jax.grad(function)))
    columns = jax.jit(jax.vmap(lambda u: tuple(order(u) for order in orders)))(jnp.asarray(POINTS, dtype))
    tolerance = float(64 * np.finfo(dtype).eps)
    for got, exact in zip(columns, EXACT[function], strict=True):
        assert got.dtype == dtype
        for u, value in zip(np.asarray(POINTS, dtype), got, strict=True):
            expected = float(exact(mpmath.mpf(float(u))))
            # Relative to the value, or to 1: an underflow to 0 is right.
            assert float(value) == pytest.approx(expected, rel=tolerance, abs=tolerance), f"at {u}"


@pytest.mark.parametrize("function", [rt.sigmoid, rt.normal_cdf, rt.inverse_mills, rt.mills_curvature, rt.log_normal_cdf])
def test_relative_accuracy(function):
    """Small values are not rounded to 0: u = -30 and 30, where the naive formulas cancel."""
    for u in (-30.0, -5.0, 5.0, 30.0):
        assert float(function(u)) == pytest.approx(float(EXACT[function][0](mpmath.mpf(u))), rel=2e-13, abs=0)


def test_curvature_stays_between_0_and_1():
    for dtype in (np.float32, np.float64):
        u = np.concatenate([-np.logspace(-3, 4, 2000), np.logspace(-3, 0.9, 500)]).astype(dtype)
        value = np.asarray(rt.mills_curvature(u))
        assert (value > 0).all() and (value <= 1).all()
        assert abs(value[1999] - 1) < 1e-6


def test_infinite_branches_leave_no_nan():
    for u in (-np.inf, np.inf):
        assert float(rt.normal_cdf(u)) == (u > 0) and float(rt.sigmoid(u)) == (u > 0)
        assert not np.isnan(jax.grad(rt.sigmoid)(u))


def test_integers_and_mixed_types():
    assert rt.softplus(0).dtype == jnp.float64
    assert rt.logsumexp(jnp.float32(1), 2, 0.5).dtype == jnp.float32
    assert rt.absolute(-3) == 3


def bivariate(a, b, rho):
    """P(X <= a, Y <= b) by quadrature of the conditional distribution, split where it is steep."""
    a, b, rho = mpmath.mpf(a), mpmath.mpf(b), mpmath.mpf(rho)
    s = mpmath.sqrt((1 - rho) * (1 + rho))
    low, high = mpmath.mpf(-10), min(a, mpmath.mpf(10))
    if high <= low:
        return mpmath.mpf(0)
    turn = b / rho if rho else low
    splits = sorted({low, high, *(p for k in (-8, -2, 0, 2, 8) if low < (p := turn + k * s) < high)})
    with mpmath.workdps(25):
        return mpmath.quad(lambda x: mpmath.npdf(x) * mpmath.ncdf((b - rho * x) / s), splits)


BIVARIATE = jax.jit(rt.bivariate_normal_cdf)
CASES = [
    (0.0, 0.0, 0.3),
    (0.0, 0.0, -0.999),
    (0.0, 0.7, 0.5),
    (-1.3, 0.0, -0.5),
    (0.7, 0.7 + 1e-7, 1 - 1e-12),
    (0.7, -0.7, -1 + 1e-12),
    (2.5, -1.3, 0.95),
    (-4.0, 3.0, -0.9),
    (1.0, -1.0, 0.0),
    (-0.3, -0.2, 0.999999),
    (1e4, 0.3, 0.5),
    (-1e4, 0.3, 0.5),
    (0.2, 1e4, -0.9),
    (6.0, 5.0, -0.7),
]


@pytest.mark.parametrize(("a", "b", "rho"), CASES)
def test_bivariate_normal(a, b, rho):
    value = float(BIVARIATE(a, b, rho))
    assert abs(value - float(bivariate(a, b, rho))) < 1e-15


def test_bivariate_normal_in_float32():
    for a, b, rho in ((0.4, -0.7, 0.3), (0.0, 0.0, -0.6), (1.2, 1.1, 0.97), (1e4, -1.0, -0.5)):
        value = rt.bivariate_normal_cdf(*map(np.float32, (a, b, rho)))
        assert value.dtype == jnp.float32 and float(value) == pytest.approx(float(bivariate(a, b, rho)), abs=3e-7)


def test_bivariate_normal_limits():
    for a, b in ((0.3, -0.2), (1.0, 1.0), (0.0, 0.0), (-2.0, 2.0)):
        assert float(rt.bivariate_normal_cdf(a, b, 1.0)) == pytest.approx(float(mpmath.ncdf(min(a, b))), abs=1e-15)
        assert float(rt.bivariate_normal_cdf(a, b, -1.0)) == pytest.approx(max(0.0, float(mpmath.ncdf(a) + mpmath.ncdf(b) - 1)), abs=1e-15)
        for rho in (-1.0, 1.0):
            assert np.isfinite(jax.grad(rt.bivariate_normal_cdf, (0, 1, 2))(a, b, rho)).all()


@pytest.mark.parametrize(("a", "b", "rho"), [(0.4, -0.7, 0.3), (0.0, 0.0, -0.6), (1.2, 1.1, 0.97)])
def test_bivariate_normal_derivatives(a, b, rho):
    point, width = np.array([a, b, rho]), 1e-5
    gradient = jax.grad(rt.bivariate_normal_cdf, (0, 1, 2))(a, b, rho)
    for shift, slope in zip(width * np.eye(3), gradient, strict=True):
        difference = (rt.bivariate_normal_cdf(*(point + shift)) - rt.bivariate_normal_cdf(*(point - shift))) / (2 * width)
        assert float(slope) == pytest.approx(float(difference), abs=1e-8)
    s2 = 1 - rho**2
    density = np.exp(-(a**2 - 2 * rho * a * b + b**2) / (2 * s2)) / (2 * np.pi * np.sqrt(s2))
    hessian = np.asarray(jax.hessian(rt.bivariate_normal_cdf, (0, 1, 2))(a, b, rho))
    assert hessian[0, 1] == pytest.approx(density, rel=1e-13) and hessian == pytest.approx(hessian.T, rel=1e-11, abs=1e-14)
