"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file.

docs/theory.md (2.10) and (2.11): what is known of Theta sees the covariances whole, its response to the noise their diagonals.
"""

import sympy as sp

from gmsym import symbols
from gmsym.calculus.kernels import Transposed as T
from gmsym.system.causal_kernels import (
    E_Y,
    Bt,
    C,
    D,
    K,
    L,
    La,
    Lt,
    Lw,
    Q,
    Qk,
    Ra,
    Sigma,
    Theta,
    W,
    Y,
    abar,
    alpha,
    b,
    b_other,
    e_D,
    e_S,
    i,
    j,
    k,
    l,
    m,
    mean,
    p,
    r,
    rank,
    rho,
    s,
    sigma2,
    start,
    t,
    xi,
)
from gmsym.system.causal_kernels import B as COORDINATES
from gmsym.system.causal_kernels import ridge as lam

eta, field, label = symbols.eta, symbols.h, symbols.y
past = sp.Symbol("r'", integer=True, nonnegative=True)

LOCAL = {"loss": sp.log(1 + sp.exp(-label * field)), "gradient": (-label / (1 + sp.exp(label * field)),)}


def _noise(weight):
    inner = p(l) * sigma2(l, b) * W(b, t, r) * C(l, r, past) * T(W(b, s, past))
    return sp.Sum(weight * rho(b) * inner, (l, 1, K), (r, 0, t - 1), (past, 0, s - 1), (b, 1, COORDINATES)) / alpha


KERNEL_FORM = {
    Theta(b, t): D(b, t) + sp.Sum(W(b, t, s) * xi(b, s), (s, 0, t - 1)),
    D(b, 0): start(b),
    D(b, t + 1): (1 - eta * lam) * D(b, t)
    - eta * sp.Sum(p(k) * mean(k, b) * abar(k, t), (k, 1, K))
    - eta * sp.Sum(p(l) * Sigma(l, b, b_other) * Ra(l, t, r) * D(b_other, r), (b_other, 1, COORDINATES), (r, 0, t), (l, 1, K)),
    m(k, t): sp.Sum(mean(k, b) * D(b, t), (b, 1, COORDINATES)),
    Q(t, s): sp.Sum(D(b, t) * T(D(b, s)), (b, 1, COORDINATES)) + _noise(1),
    Qk(k, t, s): sp.Sum(Sigma(k, b, b_other) * D(b, t) * T(D(b_other, s)), (b, 1, COORDINATES), (b_other, 1, COORDINATES))
    + _noise(sigma2(k, b)),
}

INNOVATION_FORM = {
    D(b, t): sp.Sum(Lt(i, t) * e_D(i, b), (i, 1, rank)),
    Y(b, j, t): sp.Sum(Lt(i, t) * E_Y(i, b, j), (i, 1, rank)),
    L(k, j, t): sp.Sum(Lt(i, t) * Lw(k, i, j), (i, 1, rank)),
    e_S(k, i, b): sp.Sum(Sigma(k, b, b_other) * e_D(i, b_other), (b_other, 1, COORDINATES)),
    D(b, t + 1): (1 - eta * lam) * D(b, t)
    - eta * sp.Sum(p(k) * mean(k, b) * abar(k, t), (k, 1, K))
    - eta * sp.Sum(p(l) * Bt(l, i, t) * e_S(l, i, b), (i, 1, rank), (l, 1, K)),
    Y(b, j, t + 1): (1 - eta * lam) * Y(b, j, t)
    - eta * La(j, t)
    - eta * sp.Sum(p(l) * sigma2(l, b) * Bt(l, i, t) * E_Y(i, b, j), (i, 1, rank), (l, 1, K)),
}
