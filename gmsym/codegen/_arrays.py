"""Array algebra of one time as `einsum` text: kernels are arrays, their indices and value axes are letters.

The axes of an array are its indices and the axes of its value, in the order of `ORDER`. An array is named after its kernel's class; at
time 0 and at the second time s the name ends in `_0` and `_s`. Products of matrices are contracted in the order in which they stand.
"""

from collections.abc import Mapping

import sympy as sp

from gmsym.calculus.kernels import Kernel, Transposed
from gmsym.codegen._einsum import Operand, product, total
from gmsym.errors import UnprintableError
from gmsym.system.causal_kernels import Mean, alpha, b, ridge, ridge_v, s
from gmsym.system.recursion import samples

# The order of axes in every array; p stands for trained parameters, r for observables; f, o, a, h and q for a second teacher e',
# cluster l', coordinate b' and innovations i' and j'; A to E for coordinates q, q', q'' and q''' of the first ones.
ORDER = "efklobaABDEcdprijhqxn"
_PAIRED = "ABDE"  # indices of matrices that are not symmetric: their order counts
_INNER = "uvwyz"  # field axes between the factors of a product
_NAMES = {"Bk": "B", "Theta": "theta", "lambda": "ridge", "lambda_v": "trained_ridge"}  # where the text's name is not the symbol's
_LETTERS = {"e'": "f", "l'": "o", "b'": "a", "i'": "h", "j'": "q", "q": "A", "q'": "B", "q''": "D", "q'''": "E"}  # likewise of indices
_NUMBERS = {alpha, ridge, ridge_v, samples}


def arguments(expr: sp.Expr) -> list[str]:
    """Names of the arrays and numbers in `expr`, numbers first, alphabetically."""
    kernels = {_array_name(x) for x in expr.atoms(Kernel)}
    numbers = {_name(x.name) for x in expr.atoms(sp.Symbol) & _NUMBERS}
    return [*sorted(numbers), *sorted(kernels)]


def letters(expr: Kernel) -> str:
    """Axes of a kernel's array, in order: its indices and its value; times are not axes."""
    indices = [_letter(a) for a in expr.args if isinstance(a, sp.Symbol) and _letter(a) in ORDER]
    pairs = [x for x in indices if x in _PAIRED]
    if pairs != sorted(pairs):
        raise UnprintableError(f"cannot write `{expr}` as an array: its coordinates are to stand in the order of their names")
    return _ordered({*indices, *expr.value})


def scalars(expr: sp.Expr) -> list[sp.Expr]:
    """Factors without arrays that are neither integers nor the system's own numbers, in the order of their occurrence."""
    found: dict[sp.Expr, None] = {}
    for term in sp.Add.make_args(expr):
        for part in _parts(term):
            if isinstance(part, sp.Add) and part.has(Kernel):
                found |= dict.fromkeys(scalars(part))
            elif isinstance(part, Mean):
                found |= dict.fromkeys(scalars(part.args[0]))
            elif not part.has(Kernel) and not _is_plain(part):
                found[part] = None
    return list(found)


def array_text(expr: sp.Expr, output: str, names: Mapping[sp.Expr, str] | None = None) -> str:
    """Python text of `expr` as an array with the axes `output`; indices that are not in `output` are summed.

    Args:
        expr: a sum of products of kernels and numbers.
        output: axes of the result, in order.
        names: text of each of its `scalars`.

    Raises:
        UnprintableError: a factor that is none of these; a product that is no array with these axes.
    """
    text = total([_term(term, output, names or {}) for term in sp.Add.make_args(sp.sympify(expr))], "\n")
    return text if sp.sympify(expr).has(Kernel) else f"jnp.zeros({(1,) * len(output)}) + {text}"


class _Operand:
    """An array in a product: its text, its axes, and which of them are its row and its column of fields."""

    def __init__(self, text: str, axes: str, row: str, column: str):
        self.text, self.axes, self.row, self.column = text, axes, row, column


def _parts(term: sp.Expr) -> list[sp.Expr]:
    """Factors of a term in order, those of its sums among them."""
    found: list[tuple[sp.Expr, ...]] = []
    for factor in sp.Mul.make_args(term):
        inner = _parts(factor.function) if isinstance(factor, sp.Sum) else [factor]
        found.append(tuple(inner))
    for at, factor in enumerate(sp.Mul.make_args(term)):
        for index in _indices(factor):
            if not any(x.has(index) for x in found[at]):
                raise UnprintableError(f"cannot write `{term}` as array algebra: nothing depends on the index {index} of a sum")
            if any(x.has(index) for other, inner in enumerate(found) if other != at for x in inner):
                raise UnprintableError(f"cannot write `{term}` as array algebra: the index {index} of a sum stands outside of it, too")
    return [x for inner in found for x in inner]


def _indices(factor: sp.Expr) -> list[sp.Symbol]:
    """Indices of a sum, and of those of which it is the sum."""
    if not isinstance(factor, sp.Sum):
        return []
    return [limit[0] for limit in factor.limits] + [x for inner in sp.Mul.make_args(factor.function) for x in _indices(inner)]


def _population(mean: Mean) -> str:
    """Axis of the population that a mean is over: samples of a cluster, or coordinates of a block."""
    return "x" if mean.args[1] == b else "n"


def _is_plain(part: sp.Expr) -> bool:
    return part.is_Rational or part in _NUMBERS or (part.is_Pow and part.exp == -1 and part.base in _NUMBERS)


def _term(term: sp.Expr, output: str, names: Mapping[sp.Expr, str]) -> str:
    operands: list[_Operand] = []
    numbers: list[str] = []
    divisors: list[str] = []

    def add(part: sp.Expr) -> None:
        if isinstance(part, Mean):
            for inner in _parts(part.args[0]):
                add(inner)
            averaged = next((x for x in reversed(operands) if _population(part) in x.axes), None)
            if averaged is None:
                raise UnprintableError(f"cannot write `{part}` as array algebra: a mean of what has no samples")
            divisors.append(f"{averaged.text}.shape[-1]")
        elif isinstance(part, Kernel) or (isinstance(part, Transposed) and isinstance(part.args[0], Kernel)):
            operands.append(_operand(part))
        elif part.is_Pow and part.exp == -1 and not part.is_commutative:  # the inverse of a matrix
            axes = free_axes(part.base)
            text = array_text(part.base, axes, names).replace("\n", " ")
            operands.append(_Operand(f"rt.inverse({text}, {axes.index('c')})", axes, "c", "d"))
        elif isinstance(part, sp.Add) and part.has(Kernel):  # a sum in parentheses is an array of its own
            axes = free_axes(part)
            text = f"({array_text(part, axes, names)})".replace("\n", " ")
            operands.append(_Operand(text, axes, "c" if "c" in axes else "", "d" if "d" in axes else ""))
        elif part.is_Rational:
            numbers.extend([str(part.p)] if part.p != 1 else [])
            divisors.extend([str(part.q)] if part.q != 1 else [])
        elif part in names:
            numbers.append(names[part])
        elif part in _NUMBERS:
            numbers.append(_name(part.name))
        elif part.is_Pow and part.exp == -1 and part.base in _NUMBERS:
            divisors.append(_name(part.base.name))
        else:
            raise UnprintableError(f"cannot write `{part}` in `{term}` as array algebra: kernels and symbols only")

    for part in _parts(term):
        add(part)
    if not operands:
        return product([], output, numbers, divisors)
    written = sorted(_contracted(operands, term), key=lambda operand: len(operand.axes))  # small ones first
    if any(x in "cd" and x not in output for x in _free_field_axes(operands)):
        raise UnprintableError(f"cannot write `{term}` as array algebra with the axes {output}: its fields do not fit")
    return product(written, output, numbers, divisors)


def _operand(part: sp.Expr) -> _Operand:
    turned = isinstance(part, Transposed)
    kernel = part.args[0] if turned else part
    row, column = ("c" if "c" in kernel.value else ""), ("d" if "d" in kernel.value else "")
    return _Operand(_array_name(kernel), letters(kernel), *((column, row) if turned else (row, column)))


def _chain(operands: list[_Operand]) -> tuple[list[dict[str, int]], int | None, int | None]:
    """Field axes of the factors of a product as numbers, equal where two are contracted; those of the result's row and column."""
    count, first, opened = 0, None, None
    chain = []
    for operand in operands:
        axes: dict[str, int] = {}
        if operand.row:
            if opened is not None:
                axes[operand.row], opened = opened, None
            elif first is None:
                first = axes[operand.row] = count
                count += 1
            else:
                raise UnprintableError(f"cannot multiply by `{operand.text}`: a vector stands to the left of it")
        if operand.column:
            if opened is not None:
                raise UnprintableError(f"cannot multiply by `{operand.text}`: a row stands to the left of it")
            opened = axes[operand.column] = count
            count += 1
        chain.append(axes)
    return chain, first, opened


def _free_field_axes(operands: list[_Operand]) -> str:
    _, first, opened = _chain(operands)
    return ("" if first is None else "c") + ("" if opened is None else "d")


def _contracted(operands: list[_Operand], term: sp.Expr) -> list[Operand]:
    """Each factor, field axes renamed so that neighbours share the axis over which they are contracted."""
    chain, first, opened = _chain(operands)
    between = sorted({x for axes in chain for x in axes.values()} - {first, opened})
    free = [x for x, used in (("d", opened), ("c", first)) if used is None]
    pool = [*free, *_INNER]
    if len(between) > len(pool):
        raise UnprintableError(f"cannot write `{term}` as array algebra: too many factors")
    shown = dict(zip(between, pool, strict=False))
    shown |= {x: letter for x, letter in ((first, "c"), (opened, "d")) if x is not None}
    return [
        Operand(operand.text, "".join(shown[axes[x]] if x in axes else x for x in operand.axes))
        for operand, axes in zip(operands, chain, strict=True)
    ]


def free_axes(expr: sp.Expr) -> str:
    """Axes of the array that `expr` is, in order."""
    return _ordered(set().union(*(_free_axes(term) for term in sp.Add.make_args(expr))))


def _free_axes(term: sp.Expr) -> set[str]:
    """Free axes of a term of a sum."""
    bound = {_letter(index) for factor in sp.Mul.make_args(term) for index in _indices(factor)}
    operands: list[_Operand] = []
    averaged: set[str] = set()
    for part in _parts(term):
        inside = _parts(part.args[0]) if isinstance(part, Mean) else [part]
        averaged |= {_population(part)} if isinstance(part, Mean) else set()
        for x in inside:
            if isinstance(x, Kernel) or (isinstance(x, Transposed) and isinstance(x.args[0], Kernel)):
                operands.append(_operand(x))
            elif x.is_Pow and x.exp == -1 and not x.is_commutative:
                operands.append(_Operand("", free_axes(x.base), "c", "d"))
            elif isinstance(x, sp.Add) and x.has(Kernel):
                axes = free_axes(x)
                operands.append(_Operand("", axes, "c" if "c" in axes else "", "d" if "d" in axes else ""))
    axes = {x for operand in operands for x in operand.axes if x not in (operand.row, operand.column)}
    return (axes - bound - averaged) | set(_free_field_axes(operands))


def _ordered(axes: set[str]) -> str:
    return "".join(sorted(axes, key=ORDER.index))


def _letter(index: sp.Symbol) -> str:
    return _LETTERS.get(index.name, index.name)


def _array_name(kernel: Kernel) -> str:
    times = kernel.args[kernel.subscripts :] if kernel.subscripts >= 0 else ()
    suffix = "_0" if times and all(x == 0 for x in times) else "_s" if times and all(x == s for x in times) else ""
    return _name(type(kernel).__name__) + suffix


def _name(name: str) -> str:
    return _NAMES.get(name, name)
