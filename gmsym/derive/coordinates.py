"""The coordinates' side of the DMF equations under an update rule that is not linear: coordinates are sampled, as samples are.

The limit of the same training program (derive.comparison): a coordinate of block b sees the gradient G_b(t) of (2.3), whose noise is
Gaussian, and goes through the rule; overlaps are means over coordinates, and the response W_b of Theta to the gradients follows from
Stein's lemma, whatever jumps the rule has. Coordinates of Theta, the means, the teachers and the gradient are in units of d^(-1/2),
so that they are of order 1, and so the rule reads them. Source: theory.md (5.6), (5.7).
"""

from collections.abc import Mapping

import sympy as sp

from gmsym.calculus.kernels import Transposed, coefficient, distribute, inside
from gmsym.derive.innovations import expansion_equations as expansions_of_samples
from gmsym.derive.innovations import folded, gradient_noise, sample_equations
from gmsym.derive.program import shown_coordinate, update_equations
from gmsym.problem import Problem
from gmsym.system import Equation, Equations
from gmsym.system import causal_kernels as S
from gmsym.system.causal_kernels import (
    B,
    Bk,
    F,
    G,
    L,
    La,
    Lxi,
    Lz,
    Mean,
    Phi,
    Q,
    Qk,
    Ra,
    Rz,
    Theta,
    W,
    Y,
    alpha,
    b,
    e,
    ec,
    g,
    i,
    innovation,
    j,
    j_other,
    k,
    l,
    m,
    mu,
    nonzero,
    normal,
    omega,
    present,
    r,
    rank,
    rank_a,
    rho,
    s,
    sigma2,
    star,
    star_gram_k,
    t,
    xi,
)

SOURCE = "own; theory.md (5.6)"
INNOVATIONS = "own; theory.md (5.7)"
Sides = Mapping[sp.Expr, sp.Expr]
_noises = Mean(xi(b, t) * Transposed(xi(b, s)), b)
_response = sp.Sum(W(b, t, r) * _noises.xreplace({t: r}), (r, 0, t - 1))


def of_noise(covariance: Equation) -> Equation:
    """Covariance of the gradient's noise in units of a coordinate, where n = alpha d times it is `covariance`."""
    return Equation(_noises, covariance.rhs / alpha, covariance.meaning, covariance.source, "theorem")


def coordinate_equations(problem: Problem) -> tuple[Equation, ...]:
    """The update of a coordinate; overlaps, and the response to the gradients, as means over coordinates."""
    square = Mean(Theta(b, t) * Transposed(Theta(b, s)), b)
    products = [
        (m(k, t), rho(b) * Mean(mu(k, b) * Theta(b, t), b), "overlap with the mean of cluster k"),
        (Q(t, s), rho(b) * square, "overlap of two iterates"),
        (Qk(k, t, s), rho(b) * sigma2(k, b) * square, "overlap of two iterates in the metric of cluster k"),
    ]
    if problem.teacher is not None:
        along = Mean(star(e, b) * Theta(b, t), b)
        products.append((S.M(e, t), rho(b) * along, "overlap with a teacher direction"))
        products.append((S.Mk(k, e, t), rho(b) * sigma2(k, b) * along, "overlap with a teacher in the metric of cluster k"))
    zero = []
    if problem.counts_zeros:
        products.append((nonzero(t), rho(b) * Mean(present(b, t), b), "share of the coordinates that are not zero"))
        value = sp.Piecewise((0, sp.Eq(shown_coordinate, 0)), (1, True))
        zero.append(Equation(present(b, t), value, "whether a coordinate is not zero", SOURCE, "own"))
    return (
        *update_equations(problem),
        Equation(
            _response,
            Mean(Theta(b, t) * Transposed(xi(b, s)), b),
            "response of Theta to the gradients, by Stein's lemma",
            SOURCE,
            "theorem",
            "s < t",
        ),
        *(Equation(lhs, sp.Sum(rhs, (b, 1, B)), meaning, SOURCE, "theorem") for lhs, rhs, meaning in products),
        *zero,
    )


def sampled_innovation_form(kernel_form: Equations, taught: bool) -> Equations:
    """The equations of `kernel_form`, whose coordinates are sampled, in innovations of both sides."""
    right = {equation.lhs: equation.rhs for equation in kernel_form}
    expansions = (*expansions_of_samples(False, taught, sampled=True), *_expansions(taught))
    x = {equation.lhs: equation.rhs for equation in expansions}
    trained = [y for y in kernel_form if y.lhs == S.gv(t)]
    return Equations(
        (
            *expansions,
            *_overlaps(right, x),
            *sample_equations(right, x, "stein"),
            *gradient_noise(right, x, False),
            *_side(right, x, taught),
            *trained,
        )
    )


def _expansions(taught: bool) -> tuple[Equation, ...]:
    """Coordinates in innovations, orthonormal in each cluster's metric; the gradient's noise in iid numbers."""
    rows = [
        (Theta(b, t), sp.Sum(L(l, j, t) * ec(l, j, b), (j, 1, rank)), "Theta in innovations, orthonormal in the metric of each cluster"),
        (xi(b, t), sp.Sum(La(j, t) * innovation(b, j), (j, 1, rank_a)), "the gradient's noise in that of the gradients' innovations"),
        (innovation(b, j), sp.Sum(F(b, j, j_other) * normal(j_other), (j_other, 1, rank_a)), "noise innovations in iid N(0, 1)"),
    ]
    if taught:
        rows.append((star(e, b), sp.Sum(Lz(l, j, e) * ec(l, j, b), (j, 1, rank)), "teacher direction in innovations of Theta"))
    return tuple(Equation(lhs, rhs, meaning, INNOVATIONS, "own") for lhs, rhs, meaning in rows)


def _overlaps(right: Sides, x: Sides) -> tuple[Equation, ...]:
    """Means over coordinates at one time, and the covariance that the factors L_k are those of."""
    factor = coefficient(x[omega(k, t)], g(j))
    gram = sp.Sum(factor * Transposed(factor.xreplace({t: s})), (j, 1, rank)) if factor != 0 else sp.S.Zero
    named = right[Mean(omega(k, t) * Transposed(omega(k, s)), k)]
    meanings = {
        m: "overlap with the mean of cluster k",
        Q: "overlap of two iterates",
        Qk: "overlap of two iterates in the metric of cluster k",
    }
    meanings |= {S.M: "overlap with a teacher direction", S.Mk: "overlap with a teacher in the metric of cluster k"}
    meanings |= {star_gram_k: "teacher directions in the metric of cluster k", nonzero: "share of the coordinates that are not zero"}
    return (
        *(Equation(lhs, rhs, meanings[type(lhs)], INNOVATIONS, "own") for lhs, rhs in right.items() if type(lhs) in meanings),
        Equation(gram, named, "covariance of the fields' noise", INNOVATIONS, "own"),
    )


def _side(right: Sides, x: Sides, taught: bool) -> tuple[Equation, ...]:
    """The coordinates' side at one time: noise, response of Theta to it, gradient of the risk."""
    drawn = x[innovation(b, j)]
    factor = coefficient(drawn, normal(j_other))
    covariance = sp.Sum(factor.xreplace({j: i}) * factor, (j_other, 1, rank_a)) if factor != 0 else sp.S.Zero
    # Both sides of Stein's lemma hold F_j La_j(s)^T: its coefficients are equal.
    unit = coefficient(coefficient(x[xi(b, t)], La(j, t)).xreplace({innovation(b, j): drawn}), F(b, j, j_other))
    stein = right[_response].xreplace({xi(b, s): unit})
    loading = coefficient(distribute(x[xi(b, t)].xreplace({innovation(b, j): drawn})), normal(j_other))
    return (
        Equation(covariance, Phi(b, i, j), "covariance of the noise innovations", INNOVATIONS, "own"),
        Equation(
            sp.Sum(Y(b, i, t) * F(b, i, j_other), (i, 1, rank_a)),
            stein,
            "response of Theta to the noise innovations, Y = W La",
            INNOVATIONS,
            "own",
        ),
        Equation(Lxi(b, j_other, t), loading, "coefficient of iid N(0, 1) in the gradient's noise", INNOVATIONS, "own"),
        Equation(G(b, t), _gradient(right[G(b, t)], x, taught), "gradient of the risk, one coordinate of block b", INNOVATIONS, "own"),
    )


def _gradient(expr: sp.Expr, x: Sides, taught: bool) -> sp.Expr:
    """The gradient of a coordinate, its feedback through the gradients' response in innovations of Theta."""
    found = []
    for term in sp.Add.make_args(expr):
        term = inside(term)
        if term.has(xi):
            found.append(term.xreplace({xi(b, t): sp.Sum(Lxi(b, j_other, t) * normal(j_other), (j_other, 1, rank_a))}))
        elif term.has(Ra):
            past = x[Theta(b, t)].xreplace({t: s, l: k})
            total = distribute(term.xreplace({Theta(b, s): past}))
            response = Bk(k, j, t) - (sp.Sum(Rz(k, e, t) * Lz(k, j, e), (e, 1, S.S)) if taught else 0)
            total = folded(total, sp.Sum(Ra(k, t, s) * L(k, j, s), (s, 0, t)), response)
            found.extend(_rectangular(y) for y in sp.Add.make_args(distribute(total)))
        elif term.has(Rz):
            found.append(_rectangular(distribute(term.xreplace({star(e, b): x[star(e, b)].xreplace({l: k})}))))
        else:
            found.append(term)
    return sp.Add(*found)


def _rectangular(term: sp.Expr) -> sp.Expr:
    """A sum whose limits do not depend on each other, with these in alphabetical order and its number in front: equal ones cancel."""
    if not isinstance(term, sp.Sum):
        return term
    number, factors = term.function.as_coeff_Mul()
    return number * sp.Sum(factors, *sorted(term.limits, key=lambda limit: limit[0].name))
