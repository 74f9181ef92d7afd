"""Observables of a problem: functions of one sample whose means are reported beside the loss. Source: theory.md 0."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import sympy as sp

from gmsym import symbols
from gmsym.errors import InputError
from gmsym.problem.loss import Loss

if TYPE_CHECKING:
    from gmsym.problem.mixture import GaussianMixture

Observables = tuple[tuple[str, sp.Expr], ...]
_TAKEN = {"loss", "error"}  # train_loss, test_loss and test_error are there anyway


def errors(data: "GaussianMixture", loss: Loss) -> dict[str, sp.Expr]:
    """Observables of a problem that count its mistakes: `wrong`, and of each class `wrong_0, wrong_1, ...`.

    Their results are the training error train_wrong and the test error test_wrong, and those of a class: mistakes among its samples,
    divided by its probability. Class 0 is that of the label 1, or the first of one-hot labels. A prediction on the border, such as that of
    Theta = 0, is half a mistake.

    Args:
        data: the mixture, whose labels are 1 and -1, or one-hot.
        loss: what is predicted by its `readout`, or by the largest field.

    Raises:
        InputError: labels of another kind, a loss without a prediction.

    Example:
        >>> import gmsym as gm
        >>> data, loss = gm.GaussianMixture.symmetric(), gm.losses.logistic()
        >>> problem = gm.Problem(data, loss, gm.optimizers.gd(), observables=gm.observables.errors(data, loss))
        >>> problem.observable_names
        ('wrong', 'wrong_0', 'wrong_1')
    """
    labels, of_class = symbols.labels(data.label_size), [[float(x) for x in label] for label in data.labels]
    sign = data.label_size == 1 and all(abs(x) == 1 for (x,) in of_class)
    if sign and loss.readout is not None:
        target = labels[0] if loss.target is None else loss.target
        wrong, members = sp.Heaviside(-target * loss.readout), [(1 + labels[0]) / 2, (1 - labels[0]) / 2]
    elif all(sorted(x) == [0.0] * (len(x) - 1) + [1.0] for x in of_class) and data.label_size == len(loss.fields) > 1:
        fields = loss.fields
        best = [sp.Mul(*(sp.Heaviside(fields[c] - f) for f in fields if f != fields[c])) for c in range(len(fields))]
        wrong, members = 1 - sp.Add(*(y * x for y, x in zip(labels, best, strict=True))), list(labels)
    else:
        raise InputError(
            f"errors: labels {data.labels} with the loss {loss.name}: labels 1 and -1 with a readout, or one-hot ones, are needed"
        )
    found = {"wrong": wrong}
    for c, member in enumerate(members):
        at = [member.subs(dict(zip(labels, map(sp.nsimplify, label), strict=True))) for label in of_class]
        share = sp.Add(*(p * x for p, x in zip(data.probabilities, at, strict=True)))
        if share != 0:
            found[f"wrong_{c}"] = member * wrong / share
    return found


def order_parameters(fields: int) -> tuple[sp.Symbol, ...]:
    """`m_c`, the mean of field c in the sample's cluster, Theta_c . mu_k; then `Q_c_e` for c <= e, its covariance with field e."""
    count = range(fields)
    means = [sp.Symbol(f"m_{c}", real=True) for c in count]
    return (*means, *(sp.Symbol(f"Q_{c}_{e}", **_nature(c == e)) for c in count for e in count if c <= e))


def _nature(diagonal: bool) -> dict[str, bool]:
    return {"positive": True} if diagonal else {"real": True}


def read(given: Mapping[str, Any] | None, loss: Loss, labels: int) -> Observables:
    """(name, expression) of each, checked; order parameters are brought to the symbols of `order_parameters`.

    Raises:
        InputError: a name that a result cannot have; an expression that reads what the problem has not.
    """
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise InputError(f"observables = {given!r}: expressions by name are needed, such as {{'margin': y*h}}")
    return tuple((_name(name), _expression(name, expr, loss, labels)) for name, expr in given.items())


def _name(name: Any) -> str:
    symbols.check_name(name, "observable", "; an observable needs an identifier, such as 'margin'")
    if name in _TAKEN:
        raise InputError(f"observable = {name!r}: results have train_loss, test_loss and test_error already; call it something else")
    return name


def _expression(name: str, expr: Any, loss: Loss, labels: int) -> sp.Expr:
    if isinstance(expr, (str, bool)) or not isinstance(expr, (sp.Expr, int, float)):
        raise InputError(f"observable {name} = {expr!r}: a SymPy expression is needed (text goes through gmsym.parse)")
    expr = symbols.canonical(sp.sympify(expr))
    own = {s.name: s for s in order_parameters(len(loss.fields))}
    expr = expr.xreplace({s: own[s.name] for s in expr.free_symbols if s.name in own})
    known = {*loss.fields, *symbols.labels(labels), *loss.beside, *own.values()}
    stray = sorted(s.name for s in expr.free_symbols - known if symbols.is_sample(s.name) or s.name in _RESERVED)
    if stray:
        raise InputError(f"observable {name} = {expr} uses {stray[0]}; allowed are {', '.join(sorted(map(str, known)))}, and parameters")
    return expr


_RESERVED = {"t", "theta", "g", "eta", "ridge", "alpha"}
