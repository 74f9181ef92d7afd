"""Text to SymPy, safely: a closed subset of Python's expression syntax, read node by node and never evaluated as code.

Accepted are decimal numbers, names, `pi` and `E`, + - * / ** and parentheses, the functions of `FUNCTIONS`, and
`where(condition, a, b)` with comparisons joined by `and`, `or`, `not`. A decimal number is taken at its word, 0.1 is 1/10,
so that closed forms stay exact. Length, depth, exponents and the size of numbers are bounded, each before SymPy sees it: no
tower of numbers stalls the parser.
"""

import ast
import keyword
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any

import sympy as sp

from gmsym import budget, functions, generated, symbols
from gmsym.errors import InputError
from gmsym.files.suggest import unknown

_EXPONENTS = f"an exponent's numbers are fractions of integers up to {budget.POWER}"
_ANY = 10**6  # no upper limit on the number of arguments

FUNCTIONS: dict[str, tuple[int, int, Callable[..., Any]]] = {  # name: fewest arguments, most arguments, meaning
    **{f.__name__: (1, 1, f) for f in (sp.exp, sp.log, sp.sin, sp.cos, sp.tan, sp.asin, sp.acos, sp.atan)},
    **{f.__name__: (1, 1, f) for f in (sp.sinh, sp.cosh, sp.tanh, sp.erf, sp.erfc)},
    "sqrt": (1, 1, sp.sqrt),
    "abs": (1, 1, sp.Abs),
    "sign": (1, 1, sp.sign),
    "max": (2, _ANY, sp.Max),
    "min": (2, _ANY, sp.Min),
    "heaviside": (1, 1, sp.Heaviside),  # 1/2 at 0
    "step": (1, 1, sp.Heaviside),
    "relu": (1, 1, lambda u: sp.Max(0, u)),
    "softplus": (1, 1, functions.Softplus),
    "sigmoid": (1, 1, functions.Sigmoid),
    "logsumexp": (2, _ANY, functions.LogSumExp),
    "Phi": (1, 1, functions.NormalCDF),
    "log_Phi": (1, 1, functions.LogNormalCDF),
}
STEPWISE = FUNCTIONS | {"floor": (1, 1, sp.floor), "mod": (2, 2, sp.Mod)}  # of the rules of a sampling, which nothing differentiates
# Of update rules: linear(t, spacing, value at 0, at spacing, ...), and the norm of all coordinates.
TIMED = FUNCTIONS | {"linear": (3, _ANY, functions.PiecewiseLinear), "norm": (1, 1, functions.Norm)}
CONSTANTS = {"pi": sp.pi, "E": sp.E}

_ALPHABET = re.compile(r"[A-Za-z0-9_ .,+\-*/()<>=]")
_INSTEAD = {
    "^": "write ** for a power",
    "&": "write `and`",
    "|": "write `or`",
    "~": "write `not`",
    "!": "write not (a == b) for a != b",
    "%": "there is no remainder",
    "'": "text in quotes has no meaning here",
    '"': "text in quotes has no meaning here",
    "[": "there are no lists and no subscripts; components are written h0, h1, ...",
    "]": "there are no lists and no subscripts; components are written h0, h1, ...",
}
_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE]([+-]?\d+))?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_OPERATORS: dict[type, Callable[[sp.Expr, sp.Expr], sp.Expr]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b,
}
_COMPARISONS = {ast.Lt: sp.Lt, ast.LtE: sp.Le, ast.Gt: sp.Gt, ast.GtE: sp.Ge, ast.Eq: sp.Eq}
_NOT_ALLOWED = {
    ast.Attribute: "there are no attributes; a dot belongs in a number",
    ast.Tuple: "a comma belongs between the arguments of a function",
    ast.Starred: "* needs a factor on both sides",
    ast.Compare: "a comparison is not a number; it belongs in where(condition, a, b)",
    ast.BoolOp: "a condition is not a number; it belongs in where(condition, a, b)",
    ast.FloorDiv: "there is no division with remainder; write /",
}


class ParseError(InputError):
    """A text that is not an allowed expression. The message says where and what is allowed, then shows the text and a caret.

    Args:
        what: what the text was to be, such as "[loss] expression".
        text: the text.
        position: index of the offending character.
        problem: what is wrong with it.
    """

    def __init__(self, what: str, text: str, position: int, problem: str):
        self.text, self.position = text, position
        start = max(0, position - 60)
        shown = "".join(c if c.isprintable() else "?" for c in _one_line(text[start : start + 100]))
        super().__init__(f"{what}, character {position + 1}: {problem}\n    {shown}\n    {' ' * (position - start)}^")


def parse(
    text: str, names: Mapping[str, sp.Expr] | None = None, *, what: str = "expression", stepwise: bool = False, timed: bool = False
) -> sp.Expr:
    """Read an expression.

    Args:
        text: the expression, such as "log(1 + exp(-y*h))".
        names: what each allowed name stands for. Default: every name is the symbol of that name in gmsym's alphabet.
        what: how error messages call the text.
        stepwise: whether floor(x) and mod(x, y) are functions, too.
        timed: whether linear(t, spacing, v0, v1, ...) is one, with the values v at 0, spacing, 2 spacing, ... and linear between them, and
            norm(x) the norm of all coordinates.

    Raises:
        ParseError: anything that is not an allowed, finite and real expression.
    """
    return _Reader(text, names, None, what, STEPWISE if stepwise else TIMED if timed else FUNCTIONS).read()


def parse_loss(text: str, parameters: Iterable[str] = (), *, what: str = "loss") -> sp.Expr:
    """Read a loss: fields `h` or `h0, h1, ...`, labels `y` or `y0, y1, ...`, teacher fields `t0, t1, ...`, a sample's own noises
    `w0, w1, ...`, and the names in `parameters`.

    Raises:
        ParseError: see `parse`; a name that is none of these.
    """
    own = sorted(parameters)
    numbered = [f"{letter}{i}" for letter in "hytw" for i in range(symbols.COMPONENTS)]
    names = {name: symbols.symbol(name) for name in ["h", "y", *numbered, *own]}
    listed = (
        ", ".join(["h or h0, h1, ...", "y or y0, y1, ...", "t0, t1, ...", "w0, w1, ...", *CONSTANTS, *own])
        + "; a parameter is declared by giving it a number"
    )
    return _Reader(text, names, listed, what).read()


def parse_update(rules: Mapping[str, str], parameters: Iterable[str] = (), *, what: str = "update") -> dict[str, sp.Expr]:
    """Read an optimizer's rules, one a variable: each may use `theta`, `g`, `t`, `noise`, every variable that has a rule, and `parameters`.

    Raises:
        ParseError: see `parse`; a name that is none of these.
    """
    names = {name: symbols.symbol(name) for name in dict.fromkeys(["theta", "g", "t", "noise", *rules, *sorted(parameters)])}
    return {variable: parse(text, names, what=f"{what}, rule of {variable}", timed=True) for variable, text in rules.items()}


def free_names(text: str) -> frozenset[str]:
    """The names in a text that are not functions called, constants, numbers or words of the syntax; no syntax is checked."""
    words = {"and", "or", "not", "where", *CONSTANTS}
    found = re.finditer(r"(?<![\w.])[A-Za-z_]\w*(?!\w)(?!\s*\()", text, re.ASCII)
    return frozenset(match.group() for match in found) - words


class _Reader:
    """One text being read."""

    def __init__(
        self,
        text: str,
        names: Mapping[str, sp.Expr] | None,
        listed: str | None,
        what: str,
        functions: Mapping[str, tuple[int, int, Callable[..., Any]]] = FUNCTIONS,
    ):
        if not isinstance(text, str):
            raise InputError(f"{what} = {text!r}: text is needed")
        self.original, self.names, self.listed, self.what, self.functions = text, names, listed, what, functions
        self.text = _one_line(text)
        self.start = len(self.text) - len(self.text.lstrip(" "))

    def read(self) -> sp.Expr:
        self._check_characters()
        tree = self._tree()
        if sum(isinstance(node, ast.expr) for node in ast.walk(tree)) > budget.NODES:
            raise self._error(0, f"too long; at most {budget.NODES} operations, functions, names and numbers are allowed")
        try:
            if _depth(tree.body) > budget.NESTING:
                raise self._error(0, f"too deeply nested; at most {budget.NESTING} levels are allowed")
            return self._value(tree.body)
        except RecursionError:
            raise self._error(0, "too deeply nested") from None

    # --- syntax -------------------------------------------------------------------------------------------------------

    def _check_characters(self) -> None:
        text = self.text
        if not text.strip():
            raise self._error(0, "the expression is empty")
        if len(text) > budget.LENGTH:
            raise self._error(budget.LENGTH, f"too long; at most {budget.LENGTH} characters are allowed")
        for word in _NAME.finditer(text):
            if keyword.iskeyword(word[0]) and word[0] not in ("and", "or", "not"):
                advice = "; write where(condition, a, b) for a choice" if word[0] in ("if", "else") else ""
                raise self._error(word.start(), f"{word[0]!r} is a word of Python and cannot be a name{advice}")
        opened = []
        for i, c in enumerate(text):
            if not _ALPHABET.fullmatch(c):
                raise self._error(i, f"the character {c!r} is not allowed; {_advice(c)}")
            if c == "(":
                opened.append(i)
                if len(opened) > budget.NESTING:
                    raise self._error(i, f"more than {budget.NESTING} parentheses in one another")
            elif c == ")" and not opened:
                raise self._error(i, "this parenthesis is never opened")
            elif c == ")":
                opened.pop()
        if opened:
            raise self._error(opened[-1], "this parenthesis is never closed")

    def _tree(self) -> ast.Expression:
        body = self.text.strip()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # "1or 2" is only a warning in Python
                return ast.parse(body, mode="eval")
        except (SyntaxError, SyntaxWarning, DeprecationWarning) as error:
            if body[-1] in "+-*/<>=":
                raise self._error(self.start + len(body), "the expression ends too early") from None
            position = self.start + min((getattr(error, "offset", None) or 1) - 1, len(body) - 1)
            raise self._error(position, self._diagnosis(position)) from None
        except (MemoryError, RecursionError):
            raise self._error(0, "too deeply nested") from None

    def _diagnosis(self, position: int) -> str:
        before, rest = self.text[:position].rstrip(), self.text[position:].lstrip()
        if re.match(r"[\w.(]", rest) and re.search(r"[\w.)]$", before):
            return "an operator is missing; write * for a product"
        if re.match(r"\d", rest) and _NAME.search(rest):
            return "not a number; write numbers as 2, 0.5 or 1e-3, and * for a product"
        if rest[0] == "=" and rest[:2] != "==":
            return "an expression holds no `=`; a comparison is written =="
        return "not understood; a number, a name, a function or an operator was expected here"

    # --- values -------------------------------------------------------------------------------------------------------

    def _value(self, node: ast.expr) -> sp.Expr:
        match node:
            case ast.Constant():
                return self._number(node)
            case ast.Name():
                return self._name(node)
            case ast.UnaryOp(op=ast.USub()):
                return -self._value(node.operand)
            case ast.UnaryOp(op=ast.UAdd()):
                return self._value(node.operand)
            case ast.BinOp(op=operator) if type(operator) in _OPERATORS:
                return self._operation(node)
            case ast.Call():
                return self._call(node)
            case ast.UnaryOp():
                raise self._error(node, _NOT_ALLOWED[ast.BoolOp])
        kind = type(node.op) if isinstance(node, ast.BinOp) else type(node)
        raise self._error(node, _NOT_ALLOWED.get(kind, "this is not allowed in an expression"))

    def _number(self, node: ast.Constant) -> sp.Expr:
        written = self.text[self._at(node) : self.start + (node.end_col_offset or 0)]
        match = _NUMBER.fullmatch(written)
        if match is None:
            raise self._error(node, f"{written} is not a real decimal number; write numbers as 2, 0.5 or 1e-3")
        if len(match[1]) > 40 or len(match[3] or "") > 4 or abs(int(match[3] or 0)) > 60:
            raise self._error(node, "this number is too long; at most 40 digits and exponents up to 60 are allowed")
        value = Fraction(written)
        return sp.Rational(value.numerator, value.denominator)

    def _name(self, node: ast.Name) -> sp.Expr:
        name = node.id
        if self.names is not None and name in self.names:
            return self.names[name]
        if name in CONSTANTS:
            return CONSTANTS[name]
        if name in self.functions or name == "where":
            raise self._error(node, f"{name} is a function; write {name}(...)")
        if name.lower() in {"nan", "inf", "infinity", "oo"}:
            raise self._error(node, f"{name} is not a finite number")
        if self.names is not None:
            raise self._error(node, unknown("name", name, [*self.names, *CONSTANTS], self.listed))
        fault = generated.name_fault(name)
        if fault is not None:
            raise self._error(node, f"{name[:40]!r} cannot be a name: {fault}")
        try:
            symbols.check_component(name)
        except InputError as error:
            raise self._error(node, str(error)) from None
        return symbols.symbol(name)

    def _operation(self, node: ast.BinOp) -> sp.Expr:
        left, right = self._value(node.left), self._value(node.right)
        if isinstance(node.op, ast.Div) and right.is_zero:
            raise self._error(node.right, "division by zero")
        if isinstance(node.op, ast.Pow):
            if left.is_zero and right.is_negative:
                raise self._error(node, "division by zero")
            if left is not sp.E and _largest(right) > budget.POWER:
                raise self._error(node.right, f"this exponent is too large or too fine; {_EXPONENTS}")
        return self._built(node, _OPERATORS[type(node.op)], left, right)

    def _call(self, node: ast.Call) -> sp.Expr:
        if not isinstance(node.func, ast.Name):
            attribute = isinstance(node.func, ast.Attribute)
            raise self._error(node.func, _NOT_ALLOWED[ast.Attribute] if attribute else "this is not a function; write * for a product")
        name = node.func.id
        if node.keywords:
            raise self._error(node.keywords[0].value, f"{name} takes no arguments by name; an expression holds no `=`")
        if name == "where":
            return self._where(node)
        if name not in self.functions:
            if name in CONSTANTS or (symbols.is_field(name) or symbols.is_label(name) if self.names is None else name in self.names):
                raise self._error(node, f"{name} is not a function; write {name}*(...) for a product")
            raise self._error(node, unknown("function", name, [*self.functions, "where"]))
        fewest, most, function = self.functions[name]
        self._check_count(node, name, fewest, most)
        return self._built(node, function, *map(self._value, node.args))

    def _check_count(self, node: ast.Call, name: str, fewest: int, most: int) -> None:
        if not fewest <= len(node.args) <= most:
            needed = f"{fewest} argument{'s' * (fewest > 1)}" if most == fewest else f"at least {fewest} arguments"
            raise self._error(node, f"{name} takes {needed}, not {len(node.args)}")

    def _built(self, node: ast.expr, build: Callable[..., sp.Expr], *args: sp.Basic) -> sp.Expr:
        """`build(*args)`, refused unless it is a real expression with numbers of moderate size."""
        try:
            expr = build(*args)
            self._check_value(node, expr)
        except ParseError:
            raise
        except (TypeError, ValueError, ArithmeticError, NotImplementedError) as error:
            raise self._error(node, f"SymPy cannot form this: {error}") from None
        return expr

    def _check_value(self, node: ast.expr, expr: sp.Expr) -> None:
        if expr.has(sp.nan, sp.zoo, sp.oo, -sp.oo):
            raise self._error(node, "this is not finite")
        if _largest(expr) > budget.NUMBER:
            raise self._error(node, "this number is too long; numerator and denominator of at most 100 digits are allowed")
        if any(_largest(power.exp) > budget.POWER for power in expr.atoms(sp.Pow)):
            raise self._error(node, f"the powers combine to one that is too large or too fine; {_EXPONENTS}")
        # Only of numbers: SymPy may think for minutes about whether an expression of symbols is real.
        number = expr.evalf(15) if expr.is_number else None
        if expr.has(sp.I) or (number is not None and not number.is_extended_real):
            raise self._error(node, "this is not real")
        if number is not None and not abs(number) <= budget.NUMBER:
            raise self._error(node, "this number is too large; constants up to 1e100 are allowed")

    # --- conditions ---------------------------------------------------------------------------------------------------

    def _where(self, node: ast.Call) -> sp.Expr:
        self._check_count(node, "where", 3, 3)
        condition, yes, no = self._condition(node.args[0]), self._value(node.args[1]), self._value(node.args[2])
        return self._built(node, lambda c, a, b: sp.Piecewise((a, c), (b, True)), condition, yes, no)

    def _condition(self, node: ast.expr) -> Any:
        match node:
            case ast.Compare(left=left, ops=operators, comparators=others):
                values = [self._value(part) for part in (left, *others)]
                return sp.And(*(self._comparison(node, *part) for part in zip(operators, values[:-1], values[1:], strict=True)))
            case ast.BoolOp(op=operator, values=parts):
                return (sp.And if isinstance(operator, ast.And) else sp.Or)(*map(self._condition, parts))
            case ast.UnaryOp(op=ast.Not(), operand=part):
                return sp.Not(self._condition(part))
        raise self._error(node, "a condition is needed: comparisons < <= > >= == joined by and, or, not")

    def _comparison(self, node: ast.Compare, operator: ast.cmpop, left: sp.Expr, right: sp.Expr) -> Any:
        if type(operator) not in _COMPARISONS:
            raise self._error(node, "only the comparisons < <= > >= == are allowed")
        try:
            return _COMPARISONS[type(operator)](left, right)
        except (TypeError, ValueError) as error:
            raise self._error(node, f"SymPy cannot compare these: {error}") from None

    # --- errors -------------------------------------------------------------------------------------------------------

    def _at(self, node: ast.expr) -> int:
        return self.start + node.col_offset  # the text is ASCII, so that Python's bytes are characters

    def _error(self, where: ast.expr | int, problem: str) -> ParseError:
        if isinstance(where, ast.Attribute):  # the dot, not what stands before it
            where = self.text.index(".", self.start + (where.value.end_col_offset or 0))
        return ParseError(self.what, self.original, where if isinstance(where, int) else self._at(where), problem)


def _depth(node: ast.expr) -> int:
    """Levels of nesting; a sum or product of many terms is one level."""
    first = node.left if isinstance(node, ast.BinOp) else None
    return max((_depth(child) + (child is not first) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)), default=0)


def _largest(expr: sp.Expr) -> int:
    """The largest numerator or denominator of a number in `expr`."""
    return max((max(abs(r.p), r.q) for r in expr.atoms(sp.Rational)), default=0)


def _one_line(text: str) -> str:
    """`text` with each kind of white space as one blank, so that positions stay."""
    return "".join(" " if c in "\t\n\r\v\f" else c for c in text)


def _advice(character: str) -> str:
    if character in _INSTEAD:
        return _INSTEAD[character]
    name = unicodedata.name(character, "")
    if name.startswith(("GREEK SMALL LETTER ", "GREEK CAPITAL LETTER ")):
        letter = name.split("LETTER ")[1].split(" ")[0]
        return f"write {(letter.lower() if 'SMALL' in name else letter.capitalize())!r}"
    if name in {"MINUS SIGN", "EN DASH", "EM DASH"}:
        return "write -"
    if name in {"MULTIPLICATION SIGN", "MIDDLE DOT", "DOT OPERATOR"}:
        return "write *"
    if name.startswith("SUPERSCRIPT "):
        return "write ** for a power"
    return "an expression is made of names, numbers, + - * / ** ( ) , and the comparisons < <= > >= =="
