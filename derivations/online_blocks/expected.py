"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file.

theory.md (6.1) for the rows of one block b of the coordinates, rho_b d of them with variance sigma_kb^2 in cluster k: |Y_b|^2 = rho_b
sigma_kb^2 d; gram_klb is the mean product of the means' coordinates in the block, times d. Own derivation. Time t = steps * c/d.
"""

import sympy as sp

from gmsym.calculus import GaussianMean
from gmsym.calculus.kernels import Transposed as T
from gmsym.system.causal_kernels import Mean
from gmsym.system.ode import A, K, Q, S, a, abar, beta, block, c, gram, h, k, l, m, p, rho, sigma2, t, u

D = sp.Derivative
b = block
FLOW = {
    D(Q(b, t), t): -sp.Sum(p(k) * Mean(h(b, t) * T(a(t)), k), (k, 1, K))
    - sp.Sum(p(k) * Mean(a(t) * T(h(b, t)), k), (k, 1, K))
    - 2 * beta * Q(b, t)
    + c * rho(b) * sp.Sum(p(k) * sigma2(k, b) * Mean(a(t) * T(a(t)), k), (k, 1, K)),
    D(m(b, l, t), t): -sp.Sum(p(k) * Mean(a(t) * u(b, l), k), (k, 1, K)) - beta * m(b, l, t),
}
REDUCED = {
    Mean(a(t) * T(h(b, t)), k): abar(k, t) * T(m(b, k, t)) + sigma2(k, b) * A(k, t) * Q(b, t),
    Mean(a(t) * u(b, l), k): rho(b) * abar(k, t) * gram(k, l, b) + sigma2(k, b) * A(k, t) * m(b, l, t),
}

# The drift of Q and of the overlap with the first mean in the second block, in numbers: means of the logistic function over the field,
# whose law sums both blocks.
_z = sp.Symbol("z0", real=True)
_p, _rho = ([sp.Symbol(f"{name}_{i}", positive=True) for i in range(2)] for name in ("p", "rho"))
_Q = [sp.Symbol(f"Q_{i}_0_0", positive=True) for i in range(2)]
_m = [[sp.Symbol(f"m_{i}_{x}_0", real=True) for x in range(2)] for i in range(2)]
_gram = [sp.Symbol("gram_0_0_1", positive=True), sp.Symbol("gram_0_1_1", real=True)]


def _variance(x, i):
    return sp.Symbol(f"sigma2_{x}_{i}", positive=True)


def _mean(x, f):  # over the field of cluster x
    return GaussianMean(sp.Lambda(_z, f), [_m[0][x] + _m[1][x]], [[_variance(x, 0) * _Q[0] + _variance(x, 1) * _Q[1]]])


def _a(x):
    return -1 / (1 + sp.exp(_z)) if x == 0 else 1 / (1 + sp.exp(-_z))


_slope = sp.exp(_z) / (1 + sp.exp(_z)) ** 2
DRIFT = {
    ("Q", (1, 0, 0)): -2 * sum(_p[x] * (_m[1][x] * _mean(x, _a(x)) + _variance(x, 1) * _Q[1] * _mean(x, _slope)) for x in range(2))
    - 2 * beta * _Q[1]
    + c * _rho[1] * sum(_p[x] * _variance(x, 1) * _mean(x, _a(x) ** 2) for x in range(2)),
    ("m", (1, 0, 0)): -sum(_p[x] * (_rho[1] * _gram[x] * _mean(x, _a(x)) + _variance(x, 1) * _m[1][0] * _mean(x, _slope)) for x in range(2))
    - beta * _m[1][0],
}

_mu, _V = sp.Symbol("m_0", real=True), sp.Symbol("V_0_0", positive=True)
MEANS = {S(1, t): GaussianMean(sp.Lambda(_z, 1 / (1 + sp.exp(_z)) ** 2), [_mu], [[_V]])}
