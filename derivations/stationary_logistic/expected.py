"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file.

verified/sgd.md 1.1, (S1) to (S5), for one field; Loureiro et al. 2021 (arXiv 2106.03791) with lambda = lambda_there/alpha.
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

# theory.md 0; errors of a fresh sample from N(m_k, Q_k).
LOCAL = {
    "loss": sp.log(1 + sp.exp(-label * field)),
    "gradient": (-label / (1 + sp.exp(label * field)),),
    "hessian": ((label**2 * sp.exp(label * field) / (1 + sp.exp(label * field)) ** 2,),),
    "test_error": [sp.erfc(y_k * sp.Symbol("m_0", real=True) / sp.sqrt(2 * sp.Symbol("Q_0_0", positive=True))) / 2 for y_k in (1, -1)],
}

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
# (S2): H (I + V H)^{-1} for one field, where all are numbers.
RESPONSE = sp.Symbol("H") / (1 + sp.Symbol("V") * sp.Symbol("H"))
# Separability threshold of logistic regression without means: n/d = 2 (Candes and Sur 2018), where V diverges.
THRESHOLD = 2
