"""Adjoint of a program of sums of products of arrays, equation by equation. Source: own (reverse accumulation).

For y = f(..., x, ...) the adjoint of x gains y^ df/dx, summed over all indices that x does not have; equations are taken in reverse.
"""

from collections.abc import Collection, Iterable, Sequence

import sympy as sp

from gmsym.calculus.kernels import Kernel, distribute
from gmsym.system import Equation, Equations
from gmsym.system.indexed import bar, over

SOURCE = "own; reverse accumulation"


def adjoint(program: Sequence[Equation], outputs: Collection[Kernel], constants: Collection[type[Kernel]]) -> Equations:
    """Adjoints of all arrays that the program sets and takes, last ones first.

    Args:
        program: each right-hand side a sum of products of powers of arrays, indices written out; none is set twice.
        outputs: arrays whose adjoints come from later: they are added to.
        constants: classes of arrays without an adjoint.
    """
    found: dict[type[Kernel], list[sp.Expr]] = {}
    names: dict[type[Kernel], Kernel] = {}
    order: list[type[Kernel]] = []
    for y in outputs:
        found[type(y)], names[type(y)] = [bar(y)], y
    for equation in reversed(program):
        y = equation.lhs
        order.append(type(y))
        names[type(y)] = y
        for array, gain in _gains(equation):
            if type(array) in constants:
                continue
            names.setdefault(type(array), array)
            found.setdefault(type(array), []).append(_with_indices(gain, array, names[type(array)]))
    order += [kind for kind in found if kind not in order]
    rules = [(bar(names[kind]), sp.Add(*found.get(kind, [])), f"adjoint of {kind.__name__}") for kind in order]
    return Equations(Equation(lhs, rhs, meaning, SOURCE, "own") for lhs, rhs, meaning in rules if lhs != rhs)


def _gains(equation: Equation) -> Iterable[tuple[Kernel, sp.Expr]]:
    """(array as it stands in a term, what the term gives to its adjoint)."""
    y = equation.lhs
    for term in sp.Add.make_args(distribute(equation.rhs)):
        inside = term.function if isinstance(term, sp.Sum) else term
        for array in sorted(inside.atoms(Kernel), key=sp.default_sort_key):
            stand_in = sp.Dummy(positive=True)
            slope = sp.diff(inside.xreplace({array: stand_in}), stand_in).xreplace({stand_in: array})
            yield array, slope * bar(y)


def _with_indices(gain: sp.Expr, array: Kernel, name: Kernel) -> sp.Expr:
    """The gain with the array's indices turned into those of `name`, summed over all others."""
    renamed = {}
    for old, new in zip(array.args, name.args, strict=True):
        if old != new:
            renamed |= {old: new, new: old}
    gain = gain.xreplace(renamed)
    free = {index for atom in gain.atoms(Kernel) for index in atom.args}
    summed = sorted(free - set(name.args), key=lambda index: index.name)
    return over(gain, *summed) if summed else gain
