"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file."""

import sympy as sp

from gmsym import symbols
from gmsym.system import spectral as S
from gmsym.system.causal_kernels import B, K, Mean, alpha, b, k, p, rho, sigma2

h, y = symbols.h, symbols.y
_ = S.letters(1, blocks=2)

# theory.md 0: second derivative of log(1 + exp(-y h)), and the square of its first.
MATRIX = {
    "hessian": [[y**2 * sp.exp(-y * h) / (1 + sp.exp(-y * h)) ** 2]],
    "information": [[y**2 / (1 + sp.exp(y * h)) ** 2]],
}

# Own derivation, one sample left out: its form in the resolvent is Y^T G Y/n -> (1/alpha) sum_b rho_b sigma2_kb S_b, and adding it back
# moves the resolvent of block b by sigma2_kb times its share.
EQUATIONS = {
    _.Sk(k): sp.Sum(rho(b) * sigma2(k, b) * _.S, (b, 1, B)) / alpha,
    _.X(k): _.A / (1 + _.Sk(k) * _.A),
    _.S: 1 / (-S.z + sp.Sum(p(k) * sigma2(k, b) * Mean(_.X(k), k), (k, 1, K))),
    S.density(S.x): sp.im(sp.Sum(rho(b) * _.S, (b, 1, B))) / sp.pi,
    S.atom: sp.Max(0, 1 - alpha),
    _.Q: sp.Sum(p(k) * Mean(S.Kron(_.X(k), S.outer), k), (k, 1, K)),
    _.Sk_slope(k): sp.Sum(rho(b) * sigma2(k, b) * _.slope, (b, 1, B)) / alpha,
    _.slope: _.S**2 * (1 + sp.Sum(p(k) * sigma2(k, b) * Mean(_.X(k) ** 2 * _.Sk_slope(k), k), (k, 1, K))),
}
POLYNOMIAL = {}
NULL = {"hessian": 0, "information": 0}
