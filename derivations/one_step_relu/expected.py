"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file.

verified/one_step.md: Hermite coefficients of section 3, level B+ and the outliers of sections 4 and 5; the arc-cosine kernel of Cho and
Saul 2009.
"""

import sympy as sp

from gmsym.system.fixed_point import Total

b, v, w, r = sp.symbols("b v v' r", positive=True)
n, m, k, T, q, nu, x = sp.symbols("n m k T q nu x", positive=True)
t, y, tau = sp.symbols("t_a y_a tau_j", real=True)
tail, square = sp.symbols("K_tail y2", real=True)
beta, data, gradient = sp.symbols("beta beta_D beta_G", nonnegative=True)

_root = sp.sqrt(2 * sp.pi)
# Section 3: h_j = b He_{j-2}(0)/(j! sqrt(2 pi)) for j >= 2; E s^2; E s'^2 is the probability of a positive preactivation.
MOMENTS = [b / _root, b / 2, b / (2 * _root), 0, -b / (24 * _root), 0, b / (240 * _root), b**2 / 2, sp.Rational(1, 2)]

# Cho and Saul 2009, degree 1, with variances v and v' and covariance r; its derivative is the kernel of degree 0.
_angle = sp.acos(r / sp.sqrt(v * w))
KERNELS = [
    sp.sqrt(v * w) * (sp.sin(_angle) + (sp.pi - _angle) * sp.cos(_angle)) / (2 * sp.pi),
    (sp.pi - _angle) / (2 * sp.pi),
]

# Section 4, level B+: m(1 - lam/ls) = k(1 - ls/nu) = D(nu), and the errors.
_D = Total(t / (t + nu)) + (n - q) * Total(tau / T / (tau / T + nu)) + tail / nu
_slope_D = -Total(t / (t + nu) ** 2) - (n - q) * Total(tau / T / (tau / T + nu) ** 2) - tail / nu**2
_star = nu * (1 - _D / k)
_slope_star = 1 - _D / k - nu * _slope_D / k
_ridge = _star * (1 - _D / m)
_f = square - Total(y**2 * t / (t + nu))
_slope_f = Total(y**2 * t / (t + nu) ** 2)
_gamma = (_D + _star * _slope_D / _slope_star) / m
_test = (_f - _star * _slope_f / _slope_star) / (1 - _gamma)
BY_FUNCTION = {
    "freedom": [_D],
    "effective_ridge": [_star],
    "ridge": [_ridge],
    "errors": [_ridge / _star * _f, (_ridge / _star) ** 2 * _test, _test],
}

# Section 5: position of an outlier of Phi Phi^T/m.
_below = (n - q) * Total(tau / T / (x - tau / T)) + tail / x
BY_FUNCTION["spike"] = [x * (1 + _below / k) * (1 + _below / m)]

# Section 1: l, and the sharp degrees.
BY_FUNCTION["degrees"] = [sp.ceiling(beta / (1 - beta)), sp.ceiling(1 / (1 - data)) - 1, sp.ceiling(1 / (2 * (1 - gradient))) - 1]
