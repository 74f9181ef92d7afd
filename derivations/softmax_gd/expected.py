"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file."""

import sympy as sp

from gmsym import symbols
from gmsym.functions import BivariateNormalCDF
from gmsym.system.causal_kernels import K, P, Ra, U, W, abar, b, k, l, p, r, s, sigma2, t
from gmsym.system.causal_kernels import ridge as lam

eta = symbols.eta
h, y = symbols.fields(3), symbols.labels(3)
_total = sum(map(sp.exp, h))
_softmax = [sp.exp(x) / _total for x in h]
_m = [sp.Symbol(f"m_{c}", real=True) for c in range(3)]
_Q = [[sp.Symbol(f"Q_{min(c, d)}_{max(c, d)}", positive=True if c == d else None, real=True) for d in range(3)] for c in range(3)]


def _error(true: int) -> sp.Expr:
    """1 - P(h_c > h_d and h_c > h_e) for the true class c: a bivariate normal probability of two differences."""
    d, e = (c for c in range(3) if c != true)
    v_d = _Q[true][true] - 2 * _Q[true][d] + _Q[d][d]
    v_e = _Q[true][true] - 2 * _Q[true][e] + _Q[e][e]
    cov = _Q[true][true] - _Q[true][d] - _Q[true][e] + _Q[d][e]
    return 1 - BivariateNormalCDF((_m[true] - _m[d]) / sp.sqrt(v_d), (_m[true] - _m[e]) / sp.sqrt(v_e), cov / sp.sqrt(v_d * v_e))


# Cross-entropy with one-hot labels: gradient softmax(h) - y, Hessian diag(softmax) - softmax softmax^T.
LOCAL = {
    "loss": sp.log(_total) - sum(a * b for a, b in zip(h, y, strict=True)),
    "gradient": tuple(q - label for q, label in zip(_softmax, y, strict=True)),
    "hessian": tuple(tuple((q if c == d else 0) - q * _softmax[d] for d in range(3)) for c, q in enumerate(_softmax)),
    "test_error": [_error(c) for c in range(3)],
}

_feedback = lambda X, first=0: sp.Sum(p(l) * sigma2(l, b) * Ra(l, t, r) * X(r), (r, first, t), (l, 1, K))  # noqa: E731
KERNEL_FORM = {  # theory.md 2, "Linear optimizer"; the factors are C x C and keep their order
    P(b, t + 1): (1 - eta * lam) * P(b, t) - eta * _feedback(lambda time: P(b, time)),
    U(k, b, t + 1): (1 - eta * lam) * U(k, b, t) - eta * (p(k) * abar(k, t) + _feedback(lambda time: U(k, b, time))),
    W(b, t + 1, s): (1 - eta * lam) * W(b, t, s) - eta * (sp.KroneckerDelta(t, s) + _feedback(lambda time: W(b, time, s), s + 1)),
}
