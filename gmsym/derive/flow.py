"""The continuous-time limit of the DMF equations of gradient descent. Source: theory.md 4; Mignacco et al. 2020 for one field.

Steps of size eta become times t/eta. A response per step is eta times a response per unit of time, except for the
instantaneous response of the gradient to its own field, and a sum over the past is 1/eta times an integral. The limit
eta -> 0 is taken by SymPy on the discrete equations.
"""

from collections.abc import Callable

import sympy as sp

from gmsym import symbols
from gmsym.calculus.kernels import Transposed, distribute
from gmsym.derive.dmf import field_equations, local_equations, noise_equations
from gmsym.errors import InputError
from gmsym.problem import Problem
from gmsym.system import CausalKernels, Equation, Equations, Flow, IntegroDifferential
from gmsym.system.causal_kernels import (
    Q_0,
    A,
    C,
    Mean,
    Partial,
    R,
    Ra,
    Theta,
    W,
    a,
    abar,
    alpha,
    b,
    gram,
    k,
    m,
    m_0,
    mu,
    omega,
    r,
    rho,
    s,
    sigma2,
    t,
    xi,
)
from gmsym.system.causal_kernels import B as BLOCKS
from gmsym.system.causal_kernels import j as mean
from gmsym.system.integro_differential import Abar, Mk, Qb, mb

SOURCE = "own; theory.md 4, Mignacco et al. 2020"
_eta = symbols.eta


def gradient_flow(system: CausalKernels | Flow) -> IntegroDifferential:
    """Equations of the gradient flow that the DMF `system` becomes as its step size eta -> 0, in time t = steps * eta, or is.

    Raises:
        InputError: the optimizer keeps a state, or is not a step of size eta that becomes a flow.
    """
    problem: Problem = system.problem
    problem.check_full_batch("derive.gradient_flow", flow=True)
    problem.check_blocks("derive.gradient_flow")
    decay, rate = _speed(problem)
    field, response, gradient = field_equations()

    # Theta' = decay Theta + rate G, tested against the noise xi(s), the mean mu_j and the past iterate Theta(s).
    change = gradient.rhs.xreplace({s: r})
    nothing = sp.S.Zero
    on_noise = _project(_from(change, s), lambda block, time: W(block, time, s), nothing, nothing)
    on_mean = _project(change, lambda block, time: mb(mean, block, time), rho(b) * gram(k, mean, b), nothing)
    on_past = _project(change, lambda block, time: Qb(block, time, s), Transposed(mb(k, b, s)), _noise_with_past())
    evolution = (
        (W(b, t, s), on_noise, "response of Theta to a unit added to the gradient at time s", "s < t"),
        (mb(mean, b, t), on_mean, "share of block b in the overlap with mean j", ""),
        (Qb(b, t, s), on_past, "share of block b in the overlap of two iterates", r"s \le t"),
    )
    return IntegroDifferential(
        name=system.name if problem.is_flow else f"{system.name}_flow",
        problem=problem,
        flow=Equations(
            (
                Equation(field.lhs, _limit(field.rhs), field.meaning, SOURCE, "own"),
                *local_equations(problem, "tangent", field)[:2],
                Equation(R(k, t, s), response.rhs, "response of the field to past gradients, per unit of time", SOURCE, "own", "s < t"),
                *_tangent(),
                *(
                    Equation(
                        sp.Derivative(lhs, t),
                        sp.Add(decay * lhs, *(rate * x for x in sp.Add.make_args(_limit(slope, _scale(lhs))))),
                        meaning,
                        SOURCE,
                        "own",
                        domain,
                    )
                    for lhs, slope, meaning, domain in evolution
                ),
                Equation(W(b, s, s), rate, "its value just after s: the gradient itself gains a unit there", SOURCE, "own"),
                *_closure(),
            )
        ),
    )


def _closure() -> tuple[Equation, ...]:
    """What the evolution equations need besides: sums over blocks, means over samples, and the start."""
    fields = Mean(omega(k, t) * Transposed(omega(k, s)), k)
    rows = (
        (m(k, t), sp.Sum(mb(k, b, t), (b, 1, BLOCKS)), "overlap with the mean of cluster k", ""),
        (fields, sp.Sum(sigma2(k, b) * Qb(b, t, s), (b, 1, BLOCKS)), "covariance of the fields' noise", ""),
        (Qb(b, s, t), Transposed(Qb(b, t, s)), "overlap of two iterates, turned round", ""),
        (abar(k, t), Mean(a(k, t), k), "mean gradient", ""),
        (C(k, t, s), Mean(a(k, t) * Transposed(a(k, s)), k), "correlation of the gradients", ""),
        (mb(mean, b, 0), rho(b) * m_0(mean, b), "initial overlap with mean j", ""),
        (Qb(b, 0, 0), rho(b) * Q_0(b), "initial overlap", ""),
    )
    return tuple(Equation(lhs, rhs, meaning, SOURCE, "own", domain) for lhs, rhs, meaning, domain in rows)


def _speed(problem: Problem) -> tuple[sp.Expr, sp.Expr]:
    """(decay, rate) of the flow Theta' = decay Theta + rate G."""
    optimizer = problem.optimizer
    if problem.is_flow:
        decay, rate = optimizer.jacobian
        return decay, rate
    if optimizer.state:
        raise InputError(
            f"optimizer {optimizer.name!r} keeps the state {list(map(str, optimizer.state))}; a gradient flow is the limit of plain steps"
        )
    keep, push = optimizer.jacobian
    decay, rate = (sp.limit(sp.expand(x / _eta), _eta, 0) for x in (keep - 1, push))
    if not (decay.is_finite and rate.is_finite):
        raise InputError(f"optimizer {optimizer.name!r}: theta -> {optimizer.composed[0]} does not become a flow as eta -> 0")
    return decay, rate


def _project(gradient: sp.Expr, on_theta: Callable[..., sp.Expr], on_mean: sp.Expr, on_noise: sp.Expr) -> sp.Expr:
    """Inner product of G_b(t) with a vector, given the vector's inner products with Theta, mu_k and the noise."""
    # The mean's share is a row for a vector of several columns, so it stands to the right of the column abar.
    gradient = gradient.replace(xi, lambda *_: on_noise).replace(Theta, on_theta)
    return gradient.replace(mu, lambda *_: sp.S.One).replace(abar, lambda *args: abar(*args) * on_mean)


def _from(gradient: sp.Expr, first: sp.Symbol) -> sp.Expr:
    """The feedback through Theta from the time after `first` on: earlier iterates do not respond."""

    def late(total: sp.Sum) -> sp.Sum:
        return sp.Sum(total.function, *((x, first + 1, high) if x == r else (x, low, high) for x, low, high in total.limits))

    return gradient.replace(lambda x: isinstance(x, sp.Sum) and x.has(Theta), late)


def _noise_with_past() -> sp.Expr:
    """xi_b(t) Theta_b(s)^T over the d rho_b coordinates of a block: by Stein's lemma, through the response W_b(s, r)."""
    covariance = noise_equations()[1].rhs.xreplace({s: r})  # n times that of xi(t) and xi(r), with d/n = 1/alpha
    return distribute(sp.Sum(rho(b) / alpha * covariance * Transposed(W(b, s, r)), (r, 0, s - 1)))


def _scale(lhs: sp.Expr) -> sp.Expr:
    """Responses per step are eta times responses per unit of time."""
    return _eta if lhs.has(W) else sp.S.One


def _limit(expr: sp.Expr, scale: sp.Expr = sp.S.One) -> sp.Expr:
    """Limit eta -> 0 of a discrete expression, divided by the scale of what it is equal to."""
    scaled = sp.Add(*map(_rescaled, sp.Add.make_args(distribute(expr))))
    return sp.expand(scaled / scale).subs(_eta, 0)


def _rescaled(term: sp.Expr) -> sp.Expr:
    """One term in continuous-time kernels, with the powers of eta that the change brings."""
    if not isinstance(term, sp.Sum):
        return _kernels(term)
    past = next((limit for limit in term.limits if limit[0] in (s, r)), None)
    rest = [limit for limit in term.limits if limit != past]
    total = lambda expr: sp.Sum(expr, *rest) if rest else expr  # noqa: E731
    if past is None:
        return _outside(total(_kernels(term.function)))
    time, first, last = past
    bounds = (time, _unshifted(first), _unshifted(last))
    if not term.has(Ra):
        return _outside(total(sp.Integral(_kernels(term.function), bounds))) / _eta
    # The last term of the sum is the instantaneous response of the gradient.
    now = term.function.replace(Ra, lambda cluster, *_: Abar(cluster, t)).xreplace({time: t})
    regular = term.function.replace(Ra, lambda *args: _eta * Mk(*args))
    return _outside(total(_kernels(now))) + _outside(total(sp.Integral(_kernels(regular), bounds))) / _eta


def _kernels(expr: sp.Expr) -> sp.Expr:
    return expr.replace(lambda x: isinstance(x, (W, R)), lambda x: _eta * x)


def _outside(total: sp.Expr) -> sp.Expr:
    """Powers of eta taken out of sums and integrals."""
    power = sp.S.One
    inner = total
    while isinstance(inner, (sp.Sum, sp.Integral)):
        inner = inner.function
    inner = sp.expand(inner)
    while inner.has(_eta):
        inner, power = sp.expand(inner / _eta), power * _eta
    return power * _refilled(total, inner)


def _refilled(total: sp.Expr, inner: sp.Expr) -> sp.Expr:
    if isinstance(total, (sp.Sum, sp.Integral)):
        return total.func(_refilled(total.function, inner), *total.limits)
    return inner


def _unshifted(bound: sp.Expr) -> sp.Expr:
    """A bound without the single steps that vanish in the limit."""
    return bound.as_coeff_Add()[1]


def _tangent() -> tuple[Equation, ...]:
    """The gradients' response: its regular part per unit of time, from the chain rule with the instantaneous part split off."""
    kick = A(k, t) * R(k, t, s) * A(k, s)
    later = A(k, t) * sp.Integral(R(k, t, r) * Partial(a(k, r), omega(k, s)), (r, s, t))
    return (
        Equation(Partial(a(k, t), omega(k, s)), kick + later, "regular part of the response of one gradient", SOURCE, "own", "s < t"),
        Equation(Mk(k, t, s), Mean(Partial(a(k, t), omega(k, s)), k), "regular part of the gradients' response", SOURCE, "own", "s < t"),
        Equation(Abar(k, t), Mean(A(k, t), k), "instantaneous part of the gradients' response", SOURCE, "own"),
    )
