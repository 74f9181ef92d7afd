"""Equations as they are read: without sums over one block, softmax by its name, matrices that are too wide by their entries.

What is computed is left alone; every rewriting here is an identity, and what it names is defined in a line of its own.
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations_with_replacement
from typing import Any

import sympy as sp

from gmsym.calculus.kernels import Kernel
from gmsym.calculus.mean import GaussianMean
from gmsym.functions import LogSumExp
from gmsym.latex import WIDTH, letters, width_of
from gmsym.symbols import labels
from gmsym.system.blocks import b, rho
from gmsym.system.equations import Equation, Equations, Phrase

_NOTHING = sp.Symbol("")
_OWN = ("theory.md 0", "own")
_LONG = 12.0  # em of a law that is given once, beside the equations, rather than at each mean
_NAMED = ("softmax: probability of each class", *_OWN)


def shown(equations: Iterable[Equation], *, blocks: int | None = None, width: float = WIDTH) -> Equations:
    """The equations for a reader.

    Args:
        equations: of a system.
        blocks: of coordinates, if their index stands in the equations; where it is 1 the index goes.
        width: of a line in em; a matrix that is wider is given entry by entry.
    """
    found: list[Equation] = []
    for equation in _named_laws([without_block(equation) if blocks == 1 else equation for equation in equations]):
        found.extend(_named_softmax(equation, width))
    return Equations(found)


def without_block(equation: Equation) -> Equation:
    """The equation where the coordinates are one block: its fraction is 1, sums over blocks have one term, the index is left out."""
    return replace(equation, lhs=_one_block(equation.lhs), rhs=_one_block(equation.rhs))


def _one_block(expr: sp.Expr) -> sp.Expr:
    if isinstance(expr, sp.Sum):
        inner, limits = _one_block(expr.function), [limit for limit in expr.limits if limit[0] != b]
        return sp.Sum(inner, *limits) if limits else inner
    if isinstance(expr, rho):
        return sp.S.One
    if expr == b:
        return _NOTHING
    if isinstance(expr, sp.Symbol) and "_{b}" in expr.name:  # a variable of an update rule
        return sp.Symbol(expr.name.replace("_{b}", ""), **expr.assumptions0)
    if not expr.args:
        return expr
    return expr.func(*map(_one_block, expr.args))


def _named_laws(equations: list[Equation]) -> list[Equation]:
    """Laws of several Gaussians that are long and stand at several means are given once, before the first of these."""
    means = [node for equation in equations for node in equation.rhs.atoms(GaussianMean)]
    laws = {node.args[1:]: node.variables for node in means if len(node.variables) > 1}  # by mean and covariance
    repeated = [law for law in laws if sum(node.args[1:] == law for node in means) > 1 and width_of(letters(law[1])) > _LONG]
    names = {law: "z" if len(repeated) == 1 else str(number + 1) for number, law in enumerate(repeated)}
    bodies = [node.integrand for node in means if node.args[1:] in names]
    totals = sorted(set().union(*(body.atoms(LogSumExp) for body in bodies)), key=sp.default_sort_key)
    # One letter, where it is not that of a softmax of the fields themselves, which `_named_softmax` names.
    alone = len(totals) == 1 and not any(_without_means(equation.rhs).has(LogSumExp) for equation in equations)
    softmax = {total: r"\pi" if alone else rf"\pi^{{(z{number + 1})}}" for number, total in enumerate(totals)}
    found: list[Equation] = []
    said: set[str] = set()

    def say(latex: str, *equation: Any) -> None:
        if latex not in said:
            said.add(latex)
            found.append(Equation(Phrase(latex), *equation, *_OWN, role="notation"))

    for equation in equations:
        put: dict[sp.Expr, sp.Expr] = {}
        for node in sorted(equation.rhs.atoms(GaussianMean), key=sp.default_sort_key):
            name = names.get(node.args[1:])
            if name is None:
                continue
            z = letters(sp.Tuple(*laws[node.args[1:]]))
            say(rf"\mathbb{{E}}_{{{name}}}\left[{z}\right]", sp.Tuple(*node.mean), "mean of the Gaussians z")
            say(rf"\operatorname{{Cov}}_{{{name}}}\left[{z}\right]", node.cov, "their covariance")
            body = node.integrand
            for total in body.atoms(LogSumExp):
                products = _probabilities(body, total, softmax[total])
                body = body.xreplace(products)
                exponentials = [sp.S.One if u == 0 else sp.exp(u) for u in total.args]
                for c, one in enumerate(exponentials if products else ()):
                    say(f"{softmax[total]}_{{{c}}}", one / sp.Add(*exponentials), "softmax: probability of a class")
            put[node] = Phrase(rf"\mathbb{{E}}_{{{name}}}\left[{letters(body)}\right]")
        found.append(replace(equation, rhs=equation.rhs.xreplace(put)))
    return found


def _without_means(expr: sp.Expr) -> sp.Expr:
    return expr.xreplace({node: sp.S.Zero for node in expr.atoms(GaussianMean)})


def _probabilities(expr: sp.Expr, total: LogSumExp, letter: str) -> dict[sp.Expr, sp.Expr]:
    """Exponentials that are products of probabilities exp(u_c - total), as these."""
    pi = [sp.Symbol(f"{letter}_{{{c}}}", positive=True) for c in range(len(total.args))]
    names = {}
    for node in expr.atoms(sp.exp):
        power = -node.args[0].expand().coeff(total)
        if power not in (1, 2, 3):
            continue
        for chosen in combinations_with_replacement(range(len(pi)), int(power)):
            if sp.expand(node.args[0] + power * total - sp.Add(*(total.args[c] for c in chosen))) == 0:
                names[node] = sp.Mul(*(pi[c] for c in chosen))
    return names


def _named_softmax(equation: Equation, width: float) -> list[Equation]:
    """Probabilities exp(u_c - log sum exp u) by one letter, defined before; then the entries of a matrix that is too wide."""
    sums = sorted(equation.rhs.atoms(LogSumExp), key=sp.default_sort_key)
    definitions, names = [], {}
    for number, total in enumerate(sums):
        letter = r"\pi" if len(sums) == 1 else rf"\pi^{{({number + 1})}}"
        for c, u in enumerate(total.args):
            names[sp.exp(u - total)] = sp.Symbol(f"{letter}_{{{c}}}", positive=True)
            probability = sp.exp(u) / sp.Add(*map(sp.exp, total.args))
            meaning = "softmax: probability of a class"
            definitions.append(Equation(names[sp.exp(u - total)], probability, meaning, "theory.md 0", "own", role="notation"))
    rhs = equation.rhs.xreplace(names)
    if rhs == equation.rhs:
        return _by_entries(equation, width)
    if isinstance(rhs, sp.MatrixBase) and len(sums) == 1:
        named = _outer_form(equation, rhs, tuple(names.values()), sums[0].args, width)
        if named:
            return named
    if isinstance(rhs, sp.MatrixBase):
        rhs = rhs.applyfunc(lambda entry: sp.factor_terms(sp.expand(entry)))
    return [*definitions, *_by_entries(replace(equation, rhs=rhs), width)]


def _outer_form(
    equation: Equation, rhs: sp.MatrixBase, pi: tuple[sp.Symbol, ...], scores: tuple[sp.Expr, ...], width: float
) -> list[Equation]:
    """V^T (diag(pi) - pi pi^T) V, or V^T (pi - y) (pi - y)^T V, by that name, for pi = softmax(V u); nothing if it is neither."""
    fields = sorted(set().union(*(u.free_symbols for u in scores)), key=lambda x: x.name)
    V = sp.Matrix(scores).jacobian(fields)
    rest = sp.Matrix(scores) - V * sp.Matrix(fields)
    if V.free_symbols or rhs.shape != (V.cols, V.cols) or not rest.applyfunc(sp.expand).is_zero_matrix:
        return []
    p, y = sp.Matrix(pi), sp.Matrix(labels(len(pi)))
    forms = {
        r"\left(\operatorname{diag}(\pi) - \pi\pi^{\top}\right)": sp.diag(*pi) - p * p.T,
        r"(\pi - y)(\pi - y)^{\top}": (p - y) * (p - y).T,
    }
    found = [text for text, inner in forms.items() if (rhs - V.T * inner * V).applyfunc(sp.expand).is_zero_matrix]
    if not found:
        return []
    basis, field = V != sp.eye(V.rows), fields[0].name[0]
    said = Equation(_letter(r"\pi"), _word(rf"\operatorname{{softmax}}({'V' if basis else ''} {field})"), *_NAMED, role="notation")
    return [*_basis(V, width), said, replace(equation, rhs=_word(rf"V^{{\top}} {found[0]} V" if basis else found[0]))]


def _basis(V: sp.MatrixBase, width: float) -> list[Equation]:
    """What V is: its entries, or, if these are too wide, what makes it a basis; nothing for the identity."""
    if V == sp.eye(V.rows):
        return []
    whole = Equation(
        _letter("V"),
        sp.ImmutableMatrix(V),
        "orthonormal basis without the null direction of the loss",
        *_OWN,
        role="notation",
    )
    if width_of(whole.latex().replace("&=", "=")) <= width:
        return [whole]
    return [replace(whole, lhs=_word(r"V^{\top} V"), rhs=_word("I")), replace(whole, lhs=_word(r"V^{\top} \mathbf{1}"), rhs=sp.S.Zero)]


def _letter(name: str) -> sp.Symbol:
    return sp.Symbol(name, commutative=False)


def _word(text: str) -> Phrase:
    return Phrase(text, commutative=False)


def _by_entries(equation: Equation, width: float) -> list[Equation]:
    if not isinstance(equation.rhs, sp.MatrixBase) or width_of(sp.latex(equation.rhs)) <= 0.7 * width:  # beside the left sides
        return [equation]
    rows, columns = equation.rhs.shape
    symmetric = rows == columns and equation.rhs.is_symmetric()
    return [
        replace(equation, lhs=_entry(equation.lhs, (i,) if columns == 1 else (i, j)), rhs=equation.rhs[i, j])
        for i in range(rows)
        for j in range(i if symmetric else 0, columns)
    ]


def _entry(whole: sp.Expr, at: tuple[int, ...]) -> sp.Expr:
    text = sp.latex(whole)
    inside = text if isinstance(whole, (Kernel, sp.Symbol)) else rf"\left({text}\right)"
    return sp.Symbol(rf"\left[{inside}\right]_{{{''.join(map(str, at)) if max(at) < 10 else ','.join(map(str, at))}}}")
