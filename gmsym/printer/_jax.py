"""The printer: one SymPy expression to one JAX expression, as text. What is not in the table is an error."""

import keyword
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sympy as sp
from sympy.printing.precedence import PRECEDENCE, precedence
from sympy.printing.printer import Printer

from gmsym import generated
from gmsym.errors import InputError, UnprintableError
from gmsym.functions import ROUGH
from gmsym.printer._guard import guard
from gmsym.printer._table import FUNCTIONS

_TWICE = "two different symbols are named {!r}; take symbols from gmsym.symbols, which makes each of them once"
_LARGEST_INTEGER = 2**31  # a larger literal overflows JAX's integers


class JaxPrinter(Printer):
    """Prints expressions of the symbols in `names`.

    A class of expressions outside the table can print itself by a method `_jaxcode(self, printer) -> str`.

    Args:
        names: the text of each free symbol: a variable's name, or any Python expression such as `state[0]`.

    Raises:
        InputError: two different symbols of one name.
    """

    printmethod = "_jaxcode"

    def __init__(self, names: Mapping[sp.Symbol, str]):
        super().__init__()
        given = [s.name for s in names]
        for name in given:
            if given.count(name) > 1:
                raise InputError(_TWICE.format(name))
        self.names = dict(names)
        self.hoisted: dict[sp.Basic, str] = {}  # subexpressions that already have a variable

    def doprint(self, expr: sp.Basic) -> str:
        """The text of `expr`, branches made safe.

        Raises:
            UnprintableError: a function with no entry in the table.
            InputError: a symbol without a name.
        """
        return self._print(guard(sp.sympify(expr)))

    def gaussian_mean(self, function: sp.Lambda, mean: Sequence[sp.Expr], cov: sp.MatrixBase | Sequence[Sequence[sp.Expr]]) -> str:
        """Text of the mean of `function` over N(mean, cov); its variables exist only in there."""
        outer = self.names, self.hoisted
        variables = {v: fresh_name(v.name, taken) for taken in [self.taken()] for v in function.variables}
        self.names, self.hoisted = {**self.names, **variables}, {}
        body = self.doprint(function.expr)
        self.names, self.hoisted = outer
        rows = cov.tolist() if isinstance(cov, sp.MatrixBase) else cov
        means = ", ".join(map(self._print, mean))
        covariances = ", ".join(f"[{', '.join(map(self._print, row))}]" for row in rows)
        rough = ", smooth=False" if function.expr.has(*ROUGH) else ""
        return f"rt.gaussian_mean(lambda {', '.join(variables.values())}: {body}, [{means}], [{covariances}]{rough})"

    def taken(self) -> set[str]:
        """Identifiers that have a meaning where the text will stand."""
        texts = (*self.names.values(), *self.hoisted.values())
        return {word for text in texts for word in re.findall(r"[^\W\d]\w*", text)}

    # --- dispatch -----------------------------------------------------------------------------------------------------

    def _print(self, expr, **kwargs) -> str:
        return self.hoisted.get(expr) or super()._print(expr, **kwargs)

    def emptyPrinter(self, expr):
        raise UnprintableError(
            f"cannot print `{expr}`: {type(expr).__name__} has no entry in gmsym.printer. Rewrite the expression with functions that have "
            "one, or add a row to gmsym/printer/_table.py and, for a special function, a primitive to gmsym/runtime/functions.py."
        )

    def _level(self, expr: sp.Basic) -> int:
        """How tightly the printed text of `expr` binds."""
        if expr in self.hoisted:
            return PRECEDENCE["Atom"]
        if isinstance(expr, sp.Pow):
            return PRECEDENCE["Mul"] if _is_division(expr) else PRECEDENCE["Atom"] if expr.exp == sp.S.Half else PRECEDENCE["Pow"]
        return precedence(expr)

    def _above(self, expr: sp.Basic, level: str) -> str:
        """The text of `expr`, in parentheses unless it binds more tightly than `level`."""
        text = self._print(expr)
        return text if self._level(expr) > PRECEDENCE[level] else f"({text})"

    def _is_negative(self, expr: sp.Expr) -> bool:
        """Whether the printed text of `expr` starts with a minus sign."""
        return expr not in self.hoisted and bool(expr.as_coeff_Mul()[0].is_negative)

    # --- atoms --------------------------------------------------------------------------------------------------------

    def _print_Symbol(self, expr):
        if expr in self.names:
            return self.names[expr]
        if any(s.name == expr.name for s in self.names):
            raise InputError(_TWICE.format(expr.name))
        known = ", ".join(s.name for s in self.names) or "none"
        raise InputError(f"the symbol {expr.name!r} is neither an argument nor a parameter here; known are {known}")

    def _print_Integer(self, expr):
        return str(expr.p) if abs(expr.p) < _LARGEST_INTEGER else repr(float(expr))

    def _print_Rational(self, expr):
        return f"{expr.p} / {expr.q}"

    def _print_Float(self, expr):
        return repr(float(expr))

    def _print_Pi(self, expr):
        return "jnp.pi"

    def _print_Exp1(self, expr):
        return "jnp.e"

    def _print_Infinity(self, expr):
        return "jnp.inf"

    def _print_NegativeInfinity(self, expr):
        return "-jnp.inf"

    # --- arithmetic ---------------------------------------------------------------------------------------------------

    def _print_Add(self, expr):
        first, *others = sorted(expr.args, key=lambda e: (self._is_negative(e), sp.default_sort_key(e)))
        text = self._print(first)
        for term in others:
            text += f" - {self._above(-term, 'Add')}" if self._is_negative(term) else f" + {self._print(term)}"
        return text

    def _print_Mul(self, expr):
        coefficient, rest = expr.as_coeff_Mul()
        numerator: list[sp.Expr] = []
        denominator: list[sp.Expr] = []
        factor: Any
        size = abs(coefficient)
        if size.is_Rational:
            numerator += [sp.Integer(size.p)] if size.p != 1 else []
            denominator += [sp.Integer(size.q)] if size.q != 1 else []
        else:
            numerator.append(size)
        for factor in [rest] if rest in self.hoisted else sorted(sp.Mul.make_args(rest), key=sp.default_sort_key):
            if _is_division(factor) and factor not in self.hoisted:
                denominator.append(factor.base**-factor.exp)
            else:
                numerator.append(factor)
        text = " * ".join(self._above(e, "Add") for e in numerator) or "1"
        if len(denominator) == 1:
            text += f" / {self._above(denominator[0], 'Mul')}"
        elif denominator:
            text += f" / ({' * '.join(self._above(e, 'Add') for e in denominator)})"
        return f"-{text}" if coefficient.is_negative else text

    def _print_Pow(self, expr):
        if _is_division(expr):
            return f"1 / {self._above(expr.base**-expr.exp, 'Mul')}"
        if expr.exp == sp.S.Half:
            return f"jnp.sqrt({self._print(expr.base)})"
        # An integer to an integer array's negative power is not a fraction in JAX.
        base = repr(float(expr.base)) if expr.base.is_Integer and expr.base.is_positive else self._above(expr.base, "Pow")
        return f"{base}**{self._above(expr.exp, 'Pow')}"

    # --- functions and conditions -------------------------------------------------------------------------------------

    def _print_Function(self, expr):
        if type(expr) not in FUNCTIONS:
            return self.emptyPrinter(expr)
        return f"{FUNCTIONS[type(expr)].text}({self._list(expr.args)})"

    def _print_Heaviside(self, expr):
        if expr.args[1] != sp.S.Half:
            raise UnprintableError(f"cannot print `{expr}`: a Heaviside step is 1/2 at 0 in gmsym; write Heaviside({expr.args[0]})")
        return f"rt.step({self._print(expr.args[0])})"

    def _print_DiracDelta(self, expr):
        raise UnprintableError(
            f"cannot print `{expr}`: a DiracDelta has no value. Average it out first (gmsym.calculus), "
            "or use a form without a derivative (Stein)."
        )

    def _print_Max(self, expr):
        return self._fold("jnp.maximum", expr)

    def _print_Min(self, expr):
        return self._fold("jnp.minimum", expr)

    def _fold(self, function: str, expr: sp.Basic) -> str:
        text, *others = (self._print(a) for a in sorted(expr.args, key=sp.default_sort_key))
        for other in others:
            text = f"{function}({text}, {other})"
        return text

    def _print_Piecewise(self, expr):
        return self._print(guard(expr))

    def _print_Select(self, expr):
        condition, value, other = expr.args
        return f"jnp.where({self._print(condition)}, {self._print(value)}, {'jnp.nan' if other is sp.nan else self._print(other)})"

    def _print_Relational(self, expr):
        return f"{self._above(expr.lhs, 'Relational')} {expr.rel_op} {self._above(expr.rhs, 'Relational')}"

    def _print_And(self, expr):
        return " & ".join(f"({self._print(a)})" for a in expr.args)

    def _print_Or(self, expr):
        return " | ".join(f"({self._print(a)})" for a in expr.args)

    def _print_Not(self, expr):
        return f"jnp.logical_not({self._print(expr.args[0])})"

    def _print_BooleanTrue(self, expr):
        return "True"

    def _print_BooleanFalse(self, expr):
        return "False"

    def _list(self, args: Iterable[sp.Basic]) -> str:
        return ", ".join(map(self._print, args))


def fresh_name(name: str, taken: set[str]) -> str:
    """A Python identifier close to `name` that is not in `taken`; it is added there."""
    word = re.sub(r"\W", "_", name)
    word = f"_{word}" if word[:1].isdigit() else word
    word = f"{word}_" if keyword.iskeyword(word) or word in generated.RESERVED else word
    candidate, count = word, 0
    while candidate in taken:
        count += 1
        candidate = f"{word}_{count}"
    taken.add(candidate)
    return candidate


def _is_division(expr: sp.Basic) -> bool:
    return isinstance(expr, sp.Pow) and bool(expr.exp.is_Rational and expr.exp.is_negative)
