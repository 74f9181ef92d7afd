"""Quadrature nodes as data: exact moments, a variant with as many nodes, and the rate at which levels converge."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from gmsym.runtime import nodes

KINDS = [(1, "smooth"), (2, "smooth"), (3, "smooth"), (4, "smooth"), (5, "smooth"), (1, "rough"), (2, "rough")]


@pytest.mark.parametrize("variant", [0, 1])
@pytest.mark.parametrize(("dimension", "nature"), KINDS)
def test_a_rule_has_the_moments_of_the_normal_law(dimension, nature, variant):
    rule = nodes.rule(dimension, nature, 0, variant)
    assert rule.points.shape == (dimension, len(rule.weights)) and np.isclose(rule.weights.sum(), 1)
    exact = 1e-10 if nature == "smooth" and dimension <= 4 else 2e-3
    assert np.allclose(rule.points @ rule.weights, 0, atol=exact)
    assert np.allclose((rule.points * rule.weights) @ rule.points.T, np.eye(dimension), atol=exact)


@pytest.mark.parametrize(("dimension", "nature"), KINDS)
def test_the_variant_has_as_many_other_nodes(dimension, nature):
    one, other = (nodes.rule(dimension, nature, 0, variant) for variant in (0, 1))
    assert one.points.shape == other.points.shape and not np.allclose(one.points, other.points)


def test_sixteen_nodes_a_deviation_resolve_a_sigmoid():
    """E sigmoid(s z)^2 at s = 2, 20, 100: the rule of the level is right to 1e-9, two levels less is not."""
    for deviation in (2.0, 20.0, 100.0):
        level = nodes.level_of(deviation)
        values = []
        for chosen in (level, level + 3, max(0, level - 2)):
            rule = nodes.rule(1, "smooth", chosen)
            integrand = lambda z: (1 / (1 + jnp.exp(-z)) ** 2 + 0 * z,)  # noqa: E731
            values.append(float(nodes.gaussian_means(integrand, [0.3], [[deviation**2]], rule)[0]))
        assert abs(values[0] - values[1]) < 1e-9
        if level > 2:
            assert abs(values[2] - values[1]) > 1e-9


def test_several_means_share_the_nodes_and_singular_covariances_are_fine():
    rule = nodes.rule(2, "smooth", 0)
    found = nodes.gaussian_means(lambda u, v: (u * v, u - v, 1.0 + 0 * u), [1.0, 2.0], [[1.0, 1.0], [1.0, 1.0]], rule)
    assert np.allclose([float(x) for x in found], [3.0, -1.0, 1.0])


def test_levels_end_where_the_nodes_are_too_many():
    for dimension, nature in KINDS:
        last = nodes.largest_level(dimension, nature)
        assert len(nodes.rule(dimension, nature, last).weights) <= nodes.LARGEST
        assert nodes.rule(dimension, nature, last + 5) is not None and len(nodes.rule(dimension, nature, last + 5).weights) <= nodes.LARGEST


@pytest.mark.parametrize("variant", [0, 1])
def test_panels_across_lines_are_exact_to_rounding(variant):
    """Products of steps and of ramps of a centred pair, and a step across a slanted line; a line that is nowhere does nothing."""
    rule = nodes.rule(2, "kinked", 0, variant)
    s0, s1, rho = 1.3, 0.8, -0.6
    cov = [[s0**2, rho * s0 * s1], [rho * s0 * s1, s1**2]]
    found = nodes.gaussian_means_across(
        lambda x, y: (jnp.where((x > 0) & (y > 0), 1.0, 0.0), jnp.maximum(0, x) * jnp.maximum(0, y), jnp.where(x + 2 * y < 1, 1.0, 0.0)),
        [0.0, 0.0],
        cov,
        [0.0, 1.0],
        lambda x: [0.0, (1 - x) / 2, jnp.nan * x],
        rule,
    )
    ramps = s0 * s1 * (np.sqrt(1 - rho**2) + rho * (np.pi / 2 + np.arcsin(rho))) / (2 * np.pi)
    slanted = scipy.stats.norm.cdf(1 / np.sqrt(s0**2 + 4 * s1**2 + 4 * rho * s0 * s1))
    exact = 1 / 4 + np.arcsin(rho) / (2 * np.pi), ramps, slanted
    assert np.allclose([float(x) for x in found], exact, rtol=0, atol=1e-10)


def test_panels_across_lines_take_a_singular_covariance():
    rule = nodes.rule(2, "kinked", 0)
    found = nodes.gaussian_means_across(
        lambda x, y: (jnp.maximum(0, x) + y**2,), [0.0, 1.0], [[1.0, 2.0], [2.0, 4.0]], [0.0], lambda x: [0 * x], rule
    )
    assert np.isclose(float(found[0]), 1 / np.sqrt(2 * np.pi) + 5, atol=1e-10)


@pytest.mark.parametrize("variant", [0, 1])
def test_panels_between_kinks_are_exact_to_rounding(variant):
    """E max(0, z - a), P(z > b) and E z^2 have closed forms; a kink out of reach does nothing."""
    rule = nodes.rule(1, "kinked", 0, variant)
    assert np.isclose(rule.weights.sum(), 1) and rule.points.shape == (1, 64)
    mean, deviation = 0.3, 1.7
    found = nodes.gaussian_means_between(
        lambda z: (jnp.maximum(0, z - 0.5), jnp.where(z > -1.0, 1.0, 0.0), z**2), [mean], [[deviation**2]], [0.5, -1.0, 400.0], rule
    )
    t = (mean - 0.5) / deviation
    normal = scipy.stats.norm
    exact = (mean - 0.5) * normal.cdf(t) + deviation * normal.pdf(t), normal.cdf((mean + 1) / deviation), mean**2 + deviation**2
    assert np.allclose([float(x) for x in found], exact, rtol=0, atol=1e-12)
