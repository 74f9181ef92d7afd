"""Online SGD of one problem in its own coordinates: the mean and the spread of each coordinate of Theta over samples.

A coordinate b moves by -delta (Y_b a + beta Theta_b) on a fresh sample Y. Its mean D_b over all samples before sees the covariances
whole: by Stein's lemma E_k[Y_b a] = mu_kb E_k[a] + sum_b' Sigma_k(b,b') E_k[da/dh] Theta_b'. Of the second moments of Theta,
E[Theta_b Theta_b'^T] = D_b D_b'^T + N_b 1(b = b'): the spread N is kept where b = b' (a closure; exact where the covariances are
diagonal and a sample's gradient depends on many coordinates). Its equation is that of the second moment less that of D_b D_b^T.
Source: own; verified/real_data.md 1.
"""

import sympy as sp

from gmsym.calculus.kernels import Transposed, distribute, fold, innermost, inside
from gmsym.system import Equation, Equations
from gmsym.system import ode as S
from gmsym.system.causal_kernels import Mean
from gmsym.system.ode import A, D, K, N, Sigma, Theta, a, abar, b_other, beta, block, c, k, mean, p, rho, sigma2, t, turned, y

SOURCE = "own; verified/real_data.md 1"
_B = sp.Symbol("B", integer=True, positive=True)  # coordinates
_b = block


def increments(step: sp.Expr) -> Equations:
    """What one sample adds to a coordinate and to its square, divided by delta; `step` is the schedule's factor of delta.

    Of the square of a step, of order delta, its mean stays: delta is c/d, and rho_b = 1/d.
    """
    moved = -step * (y(_b) * a(t) + beta * Theta(_b, t))
    square = moved * Transposed(Theta(_b, t)) + Theta(_b, t) * Transposed(moved)
    noise = c * rho(_b) * step**2 * y(_b) ** 2 * a(t) * Transposed(a(t))
    return Equations(
        (
            Equation(S.phi_D(_b, t), sp.expand(moved), "increment of a coordinate of Theta", SOURCE, "own"),
            Equation(S.phi_P(_b, t), sp.expand(square + noise), "increment of its square", SOURCE, "own"),
        )
    )


def flow(found: Equations) -> Equations:
    """d/dt of the mean of a coordinate and of its square, over all samples, in means over a fresh one."""
    states = {S.phi_D: D, S.phi_P: S.P}
    meanings = {S.phi_D: "drift of the mean of a coordinate, where it is Theta", S.phi_P: "drift of the mean of its square, likewise"}
    return Equations(
        Equation(
            sp.Derivative(states[type(e.lhs)](*e.lhs.args), t),
            _averaged(e.rhs),
            meanings[type(e.lhs)],
            e.source,
            e.status,
        )
        for e in found
    )


def _averaged(expr: sp.Expr) -> sp.Expr:
    """Mean over a fresh sample; the law of its fields does not fluctuate, and Theta beside it is averaged later."""
    total = sp.S.Zero
    for term in sp.Add.make_args(expr):
        if not term.has(a):
            total += term
            continue
        numbers, ordered = term.args_cnc()
        of_sample = [x for x in numbers if x.has(y)]
        places = [i for i, x in enumerate(ordered) if x.has(a)]
        inner = Mean(sp.Mul(*of_sample, *ordered[places[0] : places[-1] + 1]), k)
        body = sp.Mul(*ordered[: places[0]]) * inner * sp.Mul(*ordered[places[-1] + 1 :])
        total += sp.Mul(*(x for x in numbers if x not in of_sample)) * sp.Sum(p(k) * body, (k, 1, K))
    return total


def reduced(full: bool) -> Equations:
    """Means of the gradient times a coordinate of the sample, by Stein's lemma; of its square, where that coordinate is one of many."""
    row = sp.Sum(Sigma(k, _b, b_other) * A(k, t) * Theta(b_other, t), (b_other, 1, _B)) if full else sigma2(k, _b) * A(k, t) * Theta(_b, t)
    square = (sigma2(k, _b) + mean(k, _b) ** 2) * S.S(k, t)
    return Equations(
        (
            Equation(Mean(a(t) * y(_b), k), mean(k, _b) * abar(k, t) + row, "gradient times coordinate", "Stein's lemma", "theorem"),
            Equation(Mean(a(t) * Transposed(a(t)) * y(_b) ** 2, k), square, "square of the gradient times coordinate", SOURCE, "own"),
        )
    )


def drift(moved: Equations, rules: Equations, full: bool) -> Equations:
    """d/dt of D and of N: the spread's drift is that of the mean square less what moves D_b D_b^T."""
    rule = {e.lhs: e.rhs for e in rules}
    rule[Mean(Transposed(rules[0].lhs.args[0]), k)] = Transposed(rules[0].rhs)
    first, second = (distribute(e.rhs.xreplace(rule)) for e in moved)
    known = first.replace(Theta, D)
    spread = sp.expand(_second_moment(second) - distribute(known * Transposed(D(_b, t)) + D(_b, t) * Transposed(known)))
    return Equations(
        (
            Equation(sp.Derivative(D(_b, t), t), _outside(_named(known, full)), "drift of the mean of a coordinate", SOURCE, "own"),
            Equation(sp.Derivative(N(_b, t), t), _outside(spread), "drift of its covariance", SOURCE, "own"),
        )
    )


def _outside(expr: sp.Expr) -> sp.Expr:
    """Numbers that a sum does not run over stand before it."""
    found = []
    for term in sp.Add.make_args(expr):
        if isinstance(term, sp.Sum):
            bound = {limit[0] for limit in term.limits}
            numbers, ordered = term.function.args_cnc()
            free = [x for x in numbers if not bound & x.free_symbols]
            term = sp.Mul(*free) * sp.Sum(sp.Mul(*(x for x in numbers if x not in free), *ordered), *term.limits)
        found.append(term)
    return sp.Add(*found)


def _second_moment(expr: sp.Expr) -> sp.Expr:
    """Mean over Theta: that of Theta_b' Theta_b^T is D_b' D_b^T, and where they are the same coordinate N_b more."""
    terms = sp.Add.make_args(expr)
    return sp.Add(*(term.replace(Theta, D) for term in terms), *map(_spread, terms))


def _spread(term: sp.Expr) -> sp.Expr:
    """What N adds to the mean of a term: nothing, where Theta stands in it once or not at all."""
    if isinstance(term, sp.Sum):
        limits = [limit for limit in term.limits if limit[0] != b_other]
        inner = _spread(term.function)
        return sp.Sum(inner, *limits) if limits and inner != 0 else inner
    numbers, ordered = term.args_cnc()
    places = [i for i, x in enumerate(ordered) if x.has(Theta)]
    if len(places) < 2:
        return sp.S.Zero
    first, last = places
    if last != first + 1:
        raise ValueError(f"{term} has a matrix between coordinates of Theta")
    numbers = [sigma2(k, _b) if x == Sigma(k, _b, b_other) else x for x in numbers]
    return sp.Mul(*numbers, *ordered[:first], N(_b, t), *ordered[last + 1 :])


def _named(expr: sp.Expr, full: bool) -> sp.Expr:
    """With sum_b' Sigma_k(b,b') D_b' under its name."""
    definition = inside(turned_equation(full).rhs)
    if not full:
        return expr
    found = []
    for term in sp.Add.make_args(expr):
        if isinstance(term, sp.Sum) and any(limit[0] == b_other for limit in term.limits):
            term = fold(innermost(term, b_other), definition, turned(k, _b, t))
        found.append(term)
    return sp.Add(*found)


def turned_equation(full: bool) -> Equation:
    """The covariance of a cluster times the mean of Theta."""
    rhs = sp.Sum(Sigma(k, _b, b_other) * D(b_other, t), (b_other, 1, _B)) if full else sigma2(k, _b) * D(_b, t)
    return Equation(turned(k, _b, t), rhs, "covariance times the mean of Theta", SOURCE, "own")


def overlaps(full: bool) -> Equations:
    """m_k, Q and Q_k: sums over the coordinates of their means over samples; first what they name."""
    over = (_b, 1, _B)
    spread = sp.Sum(N(_b, t), over)
    own = sp.Sum(sigma2(k, _b) * N(_b, t), over)
    whole = sp.Sum(D(_b, t) * Transposed(turned(k, _b, t)), over)
    return Equations(
        (
            turned_equation(full),
            Equation(S.m(k, t), sp.Sum(mean(k, _b) * D(_b, t), over), "overlap with the mean of cluster k", SOURCE, "own"),
            Equation(S.Q(t), sp.Sum(D(_b, t) * Transposed(D(_b, t)), over) + spread, "overlaps of the parameters", SOURCE, "own"),
            Equation(S.Q_k(k, t), whole + own, "overlap of the iterate in the metric of cluster k", SOURCE, "own"),
        )
    )
