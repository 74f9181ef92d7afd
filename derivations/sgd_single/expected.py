"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file.

Verified/sgd.md 2.1: a pass has B batches (`batches`); at its start a sample is given one of them, floor(B u), and in that batch its
gradient has the weight B; the step of a batch is eta = c alpha/B. All else is theory.md 2.
"""

import sympy as sp

from gmsym import symbols
from gmsym.calculus.kernels import Transposed as T
from gmsym.system.causal_kernels import B as blocks
from gmsym.system.causal_kernels import (
    C,
    G,
    K,
    Mean,
    P,
    Qk,
    R,
    Ra,
    Theta,
    W,
    a,
    abar,
    alpha,
    b,
    ell,
    h,
    k,
    l,
    m,
    mu,
    omega,
    p,
    r,
    rho,
    s,
    sigma2,
    t,
    train_loss,
    xi,
)
from gmsym.system.causal_kernels import ridge as lam

field, label, batches, c = symbols.h, symbols.y, symbols.symbol("batches"), symbols.eta
now = sp.Mod(symbols.t, batches)

LOCAL = {
    "loss": sp.log(1 + sp.exp(-label * field)),
    "gradient": (-label / (1 + sp.exp(label * field)),),
    "gradient_seen": (-batches * sp.Piecewise((1, sp.Eq(symbols.visit, now)), (0, True)) * label / (1 + sp.exp(label * field)),),
    "visit": sp.Piecewise((sp.floor(batches * symbols.uniform), sp.Eq(now, 0)), (symbols.visit, True)),
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
    R(k, t, s): sp.Sum(rho(b) * sigma2(k, b) * W(b, t, s), (b, 1, blocks)) / alpha,  # (2.4)
    P(b, t + 1): P(b, t)
    - c * alpha / batches * (lam * P(b, t) + sp.Sum(p(l) * sigma2(l, b) * Ra(l, t, r) * P(b, r), (r, 0, t), (l, 1, K))),
}
