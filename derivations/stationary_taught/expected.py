"""Equations typed by a person, to compare the derivation with. No tool writes this file.

verified/sgd.md 1.1, (S1) to (S5), with theory.md 2, "Teachers", at rest: a teacher is an iterate that does not move, whose field is
Gaussian jointly with the one that is left out of training. Given tau, z is Gaussian; Stein's lemma over the teachers' fields is
E[a zeta_e] = Ah M_ke + sum_f Rz_f T_fe, T the teachers' Gram matrix in the metric of the cluster.
"""

import sympy as sp

from gmsym import symbols
from gmsym.calculus.kernels import Transposed as tr
from gmsym.functions import BivariateNormalCDF, NormalCDF
from gmsym.system import stationary as S
from gmsym.system.causal_kernels import (
    B,
    C,
    K,
    M,
    Mean,
    Mk,
    Q,
    Qk,
    Rz,
    a,
    abar,
    alpha,
    b,
    e,
    e_other,
    gram,
    k,
    l,
    m,
    omega,
    p,
    rho,
    sigma2,
    star_gram,
    star_gram_k,
    star_mean,
    tau,
    zeta,
)
from gmsym.system.causal_kernels import S as count
from gmsym.system.causal_kernels import ridge as lam

field, teacher = symbols.h, symbols.symbol("t0")
I, G, T = S.unit(), S.W(b), S.precision  # noqa: E741
l2 = sp.Symbol("l'", integer=True, positive=True)

of_field, of_teacher = sp.symbols("Q_0_0 Q_1_1", positive=True)
m_0, m_1, of_both = sp.symbols("m_0 m_1 Q_0_1", real=True)
x, y = m_0 / sp.sqrt(of_field), m_1 / sp.sqrt(of_teacher)

LOCAL = {
    "loss": sp.log(1 + sp.exp(-sp.sign(teacher) * field)),
    "gradient": (-sp.sign(teacher) / (1 + sp.exp(sp.sign(teacher) * field)),),
    # Two Gaussians of different signs: P(t > 0) + P(h > 0) - 2 P(both).
    "test_error": [NormalCDF(x) + NormalCDF(y) - 2 * BivariateNormalCDF(x, y, of_both / sp.sqrt(of_field * of_teacher))] * 2,
}
RESPONSE = sp.Symbol("H") / (1 + sp.Symbol("V") * sp.Symbol("H"))

_over_e, _over_f = (e, 1, count), (e_other, 1, count)
# d times the mean over a block of Theta Theta^T, Theta = -G (sum_l p_l abar_l mu_l + sum_le p_l s2_lb Rz_le theta*_e + xi).
_means = sp.Sum(p(l) * p(l2) * gram(l, l2) * G * abar(l) * tr(abar(l2)) * tr(G), (l2, 1, K), (l, 1, K))
_first = sp.Sum(p(l) * p(l2) * sigma2(l, b) * star_mean(e, l2) * G * Rz(l, e) * tr(abar(l2)) * tr(G), (l2, 1, K), _over_e, (l, 1, K))
_second = sp.Sum(
    p(l) * p(l2) * sigma2(l2, b) * star_mean(e_other, l) * G * abar(l) * tr(Rz(l2, e_other)) * tr(G), _over_f, (l2, 1, K), (l, 1, K)
)
_teachers = sp.Sum(
    p(l) * p(l2) * sigma2(l, b) * sigma2(l2, b) * star_gram(e, e_other) * G * Rz(l, e) * tr(Rz(l2, e_other)) * tr(G),
    _over_f,
    (l2, 1, K),
    _over_e,
    (l, 1, K),
)
_noise = sp.Sum(p(l) * sigma2(l, b) * G * C(l) * tr(G), (l, 1, K)) / alpha
_square = _means + _first + _second + _teachers + _noise
# d times the mean over a block of Theta theta*_e.
_along = -sp.Sum(p(l) * star_mean(e, l) * G * abar(l), (l, 1, K))
_along -= sp.Sum(p(l) * sigma2(l, b) * star_gram(e, e_other) * G * Rz(l, e_other), _over_f, (l, 1, K))

EQUATIONS = {
    S.z(k): m(k) + omega(k),
    tau(k, e): star_mean(e, k) + zeta(k, e),
    Mean(zeta(k, e) * zeta(k, e_other), k): star_gram_k(k, e, e_other),
    star_gram_k(k, e, e_other): sp.Sum(rho(b) * sigma2(k, b) * star_gram(e, e_other), (b, 1, B)),
    omega(k): sp.Sum(T(k, e_other, e) * Mk(k, e_other) * zeta(k, e), _over_e, _over_f) + S.rest(k),
    Mean(S.rest(k) * tr(S.rest(k)), k): Qk(k) - sp.Sum(T(k, e, e_other) * Mk(k, e) * tr(Mk(k, e_other)), _over_e, _over_f),
    abar(k): Mean(a(k), k),
    C(k): Mean(a(k) * tr(a(k)), k),
    S.Ah(k): Mean(S.D(k), k),
    Rz(k, e): sp.Sum(T(k, e, e_other) * Mean(zeta(k, e_other) * a(k), k), _over_f)
    - sp.Sum(T(k, e, e_other) * S.Ah(k) * Mk(k, e_other), _over_f),
    G: (lam * I + sp.Sum(p(k) * sigma2(k, b) * S.Ah(k), (k, 1, K))) ** -1,
    S.V(k): sp.Sum(rho(b) * sigma2(k, b) * G, (b, 1, B)) / alpha,
    m(k): -sp.Sum(rho(b) * p(l) * gram(k, l) * G * abar(l), (l, 1, K), (b, 1, B))
    - sp.Sum(rho(b) * p(l) * sigma2(l, b) * star_mean(e, k) * G * Rz(l, e), _over_e, (l, 1, K), (b, 1, B)),
    Q(): sp.Sum(rho(b) * _square, (b, 1, B)),
    Qk(k): sp.Sum(rho(b) * sigma2(k, b) * _square, (b, 1, B)),
    M(e): sp.Sum(rho(b) * _along, (b, 1, B)),
    Mk(k, e): sp.Sum(rho(b) * sigma2(k, b) * _along, (b, 1, B)),
}
