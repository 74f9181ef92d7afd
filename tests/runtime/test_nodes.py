"""Quadrature nodes as data: exact moments, a variant with as many nodes, and the rate at which levels converge."""

import jax.numpy as jnp
import numpy as np
import pytest

from gmsym.runtime import nodes

KINDS = [(1, False), (2, False), (3, False), (4, False), (5, False), (1, True), (2, True)]


@pytest.mark.parametrize("variant", [0, 1])
@pytest.mark.parametrize(("dimension", "rough"), KINDS)
def test_a_rule_has_the_moments_of_the_normal_law(dimension, rough, variant):
    rule = nodes.rule(dimension, rough, 0, variant)
    assert rule.points.shape == (dimension, len(rule.weights)) and np.isclose(rule.weights.sum(), 1)
    exact = 1e-10 if not rough and dimension <= 4 else 2e-3
    assert np.allclose(rule.points @ rule.weights, 0, atol=exact)
    assert np.allclose((rule.points * rule.weights) @ rule.points.T, np.eye(dimension), atol=exact)


@pytest.mark.parametrize(("dimension", "rough"), KINDS)
def test_the_variant_has_as_many_other_nodes(dimension, rough):
    one, other = (nodes.rule(dimension, rough, 0, variant) for variant in (0, 1))
    assert one.points.shape == other.points.shape and not np.allclose(one.points, other.points)


def test_sixteen_nodes_a_deviation_resolve_a_sigmoid():
    """E sigmoid(s z)^2 at s = 2, 20, 100: the rule of the level is right to 1e-9, two levels less is not."""
    for deviation in (2.0, 20.0, 100.0):
        level = nodes.level_of(deviation)
        values = []
        for chosen in (level, level + 3, max(0, level - 2)):
            rule = nodes.rule(1, False, chosen)
            integrand = lambda z: (1 / (1 + jnp.exp(-z)) ** 2 + 0 * z,)  # noqa: E731
            values.append(float(nodes.gaussian_means(integrand, [0.3], [[deviation**2]], rule)[0]))
        assert abs(values[0] - values[1]) < 1e-9
        if level > 2:
            assert abs(values[2] - values[1]) > 1e-9


def test_several_means_share_the_nodes_and_singular_covariances_are_fine():
    rule = nodes.rule(2, False, 0)
    found = nodes.gaussian_means(lambda u, v: (u * v, u - v, 1.0 + 0 * u), [1.0, 2.0], [[1.0, 1.0], [1.0, 1.0]], rule)
    assert np.allclose([float(x) for x in found], [3.0, -1.0, 1.0])


def test_levels_end_where_the_nodes_are_too_many():
    for dimension, rough in KINDS:
        last = nodes.largest_level(dimension, rough)
        assert len(nodes.rule(dimension, rough, last).weights) <= nodes.LARGEST
        assert nodes.rule(dimension, rough, last + 5) is not None and len(nodes.rule(dimension, rough, last + 5).weights) <= nodes.LARGEST
