"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file.

theory.md (6.1) with a teacher, and the means by hand: given h the teacher's field is normal, so the class is +1 with probability
Phi(u); given tau = 0 the gradient jumps from the logistic function of h to minus that of -h.
"""

import sympy as sp

from gmsym.calculus import GaussianMean
from gmsym.calculus.kernels import Transposed as T
from gmsym.functions import BivariateNormalCDF, NormalCDF
from gmsym.system.causal_kernels import Mean
from gmsym.system.ode import A, B, K, M, Q, S, a, abar, beta, c, gram, h, k, l, m, p, r, s, sigma2, t, tau, tau_gram, tau_mean, u
from gmsym.system.ode import T as TEACHERS

D = sp.Derivative
FLOW = {
    D(Q(t), t): -sp.Sum(p(k) * Mean(h(t) * T(a(t)), k), (k, 1, K))
    - sp.Sum(p(k) * Mean(a(t) * T(h(t)), k), (k, 1, K))
    - 2 * beta * Q(t)
    + c * sp.Sum(p(k) * sigma2(k) * Mean(a(t) * T(a(t)), k), (k, 1, K)),
    D(m(l, t), t): -sp.Sum(p(k) * Mean(a(t) * u(l), k), (k, 1, K)) - beta * m(l, t),
    D(M(s, t), t): -sp.Sum(p(k) * Mean(a(t) * tau(s), k), (k, 1, K)) - beta * M(s, t),
}
REDUCED = {
    Mean(a(t) * tau(s), k): abar(k, t) * tau_mean(s, k)
    + sigma2(k) * A(k, t) * M(s, t)
    + sp.Sum(sigma2(k) * B(k, r, t) * tau_gram(r, s), (r, 1, TEACHERS)),
    Mean(a(t) * u(l), k): abar(k, t) * gram(k, l)
    + sigma2(k) * A(k, t) * m(l, t)
    + sp.Sum(sigma2(k) * B(k, r, t) * tau_mean(r, l), (r, 1, TEACHERS)),
}

# Means over (h, tau) of a cluster: N(0, V) of the first, N(m, V) of the second.
_V = sp.Matrix(2, 2, lambda i, j: sp.Symbol(f"V_{min(i, j)}_{max(i, j)}", **({"positive": True} if i == j else {"real": True})))
_z = sp.Symbol("z", real=True)
_logistic = 1 / (1 + sp.exp(-_z))


def _over_h(f, location):
    return GaussianMean(sp.Lambda(_z, f), [location[0]], [[_V[0, 0]]])


def _class(location):  # P(tau > 0 | h = z)
    regression = location[1] + _V[0, 1] / _V[0, 0] * (_z - location[0])
    return NormalCDF(regression / sp.sqrt(_V[1, 1] - _V[0, 1] ** 2 / _V[0, 0]))


def _jump(location):  # E[da/dtau] of the step at tau = 0
    density = sp.exp(-(location[1] ** 2) / (2 * _V[1, 1])) / sp.sqrt(2 * sp.pi * _V[1, 1])
    given = [location[0] - _V[0, 1] / _V[1, 1] * location[1]], [[_V[0, 0] - _V[0, 1] ** 2 / _V[1, 1]]]
    return -density * GaussianMean(sp.Lambda(_z, _logistic + 1 / (1 + sp.exp(_z))), *given)


MEANS = {}
for _k, _m in ((1, [sp.S.Zero] * 2), (2, [sp.Symbol(f"m_{i}", real=True) for i in range(2)])):
    _plus = _class(_m)
    MEANS |= {
        abar(_k, t): _over_h((1 - _plus) * _logistic - _plus * (1 - _logistic), _m),
        A(_k, t): _over_h(_logistic * (1 - _logistic), _m),
        B(_k, 1, t): _jump(_m),
        S(_k, t): _over_h((1 - _plus) * _logistic**2 + _plus * (1 - _logistic) ** 2, _m),
    }

# P(sign h != sign tau): the angle between student and teacher; off the origin by inclusion and exclusion.
_standard = [_m[i] / sp.sqrt(_V[i, i]) for i in range(2)]
_correlation = _V[0, 1] / sp.sqrt(_V[0, 0] * _V[1, 1])
TEST_ERROR = [
    sp.acos(_correlation) / sp.pi,
    NormalCDF(_standard[0]) + NormalCDF(_standard[1]) - 2 * BivariateNormalCDF(*_standard, _correlation),
]
