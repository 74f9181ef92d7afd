"""The displayed equations of online SGD, read literally (tests/literal.py), are what the solver integrates."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gmsym as gm
from gmsym import derive, pipeline
from gmsym.engine import sde as engine
from gmsym.pipeline.effective import arrays
from gmsym.runtime import nodes
from tests.literal import Reading

MEANS = [[1.0, -0.3], [-0.3, 0.8]]
COLUMNS = gm.Problem(
    gm.GaussianMixture(probabilities=[0.4, 0.6], labels=[1, -1], means_gram=MEANS, variance=[0.7, 1.3]),
    gm.Loss("columns", gm.parse("(h0 - y)**2/2 + (h0 + h1/2 - y)**2/4")),
    gm.optimizers.gd(),
    sampling=gm.sampling.online(),
    norm2=[[1.1, 0.2], [0.2, 0.9]],
    overlap=[[0.3, 0.1], [-0.2, 0.4]],
)
BLOCKS = gm.Problem(
    gm.GaussianMixture(
        probabilities=[0.4, 0.6], labels=[1, -1], means_gram=MEANS, variance=[[0.5, 1.5], [0.8, 1.2]], fractions=[0.25, 0.75]
    ),
    gm.Loss("taught", gm.parse("(h - t0 - y/2)**2/2")),
    gm.optimizers.gd(),
    sampling=gm.sampling.online(),
    overlap=[0.3, -0.2],
    teacher=gm.Teacher([[1]], overlap=[0.3], means_overlap=[[0.4, -0.2]]),
)


def differences(f, x):
    """(jacobian, second derivatives) of a quadratic function, by differences that are exact for it; Gram matrices stay positive."""
    step = 1 / 32
    e = step * np.eye(len(x))
    first = np.stack([(f(x + a) - f(x - a)) / (2 * step) for a in e], axis=1)
    second = [[(f(x + a + b) - f(x + a - b) - f(x - a + b) + f(x - a - b)) / (2 * step) ** 2 for b in e] for a in e]
    return first, np.moveaxis(np.array(second), 2, 0)


@pytest.mark.slow
@pytest.mark.parametrize("problem", [COLUMNS, pytest.param(BLOCKS, marks=pytest.mark.exhaustive)], ids=["columns", "blocks"])
def test_the_law_of_the_fluctuation_is_the_one_displayed(problem):
    """Two fields, two clusters; one field, two blocks and a teacher: drift, volatility and all rates, to 1e-11."""
    system, step = derive.fluctuations(problem), 0.8
    module, (numbers, start) = pipeline.load(system), arrays(problem.at({"eta": step, "ridge": 0.1}))
    given = {
        "p": numbers.probabilities,
        "sigma2": np.asarray(numbers.sigma2).reshape(2, -1),
        "rate": lambda t: 1.0,
        "c": step,
        "c_v": numbers.trained_step,
        "beta": numbers.ridge,
        "beta_v": numbers.trained_ridge,
        "d": 50.0,
    }
    given |= {name: getattr(numbers, name) for name in ("rho", "gram", "tau_gram", "tau_mean", "labels")}
    reading, x = Reading(system, given), np.asarray(engine.flat(start))
    size, rng = len(x), np.random.default_rng(0)
    root, zeta, C = rng.standard_normal((size, size)), rng.standard_normal(size), rng.standard_normal((size, size))
    DF, D2F = differences(reading.drift, x)
    known = {"DF": DF, "D2F": D2F, "P": root @ root.T, "zeta": zeta, "C": C, "dF": DF @ reading.drift(x)}
    read = reading.fluctuation(x, known)
    field, rule = engine.Drift(module, numbers, start, ()), nodes.rule(*module.SAMPLE_NODES, 1)
    y = tuple(map(jnp.asarray, (x, known["P"], zeta, C)))
    F, dP, dzeta, dC = jax.jit(partial(engine.slopes, field, rule, True))(jnp.asarray(0.0), y)
    Sigma = engine.moments(module, jnp.asarray(0.0), start, numbers, rule).volatility
    for name, value in (("F", F), ("Sigma", Sigma), ("dP/dt", dP), ("dzeta/dt", dzeta), ("dC/dt", dC)):
        np.testing.assert_allclose(value, read[name], rtol=1e-11, atol=1e-11 * np.abs(read[name]).max(), err_msg=name)
