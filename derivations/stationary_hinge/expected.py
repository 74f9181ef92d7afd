"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file.

verified/sgd.md 1.1, (S1) to (S5), for one field, and the proximal point of the hinge in closed form.
"""

import sympy as sp

from gmsym import symbols
from gmsym.calculus.kernels import Transposed as T
from gmsym.system import stationary as S
from gmsym.system.causal_kernels import B, C, K, Mean, Q, Qk, a, abar, alpha, b, gram, k, l, m, omega, p, rho, sigma2
from gmsym.system.causal_kernels import ridge as lam

field, label = symbols.h, symbols.y
I, G = S.unit(), S.W(b)  # noqa: E741
l2 = sp.Symbol("l'", integer=True, positive=True)

LOCAL = {
    "loss": sp.Max(0, 1 - label * field),
    "gradient": (-label * sp.Heaviside(1 - label * field),),
    "test_error": [sp.erfc(y_k * sp.Symbol("m_0", real=True) / sp.sqrt(2 * sp.Symbol("Q_0_0", positive=True))) / 2 for y_k in (1, -1)],
}


def closed(z, V, y):
    """(h, a, da/dz), with the label +1 or -1: beyond the margin nothing happens, far below it the gradient is -y, between the two the
    sample is put on the margin."""
    if y * z > 1:
        return z, 0, 0
    if y * z < 1 - V:
        return z + y * V, -y, 0
    return y, (z - y) / V, 1 / V


_square = sp.Sum(p(l) * p(l2) * gram(l, l2) * G * abar(l) * T(abar(l2)) * T(G), (l2, 1, K), (l, 1, K))
_noise = sp.Sum(p(l) * sigma2(l, b) * G * C(l) * T(G), (l, 1, K)) / alpha
EQUATIONS = {
    S.z(k): m(k) + omega(k),  # (S1)
    Mean(omega(k) * T(omega(k)), k): Qk(k),
    abar(k): Mean(a(k), k),  # (S2)
    C(k): Mean(a(k) * T(a(k)), k),
    S.Ah(k): Mean(S.D(k), k),
    G: (lam * I + sp.Sum(p(k) * sigma2(k, b) * S.Ah(k), (k, 1, K))) ** -1,  # (S3)
    S.V(k): sp.Sum(rho(b) * sigma2(k, b) * G, (b, 1, B)) / alpha,
    m(k): -sp.Sum(rho(b) * p(l) * gram(k, l) * G * abar(l), (l, 1, K), (b, 1, B)),  # (S5), a share rho_b of the Gram matrix in block b
    Q(): sp.Sum(rho(b) * (_square + _noise), (b, 1, B)),
    Qk(k): sp.Sum(rho(b) * sigma2(k, b) * (_square + _noise), (b, 1, B)),
}
