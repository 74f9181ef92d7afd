"""What every theory says about a single sample: how it is displayed, and the loss and error of a fresh one."""

from collections.abc import Mapping, Sequence
from typing import Any

import sympy as sp

from gmsym import symbols
from gmsym.calculus import GaussianMean, expectation
from gmsym.functions import heaviside_form
from gmsym.problem import Problem
from gmsym.problem.observables import order_parameters
from gmsym.system import Equation
from gmsym.system import causal_kernels as S

Moments = tuple[tuple[sp.Symbol, ...], tuple[tuple[sp.Symbol, ...], ...]]  # symbols of a mean (C,) and a covariance (C, C)
_MOST_CLASSES = 4
_BEFORE = {symbols.visit: sp.Symbol("s_{k}(t-1)", real=True), symbols.uniform: sp.Symbol("u_{k}(t)", real=True)}


def displayed(problem: Problem) -> dict[sp.Symbol, sp.Expr]:
    """Fields, labels and teacher fields of the loss as the equations show them: of cluster k at time t."""
    fields, labels = problem.loss.fields, symbols.labels(problem.data.label_size)
    field_names = ["h_{k}(t)"] if len(fields) == 1 else [f"h_{{k{c}}}(t)" for c in range(len(fields))]
    label_names = ["y_{k}"] if len(labels) == 1 else [f"y_{{k{c}}}" for c in range(len(labels))]
    teacher_names = [rf"\tau_{{k{s}}}" for s in range(1, len(problem.loss.teachers) + 1)]
    names = dict(zip((*fields, *labels, *problem.loss.teachers), field_names + label_names + teacher_names, strict=True))
    names |= {x: f"w_{{k{i}}}" for i, x in enumerate(problem.loss.own_noises, start=1)}
    if problem.batches is not None:
        names[symbols.visit] = "s_{k}(t)"
    names |= {v: f"{sp.latex(v)}(t)" for v in problem.trained_parameters}
    names |= _displayed_moments(problem) if problem.observables else {}
    return {symbol: sp.Symbol(name, real=True) for symbol, name in names.items()}


def _displayed_moments(problem: Problem) -> dict[sp.Symbol, str]:
    """What observables read of their cluster: mean and covariance of its fields."""
    moments, single = order_parameters(problem.fields), problem.fields == 1
    names = [f"{s.name[0]}_{{k{'' if single else s.name[1:].replace('_', '')}}}" for s in moments]
    return {s: f"{name}(t)" if s.name[0] == "m" else f"{name}(t,t)" for s, name in zip(moments, names, strict=True)}


def observed_equation(problem: Problem) -> tuple[Equation, ...]:
    """The problem's observables of a sample; none where it has none."""
    if not problem.observables:
        return ()
    column = [expr.xreplace(displayed(problem)) for _, expr in problem.observables]
    names = ", ".join(problem.observable_names)
    values = column[0] if len(column) == 1 else sp.ImmutableDenseMatrix(column)
    return (Equation(S.seen(S.k, S.t), values, f"observables of a sample: {names}", "theory.md 0", "own"),)


def observables_of(right: Mapping[sp.Expr, sp.Expr], problem: Problem) -> S.Observed:
    """A system's observables, from its displayed equations; their means over a fresh sample are those of the simulation's law."""
    if not problem.observables:
        return ()
    moments = _moments(problem)
    values = of_sample(right[S.seen(S.k, S.t)], problem)

    def tested(expr: sp.Expr) -> tuple[sp.Expr, ...]:
        at = [heaviside_form(problem.loss.at_label(expr, y)) for y in problem.data.labels]
        return tuple(_mean_over_cluster(x, problem, moments, cluster) for cluster, x in enumerate(at))

    return tuple(S.Observable(name, value, tested(value)) for (name, _), value in zip(problem.observables, values, strict=True))


def gradient_seen(problem: Problem) -> sp.Expr:
    """Gradient of a sample's loss in its fields, as training sees it: a column if there are several, times the weight in a mini-batch."""
    loss = problem.loss
    column = loss.gradient[0] if problem.fields == 1 else sp.ImmutableDenseMatrix(loss.gradient)
    return column if problem.batches is None else problem.batches.weight * column


def visit_equations(problem: Problem) -> tuple[Equation, ...]:
    """The rule of a sample's state under mini-batches, in its state before and a fresh uniform number; none for full batches."""
    if problem.batches is None:
        return ()
    rule = problem.batches.rule.xreplace(_BEFORE)
    return (Equation(S.visit(S.k, S.t), rule, "state of a sample, which says whether the step sees it", "theory.md 5", "own"),)


def seen_by_steps(right: Mapping[sp.Expr, sp.Expr], problem: Problem) -> dict[str, Any]:
    """What a system has of mini-batches, from its displayed equations: gradient as a step sees it, and the rule of the state."""
    if problem.batches is None:
        return {}
    rule = sp.sympify(right[S.visit(S.k, S.t)]).xreplace({shown: symbol for symbol, shown in _BEFORE.items()})
    return {"gradient_seen": of_sample(right[S.a(S.k, S.t)], problem), "visit": rule}


def of_sample(column: sp.Expr, problem: Problem) -> tuple[sp.Expr, ...]:
    """Entries of a displayed function of one sample, in the fields, labels and teacher fields of the loss."""
    names = {shown: symbol for symbol, shown in displayed(problem).items()}
    entries = list(column) if isinstance(column, sp.MatrixBase) else [column]
    return tuple(sp.sympify(entry).xreplace(names) for entry in entries)


def fresh_sample(problem: Problem) -> tuple[Moments, tuple[sp.Expr, ...], tuple[sp.Expr, ...] | None]:
    """Symbols of the moments of the fields, and of the teachers', in one cluster; mean loss of each cluster; misclassification
    probability of each, or None."""
    moments = _moments(problem)
    losses = tuple(
        _mean_over_cluster(problem.loss.at_label(problem.loss.value, y), problem, moments, cluster)
        for cluster, y in enumerate(problem.data.labels)
    )
    return moments, losses, _test_error(problem, moments)


def _moments(problem: Problem) -> Moments:
    """Symbols of the mean (C + S,) and the covariance of the fields, students first, of a fresh sample of one cluster."""
    count = range(problem.fields + len(problem.loss.teachers))
    mean = tuple(sp.Symbol(f"m_{c}", real=True) for c in count)
    diagonal = [sp.Symbol(f"Q_{c}_{c}", positive=True) for c in count]
    off = {(c, e): sp.Symbol(f"Q_{c}_{e}", real=True) for c in count for e in count if c < e}
    return mean, tuple(tuple(diagonal[c] if c == e else off[min(c, e), max(c, e)] for e in count) for c in count)


def _mean_over_cluster(expr: sp.Expr, problem: Problem, moments: Moments, cluster: int) -> sp.Expr:
    """E[expr(h, tau)] over (h, tau) ~ N(m_k, Q_k), closed by the calculus where it can be; more closes where the mean is zero."""
    mean, covariance = moments
    if not problem.loss.beside:
        return expectation(expr, problem.loss.fields, mean, sp.ImmutableDenseMatrix(covariance))
    centred = all(x == 0 for x in overlaps_of_mean(problem, cluster))
    location, covariance = _with_own([sp.S.Zero] * len(mean) if centred else mean, covariance, problem)
    return joint_mean(expr, (*problem.loss.fields, *problem.loss.beside), location, covariance)


def _with_own(
    mean: Sequence[sp.Expr], covariance: Sequence[Sequence[sp.Expr]], problem: Problem
) -> tuple[tuple[sp.Expr, ...], sp.ImmutableDenseMatrix]:
    """Moments of the fields, students and teachers, with the sample's own noises, N(0, I), after them."""
    own = len(problem.loss.own_noises)
    return (*mean, *([sp.S.Zero] * own)), sp.ImmutableDenseMatrix(sp.diag(sp.Matrix(covariance), sp.eye(own)))


def trained_gradient(problem: Problem) -> tuple[sp.Expr, ...]:
    """Gradient of the loss in the trained parameters, as training sees it, (P,)."""
    value, weight = heaviside_form(problem.loss.value), 1 if problem.batches is None else problem.batches.weight
    return tuple(weight * _without_deltas(sp.diff(value, name)) for name in problem.trained_parameters)


def _without_deltas(expr: sp.Expr) -> sp.Expr:
    """A continuous loss has no deltas in its first derivatives: those that appear are multiplied by zero."""
    return expr.replace(lambda e: isinstance(e, sp.DiracDelta), lambda e: sp.S.Zero)


def overlaps_of_mean(problem: Problem, cluster: int) -> tuple[sp.Expr, ...]:
    """|mu_k|^2 and theta*_s . mu_k: where all vanish, the fields of the cluster have mean zero."""
    along = () if problem.teacher is None else problem.teacher.overlap_with_means(problem.data.clusters)[:, cluster]
    return problem.data.means_gram[cluster, cluster], *along


def joint_mean(f: sp.Expr, xs: Sequence[sp.Symbol], location: Sequence[sp.Expr], covariance: sp.MatrixBase) -> sp.Expr:
    """E[f], closed or reduced. Means inside means, which the calculus leaves where the order of two kinks depends on a parameter, are one
    mean over all fields instead: quadrature in C + T dimensions costs less than quadrature at each node of another one."""
    reduced = expectation(f, xs, location, covariance)
    if not any(node.integrand.has(GaussianMean) for node in reduced.atoms(GaussianMean)):
        return reduced
    terms = sp.Add.make_args(sp.expand(f))
    sharp = [x for x in terms if x.has(sp.DiracDelta)]
    regular = sp.Add(*(x for x in terms if x not in sharp)) if sharp else f
    return expectation(sp.Add(*sharp), xs, location, covariance) + GaussianMean(sp.Lambda(tuple(xs), regular), location, covariance)


def _test_error(problem: Problem, moments: Moments) -> tuple[sp.Expr, ...] | None:
    """Misclassification probability of a fresh sample of each cluster."""
    fields = problem.loss.fields
    if problem.decision == "sign":
        wrong = [sp.Heaviside(-problem.loss.at_label(problem.target, y) * problem.loss.readout) for y in problem.data.labels]
    elif problem.decision == "argmax":
        classes = [max(range(len(y)), key=lambda c: y[c]) for y in problem.data.labels]
        wrong = [1 - sp.Mul(*(sp.Heaviside(fields[c] - f) for f in fields if f != fields[c])) for c in classes]
    else:
        return None
    if len(fields) > _MOST_CLASSES:
        # The calculus would take long over so many steps and close nothing: one node, integrated by sampling.
        mean, covariance = moments
        location, covariance = _with_own(mean, covariance, problem)
        law = sp.Tuple(*location), covariance
        xs = (*fields, *problem.loss.beside)
        return tuple(1 - GaussianMean(sp.Lambda(xs, 1 - expr), *law) for expr in wrong)
    return tuple(_mean_over_cluster(expr, problem, moments, cluster) for cluster, expr in enumerate(wrong))
