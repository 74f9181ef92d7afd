"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file.

docs/theory.md (6.2): mean D and covariance N of each coordinate of Theta over the samples before. Own derivation. Time t = steps * c/d.
"""

import sympy as sp

from gmsym.calculus import GaussianMean
from gmsym.calculus.kernels import Transposed as T
from gmsym.system.causal_kernels import Mean
from gmsym.system.ode import (
    A,
    D,
    K,
    N,
    P,
    Q,
    Q_k,
    S,
    Sigma,
    Theta,
    a,
    abar,
    b_other,
    beta,
    block,
    c,
    k,
    m,
    mean,
    p,
    rho,
    sigma2,
    t,
    turned,
    y,
)

d = sp.Derivative
b, B = block, sp.Symbol("B", integer=True, positive=True)


def over_clusters(x):
    return sp.Sum(p(k) * x, (k, 1, K))


FLOW = {
    d(D(b, t), t): -over_clusters(Mean(a(t) * y(b), k)) - beta * Theta(b, t),
    d(P(b, t), t): -over_clusters(Mean(a(t) * y(b), k) * T(Theta(b, t)))
    - over_clusters(Theta(b, t) * Mean(T(a(t)) * y(b), k))
    - 2 * beta * Theta(b, t) * T(Theta(b, t))
    + c * rho(b) * over_clusters(Mean(a(t) * T(a(t)) * y(b) ** 2, k)),
}
REDUCED = {
    Mean(a(t) * y(b), k): mean(k, b) * abar(k, t) + sp.Sum(Sigma(k, b, b_other) * A(k, t) * Theta(b_other, t), (b_other, 1, B)),
    Mean(a(t) * T(a(t)) * y(b) ** 2, k): (sigma2(k, b) + mean(k, b) ** 2) * S(k, t),
}
STATE = {
    d(D(b, t), t): -over_clusters(mean(k, b) * abar(k, t)) - over_clusters(A(k, t) * turned(k, b, t)) - beta * D(b, t),
    d(N(b, t), t): -over_clusters(sigma2(k, b) * A(k, t) * N(b, t))
    - over_clusters(sigma2(k, b) * N(b, t) * T(A(k, t)))
    - 2 * beta * N(b, t)
    + c * rho(b) * (over_clusters(sigma2(k, b) * S(k, t)) + over_clusters(mean(k, b) ** 2 * S(k, t))),
    turned(k, b, t): sp.Sum(Sigma(k, b, b_other) * D(b_other, t), (b_other, 1, B)),
    m(k, t): sp.Sum(mean(k, b) * D(b, t), (b, 1, B)),
    Q(t): sp.Sum(D(b, t) * T(D(b, t)), (b, 1, B)) + sp.Sum(N(b, t), (b, 1, B)),
    Q_k(k, t): sp.Sum(D(b, t) * T(turned(k, b, t)), (b, 1, B)) + sp.Sum(sigma2(k, b) * N(b, t), (b, 1, B)),
}
_z, _mu, _V = sp.Symbol("z0", real=True), sp.Symbol("m_0", real=True), sp.Symbol("V_0_0", positive=True)
MEANS = {S(1, t): GaussianMean(sp.Lambda(_z, 1 / (1 + sp.exp(_z)) ** 2), [_mu], [[_V]])}
