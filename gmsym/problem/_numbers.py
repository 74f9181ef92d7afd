"""Reading numbers, vectors and matrices given as Python, NumPy or SymPy objects into SymPy."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import sympy as sp

from gmsym import symbols
from gmsym.errors import InputError


def scalar(value: Any, name: str) -> sp.Expr:
    """A number or an expression of parameters; integral floats become integers, which print better."""
    if isinstance(value, (bool, str, list, tuple, dict)) or value is None:
        raise InputError(f"{name} = {value!r}: a number or a SymPy expression of parameters is needed")
    try:
        expr = (
            value if isinstance(value, sp.Basic) else sp.sympify(np.asarray(value).item(), strict=True)
        )  # strict: text is never evaluated
    except (TypeError, ValueError, sp.SympifyError) as error:
        raise InputError(f"{name} = {value!r}: a number or a SymPy expression of parameters is needed") from error
    if not isinstance(expr, sp.Expr):
        raise InputError(f"{name} = {value!r}: a number or a SymPy expression of parameters is needed")
    if expr.is_Float and abs(expr) < 2**53 and float(expr).is_integer():
        return sp.Integer(int(expr))
    if expr.is_number and not (expr.is_real and expr.is_finite):
        raise InputError(f"{name} = {value!r}: a finite real number is needed")
    return symbols.canonical(expr)


def positive(value: Any, name: str) -> sp.Expr:
    """A positive number, or an expression of parameters, which the problem checks once they have numbers."""
    expr = scalar(value, name)
    if expr.is_number and not expr > 0:
        raise InputError(f"{name} = {value!r}: a positive number is needed")
    return expr


def vector(value: Any, name: str) -> tuple[sp.Expr, ...]:
    """A non-empty sequence of scalars."""
    if isinstance(value, (str, bytes, dict)) or not isinstance(value, Iterable):
        raise InputError(f"{name} = {value!r}: a sequence of numbers is needed")
    items = tuple(scalar(v, f"{name}[{i}]") for i, v in enumerate(value))
    if not items:
        raise InputError(f"{name} is empty: at least one number is needed")
    return items


def rows(value: Any, name: str) -> tuple[tuple[sp.Expr, ...], ...]:
    """A non-empty sequence of vectors; a number in the place of a vector is one of length 1."""
    if isinstance(value, sp.MatrixBase):
        value = value.tolist()
    if isinstance(value, (str, bytes, dict)) or not isinstance(value, Iterable):
        raise InputError(f"{name} = {value!r}: a list of numbers or of rows is needed")
    return tuple(vector(v if isinstance(v, (list, tuple, np.ndarray)) else [v], f"{name}[{i}]") for i, v in enumerate(value))


def matrix(value: Any, name: str) -> sp.ImmutableDenseMatrix:
    """A non-empty rectangular array of scalars, given by rows."""
    if isinstance(value, sp.MatrixBase):
        value = value.tolist()
    if isinstance(value, (str, bytes, dict)) or not isinstance(value, Iterable):
        raise InputError(f"{name} = {value!r}: a list of rows is needed")
    rows = [vector(row, f"{name}[{i}]") for i, row in enumerate(value)]
    if not rows or len({len(row) for row in rows}) != 1:
        raise InputError(f"{name}: a rectangular list of rows is needed, got row lengths {[len(row) for row in rows]}")
    return sp.ImmutableDenseMatrix(rows)


def parameters(*expressions: sp.Basic) -> frozenset[sp.Symbol]:
    """Free symbols of all the expressions."""
    return frozenset(s for e in expressions for s in e.free_symbols if isinstance(s, sp.Symbol))


def numeric(array: Iterable[sp.Expr] | sp.MatrixBase, values: dict[sp.Symbol, float], shape: tuple[int, ...]) -> np.ndarray:
    """Float64 array of `shape` holding the expressions at `values`."""
    return np.array([float(e.subs(values)) for e in array], dtype=np.float64).reshape(shape)
