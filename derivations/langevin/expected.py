"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file.

Theory.md 5: Theta(t+1) gains sqrt(2 eta temperature) eps(t), eps N(0, 1/d) in every coordinate, independent of everything before.
Its coefficient N(t,s) in Theta(t) obeys the equation of W without a source in the gradient, and adds N N^T to the overlaps, the share
rho_b of it in block b.
"""

import sympy as sp

from gmsym import symbols
from gmsym.calculus.kernels import Transposed as T
from gmsym.system.causal_kernels import (
    Q_0,
    B,
    Bk,
    C,
    Ce,
    K,
    L,
    Le,
    Mean,
    N,
    P,
    Phi,
    Q,
    R,
    Ra,
    Theta,
    U,
    W,
    Y,
    Ye,
    alpha,
    b,
    e_Ye,
    eps,
    gram,
    i,
    j,
    k,
    l,
    m,
    m_0,
    mu,
    p,
    r,
    rank,
    rank_a,
    rank_e,
    rho,
    s,
    sigma2,
    t,
    xi,
)  # fmt: skip
from gmsym.system.causal_kernels import ridge as lam
from gmsym.system.recursion import dimension as d

field, label, eta = symbols.h, symbols.y, symbols.eta
push = sp.sqrt(2 * eta * symbols.temperature)
past, other = sp.Symbol("r'", integer=True, nonnegative=True), sp.Symbol("l'", integer=True, positive=True)

LOCAL = {
    "loss": sp.log(1 + sp.exp(-label * field)),
    "gradient": (-label / (1 + sp.exp(label * field)),),
    "test_error": [sp.erfc(y * sp.Symbol("m_0", real=True) / sp.sqrt(2 * sp.Symbol("Q_0_0", positive=True))) / 2 for y in (1, -1)],
}

KERNEL_FORM = {
    d * Mean(eps(b, t) * T(eps(b, s)), b): Ce(t, s),
    Ce(t, s): sp.KroneckerDelta(t, s),
    Theta(b, t): P(b, t) * Theta(b, 0)
    + sp.Sum(U(k, b, t) * mu(k, b), (k, 1, K))
    + sp.Sum(W(b, t, s) * xi(b, s), (s, 0, t - 1))
    + sp.Sum(N(b, t, s) * eps(b, s), (s, 0, t - 1)),
    N(b, s, s): sp.S.Zero,
    N(b, t + 1, s): N(b, t, s)
    + push * sp.KroneckerDelta(t, s)
    - eta * (lam * N(b, t, s) + sp.Sum(p(l) * sigma2(l, b) * Ra(l, t, r) * N(b, r, s), (r, s + 1, t), (l, 1, K))),
    # The noise responds to nothing: the fields' memory is that of gradient descent (2.4).
    R(k, t, s): sp.Sum(rho(b) * sigma2(k, b) * W(b, t, s), (b, 1, B)) / alpha,
    m(k, t): sp.Sum(rho(b) * P(b, t) * m_0(k, b), (b, 1, B)) + sp.Sum(gram(k, l, b) * rho(b) * U(l, b, t), (l, 1, K), (b, 1, B)),
    Q(t, s): sp.Sum(rho(b) * P(b, t) * Q_0(b) * T(P(b, s)), (b, 1, B))
    + sp.Sum(rho(b) * P(b, t) * m_0(other, b) * T(U(other, b, s)), (other, 1, K), (b, 1, B))
    + sp.Sum(rho(b) * U(l, b, t) * T(m_0(l, b)) * T(P(b, s)), (l, 1, K), (b, 1, B))
    + sp.Sum(gram(l, other, b) * rho(b) * U(l, b, t) * T(U(other, b, s)), (other, 1, K), (l, 1, K), (b, 1, B))
    + sp.Sum(rho(b) * N(b, t, r) * Ce(r, past) * T(N(b, s, past)), (past, 0, s - 1), (r, 0, t - 1), (b, 1, B))
    + sp.Sum(
        p(l) * rho(b) * sigma2(l, b) * W(b, t, r) * C(l, r, past) * T(W(b, s, past)) / alpha,
        (l, 1, K),
        (past, 0, s - 1),
        (r, 0, t - 1),
        (b, 1, B),
    ),
}

INNOVATION_FORM = {
    Ce(t, s): sp.Sum(Le(i, t) * T(Le(i, s)), (i, 1, rank_e)),
    Q(t, s): sp.Sum(rho(b) * P(b, t) * Q_0(b) * T(P(b, s)), (b, 1, B))
    + sp.Sum(rho(b) * P(b, t) * m_0(other, b) * T(U(other, b, s)), (other, 1, K), (b, 1, B))
    + sp.Sum(rho(b) * U(l, b, t) * T(m_0(l, b)) * T(P(b, s)), (l, 1, K), (b, 1, B))
    + sp.Sum(gram(l, other, b) * rho(b) * U(l, b, t) * T(U(other, b, s)), (other, 1, K), (l, 1, K), (b, 1, B))
    + sp.Sum(rho(b) * Ye(b, i, t) * T(Ye(b, i, s)), (i, 1, rank_e), (b, 1, B))
    + sp.Sum(rho(b) * Phi(b, i, j) * Y(b, i, t) * T(Y(b, j, s)) / alpha, (i, 1, rank_a), (j, 1, rank_a), (b, 1, B)),
    Ye(b, j, t): sp.Sum(L(l, i, t) * e_Ye(l, i, b, j), (i, 1, rank)),
    Ye(b, j, t + 1): Ye(b, j, t)
    + push * Le(j, t)
    - eta * (lam * Ye(b, j, t) + sp.Sum(p(l) * sigma2(l, b) * Bk(l, i, t) * e_Ye(l, i, b, j), (i, 1, rank), (l, 1, K))),
}
