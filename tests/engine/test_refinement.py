"""Rounds that lead from the limit to the exact surrogate: the fixed point, the Newton step, the orders."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import gmsym as gm
from gmsym import derive, pipeline
from gmsym.comparison import fit_order
from gmsym.engine.refinement import empirical_map, exact_scalars, newton_step
from gmsym.pipeline.finite import design_numbers

DATA = gm.GaussianMixture(probabilities=[0.5, 0.5], labels=[1, -1], means_gram=[[1.69, -1.69], [-1.69, 1.69]], variance=[1, 0.49])
LOGISTIC = gm.Problem(DATA, gm.losses.logistic(), gm.optimizers.gd(), overlap=(0.1, -0.1))
COMMITTEE = gm.Problem(DATA, gm.losses.erf_committee(), gm.optimizers.heavy_ball())

SOFTMAX = gm.Problem(
    gm.GaussianMixture(
        probabilities=[0.5, 0.25, 0.25], labels=[[1, 0, 0], [0, 1, 0], [0, 0, 1]], means_gram=np.eye(3).tolist(), variance=[1, 1, 0.5]
    ),
    gm.losses.softmax(3),
    gm.optimizers.gd(),
    norm2=0,
)


def prepared(problem, n, d, **values):
    return pipeline.load(derive.surrogate(problem)), design_numbers(problem.at(values), n, d)


@pytest.mark.parametrize(
    ("problem", "values"),
    [(LOGISTIC, {"eta": 1.0, "ridge": 0.1}), (COMMITTEE, {"eta": 1.0, "momentum": 0.5})],
    ids=["logistic", "committee"],
)
def test_the_surrogate_is_the_fixed_point_of_the_empirical_map(problem, values):
    module, design = prepared(problem, 60, 40, **values)
    exact = exact_scalars(module, design, 4, jax.random.key(0))
    mapped = empirical_map(module, design, 4, jax.random.key(0), exact)
    for name, value in exact._asdict().items():
        np.testing.assert_allclose(getattr(mapped, name), value, atol=1e-9, err_msg=name)


@pytest.mark.slow
def test_a_newton_step_solves_the_linearised_equation():
    """Forward substitution through the coupled program against the dense Jacobian, which nothing but this test forms."""
    steps, key = 3, jax.random.key(1)
    module, design = prepared(LOGISTIC, 80, 60, eta=1.0, ridge=0.1)
    exact = exact_scalars(module, design, steps, key)
    start = jax.tree.map(lambda x: x * 1.003, exact)
    flat, restore = ravel_pytree(start)

    def residual(x):
        return ravel_pytree(empirical_map(module, design, steps, key, restore(x)))[0] - x

    dense = flat - jnp.linalg.solve(jax.jacfwd(residual)(flat), residual(flat))
    np.testing.assert_allclose(ravel_pytree(newton_step(module, design, steps, key, start))[0], dense, rtol=1e-7, atol=1e-9)


def test_picard_settles_one_time_after_another():
    """Each time has three stages: parameters, gradients, and the responses between them; a round settles one."""
    steps, key = 4, jax.random.key(2)
    module, design = prepared(LOGISTIC, 80, 60, eta=1.0, ridge=0.1)
    exact = exact_scalars(module, design, steps, key)
    scalars = jax.tree.map(lambda x: x * 1.003, exact)
    for settled in range(1, steps + 1):
        for _ in range(3):
            scalars = empirical_map(module, design, steps, key, scalars)
        np.testing.assert_allclose(scalars.theta_gram[:settled], exact.theta_gram[:settled], atol=1e-9)
    np.testing.assert_allclose(scalars.gradient_gram, exact.gradient_gram, atol=1e-6)


@pytest.mark.slow
def test_newton_squares_the_error_each_round():
    """Orders -1/2, -1, -2 in n for rounds 0, 1, 2 (medians of 16 draws); Picard gains no order."""
    sizes = (300, 1200, 4800)
    found = gm.solve(
        gm.derive.refinement(LOGISTIC),
        {"alpha": 1.5, "eta": 1.0, "ridge": 0.1},
        steps=4,
        sizes=sizes,
        rounds=2,
        replicates=16,
        progress=False,
    )
    median = found["error"].median("replicate")
    orders = [fit_order(sizes, median.sel(scheme="newton", round=r).values).exponent for r in range(3)]
    assert orders == pytest.approx([-0.5, -1.0, -2.0], abs=0.25)
    assert float(median.sel(scheme="newton", round=2, n=300)) < 1e-2 * float(median.sel(scheme="picard", round=2, n=300))
    assert fit_order(sizes, median.sel(scheme="picard", round=1).values).exponent > -0.8


@pytest.mark.slow
def test_what_a_newton_round_moves_is_the_error_before_it():
    """The residual that users read without the exact run, down to rounding. Picard's moves are no such thing."""
    given = {"alpha": 1.5, "eta": 1.0, "ridge": 0.1}
    found = gm.solve(gm.derive.refinement(LOGISTIC), given, steps=2, sizes=(240,), rounds=3, replicates=2, progress=False)
    newton, picard = (found.sel(scheme=scheme, n=240) for scheme in ("newton", "picard"))
    before = newton["error"].values[:, :-1]
    assert (before[:, -1] > 1e-12).any()
    np.testing.assert_allclose(newton["moved"].values, before, rtol=0.1, atol=1e-14)
    assert np.abs(picard["moved"].values / picard["error"].values[:, :-1] - 1).max() > 0.1


def test_leaving_the_domain_is_reported():
    """Twelve iterates at n = 30 are collinear to the rounding of their Gram matrix; and Newton from far away is not positive definite."""
    with pytest.raises(gm.ComputationError, match="collinear to rounding|left the domain"):
        gm.solve(
            gm.derive.refinement(LOGISTIC),
            {"alpha": 1.5, "eta": 1.0, "ridge": 0.1},
            steps=12,
            sizes=(30,),
            rounds=2,
            replicates=5,
            progress=False,
        )


def test_divergence_is_not_blamed_on_the_rounds():
    problem = gm.Problem(DATA, gm.losses.squared(), gm.optimizers.gd())
    with pytest.raises(gm.ComputationError, match="training diverges"):
        gm.solve(
            gm.derive.refinement(problem),
            {"alpha": 1.5, "eta": 1e60, "ridge": 0.1},
            steps=9,
            sizes=(60,),
            rounds=1,
            replicates=2,
            progress=False,
        )


def test_a_jumping_gradient_is_refused():
    with pytest.raises(gm.InputError, match="jumps where"):
        gm.solve(
            gm.derive.refinement(gm.Problem(DATA, gm.losses.hinge(), gm.optimizers.gd())),
            {"alpha": 1.5, "eta": 1.0},
            steps=2,
            progress=False,
        )


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ({}, {"sizes": ()}, r"sizes = \(\)"),
        ({}, {"sizes": 600}, "sizes = 600"),
        ({}, {"sizes": (60, 60)}, "different integers"),
        ({}, {"rounds": 0}, "rounds = 0"),
        ({"alpha": 0.0}, {}, "alpha = 0.0"),
        ({}, {"steps": 50, "sizes": (40,)}, "exceeds min"),
    ],
)
def test_bad_arguments_are_named(values, options, message):
    with pytest.raises(gm.InputError, match=message):
        given = {"alpha": 1.5, "eta": 1.0, "ridge": 0.1, **values}
        gm.solve(gm.derive.refinement(LOGISTIC), given, **{"steps": 4, "progress": False, **options})
