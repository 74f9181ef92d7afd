"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file.

theory.md (6.1) for the trained parameters, and the means of an erf network with squared loss under N(m, V): by the bivariate normal
distribution function, and by tilting with the derivative of erf (theory.md 9).
"""

import sympy as sp

from gmsym.functions import BivariateNormalCDF, NormalCDF
from gmsym.system.causal_kernels import Mean
from gmsym.system.ode import K, b, bbar, beta_v, c, c_v, k, p, t, v

D = sp.Derivative
FLOW = {D(v(t), t): -sp.Sum(p(k) * c_v / c * Mean(b(t), k), (k, 1, K)) - c_v / c * beta_v * v(t)}

m = [sp.Symbol(f"m_{i}", real=True) for i in range(2)]
V = sp.Matrix(2, 2, lambda i, j: sp.Symbol(f"V_{min(i, j)}_{max(i, j)}", **({"positive": True} if i == j else {"real": True})))
w = sp.symbols("v0 v1", real=True)
bias, y = sp.symbols("bias y", real=True)


def _one(i):  # E g(h_i), g(u) = erf(u/sqrt 2) = 2 Phi(u) - 1
    return 2 * NormalCDF(m[i] / sp.sqrt(1 + V[i, i])) - 1


def _two(i, j):  # E g(h_i) g(h_j)
    s = [sp.sqrt(1 + V[x, x]) for x in (i, j)]
    return 4 * BivariateNormalCDF(m[i] / s[0], m[j] / s[1], V[i, j] / (s[0] * s[1])) - _one(i) - _one(j) - 1


def _slope(i):  # E g'(h_i)
    return sp.sqrt(2 / sp.pi / (1 + V[i, i])) * sp.exp(-(m[i] ** 2) / (2 * (1 + V[i, i])))


def _tilted(i, j):  # E g'(h_i) g(h_j): g' tilts the law of h_j
    location = m[j] - V[i, j] * m[i] / (1 + V[i, i])
    variance = V[j, j] - V[i, j] ** 2 / (1 + V[i, i])
    return _slope(i) * sp.erf(location / sp.sqrt(2 * (1 + variance)))


_bias = [sum(w[j] * _two(i, j) for j in range(2)) + (bias - y) * _one(i) for i in range(2)]
MEANS = {
    bbar(k, t): sp.Matrix([*_bias, sum(w[j] * _one(j) for j in range(2)) + bias - y]),
    # E a_i = v_i E[(f - y) g'(h_i)]
}
GRADIENT = [w[i] * (sum(w[j] * _tilted(i, j) for j in range(2)) + (bias - y) * _slope(i)) for i in range(2)]
