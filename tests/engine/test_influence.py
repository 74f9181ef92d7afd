"""The symbolic adjoint of the surrogate, against automatic differentiation of the weighted program in JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gmsym as gm
from gmsym import derive, pipeline
from gmsym.engine.draws import draws
from gmsym.engine.influence import influences
from gmsym.engine.recursion import run_program, unit_weights
from gmsym.pipeline.finite import design_numbers
from gmsym.runtime.frames import oriented

THREE = gm.Problem(
    gm.GaussianMixture(
        probabilities=[0.25, 0.25, 0.5],
        labels=[[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        means_gram=[[2.0, -0.3, -0.2], [-0.3, 2.2, -0.4], [-0.2, -0.4, 1.9]],
        fractions=[0.5, 0.5],
        variance=[[1, 0.5], [0.6, 1.2], [0.8, 0.8]],
    ),
    gm.losses.softmax(3),
    gm.optimizers.heavy_ball(),
)
ONE = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.gd())


@pytest.mark.parametrize(
    ("problem", "n", "d", "steps", "values"),
    [
        (ONE, 60, 50, 24, {"sigma": 1.0, "mu_norm": 1.2, "eta": 1.0, "ridge": 0.1}),
        pytest.param(THREE, 48, 40, 3, {"eta": 1.0, "momentum": 0.6, "ridge": 0.1}, marks=pytest.mark.slow),
    ],
    ids=["logistic", "softmax"],
)
def test_the_adjoint_is_the_derivative_of_the_weighted_program(problem, n, d, steps, values):
    """A random combination of all order parameters. In 24 steps vectors become nearly dependent; softmax has columns without a direction,
    since its gradients sum to zero."""
    system = derive.influence(problem)
    module, adjoint = pipeline.load(system.recursion), pipeline.load(system)
    design, key = design_numbers(problem.at(values), n, d), jax.random.key(1)
    rng = np.random.default_rng(0)

    @jax.jit
    def both(directions):
        gaussians = draws(design, key)

        def weighted(weights):
            order = run_program(module, design, steps, gaussians, weights=weights).order
            return sum(jnp.sum(directions[name] * value) for name, value in order.items())

        run = run_program(module, design, steps, gaussians, traced=True)
        means = oriented(gaussians.start(len(design.root)), design.sizes, design.root).T[module.FIELDS :]
        return jax.grad(weighted)(unit_weights(design)), influences(module, adjoint, design, means, run.trace, directions)

    K, C = module.CLUSTERS, module.FIELDS
    shapes = {"m": (steps, K, C), "Q": (steps, C, C), "Q_k": (steps, K, C, C), "train_loss": (steps,)}
    expected, found = both({name: jnp.asarray(rng.standard_normal(shape)) for name, shape in shapes.items()})
    exists = np.asarray(unit_weights(design).samples) > 0
    for one, other in ((expected.samples[exists], found.samples[exists]), (expected.coordinates, found.coordinates)):
        np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-7 * np.abs(one).max())
