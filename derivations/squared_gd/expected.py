"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file."""

import numpy as np
import sympy as sp

from gmsym import symbols
from gmsym.calculus.kernels import Transposed, kernel
from gmsym.system.causal_kernels import A, C, K, P, Qk, R, Ra, U, W, abar, b, k, l, m, p, r, s, sigma2, t
from gmsym.system.causal_kernels import ridge as lam

eta = symbols.eta
r2 = sp.Symbol("r'", integer=True, nonnegative=True)
a0 = kernel("offset", r"a^{0}", subscripts=1, value="c")(k)
delta = sp.KroneckerDelta
_m, _Q = sp.Symbol("m_0", real=True), sp.Symbol("Q_0_0", positive=True)

LOCAL = {
    "loss": (symbols.h - symbols.y) ** 2 / 2,
    "gradient": (symbols.h - symbols.y,),
    "hessian": ((1,),),
    "test_loss": [((_m - 1) ** 2 + _Q) / 2],
}

_feedback = lambda X, first=0: sp.Sum(p(l) * sigma2(l, b) * Ra(l, t, r) * X(r), (r, first, t), (l, 1, K))  # noqa: E731

# The gradient is affine, a = a0 + A h, so its kernels close (own, from theory.md 2: "squared loss needs no sampling").
KERNEL_FORM = {
    abar(k, t): a0 + A(k, t) * (m(k, t) + sp.Sum(R(k, t, s) * abar(k, s), (s, 0, t - 1))),
    Ra(k, t, s): A(k, t) * (delta(t, s) + sp.Sum(R(k, t, r) * Ra(k, r, s), (r, s, t - 1))),
    C(k, t, s): abar(k, t) * Transposed(abar(k, s)) + sp.Sum(Ra(k, t, r) * Qk(k, r, r2) * Transposed(Ra(k, s, r2)), (r, 0, t), (r2, 0, s)),
    P(b, t + 1): (1 - eta * lam) * P(b, t) - eta * _feedback(lambda time: P(b, time)),
    U(k, b, t + 1): (1 - eta * lam) * U(k, b, t) - eta * (p(k) * abar(k, t) + _feedback(lambda time: U(k, b, time))),
    W(b, t + 1, s): (1 - eta * lam) * W(b, t, s) - eta * (delta(t, s) + _feedback(lambda time: W(b, time, s), s + 1)),
}


def marchenko_pastur(alpha: float, step: float, steps: int, nodes: int = 4000) -> dict[str, np.ndarray]:
    """Exact train loss, Q(t,t) and two-time Q(t,s) of gradient descent from 0 on y = 1 with pure noise of unit variance, alpha > 1.

    X^T X / n has the Marchenko-Pastur law of ratio c = d/n on [(1 - sqrt c)^2, (1 + sqrt c)^2]; each eigenvalue evolves on
    its own (Marchenko & Pastur 1967). Gauss-Legendre in the angle that removes the square roots at the edges.
    """
    c = 1 / alpha
    low, high = (1 - np.sqrt(c)) ** 2, (1 + np.sqrt(c)) ** 2
    x, weight = np.polynomial.legendre.leggauss(nodes)
    angle = (x + 1) * np.pi / 2
    value = (high + low) / 2 + (high - low) / 2 * np.cos(angle)
    density = np.sqrt((high - value) * (value - low)) / (2 * np.pi * c * value) * (high - low) / 2 * np.sin(angle) * weight * np.pi / 2
    decay = (1 - step * value) ** np.arange(steps)[:, None]
    two_time = c * np.einsum("v,tv,sv->ts", density / value, 1 - decay, 1 - decay)
    residual = (1 - c) + c * np.einsum("v,tv,sv->ts", density, decay, decay)
    return {"train_loss": residual.diagonal() / 2, "Q": two_time.diagonal(), "two_time": two_time, "residual": residual}
