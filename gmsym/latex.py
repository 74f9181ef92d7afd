r"""Width of a formula in LaTeX, and its lines when it is wider than a page.

A formula is read into atoms: groups in braces, which no line may divide, and brackets `\left( ... \right)`, which it may. Widths are
those of Computer Modern in em, rounded up; fractions and exponents that are wider than a line are written as quotients and `\exp`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import sympy as sp

WIDTH: Final = 30.0  # em: 12 cm of 10 pt are 34.1, and the number of an equation takes 2
NOTEBOOK: Final = 48.0  # em that a cell of a notebook shows

_TOKEN = re.compile(r"\\begin\{\w+\}|\\end\{\w+\}|\\[a-zA-Z]+\*?|\\.|\s+|.", re.DOTALL)
_WIDE = {
    r"\sum": 1.5,
    r"\int": 1.0,
    r"\mathbb": 0.0,
    r"\mathcal": 0.0,
    r"\mathsf": 0.0,
    r"\mathrm": 0.0,
    r"\boldsymbol": 0.0,
    r"\displaystyle": 0.0,
    r"\qquad": 2.0,
    r"\quad": 1.0,
    r"\,": 0.17,
    r"\limits": 0.0,
    r"\bigl": 0.1,
    r"\bigr": 0.1,
    r"\cdot": 0.8,
    r"\to": 1.6,
    r"\infty": 1.0,
    r"\leq": 1.4,
    r"\le": 1.4,
    r"\geq": 1.4,
    r"\sim": 1.4,
    r"\in": 1.3,
    r"\otimes": 1.3,
    r"\partial": 0.6,
    r"\log": 1.4,
    r"\exp": 1.7,
    r"\max": 2.0,
    r"\min": 1.9,
    r"\sin": 1.3,
    r"\cos": 1.4,
    r"\tanh": 2.2,
    r"\lim": 1.5,
    r"\det": 1.5,
}
_SIGNS = {"+", "-", "="}
_BRACKETS = set("()[]|") | {r"\{", r"\}", "."}
_ACCENTS = {r"\hat", r"\bar", r"\tilde", r"\overline", r"\widehat", r"\widetilde", r"\dot", r"\vec", r"\mathring"}
_OPERATORS = {r"\operatorname", r"\text", r"\mathrm"}
_STYLES = {r"\mathbb", r"\mathcal", r"\mathsf", r"\mathbf", r"\boldsymbol"}
_LEADING = (r"\sum", r"\int", r"\operatorname", r"\log", r"\exp", r"\sin", r"\cos", r"\tanh", r"\max", r"\min", r"\mathbb{E}")
_SCRIPT = 0.75
_LETTERS = {"ridge": r"\lambda", "momentum": r"\beta", "weight_decay": r"\gamma"}  # parameters whose names are words
_WORD = re.compile(r"[A-Za-z]{2,}")


def letters(expr: sp.Basic) -> str:
    """LaTeX of an expression; parameters whose names are words have their letter, or stand upright."""
    words = {x.name: x for x in expr.atoms(sp.Symbol) if _WORD.fullmatch(x.name) and sp.latex(x) == x.name}
    names = {x: rf"\mathrm{{{name}}}" for name, x in words.items()}
    names |= {x: _LETTERS[x.name] for x in expr.atoms(sp.Symbol) if x.name in _LETTERS}
    return sp.latex(expr, symbol_names=names).replace("_{}", "")  # an index over one block


def stacked(*parts: str) -> str:
    """One formula of several, one below another: a notebook sets two formulas side by side where they have room."""
    rows = r" \\ \\ ".join(rf"\displaystyle {part}" for part in parts if part)
    return rf"$\displaystyle \begin{{array}}{{l}}{_without_macros(rows)}\end{{array}}$"


def _without_macros(formula: str) -> str:
    r"""`\substack` and `\bmod` as what they stand for: MathJax expands them in place, in formulas of up to 5000 signs."""
    formula = formula.replace(r"\bmod", r"\mathbin{\mathrm{mod}}")
    while found := re.search(r"\\substack *\{", formula):
        end, depth = found.end(), 1
        while depth:
            depth += {"{": 1, "}": -1}.get(formula[end], 0)
            end += 1
        inner = formula[found.end() : end - 1]
        formula = rf"{formula[: found.start()]}\begin{{subarray}}{{c}}{inner}\end{{subarray}}{formula[end:]}"
    return formula


@dataclass(frozen=True)
class _Atom:
    text: str
    width: float
    role: str = ""  # "sign", "open", "close", "comma", "factor"
    depth: int = 0  # of brackets around it


def lines(formula: str, *, width: float = WIDTH) -> list[str]:
    r"""The lines of `formula`, each at most `width` em wide with the quad before all but the first.

    Lines begin with the sign of a term wherever that is possible. Brackets that a line divides are written with `\bigl` and `\bigr`.

    Example:
        >>> lines("a + b")
        ['a + b']
        >>> lines("aaaaa + bbbbb + ccccc", width=10)
        ['aaaaa + bbbbb', '+ ccccc']
    """
    if width_of(formula) <= width:
        return [formula]
    atoms = _flat(formula, width - 2)
    rest, filled, room = list(range(len(atoms))), [], width
    while rest:
        end = _end_of_line(atoms, rest, room)
        filled.append(rest[:end])
        rest, room = rest[end:], width - 2
    return _texts(atoms, filled)


def prose(text: str) -> str:
    r"""Words as they stand within a formula: letters with an index are set as such, other signs that mean something to TeX are escaped.

    Example:
        >>> prose("inverse of Q_k, times w^2")
        '\\text{inverse of }Q_{k}\\text{, times w}{}^{2}'
    """
    pieces = _MARKS.split(text)
    return "".join(_mark(x) if number % 2 else rf"\text{{{x}}}" for number, x in enumerate(pieces) if x)


_GREEK = ("beta", "kappa", "theta", "xi")
_MARKS = re.compile(rf"(\b(?:[A-Za-z]|{'|'.join(_GREEK)})_[A-Za-z0-9]+\b|\^\d|[_^&%#$~{{}}\\])")
_PLAIN = {"^": r"\wedge{}", "~": r"\sim{}", "\\": r"\backslash{}"}


def _mark(x: str) -> str:
    if len(x) == 1:
        return _PLAIN.get(x, rf"\{x}")
    if x[0] == "^":
        return rf"{{}}^{{{x[1:]}}}"
    letter, index = x.split("_")
    return rf"{chr(92) + letter if letter in _GREEK else letter}_{{{index if len(index) == 1 else rf'{chr(92)}mathrm{{{index}}}'}}}"


def width_of(formula: str) -> float:
    """Width in em of a formula that stands in one line of a display."""
    return _height_free(_tokens(formula))


def _end_of_line(atoms: list[_Atom], rest: list[int], room: float) -> int:
    """How many of the atoms `rest` the next line takes: up to the best place for a break in its second half."""
    total, fits = 0.0, 0
    for count, x in enumerate(rest, start=1):
        total += atoms[x].width
        if total > room:
            break
        fits = count
    if fits == len(rest):
        return fits
    best, penalty = max(fits, 1), float("inf")
    used = 0.0
    for count in range(1, min(fits, len(rest) - 1) + 1):
        used += atoms[rest[count - 1]].width
        here, before = atoms[rest[count]], atoms[rest[count - 1]]
        kind = _break_before(here, before)
        if kind is None:
            continue
        cost = kind + here.depth + 3 * max(0.0, 0.6 - used / room)
        if cost <= penalty + 1e-12:
            best, penalty = count, cost
    return best


def _break_before(here: _Atom, before: _Atom) -> float | None:
    """How unwelcome a break between two atoms is; None: it cannot be."""
    if here.role == "sign" and before.role not in ("open", "comma", "sign", ""):
        return 0.0
    if before.role == "comma":
        return 0.5
    if here.role in ("factor", "open") and before.role in ("factor", "close"):
        return 2.0
    return None


def _texts(atoms: list[_Atom], filled: list[list[int]]) -> list[str]:
    """Text of the lines; brackets whose two ends stand in different lines get a size of their own."""
    line_of = {x: number for number, members in enumerate(filled) for x in members}
    waiting: list[int] = []
    sized = {}
    for x, atom in enumerate(atoms):
        if atom.role == "open":
            waiting.append(x)
        elif atom.role == "close":
            start = waiting.pop()
            if line_of[start] != line_of[x]:
                sized[start], sized[x] = r"\bigl", r"\bigr"
    texts = []
    for members in filled:
        parts = (re.sub(r"^\\(left|right)", lambda _, x=x: sized[x], atoms[x].text) if x in sized else atoms[x].text for x in members)
        texts.append(re.sub(r"\s+", " ", " ".join(parts)).strip())
    return texts


def _flat(formula: str, limit: float, depth: int = 0) -> list[_Atom]:
    """Atoms of a formula, those that are wider than `limit` taken apart where that is possible."""
    found: list[_Atom] = []
    tokens = _tokens(formula)
    at = plain = 0  # brackets without \\left hold indices and times
    while at < len(tokens):
        text, after = _next(tokens, at)
        token = tokens[at]
        at = after
        if token == r"\left":
            found.append(_Atom(text.strip(), 0.5, "open", depth))
            depth += 1
        elif token == r"\right":
            depth -= 1
            width = 0.5 + _scripts_width(tokens, at)
            found.append(_Atom(text.strip() + _scripts(tokens, at), width, "close", depth))
            at = _after_scripts(tokens, at)
        elif token in ("+", "-"):
            unary = not found or found[-1].role in ("open", "comma", "sign")
            found.append(_Atom(text, 0.8 if unary else 1.3, "" if unary or plain else "sign", depth))
        elif token == "=":
            found.append(_Atom(text, 1.4, "sign", depth))
        elif token in (",", ";"):
            found.append(_Atom(text, 0.5, "comma" if not plain else "", depth))
        elif text.strip():
            plain += (token in ("(", "[")) - (token in (")", "]"))
            whole = text + _scripts(tokens, at)
            at = _after_scripts(tokens, at)
            atom = _Atom(whole, width_of(whole), "factor" if not plain else "", depth)
            found.extend(_apart(atom, limit) if atom.width > limit else [atom])
    return _joined(found)


def _joined(atoms: list[_Atom]) -> list[_Atom]:
    """Operators stand with the bracket or the factor that follows them: a line ends neither after `\\sum` nor after `\\log`."""
    joined: list[_Atom] = []
    for atom in atoms:
        last = joined[-1] if joined else None
        if last is not None and last.role == "factor" and _leads(last.text) and atom.role in ("open", "factor"):
            joined[-1] = replace(last, text=f"{last.text} ", role="lead")
        joined.append(atom)
    merged: list[_Atom] = []
    for atom in joined:
        if merged and merged[-1].role == "lead" and atom.role in ("factor", "lead"):
            last = merged[-1]
            merged[-1] = _Atom(last.text + atom.text, last.width + atom.width, atom.role, atom.depth)
        else:
            merged.append(atom)
    return merged


def _leads(text: str) -> bool:
    return text.startswith(_LEADING)


def _apart(atom: _Atom, limit: float) -> list[_Atom]:
    """A fraction or an exponential that is too wide, as a quotient or as `exp`; what cannot be taken apart stays whole."""
    tokens = _tokens(atom.text)
    if tokens[0] == r"\frac":
        above, after = _group(tokens, 1)
        below, after = _group(tokens, after)
        if after == len(tokens):
            return [*_bracketed(above, limit, atom.depth), _Atom("/", 0.6, "", atom.depth), *_bracketed(below, limit, atom.depth)]
    if tokens[0] == "e" and len(tokens) > 1 and tokens[1] == "^":
        power, after = _group(tokens, 2)
        if after == len(tokens):
            return [_Atom(r"\exp ", 1.7, "lead", atom.depth), *_bracketed(power, limit, atom.depth)]
    if tokens[0] == r"\sqrt" and tokens[1] == "{":
        inner, after = _group(tokens, 1)
        if after == len(tokens):
            *found, last = _bracketed(inner, limit, atom.depth, always=True)
            return [*found, replace(last, text=last.text + "^{1/2}", width=last.width + 1.2)]
    if tokens[0] == "{":
        inner, after = _group(tokens, 0)
        if after == len(tokens):
            return [replace(a, depth=a.depth + atom.depth) for a in _flat(inner, limit)]
    return [atom]


def _bracketed(text: str, limit: float, depth: int, *, always: bool = False) -> list[_Atom]:
    inner = [replace(a, depth=a.depth + depth + 1) for a in _flat(text, limit)]
    if len(inner) == 1 and not always:
        return [replace(inner[0], depth=depth)]
    return [_Atom(r"\left(", 0.5, "open", depth), *inner, _Atom(r"\right)", 0.5, "close", depth)]


def _tokens(formula: str) -> list[str]:
    return [t for t in _TOKEN.findall(formula) if not t.isspace()]


def _next(tokens: list[str], at: int) -> tuple[str, int]:
    """Text of the unit that begins at `at`, and where the next one begins."""
    token = tokens[at]
    if token in (r"\left", r"\right"):
        return token + tokens[at + 1], at + 2
    if token == "{":
        inner, after = _group(tokens, at)
        return f"{{{inner}}}", after
    if token.startswith(r"\begin"):
        after, level = at + 1, 1
        while level:
            level += tokens[after].startswith(r"\begin") - tokens[after].startswith(r"\end")
            after += 1
        return _join(tokens[at:after]), after
    if token == r"\frac":
        above, after = _group(tokens, at + 1)
        below, after = _group(tokens, after)
        return rf"\frac{{{above}}}{{{below}}}", after
    if token == r"\sqrt":
        start, root = at + 1, ""
        if tokens[start] == "[":
            end = tokens.index("]", start)
            root, start = _join(tokens[start : end + 1]), end + 1
        inner, after = _group(tokens, start)
        return rf"\sqrt{root}{{{inner}}}", after
    if token in _ACCENTS | _OPERATORS | _STYLES | {r"\substack"}:
        inner, after = _group(tokens, at + 1)
        return f"{token}{{{inner}}}", after
    return token + (" " if re.fullmatch(r"\\[a-zA-Z]+", token) else ""), at + 1


def _group(tokens: list[str], at: int) -> tuple[str, int]:
    """Inside of the group in braces, or the single token, at `at`; and where the next unit begins."""
    if tokens[at] != "{":
        text, after = _next(tokens, at)
        return text, after
    level, after = 1, at + 1
    while level:
        level += (tokens[after] == "{") - (tokens[after] == "}")
        after += 1
    return _join(tokens[at + 1 : after - 1]), after


def _join(tokens: list[str]) -> str:
    """Text of tokens, with a space behind each command that a letter follows."""
    return "".join(t + (" " if re.fullmatch(r"\\[a-zA-Z]+", t) else "") for t in tokens)


def _scripts_of(tokens: list[str], at: int) -> Iterator[tuple[str, str, int]]:
    while at < len(tokens) and tokens[at] in ("_", "^", "'", r"\limits"):
        if tokens[at] in ("'", r"\limits"):
            yield tokens[at], "", at + 1
            at += 1
            continue
        inner, after = _group(tokens, at + 1)
        yield tokens[at], inner, after
        at = after


def _scripts(tokens: list[str], at: int) -> str:
    return "".join(mark if mark in ("'", r"\limits") else f"{mark}{{{inner}}}" for mark, inner, _ in _scripts_of(tokens, at))


def _after_scripts(tokens: list[str], at: int) -> int:
    for _, _, after in _scripts_of(tokens, at):
        at = after
    return at


def _scripts_width(tokens: list[str], at: int) -> float:
    widths = [_SCRIPT * width_of(inner) if inner else 0.3 for _, inner, _ in _scripts_of(tokens, at)]
    return max(widths, default=0.0)


def _height_free(tokens: list[str]) -> float:
    total, at = 0.0, 0
    while at < len(tokens):
        token = tokens[at]
        text, after = _next(tokens, at)
        own = _own_width(token, text, tokens, at)
        scripts = _scripts_width(tokens, after)
        total += max(own, scripts) if token in (r"\sum", r"\lim", r"\max", r"\min") else own + scripts
        at = _after_scripts(tokens, after)
    return total


def _own_width(token: str, text: str, tokens: list[str], at: int) -> float:
    if token in (r"\left", r"\right"):
        return 0.5
    if token == "{":
        return width_of(text[1:-1])
    if token.startswith(r"\begin"):
        return _matrix_width(text)
    if token == r"\frac":
        above, after = _group(tokens, at + 1)
        return max(width_of(above), width_of(_group(tokens, after)[0])) + 0.3
    if token == r"\sqrt":
        return width_of(_group(tokens, at + 1)[0]) + 1.0
    if token in _OPERATORS:
        return 0.56 * len(_group(tokens, at + 1)[0]) + 0.2
    if token in _ACCENTS | _STYLES:
        return max(0.8, width_of(_group(tokens, at + 1)[0]))
    if token == r"\substack":
        return max(width_of(line) for line in _group(tokens, at + 1)[0].split(r"\\"))
    if token in _SIGNS:
        return 1.3
    if token in _WIDE:
        return _WIDE[token]
    if token in _BRACKETS:
        return 0.4
    if token.startswith("\\"):
        return 0.7
    return 0.8 if token.isupper() else 0.5 if token.isdigit() else 0.6 if token.isalpha() else 0.4


def _matrix_width(text: str) -> float:
    rows: list[list[list[str]]] = [[[]]]  # cells of rows, as tokens
    level = 0
    for token in _tokens(re.sub(r"^\\begin\{\w+\}|\\end\{\w+\}$", "", text)):
        level += (token == "{" or token.startswith(r"\begin")) - (token == "}" or token.startswith(r"\end"))
        if level or token not in ("&", r"\\"):  # those of a matrix within a cell are its own
            rows[-1][-1].append(token)
        elif token == "&":
            rows[-1].append([])
        else:
            rows.append([[]])
    widths = [[_height_free(cell) for cell in row] for row in rows]
    columns = max(map(len, widths))
    return sum(max((row[c] if c < len(row) else 0.0) for row in widths) + 1.0 for c in range(columns))
