"""A wrong shape stops at the call, in every test run."""

import jax.numpy as jnp
import pytest
from jaxtyping import TypeCheckError

import gmsym as gm
from gmsym.engine import ode
from gmsym.runtime import causal_kernels


def test_a_wrong_shape_is_refused():
    assert causal_kernels.cluster_moments(jnp.ones((3, 2)), jnp.ones((3, 2, 2))).shape == (3, 5)
    with pytest.raises(TypeCheckError, match="Q_k"):
        causal_kernels.cluster_moments(jnp.ones((3, 2)), jnp.ones((4, 2, 2)))


def test_engines_are_checked_too():
    with pytest.raises(TypeCheckError, match="times"):
        ode.solve_ode(None, None, None, "now")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 512.0}, "samples = 512.0"),
        ({"seed": None}, "seed = None"),
        ({"scrambles": "2"}, "scrambles = '2'"),
        ({"rtol": "no"}, "rtol = 'no'"),
    ],
)
def test_users_are_answered_before(options, message):
    """What is no number reaches no engine: the verbs refuse it by its name."""
    problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.gd())
    with pytest.raises(gm.InputError, match=message):
        gm.solve(problem, {"alpha": 1.0, "sigma": 1.0, "mu_norm": 1.0, "eta": 0.1}, steps=2, **options)
