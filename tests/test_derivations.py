"""Every folder of derivations/: derived = typed by a person, generated is current, theory agrees with finite-size training."""

import importlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym import derive, pipeline
from gmsym.calculus.kernels import Transposed
from gmsym.codegen import signature, source
from gmsym.functions import elementary
from gmsym.system.causal_kernels import Ra, W, s
from tests.guards import guards
from tests.kernel_values import same
from tests.same_law import same_law

ROOT = Path(__file__).parent.parent / "derivations"
CASES = {
    name: getattr(pipeline.load_case(ROOT / name), "THEORY", "dmf")
    for name in sorted(path.name for path in ROOT.iterdir() if (path / "problem.py").is_file())
}
DMF, SURROGATES = ([name for name, theory in CASES.items() if theory == of] for of in ("dmf", "surrogate"))

GUARDED = {  # cases whose curves are compared with training elsewhere, on every change
    "sgd_single": "engine/test_batches.py",
    "ista_logistic": "engine/test_sampled_coordinates.py",
    "logistic_gd": "test_physics.py, with blocks and momentum",
    "squared_gd": "engine/test_causal_kernels.py, by closed forms",
}


@pytest.fixture(scope="module", params=[name for name, theory in CASES.items() if theory in ("dmf", "surrogate")])
def case(request: pytest.FixtureRequest) -> ModuleType:
    loaded = pipeline.load_case(ROOT / request.param)
    loaded.name, loaded.theory = request.param, CASES[request.param]
    (system,) = pipeline.derive_case(loaded).values()
    loaded.system = getattr(system, "kernels", system)  # of one sample at a time those of small batches, of a flow those of its scheme
    loaded.expected = importlib.import_module(f"derivations.{request.param}.expected")
    return loaded


def equal_values(left: sp.Expr, right: sp.Expr) -> bool:
    """Equality at 25 digits at random rational points; means of more than two variables are not evaluated here."""
    difference = elementary(sp.sympify(left)) - elementary(sp.sympify(right))
    symbols = sorted(difference.free_symbols, key=lambda s: s.name)
    for draw in range(3):
        # Variances are kept well above covariances, so that every point is an admissible covariance matrix.
        point = {x: sp.Rational(7 * i + 3 * draw + 2, 11 + draw) + (5 if x.is_positive else 0) for i, x in enumerate(symbols, 1)}
        point = {x: v / 60 if x.name.startswith("Q") and not x.is_positive else v for x, v in point.items()}
        if abs(sp.N(difference.subs(point), 30)) > sp.Float("1e-25"):
            return False
    return True


def test_the_derived_equations_are_those_of_the_source(case):
    forms = {"EQUATIONS": case.system.equations()}
    if case.theory == "dmf":
        forms = {"KERNEL_FORM": case.system.kernel_form, "INNOVATION_FORM": case.system.innovation_form}
    checked = 0
    for name, form in forms.items():
        derived = {equation.lhs: equation.rhs for equation in form}
        for lhs, rhs in getattr(case.expected, name, {}).items():
            assert lhs in derived, f"{case.name}: no equation for {lhs}"
            assert same(derived[lhs], rhs), f"{case.name}: {lhs} = {derived[lhs]}, the source says {rhs}"
            checked += 1
    assert checked


def test_the_loss_and_its_means_are_those_of_the_source(case):
    system, local = case.system, case.expected.LOCAL
    assert equal_values(system.loss, local["loss"])
    for derived, expected in zip(system.gradient, local["gradient"], strict=True):
        assert equal_values(derived, expected)
    if "visit" in local:
        assert equal_values(system.visit, local["visit"])
        for derived, expected in zip(system.gradient_seen, local["gradient_seen"], strict=True):
            assert equal_values(derived, expected)
    for c, row in enumerate(local.get("hessian", ())):
        for d, expected in enumerate(row):
            assert equal_values(case.PROBLEM.loss.hessian[c, d], expected)
    for name in ("test_loss", "test_error"):
        if name not in local:
            continue
        for derived, expected in zip(getattr(system, name), local[name], strict=True):
            assert equal_values(derived, expected), f"{case.name}: {name} is {derived}, the source says {expected}"
    assert [kink.locus for kink in case.PROBLEM.loss.kinks] == local.get("kinks", [])


@pytest.mark.parametrize("name", ["logistic_gd", "flow_logistic"])
def test_the_continuous_time_limit_is_that_of_the_source(name):
    expected = importlib.import_module(f"derivations.{name}.expected").FLOW
    flow = derive.gradient_flow(derive.dmf(pipeline.load_case(ROOT / name).PROBLEM))
    derived = {equation.lhs: equation.rhs for equation in flow.flow}
    for lhs, rhs in expected.items():
        assert same(derived[lhs], rhs), f"{lhs} = {derived[lhs]}, the source says {rhs}"


def test_the_comparison_tells_different_equations_apart(case):
    """The checks above can fail: a transposed factor, a shifted limit, a lost sign."""
    equations = {e.lhs: e.rhs for e in derive.dmf(pipeline.load_case(ROOT / "logistic_gd").PROBLEM).kernel_form}
    response = next(rhs for lhs, rhs in equations.items() if isinstance(lhs, W) and rhs.has(Ra))
    factor = next(iter(response.atoms(Ra)))
    assert not same(response, response.xreplace({factor: Transposed(factor)}))
    assert not same(response, response.xreplace({s + 1: s}))
    assert not same(response, -response)
    assert not equal_values(case.system.loss, case.system.loss + sp.Rational(1, 1000))


def test_the_generated_module_is_current(case):
    folder = ROOT / case.name
    manifest = json.loads((folder / "manifest.json").read_text())
    entry = manifest["modules"][case.theory]
    assert entry["signature"] == signature(case.system), f"run `gmsym build derivations/{case.name}`"
    if manifest["sympy"] == sp.__version__:
        assert (folder / entry["module"]).read_text() == source(case.system)


def test_every_case_has_its_files(case):
    for name in ("problem.py", "expected.py", "README.md", "manifest.json"):
        assert (ROOT / case.name / name).is_file(), f"{case.name}/{name} is missing"
    assert len((ROOT / case.name / "problem.py").read_text().splitlines()) < 40


@pytest.mark.slow
@pytest.mark.parametrize("name", guards(DMF, *(name for name in DMF if name not in GUARDED)))
def test_theory_agrees_with_training(name):
    """n = 3000, d = 2000, eight runs: every curve within the verdict's threshold, and the scores are of order one."""
    case = pipeline.load_case(ROOT / name)
    length = {} if case.PROBLEM.single is not None else {"time": case.TIME} if case.PROBLEM.is_flow else {"steps": case.STEPS}
    theory = gm.solve(case.PROBLEM, case.VALUES, **length)
    runs = gm.simulate(case.PROBLEM, case.VALUES, **length, **case.SIMULATION | {"replicates": 8})
    comparison = gm.compare(theory, runs)
    assert comparison.agrees(), str(comparison)
    assert comparison.rms_z < 2, str(comparison)


@pytest.mark.slow
@pytest.mark.parametrize("name", guards(SURROGATES, "gordon_soft_threshold"))
def test_the_surrogate_has_the_law_of_training(name):
    """Means, variances, a two-time correlation and the law of the final train loss."""
    case = pipeline.load_case(ROOT / name)
    found = same_law(case.PROBLEM, steps=case.STEPS, **case.SIMULATION, **case.VALUES)
    deviation = 2 / np.sqrt(case.SIMULATION["replicates"])  # of a ratio of variances, Gaussian
    assert found.score < 4.2, found
    assert 1 - 4.5 * deviation < found.least_ratio and found.largest_ratio < 1 + 4.5 * deviation, found
    assert found.p_value > 0.003, found
    assert abs(found.correlations[0] - found.correlations[1]) < 4.5 * deviation / np.sqrt(2), found
