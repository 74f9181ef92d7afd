"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file."""

import sympy as sp

from gmsym import symbols
from gmsym.system import spectral as S
from gmsym.system.causal_kernels import K, Mean, alpha, k, p

h, (t,) = symbols.h, symbols.teachers(1)
_ = S.letters(1)

# g(u) = erf(u/sqrt 2), g' = sqrt(2/pi) exp(-u^2/2), g'' = -u g'; loss (g(h) - g(t))^2/2, derivatives in h.
_gap, _slope = sp.erf(h / sp.sqrt(2)) - sp.erf(t / sp.sqrt(2)), sp.sqrt(2 / sp.pi) * sp.exp(-(h**2) / 2)
MATRIX = {
    "hessian": [[_slope**2 - h * _slope * _gap]],
    "information": [[_gap**2 * _slope**2]],
}

# theory.md (7.1); means are over (h, t).
EQUATIONS = {
    _.Sk(k): S.variance(k) * _.S / alpha,
    _.X(k): _.A / (1 + _.Sk(k) * _.A),
    _.S: 1 / (-S.z + sp.Sum(p(k) * S.variance(k) * Mean(_.X(k), k), (k, 1, K))),
    S.atom: sp.Max(0, 1 - alpha),
    _.Q: sp.Sum(p(k) * Mean(S.Kron(_.X(k), S.outer), k), (k, 1, K)),
}
POLYNOMIAL = {}
NULL = {"hessian": 0, "information": 0}
