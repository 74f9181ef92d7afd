"""A problem, and its numbers, as the text of a problem file that reads back to the same problem."""

from collections.abc import Mapping
from functools import singledispatch
from numbers import Real
from typing import Any

import sympy as sp
from sympy.printing.str import StrPrinter

from gmsym import functions, symbols
from gmsym.errors import InputError
from gmsym.files import parser
from gmsym.problem import AbstractProblem, OneStep, Problem
from gmsym.problem.coordinates import Coordinates

_CALLS = {
    sp.Abs: "abs",
    sp.Max: "max",
    sp.Min: "min",
    sp.sign: "sign",
    functions.Softplus: "softplus",
    functions.Sigmoid: "sigmoid",
    functions.LogSumExp: "logsumexp",
    functions.NormalCDF: "Phi",
    functions.LogNormalCDF: "log_Phi",
    functions.PiecewiseLinear: "linear",
    functions.Norm: "norm",
    sp.floor: "floor",
    sp.Mod: "mod",
}


@singledispatch
def dumps(problem: AbstractProblem, values: Mapping[str, float] | None = None) -> str:
    """The text of a problem file.

    Args:
        problem: the problem.
        values: numbers of its parameters, which the file then states; alpha among them.

    Raises:
        InputError: an expression that no text states, such as one with a function that the parser does not know.

    Example:
        >>> import gmsym as gm
        >>> problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.gd())
        >>> print(gm.dumps(problem, {"eta": 0.5}).split("[loss]")[1].split("[initial]")[0].strip())
        title = "logistic"
        expression = "log(1 + exp(-h*y))"
        readout = "h"
        <BLANKLINE>
        [optimizer]
        title = "gd"
        update = { "theta" = "-eta*g + theta" }
    """
    raise InputError(f"problem = {repr(problem)[:60]}: there is no problem file for a {type(problem).__name__}")


@dumps.register
def _(problem: Problem, values: Mapping[str, float] | None = None) -> str:
    data, loss, optimizer = problem.data, problem.loss, problem.optimizer
    if data.embedded is not None:
        raise InputError("a mixture in coordinates has no text; gmsym fit writes a fitted one, which [mixture] fitted names")
    mixture: dict[str, Any] = {
        "probabilities": list(data.probabilities),
        "labels": [list(label) if len(label) > 1 else label[0] for label in data.labels],
        "means_gram": data.means_gram.tolist() if data.placed is None else data.placed.array.tolist(),
    }
    variance = data.variance.tolist()
    if data.blocks == 1:
        mixture["variance"] = [row[0] for row in variance]
    else:
        mixture["blocks"] = {"fractions": list(data.fractions), "variance": variance}
    if not data.coordinates.is_gaussian:
        mixture["coordinates"] = _law(data.coordinates)
    rest = {"readout": loss.readout, "target": loss.target}
    tables: dict[str, dict[str, Any]] = {
        "mixture": mixture,
        "loss": {
            "title": loss.name,
            "expression": _text(loss.expr),
            **{key: _text(expr) for key, expr in rest.items() if expr is not None},
            **({"positive": dict(loss.positive)} if loss.positive else {}),
        },
        "optimizer": {
            "title": optimizer.name,
            **(
                {"velocity": _text(optimizer.update[0][1])}
                if optimizer.continuous
                else {"update": {v.name: _text(rule, timed=True) for v, rule in optimizer.update}}
            ),
            **({} if problem.ridge == symbols.ridge else {"ridge": _text(problem.ridge)}),
        },
        "sampling": {"kind": problem.sampling.kind, **_options(problem)},
        "initial": {
            name: whole.tolist() if part is None else part.array.tolist()
            for name, whole, part in zip(("norm2", "overlap"), (problem.norm2, problem.overlap), problem.placed, strict=True)
        },
    }
    if not problem.coordinates.is_gaussian:
        tables["initial"]["coordinates"] = _law(problem.coordinates)
    if problem.teacher is not None:
        tables["teacher"] = {
            "gram": problem.teacher.gram.tolist(),
            "overlap": problem.teacher.overlap_with(problem.fields).tolist(),
            "means_overlap": problem.teacher.overlap_with_means(data.clusters).tolist(),
        }
    if problem.trained is not None:
        trained = problem.trained
        initial = {v.name: x for v, x in zip(trained.names, trained.initial, strict=True)}
        step = {} if trained.step is None else {"step": trained.step}
        tables["trained"] = {"initial": initial, **step, "ridge": trained.ridge}
    if problem.observables:
        tables["observables"] = {name: _text(expr) for name, expr in problem.observables}
    given = dict(values or {})
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            raise InputError(f"{name} = {repr(value)[:60]}: a problem file states a number")
    if "alpha" in given:
        tables["run"] = {"alpha": float(given.pop("alpha"))}
    open_names = [s.name for s in problem.parameters if s.name not in given and s.name != "alpha"]
    tables["values"] = {name: float(value) for name, value in given.items()} | ({"declared": open_names} if open_names else {})
    return _tables_text(tables)


def _law(law: Coordinates) -> dict[str, list[sp.Expr]]:
    """The law of coordinates as a table of a mixture."""
    return {"weights": list(law.weights), "values": list(law.values), "deviations": list(law.deviations)}


@dumps.register
def _(problem: OneStep, values: Mapping[str, float] | None = None) -> str:
    given = dict(values or {})
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            raise InputError(f"{name} = {repr(value)[:60]}: a problem file states a number")
    mixture: dict[str, Any] = {"probabilities": list(problem.probabilities), "labels": list(problem.labels)}
    if problem.means:
        mixture["means"] = [list(row) for row in problem.means]
    direction = problem.direction if isinstance(problem.direction, str) else list(problem.direction)
    target: dict[str, Any] = {"expression": _text(problem.target), "direction": direction}
    for table, name in ((mixture, "alignment"), (target, "noise")):
        if name in given:
            table[name] = given.pop(name)
    tables = {
        "one_step": {"title": problem.name, "activation": _text(problem.activation), "exponents": problem.exponents, **given},
        "mixture": mixture,
        "target": target,
    }
    return _tables_text(tables)


def _options(problem: Problem) -> dict[str, Any]:
    """Of its sampling; the texts of a rule of the user's own may hold functions that others may not."""
    made = problem.batches or problem.single
    options = {} if made is None else dict(made.options)
    own = problem.sampling.kind == "rule"
    return {name: _text(x, stepwise=True) if own and isinstance(x, sp.Expr) and not x.is_number else x for name, x in options.items()}


def _tables_text(tables: Mapping[str, Mapping[str, Any]]) -> str:
    return "\n".join(f"[{name}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in table.items()) for name, table in tables.items())


class _Writer(StrPrinter):
    """Expressions in the parser's language."""

    def _print_Function(self, expr: sp.Expr) -> str:
        return self._call(_CALLS.get(expr.func, expr.func.__name__), expr.args)

    def _print_Heaviside(self, expr: sp.Expr) -> str:
        return self._call("heaviside", expr.args[:1])

    def _print_Piecewise(self, expr: sp.Piecewise) -> str:
        (value, condition), *others = expr.args
        if condition == True:  # noqa: E712  SymPy's true
            return self._print(value)
        if not others:
            raise InputError(f"{expr} has no value elsewhere; a problem file cannot state it")
        return self._call("where", (condition, value, sp.Piecewise(*others, evaluate=False)))

    def _print_And(self, expr: sp.And) -> str:
        return " and ".join(f"({self._print(part)})" for part in sorted(expr.args, key=sp.default_sort_key))

    def _print_Or(self, expr: sp.Or) -> str:
        return " or ".join(f"({self._print(part)})" for part in sorted(expr.args, key=sp.default_sort_key))

    def _print_Not(self, expr: sp.Not) -> str:
        return f"not ({self._print(expr.args[0])})"

    def _print_Relational(self, expr: sp.Rel) -> str:
        return f"({self._print(expr.lhs)}) {expr.rel_op} ({self._print(expr.rhs)})"

    def _print_Exp1(self, expr: sp.Expr) -> str:
        return "E"

    def _print_Float(self, expr: sp.Float) -> str:
        return repr(float(expr))

    def _call(self, name: str, args: Any) -> str:
        return f"{name}({', '.join(map(self._print, args))})"

    _print_Abs = _print_Max = _print_Min = _print_sign = _print_LogSumExp = _print_Function


def _text(expr: sp.Expr, stepwise: bool = False, timed: bool = False) -> str:
    """The expression in the parser's language, perhaps with its stepwise functions, or those of time.

    Raises:
        InputError: it does not read back.
    """
    text = _Writer({"order": "none"} if expr.count_ops() > 200 else {}).doprint(expr)
    names = {s.name: s for s in expr.free_symbols if isinstance(s, sp.Symbol)}
    back = parser.parse(text, names | {"h": symbols.h}, stepwise=stepwise, timed=timed)
    if symbols.canonical(back) != expr and not expr.has(sp.Float) and sp.simplify(back - expr) != 0:
        raise InputError(f"{str(expr)[:60]}: no text of a problem file states it")
    return text


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{key}" = {_toml(item)}' for key, item in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, sp.Integer)):
        return str(int(value))
    if isinstance(value, (float, sp.Float)):
        return repr(float(value))
    return f'"{_text(value) if isinstance(value, sp.Basic) else value}"'  # a text of ours, or an identifier: nothing to escape
