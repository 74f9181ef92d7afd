"""Level C of one gradient step: the tables behind its features."""

import numpy as np
import pytest
from scipy.stats import norm

import gmsym as gm
from gmsym.engine.law import Law
from gmsym.engine.two_sided import Neurons, _features
from gmsym.pipeline._stages import load
from gmsym.pipeline.one_step import _numbers


def test_features_are_resolved_where_preactivations_have_large_means():
    """ReLU, means of up to 40 deviations, as where theta = n: M, C_1 and C_s in closed form."""
    problem = gm.OneStep(gm.parse("max(z, 0)"))
    given = problem.at({"n": 1000, "samples": 1000, "width": 1000, "ridge": 0.1, "beta": 1.0, "alpha": 0.0})
    law = Law(np.linspace(-1, 1, 101)[None], np.where(np.arange(101) % 2, 0.04, -0.04), np.ones(101), np.zeros(101))
    neurons = Neurons(np.ones(3), np.array([[0.5, 5.0, 28.0]]), np.array([1.0, 1.0, 1.01]))
    found = _features(load(gm.derive.one_step(problem)), _numbers(problem, given), law, neurons)
    deviation = np.sqrt(neurons.stretch[:, None] * (1 + law.chi) * 999 / given.trace)
    c = neurons.A.T @ law.kappa
    above, density = norm.cdf(c / deviation), norm.pdf(c / deviation)
    mean, linear = c * above + deviation * density, deviation * above
    rest = (c**2 + deviation**2) * above + c * deviation * density - mean**2 - linear**2
    for value, exact in zip(found, (mean, linear, rest), strict=True):
        np.testing.assert_allclose(value, exact, atol=2e-5)


@pytest.mark.slow
def test_neurons_have_as_many_nodes_as_strong_spikes_ask_for():
    """ReLU, t + (t^2 - 1)/2, theta = n, beside an independent NumPy solution of the same equations on finer nodes.

    Halves of the errors at 3 x 26 x 26 nodes of neurons; 3 x 16 x 16 change them by 1e-3, and six a direction by 5%.
    """
    problem = gm.OneStep(gm.parse("max(z, 0)"), gm.parse("t0 + (t0**2 - 1)/2"))
    values = {"n": 1000, "samples": 1000, "width": 1000, "ridge": 0.1, "beta": 1.0, "alpha": 0.0}
    found = gm.solve(problem, values, level="C")
    for name, value in (("train_mse", 0.010123), ("objective", 0.021024), ("test_mse", 0.038704)):
        assert float(found[name]) / 2 == pytest.approx(value, rel=2e-3)
        assert float(found[f"{name}_numerical"]) < 1e-3 * float(found[name])
