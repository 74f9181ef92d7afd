"""The innovation form of the DMF equations: the kernel form rewritten with Cholesky factors on both sides. Source: theory.md (2.5)-(2.7).

The iterates and the gradients each span few directions. Writing the fields' noise in orthonormal innovations g_j, the
gradients in orthonormal f_j and Theta in e_j turns sums over the past into sums over directions, whose number saturates.
What comes out is array algebra at one time; code is generated from it as it stands.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sympy as sp

from gmsym.calculus.kernels import Kernel, Transposed, coefficient, distribute, fold, innermost, kernel, outermost
from gmsym.derive import embedded
from gmsym.system import Equation, Equations
from gmsym.system.causal_kernels import (
    A,
    Bk,
    C,
    Ce,
    D,
    Da,
    Df,
    Df_mean,
    Dh,
    Gamma,
    K,
    Known,
    L,
    La,
    Le,
    Lt,
    Lz,
    M,
    Mean,
    Mk,
    N,
    P,
    Partial,
    Phi,
    Q,
    Qk,
    R,
    Ra,
    Response,
    Rt,
    Rz,
    S,
    U,
    V,
    Vh,
    W,
    Wh,
    Y,
    Ye,
    Z,
    a,
    abar,
    b,
    e,
    e_other,
    e_P,
    e_U,
    e_V,
    e_Y,
    e_Ye,
    ell,
    f,
    fbar,
    g,
    h,
    hbar,
    i,
    j,
    j_other,
    k,
    l,
    m,
    mean_loss,
    mean_seen,
    omega,
    p,
    q,
    q_1,
    q_2,
    q_3,
    r,
    rank,
    rank_a,
    rank_e,
    s,
    seen,
    slope,
    star_gram_k,
    t,
    tau,
    train_loss,
    train_seen,
    unit,
    xi,
    zeta,
)
from gmsym.system.recursion import samples as n

SOURCE = "own; theory.md (2.5)-(2.7)"
_past = sp.Symbol("r'", integer=True, nonnegative=True)
_OBSERVED = "observables over the training samples"
Sides = Mapping[sp.Expr, sp.Expr]  # right-hand sides by left-hand side


def component(family: type[Kernel], variable: sp.Symbol | None, *indices: sp.Expr) -> sp.Expr:
    """Coefficient of a family of basis vectors in Theta, or in a state variable of the optimizer."""
    if variable is not None:
        symbol = rf"{family.symbol}^{{({sp.latex(variable)})}}"
        family = kernel(f"{family.__name__}_{variable}", symbol, subscripts=family.subscripts, value=family.value)
    return family(*indices)


def innovation_form(kernel_form: Equations, state: Sequence[sp.Symbol], response: Response, held: Known) -> Equations:
    """The equations of `kernel_form` in innovations.

    Where the gradients are affine in the fields (response "exact"), they are affine in the fields' innovations, too:
    f_i = fbar_i + sum_j (df_i/dg_j) g_j with constant derivatives, and nothing is left to be sampled.
    """
    right = {equation.lhs: equation.rhs for equation in kernel_form}
    exact, taught, noisy = response == "exact", any(lhs.has(V) for lhs in right), any(lhs.has(N) for lhs in right)
    expansions = expansion_equations(exact, taught, noisy, held, head=any(lhs.has(Wh) for lhs in right))
    known = (*_KNOWN, *([(V, (e, b))] if taught else [])) if held == "gram" else ((D, (b,)),)
    x = {equation.lhs: equation.rhs for equation in expansions}
    starts = [
        equation
        for equation in kernel_form
        if equation.lhs in {component(F, v, *F_indices, 0) for F, F_indices in known for v in (None, *state)}
    ]
    local = _closed(right, x) if exact else sample_equations(right, x, response)
    trained = [y for y in kernel_form if isinstance(y.lhs, Kernel) and y.lhs.value == "p"]  # they are of one time as they stand
    own = _overlaps(right, x)
    if held != "gram":
        own = (*own, *embedded.metric(held == "full", next(y.rhs for y in own if y.lhs == Qk(k, t, s))))
    return Equations(
        (
            *(*expansions, *own, *local, *gradient_noise(right, x, exact)),
            *(*starts, *_updates(right, x, state, known, noisy), *trained),
        )
    )


_RESPONSES = ((W, La, Y), (N, Le, Ye))  # of Theta to a noise, the noise's directions, and the sum of both over time
_TOGETHER = (Wh, La, Z)  # the same of coordinates that respond to each other's noise
_KNOWN = ((P, (b,)), (U, (k, b)))  # coefficients of what is there at the start


def stein_equations(taught: bool) -> tuple[Equation, ...]:
    """Stein's lemma for the gradients' responses: with teachers the fields' noise is one of several Gaussians, each with its response."""
    source, meaning = (
        "theory.md 2; Celentano, Cheng, Montanari 2021; Gerbelot et al. 2022 (2.5)",
        "response of the gradients, by Stein's lemma",
    )
    found = [Equation(stein_sum(taught), Mean(a(k, t) * Transposed(omega(k, s)), k), meaning, source, "theorem", r"s \le t")]
    if taught:
        sums = sp.Sum(Ra(k, t, r) * Mk(k, e, r), (r, 0, t)) + sp.Sum(Rz(k, e_other, t) * star_gram_k(k, e_other, e), (e_other, 1, S))
        found.append(Equation(sums, Mean(a(k, t) * zeta(k, e), k), f"{meaning}, with a teacher's field", source, "theorem"))
    return tuple(found)


def stein_sum(taught: bool) -> sp.Expr:
    """E[a_k(t) omega_k(s)^T] in responses."""
    teachers = sp.Sum(Rz(k, e, t) * Transposed(Mk(k, e, s)), (e, 1, S)) if taught else sp.S.Zero
    return sp.Sum(Ra(k, t, r) * Qk(k, r, s), (r, 0, t)) + teachers


def expansion_equations(
    exact: bool, taught: bool = False, noisy: bool = False, held: Known = "gram", sampled: bool = False, head: bool = False
) -> tuple[Equation, ...]:
    """What each side is written in; where coordinates are sampled, the samples' side."""
    affine = fbar(k, j) + sp.Sum(g(j_other) * Df_mean(k, j, j_other), (j_other, 1, rank))
    rows = (
        (omega(k, t), sp.Sum(g(j) * L(k, j, t), (j, 1, rank)), "fields' noise in innovations, orthonormal: iid N(0, 1)"),
        (a(k, t), sp.Sum(f(k, j) * La(j, t), (j, 1, rank_a)), "gradients in innovations, orthonormal over the mixture"),
        *([(f(k, j), affine, "an innovation of affine gradients")] if exact else []),
        *([(zeta(k, e), _noise_of_teacher(), "teachers' noise in the fields' innovations, of which it takes the first")] if taught else []),
    )
    # In each cluster l: its innovations are orthonormal in its own metric.
    coordinates = (
        (P(b, t), sp.Sum(L(l, j, t) * e_P(l, j, b), (j, 1, rank)), "coefficient of Theta(0), in innovations of Theta"),
        (U(k, b, t), sp.Sum(L(l, j, t) * e_U(l, j, b, k), (j, 1, rank)), "coefficient of a mean, in innovations of Theta"),
        *([(V(e, b, t), _along(e_V(l, j, b, e)), "coefficient of a teacher direction, in innovations of Theta")] if taught else []),
        (Y(b, j, t), sp.Sum(L(l, i, t) * e_Y(l, i, b, j), (i, 1, rank)), "coefficient of the noise, Y = W La, in innovations of Theta"),
        *(_own_noise() if noisy else []),
    )
    shown = rows if sampled or held != "gram" else (*rows, *coordinates)
    found = tuple(Equation(lhs, rhs, meaning, SOURCE, "own") for lhs, rhs, meaning in shown)
    return found if held == "gram" else (*found, *embedded.expansions(head))


def _own_noise() -> list[tuple[sp.Expr, sp.Expr, str]]:
    """The optimizer's noise in directions of its own: each step adds one a column."""
    units = sp.Sum(Le(i, t) * Transposed(Le(i, s)), (i, 1, rank_e))
    of_theta = sp.Sum(L(l, i, t) * e_Ye(l, i, b, j), (i, 1, rank))
    return [
        (Ce(t, s), units, "covariance of the optimizer's noise in its directions"),
        (Ye(b, j, t), of_theta, "coefficient of the optimizer's noise, Ye = N Le, in innovations of Theta"),
    ]


def _noise_of_teacher() -> sp.Expr:
    return sp.Sum(g(j) * Lz(k, j, e), (j, 1, rank))


def _along(direction: sp.Expr) -> sp.Expr:
    return sp.Sum(L(l, j, t) * direction, (j, 1, rank))


def _overlaps(right: Sides, x: Sides) -> tuple[Equation, ...]:
    """m, Q and Q_k in the coefficients of Theta, and the covariance that the factors L_k are those of."""
    correlation = sp.Sum(La(i, r) * Gamma(l, i, j) * Transposed(La(j, _past)), (i, 1, rank_a), (j, 1, rank_a))
    phi = sp.Sum(*_each_cluster(_noise_covariance(right)[0]))
    own = {Ce(r, _past): x[Ce(t, s)].xreplace({t: r, s: _past})} if Ce(t, s) in x else {}

    def rewritten(expr: sp.Expr) -> sp.Expr:
        expr = distribute(expr.xreplace({C(l, r, _past): correlation} | own))
        for response, along, name in _RESPONSES:
            expr = folded(expr, sp.Sum(response(b, t, r) * along(i, r), (r, 0, t - 1)), name(b, i, t))
            at = j if response is W else i
            turned = sp.Sum(Transposed(along(at, _past)) * Transposed(response(b, s, _past)), (_past, 0, s - 1))
            expr = folded(expr, turned, Transposed(name(b, at, s)))
        expr = folded(expr, sp.Sum(Wh(q_1, q_2, t, r) * La(i, r), (r, 0, t - 1)), Z(q_1, q_2, i, t))
        for at in (q, q_1):
            turned = sp.Sum(Transposed(La(j, _past)) * Transposed(Wh(at, q_3, s, _past)), (_past, 0, s - 1))
            expr = folded(expr, turned, Transposed(Z(at, q_3, j, s)))
        return fold(expr, phi, Phi(b, i, j))

    factor = coefficient(x[omega(k, t)], g(j))
    gram = sp.Sum(factor * Transposed(factor.xreplace({t: s})), (j, 1, rank)) if factor != 0 else sp.S.Zero
    named = right[Mean(omega(k, t) * Transposed(omega(k, s)), k)]
    return (
        Equation(m(k, t), right[m(k, t)], "overlap with the mean of cluster k", SOURCE, "own"),
        Equation(Q(t, s), rewritten(right[Q(t, s)]), "overlap of two iterates", SOURCE, "own"),
        Equation(Qk(k, t, s), rewritten(right[Qk(k, t, s)]), "overlap of two iterates in the metric of cluster k", SOURCE, "own"),
        Equation(gram, named, "covariance of the fields' noise", SOURCE, "own"),
        *(Equation(lhs, right[lhs], meaning, SOURCE, "own") for lhs, meaning in _OF_TEACHERS if lhs in right),
    )


_OF_TEACHERS = (
    (M(e, t), "overlap with a teacher direction"),
    (Mk(k, e, t), "overlap with a teacher in the metric of cluster k"),
    (star_gram_k(k, e, e_other), "teacher directions in the metric of cluster k"),
)


def sample_equations(right: Sides, x: Sides, response: Response) -> tuple[Equation, ...]:
    """Fields and gradients of a population of samples, and the means over it."""
    field = right[h(k, t)].xreplace({omega(k, t): x[omega(k, t)], a(k, s): x[a(k, t)].xreplace({t: s})})
    found = [
        Equation(Rt(k, j, t), _memory(right), "memory: response of the field to the gradients' innovations, with Y = W La", SOURCE, "own"),
        Equation(h(k, t), _remembered(distribute(field), s, j), "local field of a sample of cluster k", SOURCE, "own"),
        *([Equation(tau(k, e), right[tau(k, e)].xreplace(x), "field of a teacher direction", SOURCE, "own")] if tau(k, e) in right else []),
        Equation(abar(k, t), right[abar(k, t)], "mean gradient", SOURCE, "own"),
        Equation(train_loss(t), right[train_loss(t)], "train loss", SOURCE, "own"),
        *([Equation(train_seen(t), right[train_seen(t)], _OBSERVED, SOURCE, "own")] if train_seen(t) in right else []),
    ]
    if response == "stein":
        # Both sides of Stein's lemma hold L_kj(s)^T: its coefficients are equal.
        stein = right[stein_sum(tau(k, e) in right)]
        mean = stein.xreplace({omega(k, s): coefficient(x[omega(k, t)], L(k, j, t))})
    else:
        # d/dg_j = sum_s L_kj(s) d/domega_k(s).
        moves = lambda time: Partial(a(k, time), omega(k, s))  # noqa: E731
        along = x[a(k, t)].xreplace({j: i}).replace(f, lambda cluster, index: Df(cluster, index, j))
        tangent = _along_innovation(right[moves(t)], moves, lambda time: Da(k, j, time), along)
        found.append(Equation(Da(k, j, t), tangent, "derivative of the gradients in the fields' innovations", SOURCE, "own"))
        mean = right[Ra(k, t, s)].xreplace({moves(t): Da(k, j, t)})
    meaning = "response of the gradients to the fields' innovations"
    return *found, Equation(Bk(k, j, t), mean, meaning, SOURCE, "own")


def _closed(right: Sides, x: Sides) -> tuple[Equation, ...]:
    """The same for affine gradients: means and constant derivatives."""
    constant = {A(k, t): slope(k)}
    affine = x[a(k, t)].xreplace({j: i}).replace(f, lambda cluster, index: x[f(k, j)].xreplace({j: index}))
    affine = distribute(affine)
    still = sp.Add(*(term for term in sp.Add.make_args(affine) if not term.has(g)))
    moving = coefficient(affine, g(j))
    field = distribute(right[h(k, t)].xreplace({omega(k, t): x[omega(k, t)], a(k, s): affine.xreplace({t: s})}))
    mean_field = sp.Add(*(term for term in sp.Add.make_args(field) if not term.has(g)))
    mean = distribute(right[abar(k, t)].xreplace({abar(k, s): still.xreplace({t: s})}))
    moves = lambda time: Ra(k, time, s)  # noqa: E731
    response = _along_innovation(right[moves(t)], moves, lambda time: Bk(k, j, time), moving)
    rows = (
        (Rt(k, j, t), _memory(right), "memory: response of the field to the gradients' innovations, with Y = W La"),
        (hbar(k, t), _remembered(mean_field, s, i), "mean field of cluster k"),
        (Dh(k, j, t), _remembered(coefficient(field, g(j)), s, i), "derivative of the field in its innovations"),
        (Vh(k, t), sp.Sum(Dh(k, j, t) * Transposed(Dh(k, j, t)), (j, 1, rank)), "covariance of the field"),
        (abar(k, t), _remembered(mean, s, i).xreplace(constant), "mean gradient"),
        (train_loss(t), right[train_loss(t)].xreplace({Mean(ell(k, t), k): mean_loss(k, t)}), "train loss"),
        (Bk(k, j, t), response.xreplace(constant), "response of the gradients to the fields' innovations"),
    )
    if train_seen(t) in right:
        rows += ((train_seen(t), right[train_seen(t)].xreplace({Mean(seen(k, t), k): mean_seen(k, t)}), _OBSERVED),)
    return tuple(Equation(lhs, rhs, meaning, SOURCE, "own") for lhs, rhs, meaning in rows)


def gradient_noise(right: Sides, x: Sides, exact: bool) -> tuple[Equation, ...]:
    """Correlations of the gradients' innovations, and of the noise that they become on the other side."""
    correlation = right[C(k, t, s)]
    if exact:
        first, second = (_affine_part(x, index) for index in (i, j))
        factor = coefficient(x[omega(k, t)], g(j_other))
        square = factor.xreplace({t: r}) * Transposed(factor.xreplace({t: _past}))
        correlation = distribute(correlation.xreplace({Qk(k, r, _past): sp.Sum(square, (j_other, 1, rank))}))
        of = L(k, j_other, r), Transposed(L(k, j_other, _past))
        correlation = folded(correlation, sp.Sum(Ra(k, t, r) * of[0], (r, 0, t)), Bk(k, j_other, t))
        turned = sp.Sum(of[1] * Transposed(Ra(k, s, _past)), (_past, 0, s))
        correlation = folded(correlation, turned, Transposed(Bk(k, j_other, s)))
        values = {abar(k, t): first[0], Bk(k, j_other, t): first[1]}
        values |= {Transposed(abar(k, s)): second[0], Transposed(Bk(k, j_other, s)): second[1]}
        correlation = correlation.xreplace(values)
    else:
        first, second = (coefficient(x[a(k, t)], La(index, t)) for index in (i, j))
        correlation = correlation.xreplace({a(k, t): first, a(k, s): second})
    return (
        Equation(Gamma(k, i, j), correlation, "correlation of the gradients' innovations", SOURCE, "own"),
        Equation(
            unit(i, j),
            distribute(sp.Sum(p(k) * correlation, (k, 1, K))),
            "correlation over the mixture, in which they are orthonormal",
            SOURCE,
            "own",
        ),
        Equation(Phi(b, i, j), *_noise_covariance(right), SOURCE, "own"),
    )


def _noise_covariance(right: Sides) -> tuple[sp.Expr, str]:
    """Of the noise's innovations, and its meaning: C_k(t,s) = sum_ij La_i(t) Gamma_kij La_j(s)^T."""
    noise, meaning = Mean(xi(b, t) * Transposed(xi(b, s)), b), "covariance of the noise innovations"
    expr, meaning = (right[n * noise], f"{meaning} times n") if n * noise in right else (right[noise], f"{meaning} of a coordinate")
    return expr.xreplace({C(k, t, s): Gamma(k, i, j)}), meaning


def _each_cluster(total: sp.Expr) -> tuple[sp.Expr, tuple]:
    """(summand, limits) of a sum over clusters, with l for k."""
    summand = sp.Mul(*(x.function if isinstance(x, sp.Sum) else x for x in sp.Mul.make_args(total)))
    return summand.xreplace({k: l}), (l, 1, K)


def _updates(right: Sides, x: Sides, state: Sequence[sp.Symbol], known: Sequence[Any], noisy: bool) -> tuple[Equation, ...]:
    """The optimizer's step on the coefficients of Theta, its feedback through the gradients' response in innovations of Theta."""
    found = []
    for variable in (None, *state):
        of = "Theta" if variable is None else f"the optimizer's {variable}"
        for family, indices in known:
            past = family(*indices, r)
            expanded = {past: x[past.xreplace({r: t})].xreplace({t: r})}
            lhs = component(family, variable, *indices, t + 1)
            respond = lambda y, z=expanded, of=past: _responding(y.xreplace(z), j) - _of_teacher(y, of)  # noqa: E731
            rhs = right[lhs].replace(_feeds_back, embedded.responding if family is D else respond)
            meaning = f"coefficient of {_VECTORS[family]} in {of}"
            found.append(Equation(lhs, rhs, meaning, SOURCE, "own"))
        together = [_TOGETHER] if any(isinstance(lhs, Wh) for lhs in right) else []
        for response, along, name in [*_RESPONSES[: 1 + noisy], *together]:
            at = (q, q_2) if response is Wh else (b,)
            step = _onto_innovation(right[component(response, variable, *at, t + 1, s)], right, x, (response, along, name))
            whose = {W: "noise", N: "optimizer's noise", Wh: "noise of q''"}[response]
            found.append(Equation(component(name, variable, *at, j, t + 1), step, f"coefficient of the {whose} in {of}", SOURCE, "own"))
    return tuple(found)


_VECTORS = {D: "what is known", P: "Theta(0)", U: "the mean of cluster k", V: "a teacher direction"}


def _of_teacher(total: sp.Sum, past: sp.Expr) -> sp.Expr:
    """The part of B_lj(t) = sum_r Ra_l(t,r) L_lj(r) + sum_e Rz_l(e,t) Lz_lj(e) that is not in sum_r Ra_l(t,r) V_e(r), for V_e(r) = past.

    A teacher is sum_j Lz_lj(e) e_lj, which has the coefficient 1 of itself and none of anything else.
    """
    if not isinstance(past, V):
        return sp.S.Zero
    single = sp.Mul(*(Rz(l, e, t) if isinstance(y, Ra) else y for y in sp.Mul.make_args(total.function) if y != past))
    return sp.Sum(single, *(limit for limit in total.limits if limit[0] != r))


def _feeds_back(expr: sp.Expr) -> bool:
    return isinstance(expr, sp.Sum) and expr.has(Ra)


def _responding(total: sp.Expr, index: sp.Symbol) -> sp.Expr:
    """sum_r Ra_l(t,r) L_lj(r) is B_lj(t)."""
    return folded(distribute(total), sp.Sum(Ra(l, t, r) * L(l, index, r), (r, 0, t)), Bk(l, index, t))


def _onto_innovation(expr: sp.Expr, right: Sides, x: Sides, of: tuple[type[Kernel], type[Kernel], type[Kernel]]) -> sp.Expr:
    """sum over s, 0 <= s <= t, of an expression linear in W(.,s), times La_j(s); or in another of `_RESPONSES`."""
    response, along, summed = of
    at, past = ((q, q_2), (q_1, q_2)) if response is Wh else ((b,), (b,))
    if isinstance(expr, sp.Add):
        return sp.Add(*(_onto_innovation(term, right, x, of) for term in expr.args))
    if isinstance(expr, sp.KroneckerDelta):
        return along(j, t)
    if _feeds_back(expr):
        total = sp.Sum(expr.function * along(j, s), *expr.limits, (s, 0, t))
        total = fold(outermost(total, r), sp.Sum(response(*past, r, s) * along(j, s), (s, 0, r - 1)), summed(*past, j, r))
        # Theta(0) holds no noise, so the sum may as well begin at r = 0.
        total = sp.Sum(total.function, *((y, 0, high) if y == r else (y, low, high) for y, low, high in total.limits))
        if x[summed(*at, j, t)].has(Lt):
            return embedded.responding(total)
        return _responding(total.xreplace({summed(b, j, r): x[summed(b, j, t)].xreplace({t: r})}), i)
    if isinstance(expr, sp.Mul):
        (moving,) = (factor for factor in expr.args if factor.has(s))
        return sp.Mul(*(_onto_innovation(factor, right, x, of) if factor == moving else factor for factor in expr.args))
    if isinstance(expr, Kernel) and expr.args == (*at, t, s):
        # Up to s = t - 1 that is Y_j(t); the last term is W at its start.
        name = type(expr).__name__.removeprefix(response.__name__).removeprefix("_")
        variable = sp.Symbol(name) if name else None
        return component(summed, variable, *at, j, t) + right[type(expr)(*at, s, s)] * along(j, t)
    if expr == 0:
        return sp.S.Zero
    raise ValueError(f"{expr} is not linear in the responses of Theta")


def _memory(right: Sides) -> sp.Expr:
    """R~_kj(t) = sum_s R_k(t,s) La_j(s), with Y = W La."""
    total = distribute(sp.Sum(right[R(k, t, s)] * La(j, s), (s, 0, t - 1)))
    total = folded(total, sp.Sum(W(b, t, s) * La(j, s), (s, 0, t - 1)), Y(b, j, t))
    return folded(total, sp.Sum(Wh(q, q_1, t, s) * La(j, s), (s, 0, t - 1)), Z(q, q_1, j, t))


def _remembered(expr: sp.Expr, time: sp.Symbol, index: sp.Symbol) -> sp.Expr:
    """`expr` with sum_s R_k(t,s) La_j(s) named R~_kj(t)."""
    return folded(expr, sp.Sum(R(k, t, time) * La(index, time), (time, 0, t - 1)), Rt(k, index, t))


def _affine_part(x: Sides, index: sp.Symbol) -> tuple[sp.Expr, sp.Expr]:
    """Coefficients of La_index(t) in the mean of a_k(t) and in its derivative in g_j'."""
    whole = coefficient(x[a(k, t)], La(index, t)).replace(f, lambda cluster, at: x[f(k, j)].xreplace({j: at}))
    terms = sp.Add.make_args(distribute(whole))
    return sp.Add(*(y for y in terms if not y.has(g))), coefficient(whole, g(j_other))


def _along_innovation(
    expr: sp.Expr, moves: Callable[[sp.Expr], sp.Expr], derivative: Callable[[sp.Expr], sp.Expr], expansion: sp.Expr
) -> sp.Expr:
    """sum_s L_kj(s) of the response `expr` of a_k(t) to omega_k(s): its derivative in g_j.

    Args:
        expr: a sum of A_k(t) times delta_ts and sum_r R_k(t,r) moves(r).
        moves: the response of a_k(r) to omega_k(s).
        derivative: the name of its sum with L_kj(s).
        expansion: what that is in the gradients' innovations, at time t.
    """
    found = []
    for term in sp.Add.make_args(distribute(expr * L(k, j, s))):
        deltas = term.atoms(sp.KroneckerDelta)
        if deltas:
            found.append(term.xreplace(dict.fromkeys(deltas, sp.S.One)).xreplace({s: t}))
        elif isinstance(term, sp.Sum):
            total = outermost(sp.Sum(term.function, *term.limits, (s, 0, t)), r)
            total = fold(total, sp.Sum(moves(r) * L(k, j, s), (s, 0, r)), derivative(r))
            found.append(_remembered(distribute(total.xreplace({derivative(r): expansion.xreplace({t: r})})), r, i))
        elif term != 0:
            raise ValueError(f"{term} is no response to the noise at time s")
    return _factored(sp.Add(*found), A(k, t))


def _factored(expr: sp.Expr, factor: sp.Expr) -> sp.Expr:
    """`expr` with `factor`, the first matrix of each of its terms, in front."""

    def rest(term: sp.Expr) -> sp.Expr:
        if isinstance(term, sp.Sum):
            return sp.Sum(rest(term.function), *term.limits)
        return sp.Mul(*(y for y in sp.Mul.make_args(term) if y != factor))

    terms = sp.Add.make_args(expr)
    return factor * sp.Add(*map(rest, terms)) if all(term.has(factor) for term in terms) else expr


def folded(expr: sp.Expr, definition: sp.Sum, name: sp.Expr) -> sp.Expr:
    """`fold` in every term, with the definition's index summed first."""
    index = definition.limits[0][0]

    def one(term: sp.Expr) -> sp.Expr:
        if not isinstance(term, sp.Sum) or all(limit[0] != index for limit in term.limits):
            return term
        return fold(innermost(term, index), definition, name)

    return sp.Add(*map(one, sp.Add.make_args(expr)))
