"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file.

Theory.md 4: an explicit scheme for Theta' = -G forms the next iterate from iterates (theta, that at the start of the step, the one before)
and velocities (at theta, the one that is kept, the one before that). Its limit is the flow of the case logistic_gd, whose FLOW this is.
"""

import sympy as sp

from derivations.logistic_gd.expected import FLOW as FLOW
from gmsym import symbols
from gmsym.calculus.kernels import kernel
from gmsym.system.causal_kernels import B, K, P, R, Ra, W, alpha, b, k, l, p, r, rho, s, sigma2, t  # fmt: skip
from gmsym.system.causal_kernels import ridge as lam

field, label = symbols.h, symbols.y
chi = [symbols.symbol(f"chi_{i}") for i in range(3)]
gamma = [symbols.symbol(f"gamma_{i}") for i in range(3)]
keep = symbols.symbol("kappa_0")


def of(family, name):
    """Coefficient in a state variable of the scheme."""
    return kernel(f"{family.__name__}_{name}", rf"{family.symbol}^{{({sp.latex(sp.Symbol(name))})}}", subscripts=1, value="cd")


LOCAL = {
    "loss": sp.log(1 + sp.exp(-label * field)),
    "gradient": (-label / (1 + sp.exp(label * field)),),
    "test_error": [sp.erfc(y * sp.Symbol("m_0", real=True) / sp.sqrt(2 * sp.Symbol("Q_0_0", positive=True))) / 2 for y in (1, -1)],
}

_of_start = -lam * P(b, t) - sp.Sum(p(l) * sigma2(l, b) * Ra(l, t, r) * P(b, r), (r, 0, t), (l, 1, K))  # velocity of the coefficient P
_of_noise = -lam * W(b, t, s) - sp.KroneckerDelta(t, s) - sp.Sum(p(l) * sigma2(l, b) * Ra(l, t, r) * W(b, r, s), (r, s + 1, t), (l, 1, K))


def _next(family, velocity, *time):
    known = family(b, *time), of(family, "theta_0")(b, *time), of(family, "theta_1")(b, *time)
    slopes = velocity, of(family, "f_1")(b, *time), of(family, "f_2")(b, *time)
    return sum(c * x for c, x in zip((*chi, *gamma), (*known, *slopes), strict=True))


KERNEL_FORM = {
    P(b, t + 1): _next(P, _of_start, t),
    of(P, "theta_0")(b, t + 1): keep * of(P, "theta_0")(b, t) + (1 - keep) * P(b, t),
    of(P, "theta_1")(b, t + 1): P(b, t),
    of(P, "f_1")(b, t + 1): keep * of(P, "f_1")(b, t) + (1 - keep) * _of_start,
    of(P, "f_2")(b, t + 1): of(P, "f_1")(b, t),
    W(b, t + 1, s): _next(W, _of_noise, t, s),
    of(W, "f_1")(b, t + 1, s): keep * of(W, "f_1")(b, t, s) + (1 - keep) * _of_noise,
    R(k, t, s): sp.Sum(rho(b) * sigma2(k, b) * W(b, t, s), (b, 1, B)) / alpha,
}
INNOVATION_FORM = {}
