"""Mutants of displayed equations: what is displayed must drive a number.

A mutant flips one sign or drops one term of one displayed equation, and sets in when the equation is made: the derivation
goes on from the wrong equation, as it would had it been derived so, through generated code to numbers. A mutant that changes
no number shows an equation that is only printed.

To enrol a system, add an `Enrolled` to `SYSTEMS` in test_mutations.py:

    Enrolled(
        name="...",
        derive=lambda: derive.something(PROBLEM),      # derives anew; what it caches in gmsym.derive or gmsym.codegen is forgotten
        numbers=lambda system: {"name": array, ...},   # through the generated module, on a problem that takes milliseconds
        equations=lambda system: system.equations(),   # the default
    )

Choose numbers that see everything: asymmetric clusters and blocks, several fields, a state away from the origin. `eagerly` runs
JAX operation by operation, which for a few steps is much faster than to compile each mutant. An equation whose `role` is
"notation" (it names something that other equations spell out) is skipped; there should be very few.

Tests take one mutant of each equation, the first of one, the second of the next and so on; with the environment variable
GMSYM_MUTANTS=all they take all, in many minutes: that is for a change of a derivation, and for the table in a report.
"""

import functools
import os
import sys
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import numpy as np
import sympy as sp

from gmsym.calculus.kernels import Kernel
from gmsym.codegen import _common
from gmsym.errors import ComputationError
from gmsym.system import Equation

Numbers = dict[str, Any]


class Enrolled(NamedTuple):
    """A displayed system and the way from it to numbers."""

    name: str
    derive: Callable[[], Any]
    numbers: Callable[[Any], Numbers]
    equations: Callable[[Any], Iterable[Equation]] = lambda system: system.equations()


class Outcome(NamedTuple):
    """What became of one mutant."""

    equation: sp.Expr  # its left-hand side
    mutation: str
    fate: str  # "changed", "diverged" (no finite number), "refused" (the derivation or the solver stops) or "survived"
    detail: str = ""


def mutants(expr: sp.Expr, both: bool = True) -> Iterator[tuple[str, sp.Expr]]:
    """(what was done, the expression so changed): one sign flipped, or one term dropped, at any depth; zero becomes one.

    Not `both`: each term is flipped or dropped, in turns.
    """
    expr = sp.sympify(expr)
    if expr.is_zero:
        yield "0 -> 1", sp.S.One
        return
    seen = {expr}
    negative = -expr if isinstance(expr, sp.MatrixBase) else sp.Add(*(-term for term in sp.Add.make_args(expr)))
    candidates = [("the sign of all", negative)] if both or not expr.is_Add else []
    if both and not expr.is_Add:
        candidates.append(("all dropped", expr * 0 if isinstance(expr, sp.MatrixBase) else sp.S.Zero))
    for what, changed in (*candidates, *_within(expr, both)):
        if changed not in seen:
            seen.add(changed)
            yield what, changed


def _within(expr: Any, both: bool) -> Iterator[tuple[str, Any]]:
    if isinstance(expr, sp.MatrixBase):
        for index, entry in enumerate(expr):
            for what, changed in mutants(entry, both):
                yield f"entry {index}: {what}", expr.func(*expr.shape, [changed if n == index else x for n, x in enumerate(expr)])
        return
    if not expr.args or isinstance(expr, (Kernel, sp.KroneckerDelta, sp.MatrixSymbol)):
        return
    if expr.is_Add:
        for index, term in enumerate(expr.args):
            rest = expr.args[:index] + expr.args[index + 1 :]
            if both or index % 2 == 0:
                yield f"sign of {term}", sp.Add(*rest, -term)
            if both or index % 2:
                yield f"without {term}", sp.Add(*rest)
    for index, part in enumerate(expr.args):
        # Not entered: limits of sums, indices, exponents, and what a derivative is taken in.
        if (isinstance(expr, (sp.Sum, sp.Integral)) or type(expr).__name__ in ("Mean", "Partial", "Derivative")) and index:
            continue
        if expr.is_Pow and index:
            continue
        for what, changed in _within(part, both):
            yield what, expr.func(*expr.args[:index], changed, *expr.args[index + 1 :])


@contextmanager
def mutated(target: Equation, rhs: sp.Expr) -> Iterator[None]:
    """Within it, whoever makes the equation `target` gets it with the right-hand side `rhs`."""
    original = Equation.__init__

    def made(self: Equation, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if self.lhs == target.lhs and self.rhs == target.rhs:
            object.__setattr__(self, "rhs", rhs)

    Equation.__init__ = made
    # A generated function takes the arrays that its equation mentions; the engine may go on to pass those that a mutant lost.
    listed = _common.arguments
    _common.arguments = lambda expr: [*listed(expr), "**unused"]
    forget()
    try:
        yield
    finally:
        Equation.__init__, _common.arguments = original, listed
        forget()


def forget() -> None:
    """Empty what derivation and code generation have cached."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("gmsym.derive", "gmsym.codegen")):
            for value in list(vars(module).values()):
                if isinstance(value, functools._lru_cache_wrapper) and value.__module__ == name:
                    value.cache_clear()


@contextmanager
def eagerly() -> Iterator[None]:
    """JAX operation by operation, in every thread."""
    before = jax.config.jax_disable_jit
    jax.config.update("jax_disable_jit", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_jit", before)


def outcomes(enrolled: Enrolled, both: bool = True, known: Container[tuple[sp.Expr, sp.Expr]] = ()) -> Iterator[Outcome]:
    """The fate of mutants of every displayed equation that is not among the `known` (left-hand side, right-hand side)."""
    system = enrolled.derive()
    reference = _arrays(enrolled.numbers(system))
    assert all(np.isfinite(x).all() for x in reference.values()), f"{enrolled.name}: the numbers themselves are not finite"
    for index, equation in enumerate({(e.lhs, e.rhs): e for e in enrolled.equations(system)}.values()):
        if equation.role == "notation" or (equation.lhs, equation.rhs) in known:
            continue
        found = list(mutants(equation.rhs, both))
        for what, rhs in found if os.environ.get("GMSYM_MUTANTS") == "all" else [found[index % len(found)]]:
            yield Outcome(equation.lhs, what, *_fate(enrolled, reference, equation, rhs))


def _fate(enrolled: Enrolled, reference: Numbers, equation: Equation, rhs: sp.Expr) -> tuple[str, str]:
    try:
        with mutated(equation, rhs):
            system = enrolled.derive()
            shown = any(e.lhs == equation.lhs and e.rhs == rhs for e in enrolled.equations(system))
            found = _arrays(enrolled.numbers(system))
    except ComputationError as error:
        return "diverged", str(error)
    except Exception as error:
        return "refused", f"{type(error).__name__}: {error}"
    assert shown, f"{enrolled.name}: the display makes its equation for {equation.lhs} without the mutation"
    if any(not np.isfinite(x).all() for x in found.values()):
        return "diverged", ""
    if found.keys() != reference.keys():
        return "changed", "other quantities"
    gaps = {name: _gap(found[name], reference[name]) for name in reference}
    name = max(gaps, key=gaps.get)
    return ("changed", f"{name} by {gaps[name]:.1e}") if gaps[name] > 1e-9 else ("survived", f"largest change {gaps[name]:.1e}")


def _arrays(numbers: Numbers) -> dict[str, np.ndarray]:
    return {name: np.asarray(x) for name, x in numbers.items()}


def _gap(found: np.ndarray, reference: np.ndarray) -> float:
    if found.shape != reference.shape:
        return np.inf
    return float(np.abs(found - reference).max(initial=0) / max(np.abs(reference).max(initial=0), 1e-3))


def table(found: Iterable[tuple[str, Outcome]]) -> str:
    """System, equations, mutants, and how many changed a number, diverged, were refused, survived."""
    rows: dict[str, list[Outcome]] = {}
    for name, outcome in found:
        rows.setdefault(name, []).append(outcome)
    lines = [f"{'system':28} equations mutants changed diverged refused survived"]
    for name, all_ in rows.items():
        count = [sum(o.fate == fate for o in all_) for fate in ("changed", "diverged", "refused", "survived")]
        lines.append(f"{name:28} {len({o.equation for o in all_}):9} {len(all_):7} {count[0]:7} {count[1]:8} {count[2]:7} {count[3]:8}")
    return "\n".join(lines)
