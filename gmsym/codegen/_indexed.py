"""Functions of arrays whose indices are written out, as `einsum` text: the name of an index is the letter of its axis."""

from collections.abc import Iterable, Sequence

import sympy as sp

from gmsym.calculus.kernels import Kernel, distribute
from gmsym.codegen._einsum import Operand, product, total
from gmsym.errors import UnprintableError
from gmsym.system import Equation
from gmsym.system.causal_kernels import ridge_v
from gmsym.system.indexed import total as size_of_all
from gmsym.system.influence import fixed, ridge, size

_NUMBERS = {size_of_all: "total", size: "size", fixed: "fixed", ridge: "ridge", ridge_v: "trained_ridge"}


def indexed_function(name: str, equations: Iterable[Equation], results: Sequence[Kernel], summary: str) -> str:
    """A function of the arrays and numbers that `equations` take and do not set; it returns `results`."""
    lines, known, given = [], set(), set()
    for equation in equations:
        y = equation.lhs
        given |= {_name(x) for x in equation.rhs.atoms(Kernel)} - known
        given |= {text for number, text in _NUMBERS.items() if equation.rhs.has(number)}
        lines.append(f"    {_name(y)} = {_sum(distribute(equation.rhs), _axes(y))}  # {_axes(y)}".rstrip(" #"))
        known.add(_name(y))
    names = ", ".join(_name(y) for y in results)
    result = names if len(results) == 1 else f"({names})"
    body = "\n".join(lines)
    return f'def {name}({", ".join(sorted(given))}):\n    """{summary}"""\n{body}\n    return {result}\n'


def _sum(expr: sp.Expr, output: str) -> str:
    return total([_term(term, output) for term in sp.Add.make_args(expr)])


def _term(term: sp.Expr, output: str) -> str:
    """One product as text; indices that are not in `output` are summed."""
    operands: list[Operand] = []
    numbers: list[str] = []
    for factor in sp.Mul.make_args(term.function if isinstance(term, sp.Sum) else term):
        base, power = factor.as_base_exp()
        if isinstance(base, Kernel):
            operands.append(Operand(f"{_name(base)}{_exponent(power)}", _axes(base)))
        elif base in _NUMBERS and not power.is_Integer:
            numbers.append(f"{_NUMBERS[base]}{_exponent(power)}")
        elif factor.is_Rational:
            numbers.append(str(factor) if factor.is_Integer else f"({factor})")
        elif base.is_Add and base.has(Kernel):  # a sum in parentheses
            axes = "".join(dict.fromkeys("".join(_axes(x) for x in sorted(base.atoms(Kernel), key=sp.default_sort_key))))
            operands.append(Operand(f"({_sum(base, axes)}){_exponent(power)}", axes))
        elif not factor.free_symbols - set(_NUMBERS):
            numbers.append(f"({sp.sstr(factor.xreplace({x: sp.Symbol(name) for x, name in _NUMBERS.items()}))})")
        else:
            raise UnprintableError(f"cannot write `{factor}` in `{term}` as array algebra: arrays and numbers only")
    return product(operands, output, numbers)


def _exponent(power: sp.Expr) -> str:
    return "" if power == 1 else f"**{power}" if power.is_Integer and power > 0 else f"**({power})"


def _axes(array: Kernel) -> str:
    return "".join(index.name for index in array.args)


def _name(array: Kernel) -> str:
    return type(array).__name__
