"""The finite-size surrogate of training, by the comparison rule for its products with the noise. Source: theory.md 1, Panahi 2026.

The rule is that of derive.comparison; the DMF equations are its limit, this is the rule itself put into the program.
"""

from collections.abc import Mapping
from dataclasses import replace

import sympy as sp

from gmsym import symbols
from gmsym.calculus.kernels import inside, kernel
from gmsym.derive.comparison import noise_times_direction, transpose_times_direction
from gmsym.derive.program import local_field, risk_gradient, shown_variables, update_equations, update_of
from gmsym.derive.samples import (
    displayed,
    fresh_sample,
    gradient_seen,
    observables_of,
    observed_equation,
    of_sample,
    seen_by_steps,
    trained_gradient,
    visit_equations,
)
from gmsym.errors import InputError
from gmsym.problem import Problem
from gmsym.progress import announced
from gmsym.system import Equation, Equations, Recursion
from gmsym.system import causal_kernels as C
from gmsym.system import indexed as X
from gmsym.system import recursion as S
from gmsym.system.causal_kernels import G, L, Theta, a, abar, b, g, h, i, j, k, mu, r, s, sigma2, t
from gmsym.system.recursion import Inner, M, Za, Zq, ZTheta, Zu, asum, phi, psi, q, u, z
from gmsym.system.recursion import dimension as d

SOURCE = "theory.md 1; Panahi 2026 (arXiv 2603.09310), by conditioning on the past"


@announced("deriving the surrogate")
def surrogate(problem: Problem) -> Recursion:
    """Surrogate program of `problem`: any K, C, block covariances, loss and coordinatewise optimizer, linear or not.

    Teacher directions are vectors like the columns of Theta, whose products with the noise come before all others, and which no gradient
    moves; trained parameters of the loss follow the same update rule. The rule stays exact with both.

    Raises:
        InputError: `problem` is not a Problem.
    """
    if not isinstance(problem, Problem):
        raise InputError(f"problem = {problem!r}: a gmsym Problem is needed")
    gaussian = problem.data.coordinates.is_gaussian and problem.coordinates.is_gaussian
    if not problem.optimizer.is_linear and not gaussian:
        raise InputError("derive.surrogate orients the means at random: take Gaussian coordinates, or derive.dmf and simulate")
    problem.check_full_batch("derive.surrogate (full-batch training)", batches=True, teachers=True, trained=True, noise=True, own=True)
    problem.check_blocks("derive.surrogate")
    loss, optimizer = problem.loss, problem.optimizer
    moments, test_loss, test_error = fresh_sample(problem)
    program = program_equations(problem)
    right = {e.lhs: e.rhs for e in program}
    return Recursion(
        name=f"{loss.name}_{optimizer.name}_surrogate",
        problem=problem,
        fields=loss.fields,
        teachers=loss.teachers,
        own_noises=loss.own_noises,
        trained=problem.trained_parameters,
        labels=symbols.labels(problem.data.label_size),
        clusters=problem.data.clusters,
        blocks=problem.data.blocks,
        parameters=problem.local_parameters,
        loss=loss.value,
        gradient=of_sample(right[a(k, t)], problem) if problem.batches is None else tuple(loss.gradient),
        **seen_by_steps(right, problem),
        together=problem.batches is not None and problem.batches.together,
        state=optimizer.state,
        noisy=optimizer.is_noisy,
        trained_gradient=of_sample(right[C.dv(k, t)], problem) if problem.trained is not None else (),
        trained_update=tuple(_of_trained(right, problem)),
        update=update_of(right, problem),
        clock=symbols.t,
        program=program,
        step=step_equations(program),
        sums=sums(problem),
        moments=moments,
        test_loss=test_loss,
        test_error=test_error,
        observables=observables_of(right, problem),
    )


def _trained_next(variable: sp.Symbol) -> sp.Expr:
    """A trained parameter, or its state variable of the optimizer, after the step."""
    name, latex = ("v", "v") if variable == symbols.theta else (f"v_{variable.name}", f"v^{{{sp.latex(variable)}}}")
    return kernel(name, latex, value="p")(t + 1)


def _shown_trained(problem: Problem) -> dict[sp.Symbol, sp.Symbol]:
    """The optimizer's variables of one trained parameter, as the equations show them."""
    names = {symbols.theta: "v", symbols.g: r"\bar g^{v}", symbols.noise: r"\varepsilon^{v}"}
    names |= {x: f"v^{{{sp.latex(x)}}}" for x in problem.optimizer.state}
    own = {symbols.eta: C.eta_v} if problem.trained is not None and problem.trained.step is not None else {}
    return {x: sp.Symbol(f"{name}(t)", real=True) for x, name in names.items()} | own


def _of_trained(right: Mapping[sp.Expr, sp.Expr], problem: Problem) -> list[sp.Expr]:
    """The displayed rule of a trained parameter in the optimizer's own variables; empty if there is none."""
    if problem.trained is None:
        return []
    back = {shown: x for x, shown in _shown_trained(problem).items()}
    return [right[_trained_next(x)].xreplace(back) for x in (symbols.theta, *problem.optimizer.state)]


def trained_equations(problem: Problem) -> tuple[Equation, ...]:
    """Trained parameters of the loss: the gradient of a sample, and the rule of one of them; the gradient of the risk is a sum."""
    if problem.trained is None:
        return ()
    column = [x.xreplace(displayed(problem)) for x in trained_gradient(problem)]
    local = column[0] if len(column) == 1 else sp.ImmutableDenseMatrix(column)
    shown, optimizer = _shown_trained(problem), problem.optimizer
    return (
        Equation(C.dv(k, t), local, "gradient of the loss in the trained parameters", "theory.md 0", "own"),
        *(
            Equation(
                _trained_next(x), rule.xreplace(shown), f"optimizer {optimizer.name}, of a trained parameter", "theory.md (2.9)", "own"
            )
            for x, rule in zip((symbols.theta, *optimizer.state), optimizer.composed, strict=True)
        ),
    )


def teacher_equations(problem: Problem) -> tuple[Equation, ...]:
    """Teacher fields: products of the noise with directions that come before all others."""
    if problem.teacher is None:
        return ()
    product = sp.Sum(C.Lz(k, j, C.e) * Zq(k, j), (j, 0, C.S - 1))
    return (
        Equation(
            C.tau(k, C.e), C.star_mean(C.e, k) + product, "field of a teacher direction, a sample of cluster k", f"{SOURCE} (1.1)", "own"
        ),
    )


def program_equations(problem: Problem) -> Equations:
    """Fields, gradients and updates in the surrogate's fresh Gaussians, in the order of computation."""
    risk = risk_gradient(lambda cluster, time: Za(cluster, time)).replace(abar, lambda *args: asum(*args))
    return Equations(
        (
            Equation(Zq(k, j), noise_times_direction(), "product of the noise with the direction q_kj", f"{SOURCE} (1.1)", "theorem"),
            Equation(ZTheta(k, t), sp.Sum(L(k, j, t) * Zq(k, j), (j, 0, t)), "product of the noise with the parameters", SOURCE, "theorem"),
            Equation(h(k, t), local_field(ZTheta(k, t)), "local field of a sample of cluster k", "theory.md 0", "own"),
            *teacher_equations(problem),
            *visit_equations(problem),
            Equation(
                a(k, t), gradient_seen(problem).xreplace(displayed(problem)), "gradient of the loss in the fields", "theory.md 0", "own"
            ),
            *observed_equation(problem),
            Equation(
                Zu(k, j),
                transpose_times_direction(),
                "product of the noise with the direction of the gradients",
                f"{SOURCE} (1.2)",
                "theorem",
            ),
            Equation(Za(k, t), sp.Sum(M(k, j, t) * Zu(k, j), (j, 0, t)), "product of the noise with the gradients", SOURCE, "theorem"),
            Equation(G(b, t), risk, "gradient of the risk, one coordinate of block b", "theory.md 0", "own"),
            *(update_equations(problem) if problem.optimizer.is_linear else _of_size(problem)),
            *trained_equations(problem),
        )
    )


def _of_size(problem: Problem) -> tuple[Equation, ...]:
    """The update where it is not linear: coordinates of order d^(-1/2) are brought to order 1, as the rule reads them, and back."""
    shown = shown_variables(problem)
    scaled = {shown[x]: sp.sqrt(d) * shown[x] for x in (symbols.theta, symbols.g, symbols.noise)}
    theta, *state = (replace(e, rhs=e.rhs.subs(scaled, simultaneous=True)) for e in update_equations(problem))
    return replace(theta, rhs=theta.rhs / sp.sqrt(d)), *state


def step_equations(program: Equations) -> Equations:
    """The program's array algebra when one direction of each side is added: past directions are summed over i."""
    right = {e.lhs: e.rhs for e in program}

    def arrays(expr: sp.Expr, past: sp.Symbol, replaced: dict) -> sp.Expr:
        """Sums over the past direction `past` as sums over the stored directions i; those yet to come are zero there."""
        total = sp.S.Zero
        for term in sp.Add.make_args(expr):
            term = inside(term)
            if isinstance(term, sp.Sum):
                term = sp.Sum(term.function.xreplace(replaced).xreplace({past: i}), (i, 0, term.limits[0][2]))
            total += term.xreplace(replaced)
        return total

    on_samples = {Inner(q(k, j), z(k, s)): S.chi(k, i), phi(k, j, s): S.phi_new(k, i), g(j): S.g_new(k)}
    on_coordinates = {Inner(u(k, j), g(r)): S.upsilon(k, i), psi(k, r, j): S.psi_new(k, i), z(k, j): S.z_new(k)}
    flat = {mu(k, b): S.means(k), sp.sqrt(sigma2(k, b)): S.deviation(k), Theta(b, t): S.theta()}
    field = right[h(k, t)].xreplace({ZTheta(k, t): right[ZTheta(k, t)]})
    own = "own; theory.md 1"
    return Equations(
        (
            Equation(S.Zq_new(k), arrays(right[Zq(k, j)], s, on_samples), "product of the noise with a new direction", own, "own"),
            Equation(h(k, t), field, "local fields of the samples", own, "own"),
            Equation(
                S.Zu_new(k), arrays(right[Zu(k, j)], r, on_coordinates), "product of the noise with a new gradient direction", own, "own"
            ),
            Equation(Za(k, t), right[Za(k, t)], "product of the noise with the gradients", own, "own"),
            Equation(S.gradient(), right[G(b, t)].xreplace(flat), "gradient of the risk", own, "own"),
            *(e for e in program if isinstance(e.lhs, C.tau)),
        )
    )


def sums(problem: Problem) -> Equations:
    """The program's sums over samples and coordinates, each with its weight: scalars that the vectors share, and order parameters."""
    w, v = X.of_sample, X.of_coordinate
    other = X.theta.xreplace({X.c: X.d})
    slope = X.over(w * X.dv, X.k, X.n) / X.total + C.ridge_v * X.trained
    rows = (
        (X.scaled, X.deviation * X.column, "column of the parameters, scaled by the deviations"),
        (X.chi, X.over(v * X.z * X.q_new, X.x), "responses to the gradients"),
        (X.phi_new, X.over(w * X.u * X.g_new, X.n), "fluctuation parameters of a direction of the parameters"),
        (X.upsilon, X.over(w * X.g * X.u_new, X.n), "responses to the parameters"),
        (X.psi_new, X.over(v * X.q * X.z_new, X.x), "fluctuation parameters of a direction of the gradients"),
        (X.m, X.over(v * X.means * X.theta, X.x), "overlaps with the means"),
        (X.Q, X.over(v * X.theta * other, X.x), "Gram matrix of the parameters"),
        (X.Q_k, X.over(v * X.deviation**2 * X.theta * other, X.x), "overlap in a cluster's covariance"),
        (X.asum, X.over(w * X.a, X.n) / X.counts, "mean gradient of a cluster"),
        (X.train_loss, X.over(w * X.loss, X.k, X.n) / X.total, "train loss"),
        *([(X.train_seen, X.over(w * X.seen, X.k, X.n) / X.total, "observables over the training samples")] if problem.observables else []),
        *([] if problem.teacher is None else [(X.M, X.over(v * X.star * X.theta, X.x), "overlaps with the teacher directions")]),
        *([] if problem.trained is None else [(X.gv, slope, "gradient of the risk in the trained parameters")]),
    )
    return Equations(Equation(lhs, rhs, meaning, "own; theory.md 1", "own") for lhs, rhs, meaning in rows)
