"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file.

Theory.md 5: in the equations of full batches a is (s_t / b) times the gradient of the loss, in every one of them; s_t is 1 with
probability b, at every step anew, and the reported loss has no mask.
"""

import sympy as sp

from gmsym import symbols
from gmsym.calculus.kernels import Transposed as T
from gmsym.system.causal_kernels import (
    B,
    Bk,
    C,
    G,
    Gamma,
    K,
    L,
    Mean,
    Qk,
    R,
    Ra,
    Rt,
    Theta,
    W,
    a,
    abar,
    alpha,
    b,
    ell,
    f,
    g,
    h,
    i,
    j,
    k,
    m,
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
    train_loss,
    xi,
)  # fmt: skip
from gmsym.system.causal_kernels import ridge as lam

field, label, rate = symbols.h, symbols.y, symbols.symbol("rate")

# The loss, in its field `h` and label `y`, without a mask; the gradient that a step sees; and the mask, of u uniform on (0, 1).
LOCAL = {
    "loss": sp.log(1 + sp.exp(-label * field)),
    "gradient": (-label / (1 + sp.exp(label * field)),),
    "gradient_seen": (-symbols.visit / rate * label / (1 + sp.exp(label * field)),),
    "visit": sp.Heaviside(rate - symbols.uniform),
    "test_error": [sp.erfc(y * sp.Symbol("m_0", real=True) / sp.sqrt(2 * sp.Symbol("Q_0_0", positive=True))) / 2 for y in (1, -1)],
}

KERNEL_FORM = {
    train_loss(t): sp.Sum(p(k) * Mean(ell(k, t), k), (k, 1, K)),
    h(k, t): m(k, t) + omega(k, t) + sp.Sum(R(k, t, s) * a(k, s), (s, 0, t - 1)),  # (2.1)
    abar(k, t): Mean(a(k, t), k),
    C(k, t, s): Mean(a(k, t) * T(a(k, s)), k),  # (2.2)
    sp.Sum(Ra(k, t, r) * Qk(k, r, s), (r, 0, t)): Mean(a(k, t) * T(omega(k, s)), k),  # (2.5), Stein
    G(b, t): sp.Sum(p(k) * mu(k, b) * abar(k, t), (k, 1, K))
    + xi(b, t)
    + sp.Sum(p(k) * sigma2(k, b) * Ra(k, t, s) * Theta(b, s), (s, 0, t), (k, 1, K))
    + lam * Theta(b, t),  # (2.3)
    R(k, t, s): sp.Sum(rho(b) * sigma2(k, b) * W(b, t, s), (b, 1, B)) / alpha,  # (2.4)
}

INNOVATION_FORM = {
    h(k, t): m(k, t) + sp.Sum(L(k, j, t) * g(j), (j, 1, rank)) + sp.Sum(Rt(k, j, t) * f(k, j), (j, 1, rank_a)),  # (2.7)
    Bk(k, j, t): Mean(a(k, t) * g(j), k),  # (2.5)
    Gamma(k, i, j): Mean(f(k, i) * f(k, j), k),
}
