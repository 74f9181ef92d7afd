"""Equations typed by a person from theory.md 2, "Teachers". No tool writes this file.

A teacher is an iterate that does not move: its field is Gaussian jointly with the student's, the gradient responds to it, and Theta gains
its direction.
"""

import sympy as sp

from gmsym import symbols
from gmsym.calculus.kernels import Transposed
from gmsym.system.causal_kernels import (
    M_0,
    B,
    Bk,
    G,
    K,
    L,
    Lz,
    M,
    Mean,
    Mk,
    P,
    Qk,
    Ra,
    Rz,
    S,
    Theta,
    U,
    V,
    a,
    abar,
    b,
    e,
    e_other,
    e_V,
    g,
    j,
    k,
    l,
    mu,
    omega,
    p,
    r,
    rank,
    rho,
    s,
    sigma2,
    star,
    star_gram,
    star_gram_k,
    star_mean,
    star_mean_b,
    t,
    tau,
    xi,
    zeta,
)  # fmt: skip
from gmsym.system.causal_kernels import ridge as lam

eta = symbols.eta
T = Transposed
field, teacher = symbols.h, symbols.symbol("t0")
margin = sp.sign(teacher) * field
Q_0_0, Q_1_1 = sp.symbols("Q_0_0 Q_1_1", positive=True)
Q_0_1 = sp.Symbol("Q_0_1", real=True)

LOCAL = {
    "loss": sp.log(1 + sp.exp(-margin)),
    "gradient": (-sp.sign(teacher) / (1 + sp.exp(margin)),),
    "test_error": [sp.acos(Q_0_1 / sp.sqrt(Q_0_0 * Q_1_1)) / sp.pi] * 2,  # two correlated Gaussians of different signs
}

KERNEL_FORM = {
    tau(k, e): star_mean(e, k) + zeta(k, e),
    Mean(zeta(k, e) * zeta(k, e_other), k): star_gram_k(k, e, e_other),
    Mean(omega(k, t) * zeta(k, e), k): Mk(k, e, t),
    star_gram_k(k, e, e_other): sp.Sum(rho(b) * sigma2(k, b) * star_gram(e, e_other, b), (b, 1, B)),
    G(b, t): sp.Sum(p(k) * mu(k, b) * abar(k, t), (k, 1, K))
    + xi(b, t)
    + sp.Sum(p(k) * sigma2(k, b) * Ra(k, t, s) * Theta(b, s), (s, 0, t), (k, 1, K))
    + sp.Sum(p(k) * sigma2(k, b) * Rz(k, e, t) * star(e, b), (e, 1, S), (k, 1, K))
    + lam * Theta(b, t),
    sp.Sum(Ra(k, t, r) * Qk(k, r, s), (r, 0, t)) + sp.Sum(Rz(k, e, t) * T(Mk(k, e, s)), (e, 1, S)): Mean(a(k, t) * T(omega(k, s)), k),
    V(e, b, 0): sp.Integer(0),
    V(e, b, t + 1): (1 - eta * lam) * V(e, b, t)
    - eta * sp.Sum(p(l) * sigma2(l, b) * Rz(l, e, t), (l, 1, K))
    - eta * sp.Sum(p(l) * sigma2(l, b) * Ra(l, t, r) * V(e, b, r), (r, 0, t), (l, 1, K)),
    M(e, t): sp.Sum(rho(b) * P(b, t) * M_0(e, b), (b, 1, B))
    + sp.Sum(rho(b) * star_mean_b(e, l, b) * U(l, b, t), (b, 1, B), (l, 1, K))
    + sp.Sum(rho(b) * star_gram(e, e_other, b) * V(e_other, b, t), (b, 1, B), (e_other, 1, S)),
}

INNOVATION_FORM = {
    zeta(k, e): sp.Sum(Lz(k, j, e) * g(j), (j, 1, rank)),
    tau(k, e): star_mean(e, k) + sp.Sum(Lz(k, j, e) * g(j), (j, 1, rank)),
    V(e, b, t): sp.Sum(L(l, j, t) * e_V(l, j, b, e), (j, 1, rank)),
    V(e, b, t + 1): (1 - eta * lam) * V(e, b, t)
    - eta * sp.Sum(p(l) * sigma2(l, b) * Bk(l, j, t) * e_V(l, j, b, e), (j, 1, rank), (l, 1, K)),
    Bk(k, j, t): Mean(a(k, t) * g(j), k),
}
