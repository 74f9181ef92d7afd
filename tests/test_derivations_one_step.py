"""Cases of networks after one gradient step: derived = typed by a person, generated is current, theory agrees with networks."""

import importlib
import json
from pathlib import Path

import pytest
import sympy as sp

import gmsym as gm
from gmsym import pipeline
from gmsym.codegen import signature, source
from gmsym.system.fixed_point import Total

ROOT = Path(__file__).parent.parent / "derivations"
CASES = [
    path.name for path in sorted(ROOT.iterdir()) if (path / "problem.py").is_file() and '"one-step"' in (path / "problem.py").read_text()
]


@pytest.fixture(scope="module", params=CASES)
def case(request):
    loaded = pipeline.load_case(ROOT / request.param)
    loaded.name = request.param
    (loaded.system,) = pipeline.derive_case(loaded).values()
    loaded.expected = importlib.import_module(f"derivations.{request.param}.expected")
    return loaded


def equal(left, right):
    """At 25 digits at rational points; sums have two terms."""

    def two(expr):
        expr = expr.xreplace({s: sp.Symbol(s.name, positive=True) for s in expr.free_symbols})
        terms = [{s: sp.Symbol(f"{s.name}{i}", positive=True) for s in expr.free_symbols if s.name[-2:] in ("_a", "_j")} for i in (1, 2)]
        return expr.replace(lambda e: isinstance(e, Total), lambda e: sum(e.args[0].xreplace(term) for term in terms))

    difference = two(sp.sympify(left)) - two(sp.sympify(right))
    letters = sorted(difference.free_symbols, key=lambda s: s.name)
    for draw in range(2):
        point = {s: sp.Rational(5 * i + 3 * draw + 7, 11 + draw) + (30 if s.name in ("v", "v'") else 0) for i, s in enumerate(letters)}
        point |= {s: sp.Rational(i + draw + 2, i + draw + 7) for i, s in enumerate(letters) if s.name.startswith("beta")}
        assert abs(sp.N(difference.subs(point), 30)) < sp.Float("1e-25"), (left, right)


def test_the_derived_equations_are_those_of_the_source(case):
    for group, typed in ((case.system.moments, case.expected.MOMENTS), (case.system.closed, case.expected.KERNELS)):
        for equation, rhs in zip(group, typed, strict=True):
            equal(equation.rhs, rhs)
    parts = {part.name: part.equations for part in case.system.computed}
    for name, typed in case.expected.BY_FUNCTION.items():
        for equation, rhs in zip(parts[name], typed, strict=True):
            equal(equation.rhs, rhs)


def test_the_generated_module_is_current(case):
    text = (ROOT / case.name / "generated" / "one-step.py").read_text()
    assert text == source(case.system)
    manifest = json.loads((ROOT / case.name / "manifest.json").read_text())
    assert manifest["modules"]["one-step"]["signature"] == signature(case.system)


@pytest.mark.slow
def test_networks_are_where_the_theory_says(case):
    theory, runs = gm.solve(case.system, case.VALUES), gm.simulate(case.PROBLEM, case.VALUES, **case.SIMULATION)
    assert gm.compare(theory, runs).agrees()
