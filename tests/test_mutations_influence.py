"""Every sign and every term of the displayed influences drives a number (tests/mutation.py).

What a step of the program shares with the surrogate is changed there (test_mutations.py): its numbers are those of the surrogate.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gmsym as gm
from gmsym import derive, pipeline
from gmsym.engine.draws import draws
from gmsym.engine.fluctuation import _variance
from gmsym.engine.influence import influences
from gmsym.engine.recursion import run_program
from gmsym.pipeline.finite import design_numbers
from gmsym.runtime.arguments import named
from gmsym.runtime.frames import oriented
from tests.mutation import Enrolled, eagerly, outcomes, table

DATA = gm.GaussianMixture(
    probabilities=[0.4, 0.6],
    labels=[1, -1],
    means_gram=[[1.0, -0.3], [-0.3, 0.8]],
    variance=[[0.5, 1.5], [0.8, 1.2]],
    fractions=[0.5, 0.5],
)
PROBLEM = gm.Problem(DATA, gm.losses.logistic(), gm.optimizers.heavy_ball(), overlap=[0.3, -0.2])
RECURSION = derive.surrogate(PROBLEM)
DESIGN = design_numbers(PROBLEM.at({"eta": 0.7, "momentum": 0.5, "ridge": 0.1}), 20, 16)
STEPS = 4  # with fewer no state of the optimizer acts through the one after it
SHAPES = {"m": (STEPS, 2, 1), "Q": (STEPS, 1, 1), "Q_k": (STEPS, 2, 1, 1), "train_loss": (STEPS,)}


@functools.cache
def run():
    """(module, traced run, means, start) on fixed Gaussians."""
    module, gaussians = pipeline.load(RECURSION), draws(DESIGN, jax.random.key(0))
    trace = jax.jit(lambda: run_program(module, DESIGN, STEPS, gaussians, traced=True).trace)()
    start = gaussians.start(len(DESIGN.root))
    return module, trace, oriented(start, DESIGN.sizes, DESIGN.root).T[module.FIELDS :], start


def numbers(system):
    """Influences on a random combination of all order parameters, and the variance that they add up to."""
    module, trace, means, start = run()
    adjoint, rng = pipeline.load(system), np.random.default_rng(0)
    bars = {name: jnp.asarray(rng.standard_normal(shape)) for name, shape in SHAPES.items()}
    with eagerly():
        found = influences(module, adjoint, DESIGN, means, trace, bars)
        variance = _variance(adjoint, DESIGN, oriented(start, DESIGN.sizes, np.eye(len(DESIGN.root))), found)
    return {"samples": found.samples, "coordinates": found.coordinates, "variance": variance}


def equations(system):
    """All but those of the surrogate."""
    shared = {type(e.lhs).__name__ for e in (*RECURSION.step, *RECURSION.sums)}
    return [e for e in system.equations() if type(e.lhs).__name__ not in shared]


def expected(outcome):
    """An adjoint that lost its only term is refused, as no array. The rows `held` by the run are numbers, which no derivative sees, and the
    variance is even in what the start's moments leave of the influences."""
    name, what = type(outcome.equation).__name__, outcome.mutation
    if outcome.fate == "refused":
        return what.startswith(("without", "all dropped"))
    return (name == "row" and "held" in what) or (name == "left" and len(outcome.equation.args) == 1 and what == "the sign of all")


@pytest.mark.slow
def test_every_displayed_sign_and_term_drives_a_number():
    enrolled = Enrolled("influences", lambda: derive.influence(RECURSION), numbers, equations)
    found = list(outcomes(enrolled))
    print("\n" + table((enrolled.name, outcome) for outcome in found))
    idle = [o for o in found if o.fate in ("survived", "refused") and not expected(o)]
    assert not idle, "\n".join(f"{o.equation}: {o.mutation} ({o.fate}: {o.detail})" for o in idle)


def at_sizes(system):
    """What a module says of curves y + 3/n with the variance 4/n, at n = 20: bias, deviation, mean and deviation of one run."""
    module, curve = pipeline.load(system), {n: 1.5 + 3.0 / n for n in (20, 40)}
    arrays = {"total": 20, "single": curve[20], "double": curve[40], "asymptote": 1.5, "bias": 3.0, "variance": 4.0, "scaled": 2.0}
    return {name: named(getattr(module, name), arrays) for name in ("bias", "scaled", "mean", "deviation")}


def test_curves_at_a_size_are_those_of_the_expansion_and_of_no_other():
    found = at_sizes(derive.size_expansion())
    assert found == pytest.approx({"bias": 3.0, "scaled": 2.0, "mean": 1.65, "deviation": np.sqrt(4.0 / 20)}, rel=1e-14)
    wrong = list(outcomes(Enrolled("sizes", derive.size_expansion, at_sizes, lambda system: system.equations())))
    assert {outcome.equation for outcome in wrong} == {e.lhs for e in derive.size_expansion().equations()}
    assert all(outcome.fate == "changed" for outcome in wrong), wrong
