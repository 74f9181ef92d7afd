"""Array algebra of one time as `einsum` text: kernels are arrays, their indices and value axes are letters."""

import sympy as sp

from gmsym.calculus.kernels import Kernel
from gmsym.errors import UnprintableError
from gmsym.system.causal_kernels import Mean, alpha, ridge
from gmsym.system.recursion import samples

ORDER = "kblcdijxn"  # the order of axes in every array
_NAMES = {"Bk": "B", "Theta": "theta", "lambda": "ridge"}  # where the text's name is not the symbol's


def arguments(expr: sp.Expr) -> list[str]:
    """Names of the arrays and numbers in `expr`, numbers first, alphabetically."""
    kernels = {_name(type(x).__name__) for x in expr.atoms(Kernel)}
    numbers = {_name(x.name) for x in expr.atoms(sp.Symbol) & {alpha, ridge, samples}}
    return [*sorted(numbers), *sorted(kernels)]


def letters(expr: Kernel) -> str:
    """Axes of a kernel's array, in order: its indices and its value; times are not axes."""
    indices = {a.name for a in expr.args if isinstance(a, sp.Symbol) and a.name in ORDER}
    return _ordered(indices | set(expr.value))


def array_text(expr: sp.Expr, output: str) -> str:
    """Python text of `expr` as an array with the axes `output`; indices that are not in `output` are summed.

    Kernels appear under the name of their class, numbers under their own.

    Raises:
        UnprintableError: a factor that is neither a kernel nor a number.
    """
    return "\n+ ".join(_term(term, output) for term in sp.Add.make_args(expr))


def _term(term: sp.Expr, output: str) -> str:
    if isinstance(term, sp.Sum):
        term = term.function
    operands: list[tuple[str, str]] = []  # text, axes
    numbers: list[str] = []
    divisors: list[str] = []
    chain = "c"  # the field axis that the next factor starts with: a product of matrices is contracted in order
    for factor in sp.Mul.make_args(term):
        for part in sp.Mul.make_args(factor.args[0]) if isinstance(factor, Mean) else (factor,):
            if isinstance(part, Kernel):
                axes = letters(part)
                operands.append((_name(type(part).__name__), _ordered(axes.replace("d", "\0").replace("c", chain).replace("\0", "d"))))
                chain = "d" if "d" in part.value else chain
            elif isinstance(part, sp.Add):  # a sum in parentheses is an array of its own
                axes = _ordered(set().union(*(_axes(x) for x in sp.Add.make_args(part))))
                operands.append((f"({array_text(part, axes)})".replace("\n", " "), _ordered(axes.replace("c", chain))))
            elif part.is_Integer:
                numbers.append(str(part))
            elif isinstance(part, sp.Symbol):
                numbers.append(_name(part.name))
            elif part.is_Pow and part.exp == -1 and isinstance(part.base, sp.Symbol):
                divisors.append(_name(part.base.name))
            else:
                raise UnprintableError(f"cannot write `{part}` in `{term}` as array algebra: kernels and symbols only")
        if isinstance(factor, Mean):
            divisors.append(f"{operands[-1][0]}.shape[-1]")
    operands.sort(key=lambda operand: len(operand[1]))  # small ones first
    found = _ordered(set().union(*(set(axes) for _, axes in operands)) & set(output))
    if len(operands) == 1 and operands[0][1] == found:
        text = operands[0][0]
    else:
        text = f'jnp.einsum("{",".join(axes for _, axes in operands)}->{found}", {", ".join(name for name, _ in operands)})'
    if found != output:
        index = ", ".join(":" if axis in found else "None" for axis in output)
        text = f"{text}[{index}]"
    return " * ".join([*numbers, text]) + "".join(f" / {divisor}" for divisor in divisors)


def _axes(term: sp.Expr) -> set[str]:
    """Free axes of a term of a sum."""
    if isinstance(term, sp.Sum):
        return _axes(term.function) - {limit[0].name for limit in term.limits}
    return set().union(*(set(letters(x)) for x in term.atoms(Kernel)))


def _ordered(axes: set[str] | str) -> str:
    return "".join(sorted(axes, key=ORDER.index))


def _name(name: str) -> str:
    return _NAMES.get(name, name)
