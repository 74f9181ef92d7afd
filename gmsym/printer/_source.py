"""Statements, functions and modules of generated source: one statement a line, shared subexpressions named once."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import sympy as sp
from sympy.logic.boolalg import Boolean

from gmsym import generated
from gmsym.errors import InputError
from gmsym.printer._guard import guard
from gmsym.printer._jax import JaxPrinter, fresh_name

_IMPORTS = {"jnp.": "import jax.numpy as jnp", "rt.": "from gmsym.runtime import functions as rt"}


def statements(outputs: Sequence[sp.Basic], names: Mapping[sp.Symbol, str]) -> tuple[list[str], list[str]]:
    """The text of several expressions that share subexpressions.

    A subexpression that occurs more than once gets a variable `x0, x1, ...` (names in use are skipped); what is inside a
    Lambda stays there. The text does not depend on the hash seed.

    Args:
        outputs: the expressions.
        names: the text of each free symbol.

    Returns:
        (lines, results): assignments in order, and the text of each output in terms of them.

    Raises:
        UnprintableError: a function with no entry in the printer's table.
        InputError: two different symbols of one name, or a symbol without a name.
    """
    printer = JaxPrinter(names)
    taken = printer.taken()
    expressions = [guard(sp.sympify(e)) for e in outputs]
    counts: Counter[sp.Basic] = Counter()
    order = [node for e in expressions for node in _visit(e, counts)]
    lines = []
    for node in order:
        if counts[node] > 1 and not _is_cheap(node):
            text = printer._print(node)
            index = len(printer.hoisted)
            while f"x{index}" in taken:
                index += 1
            taken.add(f"x{index}")
            printer.hoisted[node] = f"x{index}"
            lines.append(f"x{index} = {text}")
    return lines, [printer._print(e) for e in expressions]


def function(
    name: str, arguments: Mapping[str, sp.Symbol | Sequence[sp.Symbol]], docstring: str, outputs: sp.Basic | Sequence[sp.Basic]
) -> str:
    """Source of a function that returns one expression, or a tuple of several.

    Args:
        name: the function's name.
        arguments: {name: a symbol} for an argument that is the symbol's value, {name: symbols} for one that is a
            sequence of their values, in order; it is unpacked if any of them is used.
        docstring: what it computes; several lines are indented.
        outputs: an expression, or a sequence of them.

    Raises:
        UnprintableError, InputError: as `statements`.
    """
    single = isinstance(outputs, sp.Basic)
    expressions = [outputs] if single else [sp.sympify(e) for e in outputs]
    used = {s for e in expressions for s in e.free_symbols}
    taken = set(arguments)
    names: dict[sp.Symbol, str] = {}
    body = []
    owners: dict[sp.Symbol, str] = {}
    for argument, given in arguments.items():
        for symbol in [given] if isinstance(given, sp.Symbol) else given:
            if owners.setdefault(symbol, argument) != argument:
                raise InputError(f"the name {symbol.name!r} is both one of {owners[symbol]} and one of {argument}; rename one of them")
        if isinstance(given, sp.Symbol):
            names[given] = argument
        elif used & set(given):
            unpacked = {s: fresh_name(s.name, taken) for s in given}
            names |= unpacked
            body.append(f"{_tuple(unpacked.values())} = {argument}")
    lines, results = statements(expressions, names)
    body = [f'"""{generated.quoted(docstring)}"""', *body, *lines, f"return {results[0] if single else _tuple(results)}"]
    return f"def {name}({', '.join(arguments)}):\n" + textwrap.indent("\n".join(body), "    ") + "\n"


def module(summary: str, *definitions: str) -> str:
    """Source of a module: the header that `gmsym.runtime.load` asks for, the imports in use, and the definitions."""
    text = "\n\n".join(definitions)
    imports = "\n".join(line for mark, line in _IMPORTS.items() if mark in text)
    head = f'{generated.HEADER}: {generated.quoted(summary)}"""'
    return generated.checked("\n\n".join([head, *([imports + "\n"] if imports else []), text]))


def _tuple(items: Iterable[str]) -> str:
    items = tuple(items)
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"


def _visit(expr: sp.Basic, counts: Counter) -> Iterator[sp.Basic]:
    """Every distinct subexpression after its parts, with occurrences counted; scopes are not entered."""
    counts[expr] += 1
    if counts[expr] == 1 and not isinstance(expr, sp.Lambda):
        for part in expr.args:
            yield from _visit(part, counts)
        yield expr


def _is_cheap(expr: sp.Basic) -> bool:
    """One arithmetic operation on symbols, or a change of sign, is not worth a name; containers have none."""
    if not isinstance(expr, (sp.Expr, Boolean)) or isinstance(expr, sp.MatrixBase):
        return True
    scaled = isinstance(expr, sp.Mul) and len(expr.args) == 2 and expr.args[0].is_number
    return scaled or (all(a.is_Atom for a in expr.args) and not isinstance(expr, sp.Function))
