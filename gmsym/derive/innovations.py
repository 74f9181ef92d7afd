"""The innovation form of the DMF equations: the same system with Cholesky factors on both sides. Source: theory.md (2.5)-(2.7).

The iterates and the gradients each span few directions. Writing the fields' noise in orthonormal innovations g_j, the
gradients in orthonormal f_j and Theta in e_j turns sums over the past into sums over directions, whose number saturates.
"""

import sympy as sp

from gmsym.calculus.kernels import distribute, fold, innermost, outermost, split
from gmsym.system import Equation
from gmsym.system.causal_kernels import (
    A,
    Bk,
    Da,
    Df,
    G,
    K,
    L,
    La,
    Mean,
    NoiseGram,
    Partial,
    Phi,
    R,
    Ra,
    Rt,
    Theta,
    W,
    Y,
    a,
    alpha,
    b,
    e,
    f,
    f_new,
    g,
    h,
    i,
    j,
    k,
    omega,
    p,
    rank,
    rank_a,
    rho,
    s,
    sigma2,
    t,
    xi,
    zeta,
)

SOURCE = "own; theory.md (2.5)-(2.7)"


def innovation_form(field: Equation, response: Equation, gradient: Equation) -> tuple[Equation, ...]:
    """Rewrites the field h_k(t), the response kernel R_k(t,s) and the gradient G_b(t) of the kernel form.

    Returns:
        h_k(t), memory R~_kj(t), response B_kj(t), gradients a_k(t), G_b(t) and the noise metric, in this order.
    """
    fields_noise = sp.Sum(g(j) * L(k, j, t), (j, 1, rank))
    gradients = sp.Sum(f(k, j) * La(j, t), (j, 1, rank_a))
    directions = sp.Sum(e(k, j, b) * L(k, j, t), (j, 1, rank))

    # sum_s R_k(t,s) a_k(s) = sum_j [ sum_s R_k(t,s) La_j(s) ] f_kj, with W La = Y.
    memory = field.rhs.xreplace({omega(k, t): fields_noise, R(k, t, s): response.rhs, a(k, s): gradients.xreplace({t: s})})
    still, moving = split(distribute(memory), f)
    moving = fold(innermost(outermost(moving, j), s), sp.Sum(W(b, t, s) * La(j, s), (s, 0, t - 1)), Y(b, j, t))
    over_blocks = next(limit for limit in moving.limits if limit[0] == b)
    factor = sp.Sum(sp.Mul(*(x for x in sp.Mul.make_args(moving.function) if not x.has(f))), over_blocks)

    # sum_s Ra_k(t,s) Theta(s) = sum_j [ sum_s Ra_k(t,s) L_kj(s) ] e_kj: the response to the innovation g_j.
    noise = sp.Sum(zeta(b, j) * La(j, t), (j, 1, rank_a))
    drift = gradient.rhs.replace(
        lambda x: isinstance(x, sp.Sum) and x.has(Ra), lambda x: distribute(x.xreplace({Theta(b, s): directions.xreplace({t: s})}))
    )
    drift = distribute(drift.xreplace({xi(b, t): noise}))
    drift = fold(_each(drift, Ra, lambda x: innermost(x, s)), sp.Sum(Ra(k, t, s) * L(k, j, s), (s, 0, t)), Bk(k, j, t))
    return (
        Equation(h(k, t), still + sp.Sum(f(k, j) * Rt(k, j, t), (j, 1, rank_a)), "local field of a sample of cluster k", SOURCE, "own"),
        Equation(Rt(k, j, t), factor, "memory: response of the field to the gradients' innovations, with Y = W La", SOURCE, "own"),
        Equation(
            Bk(k, j, t),
            Mean(Partial(a(k, t), g(j)), k),
            "response of the gradients to the fields' innovations; by Stein's lemma also the mean of a_k(t) g_j",
            SOURCE,
            "own",
        ),
        Equation(a(k, t), gradients, "gradients in innovations, orthonormal over the mixture", SOURCE, "own"),
        Equation(G(b, t), drift, "gradient of the risk, one coordinate of block b", SOURCE, "own"),
        Equation(
            Phi(b, i, j),
            sp.Sum(p(k) * sigma2(k, b) * Mean(f(k, i) * f(k, j), k), (k, 1, K)),
            "covariance of the noise innovations times n",
            SOURCE,
            "own",
        ),
    )


def step_form(innovations: tuple[Equation, ...]) -> tuple[Equation, ...]:
    """The part of the innovation form that is array algebra at one time, in the order of computation.

    Returns:
        memory, field, tangent of the gradients, gradient of the risk, noise metric.
    """
    field, memory, _, _, gradient, metric = innovations
    # d/dg_j of the field, then the chain rule through the gradient of the loss.
    tangent = A(k, t) * (L(k, j, t) + sp.Sum(Rt(k, i, t) * Df(k, i, j), (i, 1, rank_a)))
    return (
        memory,
        field,
        Equation(Da(k, j, t), tangent, "derivative of the gradients in the fields' innovations", SOURCE, "own"),
        gradient,
        # The d rho_b coordinates of a block, with n = alpha d.
        Equation(
            NoiseGram(b, i, j),
            distribute(rho(b) / alpha * metric.rhs.xreplace({f(k, j): f_new(k, j)})),
            "Gram matrix of the noise innovations over a block",
            SOURCE,
            "own",
        ),
    )


def _each(expr: sp.Expr, atom: type[sp.Expr], change) -> sp.Expr:
    return sp.Add(*(change(x) if x.has(atom) else x for x in sp.Add.make_args(expr)))
