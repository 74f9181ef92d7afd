"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file.

Source: theory.md 5 and verified/dmf.md 1.5 (nonlinear coordinatewise updates), theory.md 2 for the samples' side. Coordinates are in units
of d^(-1/2); both sides of Stein's lemma are written with the covariance of the noise.
"""

import sympy as sp

from gmsym import symbols
from gmsym.calculus.kernels import Transposed as T
from gmsym.system.causal_kernels import (
    B,
    Bk,
    C,
    F,
    G,
    Gamma,
    K,
    L,
    La,
    Lxi,
    Mean,
    Phi,
    Q,
    Qk,
    R,
    Ra,
    Rt,
    Theta,
    W,
    Y,
    a,
    abar,
    alpha,
    b,
    ec,
    f,
    g,
    h,
    i,
    innovation,
    j,
    j_other,
    k,
    l,
    m,
    mu,
    nonzero,
    normal,
    omega,
    p,
    present,
    r,
    rank,
    rank_a,
    rho,
    s,
    sigma2,
    t,
    xi,
)  # fmt: skip
from gmsym.system.causal_kernels import ridge as lam

eta, l1, field, label = symbols.eta, symbols.symbol("l1"), symbols.h, symbols.y
coordinate, gradient = sp.Symbol(r"\Theta_{b}(t)", real=True), sp.Symbol("G_{b}(t)", real=True)

LOCAL = {
    "loss": sp.log(1 + sp.exp(-label * field)),
    "gradient": (-label / (1 + sp.exp(label * field)),),
    "test_error": [sp.erfc(y_k * sp.Symbol("m_0", real=True) / sp.sqrt(2 * sp.Symbol("Q_0_0", positive=True))) / 2 for y_k in (1, -1)],
}

_square = Mean(Theta(b, t) * T(Theta(b, s)), b)
KERNEL_FORM = {
    h(k, t): m(k, t) + omega(k, t) + sp.Sum(R(k, t, s) * a(k, s), (s, 0, t - 1)),
    Mean(omega(k, t) * T(omega(k, s)), k): Qk(k, t, s),
    R(k, t, s): sp.Sum(rho(b) * sigma2(k, b) * W(b, t, s), (b, 1, B)) / alpha,
    C(k, t, s): Mean(a(k, t) * T(a(k, s)), k),
    # gt_t = sum p_k mt_k abar_k + xi_t + sum p_k sigma_k^2 sum Ra_k vth_r + lam vth_t
    G(b, t): sp.Sum(p(k) * mu(k, b) * abar(k, t), (k, 1, K))
    + xi(b, t)
    + sp.Sum(p(k) * sigma2(k, b) * Ra(k, t, s) * Theta(b, s), (s, 0, t), (k, 1, K))
    + lam * Theta(b, t),
    Mean(xi(b, t) * T(xi(b, s)), b): sp.Sum(p(k) * sigma2(k, b) * C(k, t, s), (k, 1, K)) / alpha,
    Theta(b, t + 1): sp.sign(coordinate - eta * gradient) * sp.Max(sp.Abs(coordinate - eta * gradient) - eta * l1, 0),  # soft threshold
    sp.Sum(W(b, t, r) * Mean(xi(b, r) * T(xi(b, s)), b), (r, 0, t - 1)): Mean(Theta(b, t) * T(xi(b, s)), b),
    m(k, t): sp.Sum(rho(b) * Mean(mu(k, b) * Theta(b, t), b), (b, 1, B)),
    Q(t, s): sp.Sum(rho(b) * _square, (b, 1, B)),
    Qk(k, t, s): sp.Sum(rho(b) * sigma2(k, b) * _square, (b, 1, B)),
    nonzero(t): sp.Sum(rho(b) * Mean(present(b, t), b), (b, 1, B)),
}

INNOVATION_FORM = {
    h(k, t): m(k, t) + sp.Sum(L(k, j, t) * g(j), (j, 1, rank)) + sp.Sum(Rt(k, j, t) * f(k, j), (j, 1, rank_a)),
    Theta(b, t): sp.Sum(L(l, j, t) * ec(l, j, b), (j, 1, rank)),
    a(k, t): sp.Sum(La(j, t) * f(k, j), (j, 1, rank_a)),
    xi(b, t): sp.Sum(La(j, t) * innovation(b, j), (j, 1, rank_a)),
    Phi(b, i, j): sp.Sum(p(k) * sigma2(k, b) * Gamma(k, i, j), (k, 1, K)) / alpha,
    sp.Sum(F(b, i, j_other) * F(b, j, j_other), (j_other, 1, rank_a)): Phi(b, i, j),
    sp.Sum(Y(b, i, t) * F(b, i, j_other), (i, 1, rank_a)): Mean(Theta(b, t) * normal(j_other), b),
    Rt(k, j, t): sp.Sum(rho(b) * sigma2(k, b) * Y(b, j, t), (b, 1, B)) / alpha,
    Bk(k, j, t): Mean(a(k, t) * g(j), k),
    Lxi(b, j_other, t): sp.Sum(La(j, t) * F(b, j, j_other), (j, 1, rank_a)),
    G(b, t): sp.Sum(p(k) * mu(k, b) * abar(k, t), (k, 1, K))
    + sp.Sum(Lxi(b, j_other, t) * normal(j_other), (j_other, 1, rank_a))
    + sp.Sum(p(k) * sigma2(k, b) * Bk(k, j, t) * ec(k, j, b), (j, 1, rank), (k, 1, K))
    + lam * Theta(b, t),
}
