"""Every case of derivations/ whose theory is the stationary limit: derived = typed by a person, generated is current, minima agree."""

import importlib
import json
from pathlib import Path

import pytest
import sympy as sp

import gmsym as gm
from gmsym import pipeline
from gmsym.calculus.kernels import distribute
from gmsym.codegen import signature, source
from gmsym.functions import elementary
from gmsym.system import stationary as S
from gmsym.system.causal_kernels import A, k
from tests.guards import guards

ROOT = Path(__file__).parent.parent / "derivations"
CASES = [
    path.name
    for path in sorted(ROOT.iterdir())
    if (path / "problem.py").is_file() and getattr(pipeline.load_case(path), "THEORY", "dmf") == "stationary"
]


@pytest.fixture(scope="module", params=CASES)
def case(request):
    loaded = pipeline.load_case(ROOT / request.param)
    loaded.name = request.param
    (loaded.system,) = pipeline.derive_case(loaded).values()
    loaded.expected = importlib.import_module(f"derivations.{request.param}.expected")
    return loaded


def equal(left, right):
    difference = elementary(sp.sympify(left)) - elementary(sp.sympify(right))
    points = [
        {x: sp.Rational(7 * i + 3 * draw + 2, 11 + draw) for i, x in enumerate(sorted(difference.free_symbols, key=str))} for draw in (0, 1)
    ]
    return all(abs(sp.N(difference.subs(point), 30)) < sp.Float("1e-25") for point in points)


def test_the_equations_are_those_of_the_source(case):
    derived = {equation.lhs: equation.rhs for equation in case.system.equations()}
    for lhs, rhs in case.expected.EQUATIONS.items():
        assert lhs in derived, f"{case.name}: no equation for {lhs}"
        assert same(derived[lhs], rhs), f"{case.name}: {lhs} = {derived[lhs]}, the source says {rhs}"
        assert not same(derived[lhs], -rhs)


def same(left, right):
    """Equality of sums of products, whatever the order of their limits."""

    def plain(expr):
        return distribute(expr).replace(
            lambda e: isinstance(e, sp.Sum), lambda e: sp.Sum(e.function, *sorted(e.limits, key=sp.default_sort_key))
        )

    return sp.expand(plain(left) - plain(right)) == 0


def test_the_loss_and_its_means_are_those_of_the_source(case):
    system, local = case.system, case.expected.LOCAL
    assert equal(system.loss, local["loss"])
    for derived, typed in zip(system.gradient, local["gradient"], strict=True):
        assert equal(derived, typed)
    for derived, typed in zip(system.test_error, local["test_error"], strict=True):
        assert equal(derived, typed)


def test_the_response_of_one_field_is_that_of_the_source(case):
    right = {equation.lhs: equation.rhs for equation in case.system.equations()}[S.D(k)]
    H, V = sp.symbols("H V")
    if not right.has(A):
        pytest.skip("the proximal point is closed")
    numbers = right.replace(A, lambda *_: H).replace(S.V, lambda *_: V).replace(S.unit, lambda *_: sp.S.One)
    assert sp.simplify(numbers - case.expected.RESPONSE) == 0


def test_the_closed_proximal_point_is_that_of_the_source(case):
    if not hasattr(case.expected, "closed"):
        pytest.skip("the proximal point is not closed")
    place, label = case.system.place, case.system.labels[0]
    for y in (1, -1):
        for margin in (-2, sp.Rational(1, 3), sp.Rational(3, 4), sp.Rational(3, 2)):
            z, V = y * sp.sympify(margin), sp.Rational(1, 2)
            at = {**dict(zip(place, (z, V), strict=True)), label: sp.Integer(y)}
            assert [x.subs(at) for x in case.system.closed] == [sp.sympify(x) for x in case.expected.closed(z, V, y)]


def test_the_generated_module_is_current(case):
    manifest = json.loads((ROOT / case.name / "manifest.json").read_text())
    entry = manifest["modules"]["stationary"]
    assert entry["signature"] == signature(case.system), f"run `gmsym build derivations/{case.name}`"
    if manifest["sympy"] == sp.__version__:
        assert (ROOT / case.name / entry["module"]).read_text() == source(case.system)


@pytest.mark.slow
@pytest.mark.parametrize("case", guards(CASES, "stationary_hinge", "stationary_logistic"), indirect=True)
def test_the_minimum_on_generated_data_agrees(case):
    theory = gm.solve(case.system, case.VALUES)
    runs = gm.simulate(case.system, {x: y for x, y in case.VALUES.items() if x != "alpha"}, **case.SIMULATION)
    comparison = gm.compare(theory, runs)
    assert comparison.agrees(), str(comparison)
    assert comparison.rms_z < 1.8, str(comparison)
