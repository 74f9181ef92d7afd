"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file.

Conventions of theory.md 0 and 1: directions are numbered by the step that opens them; <x, y> is an inner product over the
samples of a cluster or over the coordinates; u_j stands for the source's p_j and z_j for its h_j.
"""

import sympy as sp

from gmsym import symbols
from gmsym.system.causal_kernels import G, K, L, Theta, b, g, h, j, k, m, mu, p, r, s, sigma2, t
from gmsym.system.causal_kernels import ridge as lam
from gmsym.system.recursion import Inner, M, Za, Zq, ZTheta, Zu, asum, phi, psi, q, u, z
from gmsym.system.recursion import samples as n

eta, beta = symbols.eta, symbols.momentum
h0, h1, h2 = fields = symbols.fields(3)
labels = symbols.labels(3)
coordinate, gradient, v = sp.Symbol(r"\Theta_{b}(t)", real=True), sp.Symbol("G_{b}(t)", real=True), sp.Symbol("v_{b}(t)", real=True)
_total = sum(sp.exp(x) for x in fields)

# Cross-entropy of the fields `h0, h1, h2` and a one-hot label (theory.md 0).
LOCAL = {
    "loss": sp.log(_total) - sum(y_c * h_c for y_c, h_c in zip(labels, fields, strict=True)),
    "gradient": tuple(sp.exp(h_c) / _total - y_c for y_c, h_c in zip(labels, fields, strict=True)),
}

# The program: theory.md (1.1), (1.2) and section 0.
EQUATIONS = {
    Zq(k, j): g(j) + sp.Sum(u(k, s) * (Inner(q(k, j), z(k, s)) - phi(k, j, s)), (s, 0, j - 1)),  # (1.1)
    ZTheta(k, t): sp.Sum(L(k, j, t) * Zq(k, j), (j, 0, t)),  # Theta_t = sum L_tj q_j
    h(k, t): m(k, t) + ZTheta(k, t),
    Zu(k, j): z(k, j) + sp.Sum(q(k, r) * (Inner(u(k, j), g(r)) - psi(k, r, j)), (r, 0, j)),  # (1.2)
    Za(k, t): sp.Sum(M(k, j, t) * Zu(k, j), (j, 0, t)),  # a_t = sum M_tj u_j
    G(b, t): sp.Sum(p(k) * mu(k, b) * asum(k, t), (k, 1, K)) + sp.Sum(sp.sqrt(sigma2(k, b)) * Za(k, t), (k, 1, K)) / n + lam * Theta(b, t),
    Theta(b, t + 1): coordinate + beta * v - eta * gradient,
}
