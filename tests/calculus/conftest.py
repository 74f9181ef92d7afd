"""Numbers to hold the calculus against: quadratures that know nothing of its rules."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import mpmath
import numpy as np
import pytest
import scipy.special
import sympy as sp

from gmsym.calculus import Gaussian
from gmsym.calculus.quadrature import gaussian_quadrature

_NODES = {
    "Softplus": lambda u: np.logaddexp(0, u),
    "Sigmoid": scipy.special.expit,
    "NormalCDF": scipy.special.ndtr,
    "LogNormalCDF": scipy.special.log_ndtr,
    "LogSumExp": lambda *u: np.logaddexp.reduce(np.broadcast_arrays(*u)),
    "Heaviside": lambda u, _=0.5: np.heaviside(u, 0.5),
}


def panels(f, variables, mean, cov, axes=None, breaks=(0.0,)) -> float:
    """E[f] by Gauss-Legendre panels (about 1e-12 in two dimensions, 1e-9 in three), with edges where an axis crosses a break.

    `axes` are linear forms in the variables, as many as these: f must be smooth off the breaks of these forms.
    """
    d = len(variables)
    forms = sp.Matrix(axes or variables)
    T = forms.jacobian(variables)
    s = sp.symbols(f"s:{d}", real=True)
    f = sp.sympify(f).xreplace(dict(zip(variables, T.inv() * sp.Matrix(s), strict=True)))
    mean = np.array(T * sp.Matrix(list(mean)), float).ravel()
    cov = np.array(T * sp.Matrix(cov) * T.T, float)
    count, width = {1: (40, 1.0), 2: (24, 1.5), 3: (14, 1.8)}[d]
    nodes, weights = np.polynomial.legendre.leggauss(count)
    grids, weight = [], np.ones(())
    for i in range(d):
        deviation = np.sqrt(cov[i, i])
        low, high = mean[i] - 9 * deviation, mean[i] + 9 * deviation
        ends = [low, *(b for b in breaks if low < b < high), high]
        edges = sorted({e for a, b in pairwise(ends) for e in np.linspace(a, b, 1 + int(np.ceil((b - a) / (width * deviation))))})
        halves = np.diff(edges) / 2
        grids.append(((np.array(edges[:-1]) + halves)[:, None] + halves[:, None] * nodes).ravel())
        weight = np.multiply.outer(weight, (halves[:, None] * weights).ravel())
    x = np.stack(np.meshgrid(*grids, indexing="ij"))
    away = x - mean.reshape(-1, *[1] * d)
    exponent = -np.einsum("i...,ij,j...->...", away, np.linalg.inv(cov), away) / 2
    density = np.exp(exponent) / np.sqrt((2 * np.pi) ** d * np.linalg.det(cov))
    return float(np.sum(weight * density * sp.lambdify(s, f, modules=[_NODES, "scipy"])(*x)))


@pytest.fixture(name="panels")
def _panels() -> Callable[..., float]:
    return panels


@pytest.fixture
def quadrature() -> Callable[..., mpmath.mpf]:
    """E[f] to `digits` digits by the package's own quadrature, which test_quadrature.py checks: best in one dimension."""

    def value(f: sp.Expr, variables: Sequence[sp.Symbol], mean: Sequence, cov, digits: int) -> mpmath.mpf:
        return gaussian_quadrature(Gaussian(tuple(variables), mean, sp.Matrix(cov)), sp.sympify(f), digits)

    return value


@pytest.fixture
def close() -> Callable[..., None]:
    """Assert that an expression without symbols and a number agree to `digits` digits after the point."""

    def check(expr: sp.Expr, reference, digits: int) -> None:
        with mpmath.workdps(digits + 10):
            value = mpmath.mpmathify(sp.sympify(expr).evalf(digits + 8))
            assert abs(value - reference) < mpmath.mpf(10) ** -digits, f"{expr} is {value}, the quadrature says {reference}"

    return check
