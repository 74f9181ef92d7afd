"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file.

Conventions of theory.md 0 and 1: directions are numbered by the step that opens them; <x, y> is an inner product over the
samples of a cluster or over the coordinates; u_j stands for the source's p_j and z_j for its h_j.
"""

import sympy as sp

from gmsym import symbols
from gmsym.system.causal_kernels import G, K, L, Theta, b, g, h, j, k, m, mu, p, r, s, sigma2, t
from gmsym.system.causal_kernels import ridge as lam
from gmsym.system.recursion import Inner, M, Za, Zq, ZTheta, Zu, asum, phi, psi, q, u, z
from gmsym.system.recursion import dimension as d
from gmsym.system.recursion import samples as n

eta, field, label = symbols.eta, symbols.h, symbols.y
coordinate, gradient = sp.Symbol(r"\Theta_{b}(t)", real=True), sp.Symbol("G_{b}(t)", real=True)
_moved = sp.sqrt(d) * coordinate - eta * sp.sqrt(d) * gradient

# The loss, in its field `h` and label `y` (theory.md 0).
LOCAL = {
    "loss": sp.log(1 + sp.exp(-label * field)),
    "gradient": (-label / (1 + sp.exp(label * field)),),
    "test_error": [sp.erfc(y_k * sp.Symbol("m_0", real=True) / sp.sqrt(2 * sp.Symbol("Q_0_0", positive=True))) / 2 for y_k in (1, -1)],
}

# The program: theory.md (1.1), (1.2) and section 0.
EQUATIONS = {
    Zq(k, j): g(j) + sp.Sum(u(k, s) * (Inner(q(k, j), z(k, s)) - phi(k, j, s)), (s, 0, j - 1)),  # (1.1)
    ZTheta(k, t): sp.Sum(L(k, j, t) * Zq(k, j), (j, 0, t)),  # Theta_t = sum L_tj q_j
    h(k, t): m(k, t) + ZTheta(k, t),
    Zu(k, j): z(k, j) + sp.Sum(q(k, r) * (Inner(u(k, j), g(r)) - psi(k, r, j)), (r, 0, j)),  # (1.2)
    Za(k, t): sp.Sum(M(k, j, t) * Zu(k, j), (j, 0, t)),  # a_t = sum M_tj u_j
    G(b, t): sp.Sum(p(k) * mu(k, b) * asum(k, t), (k, 1, K)) + sp.Sum(sp.sqrt(sigma2(k, b)) * Za(k, t), (k, 1, K)) / n + lam * Theta(b, t),
    # The penalty is (l1/sqrt(d)) |Theta|_1: coordinates of order 1 meet the threshold eta l1.
    Theta(b, t + 1): sp.sign(_moved) * sp.Max(sp.Abs(_moved) - eta * symbols.symbol("l1"), 0) / sp.sqrt(d),
}
