"""Dynamical mean-field equations of full-batch training, derived from the training program.

The program's products with the noise are replaced by the comparison rule, which concentrates (derive.comparison). The
rest is substitution: a linear optimizer is solved for its coefficients in (Theta_0, means, gradient noise), and the
order parameters are bilinear in those; under any other coordinates are sampled (derive.coordinates). Source: theory.md 2; Celentano,
Cheng, Montanari 2021; Mignacco et al. 2020.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import sympy as sp

from gmsym import symbols
from gmsym.calculus.kernels import Kernel, Transposed, coefficient, distribute, fold, inside
from gmsym.derive import embedded
from gmsym.derive.comparison import limit_of_field, limit_of_noise, limit_of_teachers
from gmsym.derive.coordinates import coordinate_equations, of_noise, sampled_innovation_form
from gmsym.derive.innovations import component, innovation_form, stein_equations
from gmsym.derive.program import local_field, n, risk_gradient, shown_coordinate, update_of
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
from gmsym.derive.schemes import COEFFICIENTS, scheme
from gmsym.errors import InputError, check_flag
from gmsym.problem import Problem
from gmsym.problem.observables import order_parameters
from gmsym.progress import announced
from gmsym.system import CausalKernels, Equation, Equations, Flow, Passes, recursion
from gmsym.system import causal_kernels as S
from gmsym.system.causal_kernels import (
    A,
    B,
    Ce,
    K,
    Mean,
    N,
    P,
    Partial,
    Q,
    Qk,
    R,
    Ra,
    Response,
    Theta,
    U,
    V,
    W,
    a,
    abar,
    alpha,
    b,
    eps,
    gram,
    k,
    l,
    m,
    mu,
    offset,
    omega,
    p,
    r,
    rho,
    s,
    sigma2,
    star,
    star_gram,
    star_gram_k,
    star_mean,
    t,
    tau,
    xi,
    zeta,
)
from gmsym.system.recursion import dimension as d
from gmsym.system.recursion import z

SOURCE = "theory.md 2; Celentano, Cheng, Montanari 2021; Gerbelot et al. 2022"
_delta = sp.KroneckerDelta
Closure = Literal["diagonal", "exact"] | int


@announced("deriving DMF")
def dmf(
    problem: Problem, *, response: Response | None = None, sampled: bool | None = None, closure: Closure = "diagonal"
) -> CausalKernels | Flow | Passes:
    """DMF equations of `problem` in the limit n, d -> infinity at fixed alpha = n/d, for any K, C and block covariances.

    One sample at a time (`gmsym.sampling.single`) is the limit of small batches, whose equations these are then.

    Args:
        problem: full-batch training, or training in mini-batches; of a flow, whose velocity is linear, the result is the DMF of explicit
            schemes that integrate it.
        response: how mean responses are computed: by "tangent"s, by "stein"'s lemma, or "exact"ly, for quadratic losses without any
            sampling. By default exactly where that is possible and by Stein's lemma otherwise. Tangents, many times slower, are a
            second way for losses whose gradient neither jumps (they would miss the delta function) nor is steep without bound.
        sampled: whether coordinates are sampled too, as they are by default where SymPy finds the update rule nonlinear in
            (theta, state, g). For a linear rule it is a second way to the same numbers.
        closure: of a mixture in coordinates whose covariances are matrices, how Theta responds to the gradient's noise: each coordinate
            to its own ("diagonal"), all of them together ("exact", at a cost of d^3), or the first H of them (the number H), which in the
            basis of a fitted mixture are those of the largest variances.

    Raises:
        InputError: `problem` is not a Problem, or the response or the closure does not fit the loss, the optimizer or the mixture.

    Example:
        >>> import gmsym as gm, numpy as np
        >>> rotated = [[1.0, 0.5], [0.5, 0.6]]
        >>> data = gm.GaussianMixture(
        ...     probabilities=[0.5, 0.5], labels=[1, -1], means=[[1, 0], [-1, 0]], covariance=[np.eye(2), rotated]
        ... )
        >>> gm.derive.dmf(gm.Problem(data, gm.losses.logistic(), gm.optimizers.gd()), closure="exact").head
        2
    """
    if not isinstance(problem, Problem):
        raise InputError(f"problem = {problem!r}: a gmsym Problem is needed")
    head = _head(problem, closure)
    if problem.single is not None:
        return Passes(dmf(problem.in_batches, response=response, sampled=sampled, closure=closure), problem)
    problem.check_full_batch("derive.dmf (full-batch training)", batches=True, teachers=True, trained=True, noise=True, own=True, flow=True)
    optimizer, loss = problem.optimizer, problem.loss
    if problem.is_flow:
        if head:
            raise InputError(f"closure = {closure!r}: of a flow the diagonal one is there")
        return _flow(problem, response, sampled)
    sampled = _sampled(problem, sampled)
    response = _response(problem, response, sampled)
    known = _known(problem, sampled)
    kernel_form = kernel_equations(problem, response, sampled, bool(head))
    right = {e.lhs: e.rhs for e in kernel_form}
    hessian = right[A(k, t)] if A(k, t) in right else loss.hessian.xreplace(displayed(problem))
    moments, test_loss, test_error = fresh_sample(problem)
    taught = problem.teacher is not None
    return CausalKernels(
        name=f"{loss.name}_{optimizer.name}",
        problem=problem,
        fields=loss.fields,
        labels=symbols.labels(problem.data.label_size),
        teachers=loss.teachers,
        own_noises=loss.own_noises,
        trained=problem.trained_parameters,
        trained_gradient=() if problem.trained is None else of_sample(right[S.dv(k, t)], problem),
        clusters=problem.data.clusters,
        blocks=problem.data.blocks,
        parameters=problem.local_parameters,
        loss=of_sample(right[S.ell(k, t)], problem)[0] if S.ell(k, t) in right else loss.value,
        gradient=of_sample(right[a(k, t)], problem) if problem.batches is None else tuple(loss.gradient),
        **seen_by_steps(right, problem),
        hessian=sp.ImmutableDenseMatrix(problem.fields, problem.fields, of_sample(hessian, problem)),
        offset=of_sample(right[offset(k)], problem) if offset(k) in right else None,
        state=optimizer.state,
        clock=symbols.t,
        response=response,
        kernel_form=kernel_form,
        innovation_form=sampled_innovation_form(kernel_form, taught)
        if sampled
        else innovation_form(kernel_form, optimizer.state, response, known),
        **(_of_coordinates(right, problem) if sampled else {}),
        moments=moments,
        known=known,
        head=head,
        test_loss=test_loss,
        test_error=test_error,
        observables=observables_of(right, problem),
    )


def _known(problem: Problem, sampled: bool) -> S.Known:
    """How the means and Theta(0) are held."""
    place = problem.data.embedded
    if place is None:
        return "gram"
    untreated = {"teacher fields": problem.teacher is not None, "noise of the optimizer": problem.optimizer.is_noisy}
    untreated |= {"nonlinear optimizers": sampled}
    for what, present in untreated.items():
        if present:
            raise InputError(f"derive.dmf of a mixture in coordinates does not treat {what}; give its means by their Gram matrices")
    return "diagonal" if place.covariance is None else "full"


def _head(problem: Problem, closure: Any) -> int:
    """How many coordinates respond together."""
    if closure == "diagonal":
        return 0
    place = problem.data.embedded
    if place is None or place.covariance is None:
        raise InputError(
            f"closure = {closure!r}: only covariances that are matrices (covariance beside means) need another than 'diagonal'"
        )
    if closure == "exact":
        return place.d
    if isinstance(closure, bool) or not isinstance(closure, int) or not 1 <= closure <= place.d:
        raise InputError(f"closure = {closure!r}: 'diagonal', 'exact' or a number of coordinates, 1 to {place.d}, is needed")
    return closure


def _flow(problem: Problem, response: Response | None, sampled: bool | None) -> Flow:
    """The DMF of schemes that integrate a flow."""
    if not problem.optimizer.is_linear or sampled:
        raise InputError(
            f"optimizer {problem.optimizer.name!r}, sampled = {sampled}: DMF of a flow needs a velocity that is linear in theta and g, and "
            "samples no coordinates; simulate works for any"
        )
    return Flow(problem, dmf(replace(problem, optimizer=scheme(problem.optimizer)), response=response), COEFFICIENTS)


def _sampled(problem: Problem, asked: bool | None) -> bool:
    """Whether coordinates are sampled."""
    if asked is None:
        return not problem.optimizer.is_linear
    check_flag("sampled", asked)
    if not asked and not problem.optimizer.is_linear:
        raise InputError(f"sampled = False: optimizer {problem.optimizer.name!r} is not linear in theta, its state and g")
    return asked


def _of_coordinates(right: Mapping[sp.Expr, sp.Expr], problem: Problem) -> dict[str, Any]:
    """What a system has of sampled coordinates, from its displayed equations."""
    found: dict[str, Any] = {"update": update_of(right, problem)}
    if problem.counts_zeros:
        found["present"] = right[S.present(b, t)].xreplace({shown_coordinate: symbols.theta})
    if problem.trained is not None:
        found["trained_update"] = trained_update_of(right, problem)
    return found


def _response(problem: Problem, asked: Response | None, sampled: bool) -> Response:
    loss = problem.loss
    if sampled:
        if asked not in (None, "stein"):
            raise InputError(f"response = {asked!r}: sampled coordinates need 'stein'")
        return "stein"
    # A sample's mask multiplies its gradient, which is then not affine, and jumps; a teacher's field has no tangent here.
    if problem.batches is not None or problem.loss.beside:
        if asked not in (None, "stein"):
            what = (
                "mini-batches" if not problem.loss.beside else "teacher fields" if problem.teacher is not None else "own noises of samples"
            )
            raise InputError(f"response = {asked!r}: {what} need 'stein'")
        return "stein"
    # Without points, means over the training samples are those over a Gaussian law, of other moments than a fresh sample's.
    reads = any(expr.has(*order_parameters(problem.fields)) for _, expr in problem.observables)
    closed = loss.is_quadratic and problem.trained is None and not reads
    if asked is None:
        return "exact" if closed else "stein"
    possible = ["stein", *(["exact"] if closed else []), *([] if loss.kinks or loss.cusps else ["tangent"])]
    if asked not in possible:
        beside = " and observables of order parameters" if reads else ""
        raise InputError(f"response = {asked!r}: for the loss {loss.name!r}{beside} one of {possible} is needed")
    return asked


def kernel_equations(problem: Problem, response: Response, sampled: bool = False, head: bool = False) -> Equations:
    """The system of two-time kernels. Each equation is derived from those before it."""
    taught, noisy = problem.teacher is not None, problem.optimizer.is_noisy
    field, memory, gradient = field_equations(taught)
    noise = noise_equations()
    known = _known(problem, sampled)
    expansion, *together = (expansion_equation(taught, noisy),) if known == "gram" else embedded.expansion_equations(head)
    if head:
        memory = embedded.memory_equation(memory)
        together += [embedded.noise_equation(noise[1])]
    if sampled:
        update = (of_noise(noise[1]), *coordinate_equations(problem), *sampled_trained_equations(problem))
        noise = noise[:1]
    else:
        trained = trained_equations(problem) if problem.trained is not None else ()
        order = (
            overlaps(expansion, noise[1], taught) if known == "gram" else embedded.overlaps(expansion, noise[1], known == "full", together)
        )
        update = (expansion, *together, *optimizer_equations(problem, gradient, known, head), *trained, *order)
    return Equations(
        (
            field,
            *visit_equations(problem),
            *(teacher_equations() if taught else ()),
            *local_equations(problem, response, field),
            Equation(S.train_loss(t), sp.Sum(p(k) * Mean(S.ell(k, t), k), (k, 1, S.K)), "train loss", "theory.md 0", "own"),
            *observed_equations(problem),
            memory,
            embedded.gradient_equation(gradient) if known == "full" else gradient,
            *noise,
            *(own_noise_equations() if noisy and not sampled else ()),
            *update,
        )
    )


def observed_equations(problem: Problem) -> tuple[Equation, ...]:
    """The problem's observables, and their means over the training samples."""
    mean = Equation(
        S.train_seen(t), sp.Sum(p(k) * Mean(S.seen(k, t), k), (k, 1, S.K)), "observables over the training samples", "theory.md 0", "own"
    )
    return (*observed_equation(problem), mean) if problem.observables else ()


def teacher_equations() -> tuple[Equation, ...]:
    """Teacher fields, and covariances of their Gaussian parts with those of the students: a teacher is an iterate that stays."""
    source = f"{SOURCE} (2.8)"
    gram = distribute(sp.Sum(rho(b) * sigma2(k, b) * star_gram(S.e, S.e_other, b), (b, 1, B)))
    return (
        Equation(tau(k, S.e), star_mean(S.e, k) + zeta(k, S.e), "field of a teacher direction, cluster k", source, "theorem"),
        Equation(star_gram_k(k, S.e, S.e_other), gram, "teacher directions in the metric of cluster k", source, "own"),
        Equation(
            Mean(zeta(k, S.e) * zeta(k, S.e_other), k),
            star_gram_k(k, S.e, S.e_other),
            "covariance of the teachers' noise",
            source,
            "theorem",
        ),
        Equation(Mean(omega(k, t) * zeta(k, S.e), k), S.Mk(k, S.e, t), "its covariance with the fields' noise", source, "theorem"),
    )


def field_equations(taught: bool = False) -> tuple[Equation, Equation, Equation]:
    """h_k(t), its response kernel R_k(t,s) and the gradient G_b(t), from the program and the comparison rule."""
    _, memory, response = limit_of_field()
    rename = {r: s}
    field = local_field(omega(k, t) + memory.xreplace(rename))
    fresh, feedback = limit_of_noise()
    feedback += limit_of_teachers() if taught else 0
    gradient = distribute(risk_gradient(lambda cluster, time: fresh + feedback))
    noise = sp.Add(*(x for x in sp.Add.make_args(gradient) if x.has(z)))
    return (
        Equation(S.h(k, t), field, "local field of a sample of cluster k", f"{SOURCE} (2.1)", "theorem"),
        Equation(R(k, t, s), response.xreplace(rename), "response of the field to past gradients", f"{SOURCE} (2.4)", "theorem", "s < t"),
        Equation(S.G(b, t), gradient - noise + xi(b, t), "gradient of the risk, one coordinate of block b", f"{SOURCE} (2.3)", "theorem"),
    )


def noise_equations() -> tuple[Equation, Equation]:
    """Covariances of the fields' and of the gradient's Gaussian parts, from their expansions in fresh Gaussians."""
    fresh, _ = limit_of_noise()
    # xi_b(t) = sum_k (sigma_kb / n) sum_j M_kj(t) z_kj with iid z, and sum_j M_kj(t) M_kj(s)^T = n p_k E_k[a(t) a(s)^T].
    at = sp.sqrt(sigma2(k, b)) / n * coefficient(fresh, z(k, S.j))
    square = at * Transposed(at.xreplace({t: s}))
    covariance = sp.Sum(square, (S.j, 0, t), (k, 1, K))
    M = recursion.M
    gram = sp.Sum(M(k, S.j, t) * Transposed(M(k, S.j, s)), (S.j, 0, t))
    covariance = distribute(n * fold(covariance, gram, n * p(k) * S.C(k, t, s)))
    return (
        Equation(
            Mean(omega(k, t) * Transposed(omega(k, s)), k), Qk(k, t, s), "covariance of the fields' noise", f"{SOURCE} (2.1)", "theorem"
        ),
        Equation(
            n * Mean(xi(b, t) * Transposed(xi(b, s)), b), covariance, "covariance of the gradient's noise", f"{SOURCE} (2.3)", "theorem"
        ),
    )


def own_noise_equations() -> tuple[Equation, ...]:
    """Noise of the optimizer: independent of everything before it, N(0, 1/d) in each coordinate and column."""
    covariance = d * Mean(eps(b, t) * Transposed(eps(b, s)), b)
    return (
        Equation(covariance, Ce(t, s), "covariance of the optimizer's noise", "theory.md 5", "own"),
        Equation(Ce(t, s), _delta(t, s), "a unit of every column, at each step anew", "theory.md 5", "own"),
    )


def local_equations(problem: Problem, response: Response, field: Equation) -> tuple[Equation, ...]:
    """The loss's own part: gradient, Hessian, and the kernels that are means over the samples of a cluster."""
    shown = displayed(problem)
    loss = problem.loss
    local = Equation(a(k, t), gradient_seen(problem).xreplace(shown), "gradient of the loss in the fields", "theory.md 0", "own")
    if response == "exact":
        return local, *_affine(local, [shown[f] for f in loss.fields]), *closed_kernels(field)
    loss_of_sample = Equation(S.ell(k, t), loss.value.xreplace(shown), "loss of a sample", "theory.md 0", "own")
    hessian = loss.hessian[0, 0] if problem.fields == 1 else loss.hessian
    # The field is h = m + omega + memory; the chain rule differentiates it in omega(s).
    inner = _delta(t, s) + sp.Sum(R(k, t, r) * Partial(a(k, r), omega(k, s)), (r, s, t - 1))
    means = (
        Equation(abar(k, t), Mean(a(k, t), k), "mean gradient", f"{SOURCE} (2.2)", "theorem"),
        Equation(S.C(k, t, s), Mean(a(k, t) * Transposed(a(k, s)), k), "correlation of the gradients", f"{SOURCE} (2.2)", "theorem"),
    )
    if response == "stein":
        return local, loss_of_sample, *means, *stein_equations(problem.teacher is not None)
    return (
        local,
        Equation(A(k, t), hessian.xreplace(shown), "Hessian of the loss in the fields, away from kinks", "theory.md 0", "own"),
        loss_of_sample,
        Equation(
            Partial(a(k, t), omega(k, s)), A(k, t) * inner, "total derivative of the gradient", f"{SOURCE} (2.2)", "theorem", r"s \le t"
        ),
        *means,
        Equation(
            Ra(k, t, s), Mean(Partial(a(k, t), omega(k, s)), k), "response of the gradients", f"{SOURCE} (2.2)", "theorem", r"s \le t"
        ),
    )


def _affine(local: Equation, fields: list[sp.Symbol]) -> tuple[Equation, Equation]:
    """Hessian, and gradient at zero field, of a quadratic loss with the displayed gradient `local`."""
    single = len(fields) == 1
    entries = [local.rhs] if single else list(sp.sympify(local.rhs) or sp.zeros(len(fields), 1))
    hessian = sp.ImmutableDenseMatrix([[sp.expand(sp.diff(entry, f)) for f in fields] for entry in entries])
    offset_ = sp.ImmutableDenseMatrix([sp.sympify(entry).subs({f: 0 for f in fields}) for entry in entries])
    return (
        Equation(A(k, t), hessian[0, 0] if single else hessian, "Hessian of the loss in the fields", "theory.md 0", "own"),
        Equation(offset(k), offset_[0] if single else offset_, "gradient at zero field: a = a0 + A h", "theory.md 0", "own"),
    )


def closed_kernels(field: Equation) -> tuple[Equation, ...]:
    """Kernels of an affine gradient a = a0 + A h (quadratic loss): the means are taken symbolically, nothing is sampled."""

    def mean(expr: sp.Expr) -> sp.Expr:  # E omega = 0, E a = abar
        return expr.replace(omega, lambda *_: sp.S.Zero).replace(a, lambda *args: abar(*args))

    def derivative(expr: sp.Expr) -> sp.Expr:  # in omega_k(s); constant, so equal to its mean
        time = sp.Dummy("time", integer=True)
        summed = expr.xreplace({s: time})
        return sp.Add(*(_differentiated(x, time) for x in sp.Add.make_args(summed)))

    def _differentiated(term: sp.Expr, time: sp.Symbol) -> sp.Expr:
        term = inside(term)
        if term.has(omega):
            return term.replace(omega, lambda *_: _delta(t, s))
        if isinstance(term, sp.Sum):
            return sp.Sum(term.function.replace(a, lambda cluster, past: Ra(cluster, past, s)), (time, s, t - 1)).xreplace({time: r})
        return sp.S.Zero

    r2 = sp.Symbol("r'", integer=True, nonnegative=True)
    fluctuation = sp.Sum(Ra(k, t, r) * Qk(k, r, r2) * Transposed(Ra(k, s, r2)), (r, 0, t), (r2, 0, s))
    source = "own; theory.md 2 for a quadratic loss"
    return (
        Equation(abar(k, t), offset(k) + A(k, t) * mean(field.rhs), "mean gradient", source, "own"),
        Equation(Ra(k, t, s), A(k, t) * derivative(field.rhs), "response of the gradients", source, "own", r"s \le t"),
        # The gradient is its mean plus sum_r Ra_k(t,r) omega_k(r).
        Equation(S.C(k, t, s), abar(k, t) * Transposed(abar(k, s)) + fluctuation, "correlation of the gradients", source, "own"),
    )


def expansion_equation(taught: bool = False, noisy: bool = False) -> Equation:
    """The linear optimizer solved: Theta_b(t) = P_b(t) Theta_0 + sum_k U_kb(t) mu_k + sum_e V_eb(t) theta*_e + sum_s W_b(t,s) xi_b(s), and
    with noise of its own sum_s N_b(t,s) eps_b(s)."""
    expansion = P(b, t) * Theta(b, 0) + sp.Sum(U(k, b, t) * mu(k, b), (k, 1, K)) + sp.Sum(W(b, t, s) * xi(b, s), (s, 0, t - 1))
    expansion += sp.Sum(V(S.e, b, t) * star(S.e, b), (S.e, 1, S.S)) if taught else 0
    expansion += sp.Sum(N(b, t, s) * eps(b, s), (s, 0, t - 1)) if noisy else 0
    return Equation(Theta(b, t), expansion, "one coordinate of block b in its basis", "own; theory.md 2", "own")


def optimizer_equations(problem: Problem, gradient: Equation, known: S.Known = "gram", head: bool = False) -> tuple[Equation, ...]:
    """The coefficients of Theta in its basis: the optimizer's map of (Theta, state, G) acts on each of them alike."""
    update, own = problem.optimizer.jacobian, problem.optimizer.noise_slope
    variables = [None, *problem.optimizer.state]
    source = "own; theory.md 2"
    equations = []
    basis = [(P, Theta(b, 0), "Theta(0)"), (U, mu(k, b), "the mean of cluster k"), (W, xi(b, s), "the noise xi(s)")]
    if problem.teacher is not None:
        basis.insert(2, (V, star(S.e, b), "a teacher direction"))
    if problem.optimizer.is_noisy:
        basis.append((N, eps(b, s), "the optimizer's noise of step s"))
    if known != "gram":
        basis[:2] = [(S.D, Theta(b, 0), "what is known")]
        whole = embedded.gradient_equation(gradient) if known == "full" else gradient
    for family, vector, meaning in basis:
        slope_ = embedded.known_component(whole.rhs) if family is S.D else _gradient_component(gradient.rhs, family, vector)
        if head and family is W:  # the first coordinates respond together, below
            slope_ = slope_.xreplace({_delta(t, s): S.tail(b) * _delta(t, s)})
        for row, variable in enumerate(variables):
            indices = {P: (b,), U: (k, b), V: (S.e, b), W: (b,), N: (b,), S.D: (b,)}[family]
            source_time = (s,) if family in (W, N) else ()
            terms = [update[row, column] * component(family, other, *indices, t, *source_time) for column, other in enumerate(variables)]
            lhs = component(family, variable, *indices, t + 1, *source_time)
            of = "Theta" if variable is None else f"the optimizer's {variable}"
            domain = r"s \le t" if source_time else ""
            start = {P: sp.S.One, S.D: S.start(b)}.get(family, sp.S.Zero) if variable is None else sp.S.Zero  # Theta(0) is itself
            first = component(family, variable, *indices, *((s, s) if source_time else (0,)))
            equations.append(Equation(first, start, f"coefficient of {meaning} in {of} at the start", source, "own"))
            terms += [update[row, -1] * slope_, *([own[row] * _delta(t, s)] if family is N else [])]
            equations.append(Equation(lhs, sp.Add(*terms), f"coefficient of {meaning} in {of}", source, "own", domain))
    return (*equations, *(embedded.head_equations(update, variables, component) if head else ()))


def gradient_of_trained(problem: Problem) -> tuple[Equation, Equation]:
    """The gradient of trained parameters of the loss is a mean over the samples."""
    column = [x.xreplace(displayed(problem)) for x in trained_gradient(problem)]  # as a step sees it
    local = column[0] if len(column) == 1 else sp.ImmutableDenseMatrix(column)
    gradient = sp.Sum(p(k) * Mean(S.dv(k, t), k), (k, 1, K)) + S.ridge_v * S.v(t)
    return (
        Equation(S.dv(k, t), local, "gradient of the loss in the trained parameters", "theory.md 0", "own"),
        Equation(S.gv(t), gradient, "gradient of the risk in the trained parameters", f"{SOURCE} (2.9)", "own"),
    )


def sampled_trained_equations(problem: Problem) -> tuple[Equation, ...]:
    """Trained parameters of the loss under an update rule that is not linear."""
    if problem.trained is None:
        return ()
    shown = shown_trained(problem)
    rules = zip((symbols.theta, *problem.optimizer.state), problem.optimizer.composed, strict=True)
    updates = [
        Equation(
            component(S.v, None if x == symbols.theta else x, t + 1),
            rule.xreplace(shown),
            f"optimizer {problem.optimizer.name}, of a trained parameter",
            f"{SOURCE} (2.9)",
            "own",
        )
        for x, rule in rules
    ]
    return (*gradient_of_trained(problem), *updates)


def trained_update_of(right: Mapping[sp.Expr, sp.Expr], problem: Problem) -> tuple[sp.Expr, ...]:
    """The new (v, *state) of a trained parameter in displayed equations, in the variables of the optimizer."""
    names = {shown: x for x, shown in shown_trained(problem).items() if shown != 0 and x != symbols.eta}
    variables = [None, *problem.optimizer.state]
    return tuple(right[component(S.v, x, t + 1)].xreplace(names) for x in variables)


def shown_trained(problem: Problem) -> dict[sp.Symbol, sp.Expr]:
    """Variables of the optimizer as the equations of a trained parameter show them; its own step, if any, stands for eta."""
    names = {symbols.theta: "v(t)", symbols.g: r"\bar{g}^{v}(t)"}
    names |= {x: rf"v^{{({sp.latex(x)})}}(t)" for x in problem.optimizer.state}
    own = {symbols.noise: sp.S.Zero}  # N(0, 1/d)
    own |= {symbols.eta: S.eta_v} if problem.trained is not None and problem.trained.step is not None else {}
    return {x: sp.Symbol(name, real=True) for x, name in names.items()} | own


def trained_equations(problem: Problem) -> tuple[Equation, ...]:
    """Trained parameters of the loss: their gradient is a mean over the samples, and goes through the optimizer's map."""
    v, gv = S.v, S.gv
    source = f"{SOURCE} (2.9)"
    update = problem.optimizer.jacobian
    if problem.trained is not None and problem.trained.step is not None:
        update = update.xreplace({symbols.eta: S.eta_v})
    variables = [None, *problem.optimizer.state]
    found = [*gradient_of_trained(problem)]
    for row, variable in enumerate(variables):
        terms = [update[row, column] * component(v, other, t) for column, other in enumerate(variables)]
        of = "trained parameters" if variable is None else f"the optimizer's {variable} of the trained parameters"
        found.append(Equation(component(v, variable, t + 1), sp.Add(*terms, update[row, -1] * gv(t)), of, source, "own"))
    return tuple(found)


def overlaps(expansion: Equation, noise: Equation, taught: bool = False) -> tuple[Equation, ...]:
    """m_k(t), Q(t,s) and Q_k(t,s), and with teachers M_e(t) and M_ke(t): inner products of Theta's expansion, by the second moments of its
    basis in a block."""
    past = sp.Symbol("r'", integer=True, nonnegative=True)
    other = sp.Symbol("l'", integer=True, positive=True)
    covariance = noise.rhs.xreplace({t: r, s: past, k: l}) / alpha  # of xi(r), xi(r'), times n = alpha d: a sum over d coordinates
    left = expansion.rhs.xreplace({s: r, k: l})
    right = Transposed(expansion.rhs.xreplace({s: past, k: other, t: s, S.e: S.e_other}))
    start, noisy = Theta(b, 0), (xi(b, r), Transposed(xi(b, past)))
    teacher, another = star(S.e, b), star(S.e_other, b)
    # Means over the coordinates of a block, times d; Theta(0), the means and the teachers know nothing of the noise.
    moments = {
        (start, Transposed(start)): {start: S.Q_0(b)},
        (start, mu(other, b)): {start: S.m_0(other, b)},
        (mu(l, b), Transposed(start)): {Transposed(start): Transposed(S.m_0(l, b))},
        (mu(l, b), mu(other, b)): {mu(l, b): gram(l, other, b)},
        noisy: {noisy[0]: covariance},
        (eps(b, r), Transposed(eps(b, past))): {eps(b, r): Ce(r, past)},
        (start, another): {start: S.M_0(S.e_other, b)},
        (teacher, Transposed(start)): {Transposed(start): Transposed(S.M_0(S.e, b))},
        (mu(l, b), another): {another: S.star_mean_b(S.e_other, l, b)},
        (teacher, mu(other, b)): {teacher: S.star_mean_b(S.e, other, b)},
        (teacher, another): {teacher: star_gram(S.e, S.e_other, b)},
    }

    def mean(term: sp.Expr) -> sp.Expr:
        factors = sp.Mul.make_args(term.function if isinstance(term, sp.Sum) else term)
        for vectors, moment in moments.items():
            if all(vector in factors for vector in vectors):
                return term.xreplace(dict.fromkeys(vectors, sp.S.One) | moment)
        return sp.S.Zero

    square = distribute(sp.Add(*(mean(term) for term in sp.Add.make_args(distribute(left * right)))))
    single = sp.Add.make_args(distribute(expansion.rhs.xreplace({k: l})))
    products = {start: S.m_0(k, b), mu(l, b): gram(k, l, b), teacher: S.star_mean_b(S.e, k, b)}
    projected = sp.Add(*(term.xreplace(products) for term in single if not term.has(xi, eps)))
    turned = {S.e: S.e_other}
    products = {start: S.M_0(S.e, b), mu(l, b): S.star_mean_b(S.e, l, b), another: star_gram(S.e, S.e_other, b)}
    taught_by = sp.Add(*(term.xreplace(turned).xreplace(products) for term in single if not term.has(xi, eps)))
    source = "own; theory.md 2"

    def over_blocks(weight: sp.Expr, expr: sp.Expr) -> sp.Expr:
        return distribute(sp.Sum(weight * expr, (b, 1, B)))

    return (
        Equation(m(k, t), over_blocks(rho(b), projected), "overlap with the mean of cluster k", source, "own"),
        Equation(Q(t, s), over_blocks(rho(b), square), "overlap of two iterates", source, "own"),
        Equation(
            Qk(k, t, s), over_blocks(rho(b) * sigma2(k, b), square), "overlap of two iterates in the metric of cluster k", source, "own"
        ),
        *(_taught(over_blocks, taught_by) if taught else ()),
    )


def _taught(over_blocks: Callable[[sp.Expr, sp.Expr], sp.Expr], product: sp.Expr) -> tuple[Equation, ...]:
    source = "own; theory.md (2.8)"
    return (
        Equation(S.M(S.e, t), over_blocks(rho(b), product), "overlap with a teacher direction", source, "own"),
        Equation(
            S.Mk(k, S.e, t), over_blocks(rho(b) * sigma2(k, b), product), "overlap with a teacher in the metric of cluster k", source, "own"
        ),
    )


def _gradient_component(gradient: sp.Expr, family: type[Kernel], vector: sp.Expr) -> sp.Expr:
    """Coefficient of a basis vector in G_b(t): its own source, and what comes back through Theta."""
    terms = sp.Add.make_args(gradient)
    direct = sp.Add(*(x for x in terms if not x.has(Theta)))
    through = sp.Add(*(x for x in terms if x.has(Theta)))
    if family is W:
        own = coefficient(direct, xi(b, t)) * _delta(t, s)
    else:
        own = coefficient(direct, vector) if direct.has(type(vector)) else sp.S.Zero
    # The bound names s and k are also the basis vector's: rename them. W(r,s) and N(r,s) are zero for r <= s.
    first = s + 1 if family in (W, N) else sp.S.Zero
    bound = {s: r, k: l}

    def renamed(total: sp.Sum) -> sp.Sum:
        limits = [(bound[x], first if x == s else low, high) for x, low, high in total.limits]
        return sp.Sum(total.function.xreplace(bound), *limits)

    through = through.replace(lambda x: isinstance(x, sp.Sum), renamed)
    own = own.xreplace({k: l}) if family is V else own
    of_theta = {
        P: lambda time: P(b, time),
        U: lambda time: U(k, b, time),
        V: lambda time: V(S.e, b, time),
        W: lambda time: W(b, time, s),
        N: lambda time: N(b, time, s),
    }[family]
    return own + through.replace(Theta, lambda block, time: of_theta(time))
