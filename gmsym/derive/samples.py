"""What every theory says about a single sample: how it is displayed, and the loss and error of a fresh one."""

import sympy as sp

from gmsym import symbols
from gmsym.calculus import GaussianMean, expectation
from gmsym.problem import Problem

Moments = tuple[tuple[sp.Symbol, ...], tuple[tuple[sp.Symbol, ...], ...]]  # symbols of a mean (C,) and a covariance (C, C)
_MOST_CLASSES = 4


def displayed(problem: Problem) -> dict[sp.Symbol, sp.Expr]:
    """Fields and labels of the loss as the equations show them: of cluster k at time t."""
    fields, labels = problem.loss.fields, symbols.labels(problem.data.label_size)
    field_names = ["h_{k}(t)"] if len(fields) == 1 else [f"h_{{k{c}}}(t)" for c in range(len(fields))]
    label_names = ["y_{k}"] if len(labels) == 1 else [f"y_{{k{c}}}" for c in range(len(labels))]
    names = dict(zip((*fields, *labels), field_names + label_names, strict=True))
    if problem.batches is not None:
        names[symbols.visit] = "s_{k}(t)"
    return {symbol: sp.Symbol(name, real=True) for symbol, name in names.items()}


def gradient_seen(problem: Problem) -> sp.Expr:
    """Gradient of a sample's loss in its fields, as training sees it: a column if there are several, times the weight in a mini-batch."""
    loss = problem.loss
    column = loss.gradient[0] if problem.fields == 1 else sp.ImmutableDenseMatrix(loss.gradient)
    return column if problem.batches is None else problem.batches.weight * column


def of_sample(column: sp.Expr, problem: Problem) -> tuple[sp.Expr, ...]:
    """Entries of a displayed function of one sample, in the fields and labels of the loss."""
    names = {shown: symbol for symbol, shown in displayed(problem).items()}
    entries = list(column) if isinstance(column, sp.MatrixBase) else [column]
    return tuple(sp.sympify(entry).xreplace(names) for entry in entries)


def fresh_sample(problem: Problem) -> tuple[Moments, tuple[sp.Expr, ...], tuple[sp.Expr, ...] | None]:
    """Symbols of the fields' moments in one cluster; mean loss of each cluster; misclassification probability of each, or None."""
    moments = _moments(problem)
    losses = tuple(_mean_over_cluster(problem.loss.at_label(problem.loss.value, y), problem, moments) for y in problem.data.labels)
    return moments, losses, _test_error(problem, moments)


def _moments(problem: Problem) -> Moments:
    """Symbols of the mean (C,) and the covariance (C, C) of the fields of a fresh sample of one cluster."""
    count = range(problem.fields)
    mean = tuple(sp.Symbol(f"m_{c}", real=True) for c in count)
    diagonal = [sp.Symbol(f"Q_{c}_{c}", positive=True) for c in count]
    off = {(c, e): sp.Symbol(f"Q_{c}_{e}", real=True) for c in count for e in count if c < e}
    return mean, tuple(tuple(diagonal[c] if c == e else off[min(c, e), max(c, e)] for e in count) for c in count)


def _mean_over_cluster(expr: sp.Expr, problem: Problem, moments: Moments) -> sp.Expr:
    """E[expr(h)] over h ~ N(m_k, Q_k), closed by the calculus where it can be."""
    mean, covariance = moments
    return expectation(expr, problem.loss.fields, mean, sp.ImmutableDenseMatrix(covariance))


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
        law = sp.Tuple(*mean), sp.ImmutableDenseMatrix(covariance)
        return tuple(1 - GaussianMean(sp.Lambda(fields, 1 - expr), *law) for expr in wrong)
    return tuple(_mean_over_cluster(expr, problem, moments) for expr in wrong)
