"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file."""

import sympy as sp

from gmsym import symbols
from gmsym.system import spectral as S
from gmsym.system.causal_kernels import K, Mean, alpha, k, p

_h, _y = symbols.fields(3), symbols.labels(3)
_total = sum(map(sp.exp, _h))
_p = [sp.exp(h) / _total for h in _h]
_ = S.letters(2)
_I = _.identity

# theory.md 0: diag(p) - p p^T, and (p - y)(p - y)^T.
MATRIX = {
    "hessian": [[_p[i] * (int(i == j) - _p[j]) for j in range(3)] for i in range(3)],
    "information": [[(_p[i] - _y[i]) * (_p[j] - _y[j]) for j in range(3)] for i in range(3)],
}

# theory.md (7.1) on the two columns orthogonal to (1, 1, 1), verified/effective.md 3.
EQUATIONS = {
    _.Sk(k): S.variance(k) * _.S / alpha,
    _.X(k): _.A * (_I + _.Sk(k) * _.A) ** -1,
    _.S: (-S.z * _I + sp.Sum(p(k) * S.variance(k) * Mean(_.X(k), k), (k, 1, K))) ** -1,
    _.Q: sp.Sum(p(k) * Mean(S.Kron(_.X(k), S.outer), k), (k, 1, K)),
    _.slope: _.S**2 + _.S * sp.Sum(p(k) * S.variance(k) ** 2 / alpha * Mean(_.X(k) * _.slope * _.X(k), k), (k, 1, K)) * _.S,
}
POLYNOMIAL = {}
NULL = {"hessian": 1, "information": 1}
