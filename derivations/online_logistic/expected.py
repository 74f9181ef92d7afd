"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file.

theory.md (6.1) with Stein's lemma, in the time t = steps * c/d; Ben Arous, Gheissari and Jagannath 2022 (arXiv 2206.04030).
"""

import sympy as sp

from gmsym.calculus import GaussianMean
from gmsym.calculus.kernels import Transposed as T
from gmsym.system.causal_kernels import Mean
from gmsym.system.ode import A, K, Q, S, a, abar, beta, c, gram, h, k, l, m, p, sigma2, t, u

D = sp.Derivative
FLOW = {
    D(Q(t), t): -sp.Sum(p(k) * Mean(h(t) * T(a(t)), k), (k, 1, K))
    - sp.Sum(p(k) * Mean(a(t) * T(h(t)), k), (k, 1, K))
    - 2 * beta * Q(t)
    + c * sp.Sum(p(k) * sigma2(k) * Mean(a(t) * T(a(t)), k), (k, 1, K)),
    D(m(l, t), t): -sp.Sum(p(k) * Mean(a(t) * u(l), k), (k, 1, K)) - beta * m(l, t),
}
REDUCED = {
    Mean(a(t) * T(h(t)), k): abar(k, t) * T(m(k, t)) + sigma2(k) * A(k, t) * Q(t),
    Mean(a(t) * u(l), k): abar(k, t) * gram(k, l) + sigma2(k) * A(k, t) * m(l, t),
}

# Means over the field of the first cluster, label +1: the logistic function 1/(1 + exp(h)).
_m, _V, _z = sp.Symbol("m_0", real=True), sp.Symbol("V_0_0", positive=True), sp.Symbol("z", real=True)


def _mean(f):
    return GaussianMean(sp.Lambda(_z, f), [_m], [[_V]])


MEANS = {
    abar(1, t): -_mean(1 / (1 + sp.exp(_z))),
    A(1, t): _mean(sp.exp(_z) / (1 + sp.exp(_z)) ** 2),
    S(1, t): _mean(1 / (1 + sp.exp(_z)) ** 2),
}
TEST_ERROR = [sp.erfc(y * _m / sp.sqrt(2 * _V)) / 2 for y in (1, -1)]
