"""The comparison rule for products with a Gaussian matrix, and its limit. Source: theory.md 1, Panahi 2026 (arXiv 2603.09310).

For one cluster k, training touches the noise matrix Z_k only in the products Z_k q_j and Z_k^T p_j, with q_j and p_j the
new orthonormal directions that Sigma_k^{1/2} Theta and a_k add to their past. Conditioning on the past makes every
product a fresh Gaussian plus projections on the past, exactly, for every n and d. As n and d grow the fluctuation
parameters drop out, inner products concentrate on means, and Stein's lemma turns those into responses.
"""

import sympy as sp

from gmsym.calculus.kernels import coefficient, distribute, fold, innermost, kernel, outermost, split
from gmsym.system.causal_kernels import (
    B,
    L,
    Lz,
    Mean,
    Partial,
    R,
    Ra,
    Rz,
    S,
    Theta,
    W,
    a,
    alpha,
    b,
    e,
    g,
    j,
    k,
    p,
    r,
    rank,
    rho,
    s,
    sigma2,
    star,
    t,
)
from gmsym.system.recursion import Inner, M, phi, psi, q, u, z
from gmsym.system.recursion import dimension as d
from gmsym.system.recursion import samples as n


def noise_times_direction() -> sp.Expr:
    """Z_k q_j for one sample, exactly in law (theory.md 1.1)."""
    return g(j) + sp.Sum(u(k, s) * (Inner(q(k, j), z(k, s)) - phi(k, j, s)), (s, 0, j - 1))


def transpose_times_direction() -> sp.Expr:
    """Z_k^T u_j for one coordinate, exactly in law (theory.md 1.2)."""
    return z(k, j) + sp.Sum(q(k, r) * (Inner(u(k, j), g(r)) - psi(k, r, j)), (r, 0, j))


def surrogate_field() -> sp.Expr:
    """Z_k Sigma_k^{1/2} Theta_t for one sample of the surrogate, exact at finite n and d."""
    return distribute(sp.Sum(L(k, j, t) * noise_times_direction(), (j, 0, t)))


def surrogate_noise() -> sp.Expr:
    """Z_k^T a_k(t) for one coordinate of the surrogate, exact at finite n and d."""
    return distribute(sp.Sum(M(k, j, t) * transpose_times_direction(), (j, 0, t)))


def without_fluctuations(expr: sp.Expr) -> sp.Expr:
    """The leading order: phi and psi are O(1) against inner products of order sqrt(n)."""
    return distribute(expr.replace(phi, lambda *_: sp.S.Zero).replace(psi, lambda *_: sp.S.Zero))


def limit_of_noise() -> tuple[sp.Expr, sp.Expr]:
    """Z_k^T a_k(t) for one coordinate of block b in the limit: (fresh Gaussian part, memory part).

    The memory part is n p_k sigma_kb sum_s Ra_k(t,s) Theta_s: the response of the gradients to the fields' noise.
    """
    fresh, memory = split(without_fluctuations(surrogate_noise()), q)
    memory = outermost(memory, r)
    # The directions j < r that are missing from a_k(t) = sum_j M_kj(t) u_j multiply fluctuation parameters.
    memory = fold(memory, sp.Sum(M(k, j, t) * Inner(u(k, j), g(r)), (j, r, t)), Inner(a(k, t), g(r)))
    memory = memory.replace(Inner, lambda x, y: n * p(k) * Mean(Partial(x, y), k))  # concentration, then Stein
    # a_k(t) depends on g_r through omega_k(s), r <= s <= t.
    chain = sp.Sum(Ra(k, t, s) * coefficient(gaussian_field(s), g(r)), (s, r, t))
    memory = distribute(memory.xreplace({Mean(Partial(a(k, t), g(r)), k): chain}))
    past = sp.Sum(L(k, r, s) * q(k, r), (r, 0, s))  # Sigma_k^{1/2} Theta_s
    return fresh, fold(outermost(memory, s), past, sp.sqrt(sigma2(k, b)) * Theta(b, s))


def limit_of_teachers() -> sp.Expr:
    """What teachers add to the memory part of `limit_of_noise`: n p_k sigma_kb sum_e Rz_k(e,t) theta*_e.

    A teacher's field is one more product with Z_k, made before all others: zeta_k(e) = sum_r Lz_kr(e) g_r, on which a_k(t) depends
    through the loss and through its own past.
    """
    chain = sp.Sum(Rz(k, e, t) * Lz(k, r, e), (e, 1, S))
    memory = distribute(sp.Sum(n * p(k) * chain * q(k, r), (r, 1, rank)))
    past = sp.Sum(Lz(k, r, e) * q(k, r), (r, 1, rank))  # Sigma_k^{1/2} theta*_e
    return fold(outermost(memory, e), past, sp.sqrt(sigma2(k, b)) * star(e, b))


def limit_of_field() -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """Z_k Sigma_k^{1/2} Theta_t for one sample in the limit: (fresh Gaussian part, memory part, R_k(t, r)).

    The memory part is sum_r R_k(t,r) a_k(r), with R_k(t,r) the response of the fields to past gradients.
    """
    fresh, memory = split(without_fluctuations(surrogate_field()), u)
    memory = outermost(memory, s)
    query = kernel("Query", r"\Sigma^{1/2}\Theta", subscripts=1, value="cx")(k, t)
    memory = fold(memory, sp.Sum(L(k, j, t) * Inner(q(k, j), z(k, s)), (j, s + 1, t)), Inner(query, z(k, s)))
    # Concentration over the d coordinates, then Stein; Theta_t depends on z_s through the gradients G_r, s <= r < t.
    noise = (sp.sqrt(sigma2(k, b)) / n * limit_of_noise()[0]).xreplace({t: r})
    chain = sp.Sum(W(b, t, r) * coefficient(noise, z(k, s)), (r, s, t - 1))
    blocks = sp.Sum(d * rho(b) * sp.sqrt(sigma2(k, b)) * chain, (b, 1, B))
    memory = distribute(memory.xreplace({Inner(query, z(k, s)): blocks}).subs(d, n / alpha))
    memory = outermost(outermost(memory, s), r)
    memory = innermost(memory, s)
    memory = fold(memory, sp.Sum(M(k, s, r) * u(k, s), (s, 0, r)), a(k, r))
    over_blocks, over_time = memory.limits
    response = sp.Sum(coefficient(memory.function, a(k, r)), over_blocks)
    return fresh, sp.Sum(R(k, t, r) * a(k, r), over_time), response


def gaussian_field(time: sp.Symbol) -> sp.Expr:
    """omega_k(time) = sum_j L_kj(time) g_j, the Gaussian part of the field."""
    return split(without_fluctuations(surrogate_field()), u)[0].xreplace({t: time})
