"""DMF equations of one problem in its own coordinates: known means and start as vectors, covariances that need not commute.

A block is one coordinate. What is known of Theta, its part D that comes from Theta(0) and the means, sees the covariances whole. The
response of Theta to the gradient's noise sees their diagonals: in the eigenbasis of the pooled covariance the other entries average to
zero over the clusters, and enter traces at second order only (a closure; exact where the covariances are diagonal).

Or the first H coordinates respond to the noise of each other, W_qq', which is exact where these are all of them; the others as before.

Innovations of Theta are common to all clusters: orthonormal in one metric, with a Gram matrix in that of each cluster, whose Cholesky
factors turn iid Gaussians into the fields' noise. Source: own; theory.md 2, verified/real_data.md 1.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import sympy as sp

from gmsym.calculus.kernels import Transposed, distribute, fold, innermost, inside, split
from gmsym.system import Equation
from gmsym.system import causal_kernels as S
from gmsym.system.causal_kernels import (
    B,
    Bk,
    D,
    H,
    K,
    L,
    Lt,
    Lw,
    Q,
    Qk,
    Ra,
    Sh,
    Sigma,
    Theta,
    W,
    Wh,
    Y,
    Z,
    alpha,
    b,
    b_other,
    e_D,
    e_S,
    i,
    j,
    k,
    l,
    m,
    mean,
    mu,
    p,
    pair,
    q,
    q_1,
    q_2,
    q_3,
    r,
    rank,
    rank_a,
    rho,
    s,
    sigma2,
    t,
    unit,
    xi,
)
from gmsym.system.recursion import samples as n

SOURCE = "own; verified/real_data.md 1"
Sides = Mapping[sp.Expr, sp.Expr]


def gradient_equation(gradient: Equation) -> Equation:
    """The gradient of one coordinate where the covariances are matrices: sigma_kb^2 Theta_b becomes a row of Sigma_k Theta."""

    def whole(total: sp.Sum) -> sp.Expr:
        factors = sp.Mul.make_args(total.function)
        if sigma2(k, b) not in factors or not total.has(Theta):
            return total
        row = sp.Mul(*(Sigma(k, b, b_other) if x == sigma2(k, b) else x for x in factors))
        return sp.Sum(row.replace(Theta, lambda _, time: Theta(b_other, time)), (b_other, 1, B), *total.limits)

    rhs = gradient.rhs.replace(lambda x: isinstance(x, sp.Sum), whole)
    return Equation(gradient.lhs, rhs, gradient.meaning.replace("of block b", "b"), gradient.source, gradient.status)


def expansion_equations(head: bool) -> tuple[Equation, ...]:
    """Theta_b(t) = D_b(t) + sum_s W_b(t,s) xi_b(s), of the first H coordinates sum_q' W_qq'(t,s) xi_q'(s)."""
    meaning = "one coordinate: what is known of it, and the gradient's noise"
    whole = Equation(Theta(b, t), D(b, t) + sp.Sum(W(b, t, s) * xi(b, s), (s, 0, t - 1)), meaning, SOURCE, "own")
    if not head:
        return (whole,)
    together = sp.Sum(Wh(q, q_1, t, s) * xi(q_1, s), (s, 0, t - 1), (q_1, 1, H))
    return replace(whole, meaning=f"{meaning}, beyond the first H"), Equation(
        Theta(q, t) - D(q, t), together, "the gradient's noise in one of the first H coordinates, from all of these", SOURCE, "own"
    )


def memory_equation(memory: Equation) -> Equation:
    """The response of the fields, of which coordinates that respond to each other's noise have a trace."""
    return replace(memory, rhs=memory.rhs + sp.Sum(Sh(k, q, q_1) * Wh(q, q_1, t, s), (q, 1, H), (q_1, 1, H)) / n)


def noise_equation(noise: Equation) -> Equation:
    """Covariance of the gradient's noise in two of the first H coordinates: a row of Sigma_k in the place of sigma_kb^2."""
    rhs = noise.rhs.replace(sigma2, lambda cluster, _: Sh(cluster, q, q_1))
    return Equation(n * S.Mean(xi(q, t) * Transposed(xi(q_1, s)), q), rhs, "the same between two of the first H", noise.source, "own")


def head_equations(update: sp.Matrix, variables: Sequence[sp.Symbol | None], named: Callable[..., sp.Expr]) -> tuple[Equation, ...]:
    """The update of W_qq'(t,s), of Theta and of each state variable, as that of W_b; `named` is the coefficient of a variable.

    The gradient's coordinate q sees its own noise, and Theta's through a row of each Sigma_k.
    """
    back = sp.Sum(p(l) * Sh(l, q, q_1) * Ra(l, t, r) * Wh(q_1, q_2, r, s), (r, s + 1, t), (l, 1, K), (q_1, 1, H))
    slope = unit(q, q_2) * sp.KroneckerDelta(t, s) + S.ridge * Wh(q, q_2, t, s) + back
    found = []
    for row, variable in enumerate(variables):
        of = "Theta" if variable is None else f"the optimizer's {variable}"
        meaning = f"coefficient of the noise of q'' in {of}"
        terms = [update[row, column] * named(Wh, other, q, q_2, t, s) for column, other in enumerate(variables)]
        found.append(Equation(named(Wh, variable, q, q_2, s, s), sp.S.Zero, f"{meaning} at the start", SOURCE, "own"))
        rhs = sp.Add(*terms, update[row, -1] * slope)
        found.append(Equation(named(Wh, variable, q, q_2, t + 1, s), rhs, meaning, SOURCE, "own", r"s \le t"))
    return tuple(found)


def known_component(gradient: sp.Expr) -> sp.Expr:
    """The part of the gradient that is known, as a function of the known part of Theta."""
    known = sp.Add(*(x for x in sp.Add.make_args(gradient) if not x.has(xi))).replace(mu, mean)

    def renamed(total: sp.Sum) -> sp.Sum:
        if not total.has(Theta):
            return total
        bound = {s: r, k: l}
        return sp.Sum(total.function.xreplace(bound), *((bound.get(x, x), low, high) for x, low, high in total.limits))

    return known.replace(lambda x: isinstance(x, sp.Sum), renamed).replace(Theta, D)


def overlaps(expansion: Equation, noise: Equation, full: bool, head: Sequence[Equation] = ()) -> tuple[Equation, ...]:
    """m_k(t), Q(t,s) and Q_k(t,s): sums over the coordinates, of what Theta is expanded in.

    Args:
        expansion, noise: of a coordinate that responds to its own noise.
        full: whether the covariances are matrices.
        head: the same two of the first H coordinates, where these respond together.
    """
    past = sp.Symbol("r'", integer=True, nonnegative=True)
    covariance = noise.rhs.xreplace({t: r, s: past, k: l}) / alpha  # of xi(r), xi(r'), times d: summed with rho_b = 1/d
    part, random = split(expansion.rhs, xi)
    loading = inside(random).function.xreplace({xi(b, s): sp.S.One}) if random != 0 else sp.S.Zero  # of xi(s) in Theta(t)
    first, second = loading.xreplace({s: r}), loading.xreplace({s: past}).xreplace({t: s})
    noisy = sp.Sum(first * covariance * Transposed(second), (r, 0, t - 1), (past, 0, s - 1)) if random != 0 else sp.S.Zero
    known = part * Transposed(part.xreplace({t: s}))
    in_cluster = sp.Sum(sigma2(k, b) * known, (b, 1, B))
    if full:
        in_cluster = sp.Sum(Sigma(k, b, b_other) * D(b, t) * Transposed(D(b_other, s)), (b, 1, B), (b_other, 1, B))

    def over(weight: sp.Expr) -> sp.Expr:
        return distribute(sp.Sum(weight * rho(b) * noisy, (b, 1, B)))

    together, together_k = _together(*head, past) if head else (sp.S.Zero, sp.S.Zero)
    return (
        Equation(m(k, t), sp.Sum(mean(k, b) * D(b, t), (b, 1, B)), "overlap with the mean of cluster k", SOURCE, "own"),
        Equation(Q(t, s), sp.Sum(known, (b, 1, B)) + over(sp.S.One) + together, "overlap of two iterates", SOURCE, "own"),
        Equation(
            Qk(k, t, s), in_cluster + over(sigma2(k, b)) + together_k, "overlap of two iterates in the metric of cluster k", SOURCE, "own"
        ),
    )


def _together(expansion: Equation, noise: Equation, past: sp.Symbol) -> tuple[sp.Expr, sp.Expr]:
    """tr(W Cov W^T) over the first H coordinates and times, and with Sigma_k in front."""
    loading = inside(expansion.rhs).function.xreplace({xi(q_1, s): sp.S.One})  # of the noise of q' at s, in q at t
    covariance = noise.rhs.xreplace({q: q_2, q_1: q_3, t: r, s: past, k: l}) / n

    def trace(weight: sp.Expr, row: sp.Expr, *over: sp.Symbol) -> sp.Expr:
        first = loading.xreplace({q: q_1, q_1: q_2, s: r})
        second = Transposed(loading.xreplace({q: row, q_1: q_3, t: s, s: past}))
        limits = (r, 0, t - 1), (past, 0, s - 1), *((x, 1, H) for x in (*over, q_1, q_2, q_3))
        return distribute(sp.Sum(weight * first * covariance * second, *limits))

    return trace(sp.S.One, q_1), trace(Sh(k, q, q_1), q, q)


# --- innovations ------------------------------------------------------------------------------------------------------


def expansions(head: bool = False) -> tuple[Equation, ...]:
    """Theta in innovations common to all clusters."""
    rows = (
        (D(b, t), sp.Sum(Lt(i, t) * e_D(i, b), (i, 1, rank)), "known part of Theta, in innovations of Theta common to all clusters"),
        (Y(b, j, t), sp.Sum(Lt(i, t) * S.E_Y(i, b, j), (i, 1, rank)), "coefficient of the noise, Y = W La, in innovations of Theta"),
    )
    if head:
        rows += ((Z(q, q_2, j, t), sp.Sum(Lt(i, t) * S.e_Z(i, q, q_2, j), (i, 1, rank)), "the same among the first H coordinates"),)
    return tuple(Equation(lhs, rhs, meaning, SOURCE, "own") for lhs, rhs, meaning in rows)


def metric(full: bool, overlap: sp.Expr) -> tuple[Equation, ...]:
    """The innovations of Theta: the metric in which they are orthonormal, their Gram matrix in that of each cluster, its factors.

    The factors and the response to innovations of Theta solve equations, whose right sides are what is generated of them.

    Args:
        full: whether the covariances are matrices.
        overlap: Q_k(t,s) in the coefficients of Theta.
    """
    head = overlap.has(Z)
    weight = p(k) * sigma2(k, b)
    known = sp.Sum(weight * D(b, t) * Transposed(D(b, s)), (b, 1, B), (k, 1, K))
    noisy = rho(b) * weight * p(l) * sigma2(l, b) * Y(b, j, t) * Transposed(Y(b, j, s))
    pooled = known + sp.Sum(noisy, (b, 1, B), (j, 1, rank_a), (k, 1, K), (l, 1, K)) / alpha
    if head:
        square = pair(q, q_1) * Z(q, q_1, j, t) * Transposed(Z(q, q_1, j, s))
        pooled += sp.Sum(square, (q, 1, H), (q_1, 1, H), (j, 1, rank_a)) / n
    gram = _of_innovations(overlap, full)
    factors = sp.Sum(Lw(k, i, S.j_other) * Lw(k, j, S.j_other), (S.j_other, 1, rank))
    turned = sp.Sum(Sigma(k, b, b_other) * e_D(i, b_other), (b_other, 1, B))
    return (
        Equation(S.Qp(t, s), pooled, "overlap in the pooled metric, in which innovations of Theta are orthonormal", SOURCE, "own"),
        *([Equation(e_S(k, i, b), turned, "covariance times an innovation", SOURCE, "own")] if full else []),
        Equation(S.Ge(k, i, j), gram, "Gram matrix of the innovations of Theta in the metric of cluster k", SOURCE, "own"),
        Equation(factors, S.Ge(k, i, j), "its Cholesky factors", SOURCE, "own"),
        Equation(L(k, j, t), sp.Sum(Lt(i, t) * Lw(k, i, j), (i, 1, rank)), "factors of the fields' noise", SOURCE, "own"),
        Equation(
            sp.Sum(S.Bt(k, i, t) * Lw(k, i, j), (i, 1, rank)),
            Bk(k, j, t),
            "response of the gradients to the fields' innovations, and to those of Theta",
            SOURCE,
            "own",
        ),
    )


def _of_innovations(overlap: sp.Expr, full: bool) -> sp.Expr:
    """Q_k(t,s) of Theta(t) = e_i and Theta(s) = e_j."""
    i_other = S.i_other
    found = sp.S.Zero
    for term in sp.Add.make_args(overlap):
        # The noise's own indices are renamed out of the way first.
        term = term.xreplace({i: i_other, j: S.j_other})
        term = term.replace(Transposed, _unit(j)).replace(lambda x: isinstance(x, D | Y | Z), _unit(i))
        if full:
            term = _folded(term, sp.Sum(Sigma(k, b, b_other) * e_D(j, b_other), (b_other, 1, B)), e_S(k, j, b))
        found += term
    return found


def _unit(index: sp.Symbol):
    """What replaces coefficients of Theta: those of an innovation."""

    def replaced(*args: sp.Expr) -> sp.Expr:
        x = args[0]
        if isinstance(x, D):
            return e_D(index, x.args[0])
        if isinstance(x, Y):
            return S.E_Y(index, *x.args[:2])
        if isinstance(x, Z):
            return S.e_Z(index, *x.args[:3])
        raise ValueError(f"{x} is no coefficient of Theta")

    return replaced


def responding(total: sp.Sum) -> sp.Expr:
    """sum_r Ra_l(t,r) D(r) in innovations: sum_r Ra_l(t,r) Lt_i(r) is Bt_li(t), and Sigma_l e_i has a name."""
    of_known, of_noise, of_head = (x.rhs for x in expansions(True))
    total = total.replace(D, lambda block, time: of_known.xreplace({b: block, t: time}))
    total = total.replace(Y, lambda block, index, time: of_noise.xreplace({b: block, j: index, t: time}))
    total = total.replace(Z, lambda one, two, index, time: of_head.xreplace({q: one, q_2: two, j: index, t: time}))
    total = _folded(distribute(total), sp.Sum(Ra(l, t, r) * Lt(i, r), (r, 0, t)), S.Bt(l, i, t))
    return _folded(total, sp.Sum(Sigma(l, b, b_other) * e_D(i, b_other), (b_other, 1, B)), e_S(l, i, b))


def _folded(expr: sp.Expr, definition: sp.Sum, name: sp.Expr) -> sp.Expr:
    index = definition.limits[0][0]

    def one(term: sp.Expr) -> sp.Expr:
        if not isinstance(term, sp.Sum) or all(limit[0] != index for limit in term.limits):
            return term
        return fold(innermost(term, index), definition, name)

    return sp.Add(*map(one, sp.Add.make_args(expr)))
