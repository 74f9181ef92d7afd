"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file."""

import sympy as sp

from gmsym import symbols
from gmsym.calculus.kernels import kernel
from gmsym.functions import NormalCDF, normal_density
from gmsym.system.causal_kernels import K, P, Ra, U, W, abar, b, k, l, p, r, s, sigma2, t
from gmsym.system.causal_kernels import ridge as lam

eta, beta = symbols.eta, symbols.momentum
h, y = symbols.h, symbols.y
_m, _Q = sp.Symbol("m_0", real=True), sp.Symbol("Q_0_0", positive=True)


def _mean_hinge(label: int) -> sp.Expr:
    """E max(0, 1 - y h) for h ~ N(m, Q): a truncated normal mean."""
    margin = (1 - label * _m) / sp.sqrt(_Q)
    return (1 - label * _m) * NormalCDF(margin) + sp.sqrt(_Q) * normal_density(margin)


LOCAL = {
    "loss": sp.Max(0, 1 - y * h),
    "gradient": (-y * sp.Heaviside(1 - y * h),),
    "hessian": ((0,),),
    "kinks": [1 - y * h],
    "test_loss": [_mean_hinge(1), _mean_hinge(-1)],
    "test_error": [sp.erfc(label * _m / sp.sqrt(2 * _Q)) / 2 for label in (1, -1)],
}

P_v = kernel("P_v", r"P^{(v)}", subscripts=1, value="cd")
U_v = kernel("U_v", r"U^{(v)}", subscripts=2, value="c")
W_v = kernel("W_v", r"W^{(v)}", subscripts=1, value="cd")
_feedback = lambda X, first=0: sp.Sum(p(l) * sigma2(l, b) * Ra(l, t, r) * X(r), (r, first, t), (l, 1, K))  # noqa: E731

# Heavy ball, verified/dmf.md 1.3: v(t+1) = beta v(t) - eta G(t), Theta(t+1) = Theta(t) + v(t+1), coefficient by coefficient.
_v = {
    P: beta * P_v(b, t) - eta * (lam * P(b, t) + _feedback(lambda time: P(b, time))),
    U: beta * U_v(k, b, t) - eta * (lam * U(k, b, t) + p(k) * abar(k, t) + _feedback(lambda time: U(k, b, time))),
    W: beta * W_v(b, t, s) - eta * (lam * W(b, t, s) + sp.KroneckerDelta(t, s) + _feedback(lambda time: W(b, time, s), s + 1)),
}
KERNEL_FORM = {
    P_v(b, t + 1): _v[P],
    P(b, t + 1): P(b, t) + _v[P],
    U_v(k, b, t + 1): _v[U],
    U(k, b, t + 1): U(k, b, t) + _v[U],
    W_v(b, t + 1, s): _v[W],
    W(b, t + 1, s): W(b, t, s) + _v[W],
}
