"""Tables of a problem file for a two-layer network after one gradient step.

- `[one_step]`: `activation`, an expression of z; numbers n, samples, width, ridge (n lambda), and beta and alpha, or spread
  and step; numbers of further parameters; `exponents = false` where spread and step get their numbers later.
- `[mixture]`: `probabilities` and `labels` (default two clusters +1 and -1), `alignment` of the spikes (default 0), `means`, rows.
- `[target]`: `expression` of t = xi . x and y (default max(t, 0)), `direction` ("aligned", "random" or coefficients), `noise` (default 0).
- `[run]`: `seed`, and `level` of the theory ("B+", "C" or "A"; default: chosen by the strength of spikes).
- `[simulation]`: replicates and further options.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import sympy as sp

from gmsym import symbols
from gmsym.errors import InputError
from gmsym.files import parser
from gmsym.files.suggest import unknown
from gmsym.problem import OneStep
from gmsym.problem.one_step import t, z

TABLES = ("one_step", "mixture", "target", "run", "simulation", "sweep")
_NUMBERS = ("n", "samples", "width", "ridge", "beta", "alpha", "spread", "step")
_PLACES = {
    "mixture": ("probabilities", "labels", "alignment", "means"),
    "target": ("expression", "direction", "noise"),
    "run": ("seed", "level"),
    "simulation": ("replicates", "degree", "eigenvalues", "tests"),
}
_TEXTS = ("activation", "expression", "title", "exponents")


class OneStepTables(NamedTuple):
    """What the tables say."""

    problem: OneStep
    values: dict[str, Any]
    tables: dict[str, dict[str, Any]]


def read_tables(document: Mapping[str, Any], settings: Mapping[str, Any]) -> OneStepTables:
    """The problem and its numbers.

    Raises:
        InputError: an unknown table or key, or a value outside what is allowed.
    """
    for name, table in document.items():
        if name not in TABLES:
            raise InputError(unknown("table", name, TABLES, ", ".join(f"[{x}]" for x in TABLES)) + " beside [one_step]")
        if not isinstance(table, dict):
            raise InputError(f"{name} = {table!r}: a table [{name}] is needed")
    tables = {name: dict(document.get(name, {})) for name in TABLES}
    own = _own(tables)
    _settle(tables, settings, own)
    for name, table in tables.items():
        allowed = ("activation", "title", "exponents", *_NUMBERS, *own) if name == "one_step" else _PLACES.get(name, tuple(table))
        for key in table:
            if key not in allowed:
                raise InputError(unknown(f"key in [{name}]", key, allowed))
    given, mixture, target = tables["one_step"], tables["mixture"], tables["target"]
    if "activation" not in given:
        raise InputError("[one_step] activation is missing: an expression of z, such as tanh(z)")
    by_number = bool({"spread", "step"} & given.keys()) or given.get("exponents") is False
    if by_number and {"beta", "alpha"} & given.keys():
        raise InputError("[one_step]: either beta and alpha, or spread and step, are needed, and not both")
    names = {name: symbols.symbol(name) for name in own}
    parts = {
        "activation": _parsed(given["activation"], {"z": z, **names}, "[one_step] activation"),
        "target": _parsed(target.get("expression", "max(t, 0)"), {"t": t, "y": symbols.y, **names}, "[target] expression"),
        "direction": _direction(target.get("direction", "aligned")),
        "exponents": not by_number,
        "name": given.get("title", "one_step"),
    }
    parts |= {key: _entries(key, mixture[key]) for key in ("probabilities", "labels", "means") if key in mixture}
    values = {key: _number(f"[one_step] {key}", value) for key, value in given.items() if key not in _TEXTS}
    for name, key in (("mixture", "alignment"), ("target", "noise")):
        if key in tables[name]:
            values[key] = _number(f"[{name}] {key}", tables[name][key])
    return OneStepTables(OneStep(**parts), values, tables)


def _own(tables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names of the parameters of activation, target, probabilities and means."""
    texts = [tables["one_step"].get("activation"), tables["target"].get("expression")]
    rows = [tables["mixture"].get(key, []) for key in ("probabilities", "labels", "means")]
    flat = [entry for row in rows if isinstance(row, list) for part in row for entry in (part if isinstance(part, list) else [part])]
    found = {name for text in [*texts, *flat] if isinstance(text, str) for name in parser.free_names(text)}
    return sorted(found - {"z", "t", "t0", "y"})


def _settle(tables: dict[str, dict[str, Any]], settings: Mapping[str, Any], own: list[str]) -> None:
    """Put each setting where its key belongs; all may be written table.key."""
    places = {key: name for name, keys in _PLACES.items() for key in keys} | dict.fromkeys([*_NUMBERS, *own], "one_step")
    for key, value in settings.items():
        table, dot, rest = key.partition(".")
        name = rest if dot and places.get(rest) == table else key
        if name not in places or name in _TEXTS:
            raise InputError(unknown("setting", key, [x for x in places if x not in _TEXTS]))
        tables[places[name]][name] = value


def _parsed(text: Any, names: Mapping[str, sp.Symbol], what: str) -> sp.Expr:
    if not isinstance(text, str):
        raise InputError(f"{what} = {text!r}: a text is needed, such as {'tanh(z)' if 'z' in names else 'max(t, 0)'!r}")
    return parser.parse(text, {**names, **({"t0": t} if "t" in names else {})}, what=what)


def _direction(given: Any) -> Any:
    if isinstance(given, (str, list)):
        return given
    raise InputError(f"[target] direction = {given!r}: aligned, random, or a list of coefficients is needed")


def _entries(key: str, value: Any) -> Any:
    """Numbers and texts of numbers in nested lists."""
    if isinstance(value, list):
        return [_entries(key, entry) for entry in value]
    if isinstance(value, str):
        return parser.parse(value, what=f"[mixture] {key}")
    return sp.Rational(str(value)) if isinstance(value, float) else value  # a decimal number at its word


def _number(what: str, value: Any) -> Any:
    """A number, or a list of them over which the theory is taken."""
    if isinstance(value, list) and value:
        return [_number(what, entry) for entry in value]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"{what} = {value!r}: a number is needed")
    return value
