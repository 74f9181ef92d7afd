"""Expressions in matrices that do not commute as array text: products are contracted in order, sums over an index are `einsum`s.

An array has its indices first, then rows and columns if it is a matrix, then any number of further axes ("..."): points, or nodes.
"""

from collections.abc import Mapping
from typing import NamedTuple

import sympy as sp

from gmsym.calculus.kernels import Transposed
from gmsym.codegen._einsum import FURTHER, Operand, product, total
from gmsym.errors import UnprintableError
from gmsym.system.causal_kernels import Mean
from gmsym.system.spectral import Form, Trace, unit

_CHAIN = "cdefghij"  # rows and columns along a product


class Letter(NamedTuple):
    """The array of a letter."""

    name: str  # Python text
    index: str = ""  # letters of its indices
    matrix: bool = False
    further: bool = True  # whether it has further axes
    sample: bool = False  # whether it differs between the samples of a cluster


Table = Mapping[sp.Expr, Letter]


def arguments(expr: sp.Expr, table: Table) -> tuple[str, ...]:
    """Names of the arrays that the text of `expr` mentions, in the order of the table; means of samples last."""
    products = [_flat(product) for mean in expr.atoms(Mean) for product in _products(mean.args[0])]
    means = {f"mean_{''.join(table[f].name for f in factors if table[f].sample)}" for factors in products}
    outside = expr.replace(lambda e: isinstance(e, Mean), lambda e: sp.S.One)
    constant = {factor for factors in products for factor in factors if not table[factor].sample}
    named = [letter.name for x, letter in table.items() if letter.name.isidentifier() and (outside.has(x) or x in constant)]
    return (*dict.fromkeys(named), *sorted(means))


def text(expr: sp.Expr, table: Table, index: str = "", matrix: bool = False) -> str:
    """Python text of `expr` as an array with these indices, a matrix or a number for each.

    Raises:
        UnprintableError: something that is neither a letter of the table nor algebra of them; or nothing at all.
    """
    if expr.is_zero:
        raise UnprintableError("zero is no array: the equation says nothing of its shape")
    return _Writer(table).total(expr, index, matrix)


class _Writer:
    def __init__(self, table: Table):
        self.table = table

    def total(self, expr: sp.Expr, index: str, matrix: bool) -> str:
        return total([self.term(term, index, matrix) for term in sp.Add.make_args(sp.expand(expr, power_base=False))])

    def term(self, term: sp.Expr, index: str, matrix: bool) -> str:
        number, rest = term.as_coeff_Mul()
        multipliers, divisors, operands = [], [], []
        row, at = _CHAIN[0], 0  # the chain of matrices has reached this letter

        def add(name: str, letter_index: str, is_matrix: bool, further: bool) -> None:
            nonlocal at
            axes = letter_index
            if is_matrix:
                axes, at = axes + _CHAIN[at : at + 2], at + 1
            operands.append(Operand(name, axes + (FURTHER if further else "")))

        for factor in _flat(rest, index):
            base, power = factor.as_base_exp() if factor.is_Pow else (factor, sp.S.One)
            if not power.is_Integer:
                raise UnprintableError(f"cannot write the power `{factor}` as array algebra")
            letter = self.table.get(base)
            if letter is not None and not letter.index and not letter.matrix and not letter.further:  # a number
                (multipliers if power > 0 else divisors).extend([letter.name] * abs(int(power)))
                continue
            for _ in range(abs(int(power))):
                if isinstance(base, Mean):
                    at = self.mean(base, operands, at)
                elif isinstance(base, Form):
                    self.form(base, operands)
                elif power < 0:
                    own = not base.is_commutative
                    inner = self.total(base, "", own)
                    add(f"rt.inverse({inner})" if own else f"(1 / ({inner}))", "", own, True)
                elif letter is None:
                    raise UnprintableError(f"cannot write `{base}` in `{term}` as array algebra: it is no letter of the system")
                else:
                    add(letter.name, letter.index, letter.matrix, letter.further)
        if at and not matrix:
            raise UnprintableError(f"`{term}` is a matrix where a number is meant")
        if matrix and not at:  # a number stands for that many times the identity
            add(self.table[unit].name, "", True, False)
        if not operands:
            index = ""  # a number, for all of them
        size = abs(number)
        head = [f"{size.p} / {size.q}" if size.q != 1 else str(size.p)] if size != 1 else []
        output = index + (row + _CHAIN[at] if at else "")
        return product(operands, output, [*(["-1"] if number < 0 else []), *head, *multipliers], divisors)

    def mean(self, mean: Mean, operands: list[Operand], at: int) -> int:
        """Operands of a mean over a cluster's samples: its factors that differ between samples make one array."""
        names, axes = "", "k"
        for factor in _flat(mean.args[0]):
            letter = self.table[factor]
            own = ""
            if letter.matrix:
                own, at = _CHAIN[at : at + 2], at + 1
            if letter.sample:
                names, axes = names + letter.name, axes + own
            else:
                operands.append(Operand(letter.name, letter.index + own + FURTHER))
        operands.append(Operand(f"mean_{names}", axes + FURTHER))
        return at

    def form(self, form: Form, operands: list[Operand]) -> None:
        matrix, vector = (self.table[x] for x in form.args)
        operands += [Operand(vector.name, "x..."), Operand(matrix.name, "xy..."), Operand(vector.name, "y...")]


def trace(expr: sp.Expr, table: Table) -> str:
    """Text of a trace, or of the number that stands for it where matrices are numbers."""
    if not isinstance(expr, Trace):
        return text(expr, table)
    return f'jnp.einsum("cc...->...", {text(expr.args[0], table, "", True)})'


def _flat(term: sp.Expr, index: str = "") -> list[sp.Expr]:
    """The factors of a product, those under sums over an index and powers of non-commuting letters included."""
    found: list[sp.Expr] = []
    for factor in sp.Mul.make_args(term):
        if isinstance(factor, sp.Sum):
            if any(limit[0].name in index for limit in factor.limits):
                raise UnprintableError(f"the index of `{factor}` is one of the result's, too")
            found += _flat(factor.function, index)
        elif factor.is_Pow and factor.exp.is_Integer and factor.exp > 1:
            found += [factor.base] * int(factor.exp)
        elif isinstance(factor, Transposed):
            raise UnprintableError(f"cannot write `{factor}` as array algebra: transposed matrices have letters of their own")
        elif factor != 1:
            found.append(factor)
    return found


def _products(expr: sp.Expr) -> list[sp.Expr]:
    return [term.as_coeff_Mul()[1] for term in sp.Add.make_args(sp.expand(expr))]
