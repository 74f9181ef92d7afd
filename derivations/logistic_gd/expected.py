"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file.

Conventions of theory.md 2 and 4: C x C factors act from the left, Ra(t,s) is the total derivative, sums over clusters run
to K and over blocks to B. `own` marks what the source states in words or for one cluster only.
"""

import sympy as sp

from gmsym import symbols
from gmsym.calculus.kernels import Transposed
from gmsym.system.causal_kernels import (
    Q_0,
    A,
    B,
    Bk,
    C,
    Da,
    Df,
    G,
    Gamma,
    K,
    L,
    La,
    Mean,
    P,
    Partial,
    Phi,
    Q,
    Qk,
    R,
    Ra,
    Rt,
    Theta,
    U,
    W,
    Y,
    a,
    abar,
    alpha,
    b,
    e_P,
    e_U,
    e_Y,
    f,
    g,
    gram,
    h,
    i,
    j,
    k,
    l,
    m,
    m_0,
    mu,
    omega,
    p,
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
from gmsym.system.integro_differential import Abar, Mk, Qb, mb

eta = symbols.eta
n = sp.Symbol("n", positive=True)
r2 = sp.Symbol("r'", integer=True, nonnegative=True)
l2 = sp.Symbol("l'", integer=True, positive=True)
delta = sp.KroneckerDelta
T = Transposed
field, label = symbols.h, symbols.y

# The loss, in its field `h` and label `y` (theory.md 0; Mignacco et al. 2020, logistic loss).
LOCAL = {
    "loss": sp.log(1 + sp.exp(-label * field)),
    "gradient": (-label / (1 + sp.exp(label * field)),),
    "hessian": ((label**2 * sp.exp(label * field) / (1 + sp.exp(label * field)) ** 2,),),
    "test_error": [sp.erfc(y_k * sp.Symbol("m_0", real=True) / sp.sqrt(2 * sp.Symbol("Q_0_0", positive=True))) / 2 for y_k in (1, -1)],
}

_feedback = lambda X, first=0: sp.Sum(p(l) * sigma2(l, b) * Ra(l, t, r) * X(r), (r, first, t), (l, 1, K))  # noqa: E731
_overlap = (
    P(b, t) * Q_0(b) * T(P(b, s))
    + sp.Sum(P(b, t) * m_0(l, b) * T(U(l, b, s)), (l, 1, K))
    + sp.Sum(U(l, b, t) * T(m_0(l, b)) * T(P(b, s)), (l, 1, K))
    + sp.Sum(gram(l, l2, b) * U(l, b, t) * T(U(l2, b, s)), (l, 1, K), (l2, 1, K))
    + sp.Sum(p(l) * sigma2(l, b) * W(b, t, r) * C(l, r, r2) * T(W(b, s, r2)), (r2, 0, s - 1), (r, 0, t - 1), (l, 1, K)) / alpha
)

# Kernel form: theory.md (2.1)-(2.4); the last block is the paragraph "Linear optimizer" there.
KERNEL_FORM = {
    h(k, t): m(k, t) + omega(k, t) + sp.Sum(R(k, t, s) * a(k, s), (s, 0, t - 1)),  # (2.1)
    Mean(omega(k, t) * T(omega(k, s)), k): Qk(k, t, s),  # (2.1)
    abar(k, t): Mean(a(k, t), k),
    C(k, t, s): Mean(a(k, t) * T(a(k, s)), k),  # (2.2)
    Ra(k, t, s): Mean(Partial(a(k, t), omega(k, s)), k),  # (2.2)
    Partial(a(k, t), omega(k, s)): A(k, t) * (delta(t, s) + sp.Sum(R(k, t, r) * Partial(a(k, r), omega(k, s)), (r, s, t - 1))),
    G(b, t): sp.Sum(p(k) * mu(k, b) * abar(k, t), (k, 1, K))
    + xi(b, t)
    + sp.Sum(p(k) * sigma2(k, b) * Ra(k, t, s) * Theta(b, s), (s, 0, t), (k, 1, K))
    + lam * Theta(b, t),  # (2.3)
    n * Mean(xi(b, t) * T(xi(b, s)), b): sp.Sum(p(k) * sigma2(k, b) * C(k, t, s), (k, 1, K)),  # (2.3)
    R(k, t, s): sp.Sum(rho(b) * sigma2(k, b) * W(b, t, s), (b, 1, B)) / alpha,  # (2.4)
    Theta(b, t): P(b, t) * Theta(b, 0) + sp.Sum(mu(k, b) * U(k, b, t), (k, 1, K)) + sp.Sum(W(b, t, s) * xi(b, s), (s, 0, t - 1)),
    P(b, t + 1): (1 - eta * lam) * P(b, t) - eta * _feedback(lambda time: P(b, time)),
    U(k, b, t + 1): (1 - eta * lam) * U(k, b, t) - eta * (p(k) * abar(k, t) + _feedback(lambda time: U(k, b, time))),
    W(b, t + 1, s): (1 - eta * lam) * W(b, t, s) - eta * (delta(t, s) + _feedback(lambda time: W(b, time, s), s + 1)),
    m(k, t): sp.Sum(rho(b) * P(b, t) * m_0(k, b), (b, 1, B)) + sp.Sum(rho(b) * gram(k, l, b) * U(l, b, t), (b, 1, B), (l, 1, K)),
    Q(t, s): sp.Sum(rho(b) * _overlap, (b, 1, B)),
    Qk(k, t, s): sp.Sum(rho(b) * sigma2(k, b) * _overlap, (b, 1, B)),
}

# Innovation form: theory.md (2.5)-(2.7).
_returned = lambda X, i=j: sp.Sum(p(l) * sigma2(l, b) * Bk(l, i, t) * X(i), (i, 1, rank), (l, 1, K))  # noqa: E731
_block_overlap = (
    P(b, t) * Q_0(b) * T(P(b, s))
    + sp.Sum(P(b, t) * m_0(l, b) * T(U(l, b, s)) + U(l, b, t) * T(m_0(l, b)) * T(P(b, s)), (l, 1, K))
    + sp.Sum(gram(l, l2, b) * U(l, b, t) * T(U(l2, b, s)), (l, 1, K), (l2, 1, K))
    + sp.Sum(Y(b, i, t) * Phi(b, i, j) * T(Y(b, j, s)), (i, 1, rank_a), (j, 1, rank_a)) / alpha
)
INNOVATION_FORM = {
    h(k, t): m(k, t) + sp.Sum(L(k, j, t) * g(j), (j, 1, rank)) + sp.Sum(Rt(k, j, t) * f(k, j), (j, 1, rank_a)),  # (2.7)
    Rt(k, j, t): sp.Sum(rho(b) * sigma2(k, b) * Y(b, j, t), (b, 1, B)) / alpha,  # (2.7)
    Bk(k, j, t): Mean(Da(k, j, t), k),  # (2.5)
    Da(k, j, t): A(k, t) * (L(k, j, t) + sp.Sum(Rt(k, i, t) * Df(k, i, j), (i, 1, rank_a))),  # verified/dmf.md 1.4
    a(k, t): sp.Sum(La(j, t) * f(k, j), (j, 1, rank_a)),  # (2.6)
    sp.Sum(L(k, j, t) * T(L(k, j, s)), (j, 1, rank)): Qk(k, t, s),  # (2.5) with (2.1)
    Gamma(k, i, j): Mean(f(k, i) * f(k, j), k),
    Phi(b, i, j): sp.Sum(p(k) * sigma2(k, b) * Gamma(k, i, j), (k, 1, K)),
    # theory.md 2, "linear optimizer", with (2.5) for the feedback and Y = W La.
    P(b, t + 1): (1 - eta * lam) * P(b, t) - eta * _returned(lambda j: e_P(l, j, b)),
    U(k, b, t + 1): (1 - eta * lam) * U(k, b, t) - eta * (p(k) * abar(k, t) + _returned(lambda j: e_U(l, j, b, k))),
    Y(b, j, t + 1): (1 - eta * lam) * Y(b, j, t) - eta * (La(j, t) + _returned(lambda i: e_Y(l, i, b, j), i)),
    Q(t, s): sp.Sum(rho(b) * _block_overlap, (b, 1, B)),
    Qk(k, t, s): sp.Sum(rho(b) * sigma2(k, b) * _block_overlap, (b, 1, B)),
}

# Gradient flow: theory.md 4 (its isotropic equations, block by block), in time t = steps * eta.
_memory = lambda X, first=0: sp.Sum(p(k) * sigma2(k, b) * sp.Integral(Mk(k, t, r) * X(r), (r, first, t)), (k, 1, K))  # noqa: E731
_now = lambda X: lam * X + sp.Sum(p(k) * sigma2(k, b) * Abar(k, t) * X, (k, 1, K))  # noqa: E731
FLOW = {
    h(k, t): m(k, t) + omega(k, t) + sp.Integral(R(k, t, s) * a(k, s), (s, 0, t)),
    sp.Derivative(W(b, t, s), t): -_now(W(b, t, s)) - _memory(lambda time: W(b, time, s), s),
    W(b, s, s): sp.Integer(-1),
    sp.Derivative(mb(j, b, t), t): -_now(mb(j, b, t))
    - _memory(lambda time: mb(j, b, time))
    - sp.Sum(p(k) * rho(b) * abar(k, t) * gram(k, j, b), (k, 1, K)),
    sp.Derivative(Qb(b, t, s), t): -_now(Qb(b, t, s))
    - _memory(lambda time: Qb(b, time, s))
    - sp.Sum(p(k) * abar(k, t) * T(mb(k, b, s)), (k, 1, K))
    - rho(b) / alpha * sp.Sum(p(k) * sigma2(k, b) * sp.Integral(C(k, t, r) * T(W(b, s, r)), (r, 0, s)), (k, 1, K)),
}
