"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file."""

import sympy as sp

from gmsym import symbols
from gmsym.system import spectral as S
from gmsym.system.causal_kernels import K, Mean, alpha, k, p

h, y = symbols.h, symbols.y
_ = S.letters(1)

# theory.md 0: second derivative of log(1 + exp(-y h)), and the square of its first.
MATRIX = {
    "hessian": [[y**2 * sp.exp(-y * h) / (1 + sp.exp(-y * h)) ** 2]],
    "information": [[y**2 / (1 + sp.exp(y * h)) ** 2]],
}

# theory.md (7.1), scalar: X = A/(1 + S'A), 1/S = -z + sum_k p_k sigma_k^2 E_k X.
EQUATIONS = {
    _.Sk(k): S.variance(k) * _.S / alpha,
    _.X(k): _.A / (1 + _.Sk(k) * _.A),
    _.S: 1 / (-S.z + sp.Sum(p(k) * S.variance(k) * Mean(_.X(k), k), (k, 1, K))),
    S.atom: sp.Max(0, 1 - alpha),
    _.Q: sp.Sum(p(k) * Mean(S.Kron(_.X(k), S.outer), k), (k, 1, K)),
}
POLYNOMIAL = {}
NULL = {"hessian": 0, "information": 0}
