"""Observables of a problem: functions of one sample whose means are reported beside the loss. Source: theory.md 0."""

from collections.abc import Mapping
from typing import Any

import sympy as sp

from gmsym import symbols
from gmsym.errors import InputError
from gmsym.problem.loss import Loss

Observables = tuple[tuple[str, sp.Expr], ...]
_TAKEN = {"loss", "error"}  # train_loss, test_loss and test_error are there anyway


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
