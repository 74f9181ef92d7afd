"""Every sign and every term of the equations of one gradient step drives a number (tests/mutation.py).

A mutant is derived, generated and loaded; the engine then runs it operation by operation, with halvings for its roots and few rounds for
its fixed point, since to compile a module costs a hundred times what one evaluation does. Nodes, and where levels C and A start, are those
of the reference.
"""

import functools
import sys
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest
import sympy as sp

import gmsym as gm
from gmsym import derive, pipeline
from gmsym.derive.given_weights import given_weights
from gmsym.derive.two_sided import remainder, two_sided
from gmsym.engine import law
from gmsym.engine import two_sided as engine
from gmsym.engine.fixed_point import Prepared, prepare, solve
from gmsym.engine.given_weights import solve_given_weights
from gmsym.pipeline.one_step import _numbers
from tests.mutation import Enrolled, eagerly, mutated, outcomes, table

PROBLEM = gm.OneStep(
    gm.parse("erf(z) + exp(z/2)/3"), gm.parse("y"), probabilities=[0.4, 0.6], means=[[1.5, 0.2], [-0.8, 0.6]], exponents=False
)
VALUES = {"n": 60, "samples": 50, "width": 40, "ridge": 0.3, "spread": 8.0, "step": 20.0, "alignment": 0.3}
# Both kernels are sums of squares of their factors, and the gradient's spike enters as u u^T: these have no sign.
SQUARED = {*(f"h_{j}" for j in (0, 2, 3, 4, 5, 6)), *(f"a_{p}" for p in range(7)), *(f"d_{p}" for p in range(1, 7)), "s_1", "u_i", "u_q"}
BRANCH = {"D"}  # only says on which side of the largest root nu is; the equations for lambda spell it out


OTHER = gm.OneStep(
    gm.parse("erf(z) + exp(z/2)/3"),
    gm.parse("t0 + t0**2/3 + sin(t0) + y"),
    probabilities=[0.4, 0.6],
    means=[[1.5], [-0.8]],
    exponents=False,
)
NOISY = VALUES | {"noise": 0.2, "step": 3.0, "alignment": 1.0}  # one spike for both clusters: fewer nodes
LAYER = np.random.default_rng(0).normal(size=(40, 60)) / 8
ROUNDS = 2  # of the shares and of their adjoint, from where level B+ leaves them


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """No compilation, no search by machinery that is made to be compiled, and what SymPy integrates integrated once."""

    def halved(f, solver, y, *, options, **_):
        low, high = (jnp.asarray(options[end], float) for end in ("lower", "upper"))
        rises = bool(f(high, None) > f(low, None))
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if bool(f(middle, None) > 0) == rises else (middle, high)
        return SimpleNamespace(value=(low + high) / 2)

    def repeated(step, solver, state, **_):
        for _ in range(ROUNDS):
            state = step(state, None)
        return SimpleNamespace(value=state)

    monkeypatch.setattr(optx, "root_find", halved)
    monkeypatch.setattr(optx, "fixed_point", repeated)
    module = sys.modules["gmsym.derive.one_step"]  # the package has a function of that name
    for name in ("hermite_means", "slope_energy", "kernel_mean"):
        monkeypatch.setattr(module, name, functools.cache(getattr(module, name)))
    with eagerly():
        yield


@functools.cache
def started():
    """(numbers, nodes without the gradient's direction, nodes with it, solution at level B+) of the reference."""
    module, given = pipeline.load(derive.one_step(OTHER)), _numbers(OTHER, OTHER.at(NOISY))
    nodes = prepare(module, given, coarse=True)
    return given, law.law_of(module, given, None, coarse=True), nodes.law, solve(module, given, nodes, False)


def at_level_c(system):
    given, plain, nodes, start = started()
    module = pipeline.load(system)
    shares = engine._shares(module, given, Prepared(nodes, law.gradient_step(module, given, plain)), coarse=True)
    sizes = law.sizes_of(given, len(nodes.kappa)) | {"lambda_": given.ridge, "sigma": given.noise}
    _, objective, training, test, fit, variance = engine._solved(module)(shares, sizes, (start.effective_ridge, start.nu))
    means = {name: shares.samples @ jnp.where(shares.samples > 0, x, 0.0) for name, x in (("fit", fit), ("variance", variance))}
    return {"objective": objective, "train_mse": training, "test_mse": test, **means}


def at_level_a(system):
    given, _, _, start = started()
    found = solve_given_weights(pipeline.load(system), given, LAYER, start)
    return {name: getattr(found, name) for name in ("objective", "train_mse", "test_mse")}


def of_parts(parts, *others):
    """The equations of a level."""
    names = {part.name for part in parts}
    return lambda system: [*(e for part in system.computed if part.name in names for e in part.equations), *others]


def first(system):
    """Those of level B+."""
    others = {part.name for part in (*two_sided(), *given_weights(), remainder())}
    return [*system.moments[:-1], system.target, *(e for part in system.computed if part.name not in others for e in part.equations)]


def numbers(system):
    module = pipeline.load(system)
    given = _numbers(PROBLEM, PROBLEM.at(VALUES))
    found = solve(module, given, prepare(module, given, coarse=True), True)._asdict()
    spikes = found.pop("spikes")
    target = module.target(np.array([0.3, -0.2]), np.array([1.0, -1.0]), ())
    return {**found, "largest": spikes[:1], "visible": len(spikes), "degrees": module.degrees(0.7, 0.6, 0.8), "target": target}


def name(equation):
    return equation.lhs.func.__name__ if equation.lhs.args else equation.lhs.name


@pytest.mark.slow
def test_every_displayed_sign_and_term_drives_a_number():
    found = list(outcomes(Enrolled("one step", lambda: derive.one_step(PROBLEM), numbers, first), both=False))
    print("\n" + table(("one step", outcome) for outcome in found))
    idle = [o for o in found if o.fate in ("survived", "refused") and str(o.equation).partition("(")[0] not in SQUARED | BRANCH]
    assert not idle, "\n".join(f"{o.equation}: {o.mutation} ({o.fate}: {o.detail})" for o in idle)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("level", "solved", "parts", "idle"),
    [
        # g enters as it is in both errors; the branch of the maximum that keeps C_s from rounding below 0 is dead
        # the law of z_i is even, so that A_i may change its sign; s_A without its term is no array, v with -n no variance: both are refused
        ("C", at_level_c, (*two_sided(), remainder()), {"C_s", "A_i", "s_A", "v"}),
        pytest.param(
            "A", at_level_a, given_weights(), {"g_4", "w_c"}, marks=pytest.mark.exhaustive
        ),  # the target has no fourth coefficient; a mutant of w_c is singular
    ],
)
def test_levels_c_and_a_too(level, solved, parts, idle):
    found = list(outcomes(Enrolled(level, lambda: derive.one_step(OTHER), solved, of_parts(parts)), both=False))
    print("\n" + table((level, outcome) for outcome in found))
    survived = [o for o in found if o.fate in ("survived", "refused") and str(o.equation).partition("(")[0] not in idle]
    assert not survived, "\n".join(f"{o.equation}: {o.mutation} ({o.fate}: {o.detail})" for o in survived)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_what_has_no_sign_has_a_size():
    before = numbers(derive.one_step(PROBLEM))
    equations = [e for e in first(derive.one_step(PROBLEM)) if name(e) in SQUARED]
    assert len(equations) == len(SQUARED)
    for equation in equations:
        with mutated(equation, sp.Rational(11, 10) * equation.rhs):
            after = numbers(derive.one_step(PROBLEM))
        assert abs(after["test_mse"] / before["test_mse"] - 1) > 1e-9, equation.lhs
