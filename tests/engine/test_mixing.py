"""Anderson's mixing: a contraction's fixed point in fewer rounds."""

import jax.numpy as jnp
import numpy as np
import optimistix as optx

from gmsym.engine.mixing import Anderson


def test_a_slow_contraction_takes_few_rounds():
    """y -> cos of a coupled pair, and a linear map of slope .97, whose plain iteration takes 700 rounds to 1e-10."""
    slope = 0.97 * np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    slope = jnp.asarray((slope + slope.T) / 2)
    start = (jnp.ones(5), jnp.zeros(2))

    def step(y, _):
        return slope @ y[0] + 1.0, jnp.cos(y[1][::-1] * jnp.array([0.9, 1.1]))

    found = optx.fixed_point(step, Anderson(rtol=1e-10, atol=1e-10), start, max_steps=60)
    np.testing.assert_allclose(found.value[0], np.linalg.solve(np.eye(5) - slope, np.ones(5)), rtol=1e-8)
    np.testing.assert_allclose(step(found.value, None)[1], found.value[1], rtol=1e-9)
    assert int(found.stats["num_steps"]) < 40
