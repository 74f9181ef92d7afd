"""Level A: errors at given first-layer weights, by matrices of the width of the network. Source: theory.md 8.

Shapes: C clusters, k neurons, n input dimensions of which the first q0 are the frame of spikes, means and target. Time O(k^3), a few
seconds at k = 1000. All equations are those of the generated module.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from gmsym.engine.fixed_point import Solution
from gmsym.engine.law import conditional_at, sizes_of
from gmsym.errors import ComputationError
from gmsym.runtime.fixed_point import FixedPointModule, Numbers
from gmsym.runtime.nodes import gauss_between

_NODES = 48  # of an interval between kinks of the target
_ACCURATE, _ROUNDS = 1e-9, 40


class Features(NamedTuple):
    """Moments of the features of each cluster."""

    second: np.ndarray  # S_c, (C, k, k)
    overlap: np.ndarray  # r_c, (C, k)
    square: np.ndarray  # t_c, (C,)


def solve_given_weights(module: FixedPointModule, numbers: Numbers, weights: np.ndarray, start: Solution) -> Solution:
    """Errors at level A; spikes and degrees stay those of level B+.

    Args:
        module: generated.
        numbers: of the network and its data.
        weights: the first layer after its step, (k, n), the frame's coordinates first.
        start: the solution at level B+, near which the leverages are.

    Raises:
        ComputationError: the leverages do not converge.
    """
    found = _features(module, numbers, weights)
    clusters = len(numbers.labels)
    sizes = sizes_of(numbers, 0)
    d = np.full(clusters, start.effective_ridge / numbers.ridge - 1)
    for _ in range(_ROUNDS):
        share = np.asarray(module.share(numbers.probabilities, d))
        resolvent = module.resolvent(numbers.ridge, share, found.second)
        reduced = [module.reduced(S, resolvent) for S in found.second]
        V = np.array([[float(module.second_order(a, b, sizes["m"])) for b in reduced] for a in reduced])
        slope = np.stack([np.asarray(module.cluster_error(0.0, V, share, d, e)) for e in np.eye(clusters)], axis=1)
        new = np.array([float(module.cluster_leverage(P, sizes["m"])) for P in reduced])
        if np.abs(new / d - 1).max() <= _ACCURATE:
            break
        d = d + np.linalg.solve(np.eye(clusters) - slope, new - d)  # Newton: the errors' equation has the slope of the leverages'
    else:
        raise ComputationError(f"level A: leverages do not converge at ridge = {numbers.ridge * numbers.n:g}; take a larger ridge")
    layer = module.weights_mean(resolvent, share, found.overlap)
    bias = np.array([float(module.bias(t, r, layer, S)) for t, r, S in zip(found.square, found.overlap, found.second, strict=True)])
    apart = np.asarray(module.cluster_error(bias, V, share, d, np.zeros(clusters)))
    own = np.linalg.solve(np.eye(clusters) - slope, apart)
    arrays = (numbers.probabilities, share, d, found.square, found.overlap, layer, own)
    objective, training, test = (float(x) for x in module.given_errors(*arrays))
    return start._replace(objective=objective, train_mse=training, test_mse=test, test_error=np.nan)


def _features(module: FixedPointModule, numbers: Numbers, weights: np.ndarray) -> Features:
    within = weights[:, : len(numbers.direction)]
    gram = weights @ weights.T
    parts = [_cluster(module, numbers, c, within, gram) for c in range(len(numbers.labels))]
    return Features(*(np.stack(arrays) for arrays in zip(*parts, strict=True)))


def _cluster(module: FixedPointModule, numbers: Numbers, c: int, within: np.ndarray, gram: np.ndarray) -> tuple:
    """(S_c, r_c, t_c)."""
    xi, mean, covariance = numbers.direction, numbers.means[c], numbers.covariances[c]
    k = float(len(gram))
    spread = float(np.sqrt(xi @ covariance @ xi))
    preactivation = gram + within @ (covariance - np.eye(len(xi))) @ within.T
    deviation = np.sqrt(np.diag(preactivation))
    *h, energy = conditional_at(module, numbers, within @ mean, deviation)
    pairs = preactivation / np.outer(deviation, deviation)
    second = np.array(module.feature_pair(pairs, k, *(x[:, None] for x in h), *(x[None, :] for x in h)))
    np.fill_diagonal(second, np.asarray(module.feature_square(energy, k)))
    centre = float(xi @ mean)
    nodes = gauss_between(tuple((x - centre) / spread for x in numbers.target_kinks[c]) if spread > 0 else (), _NODES)
    x, weights = nodes.points[0], nodes.weights
    labels = np.full(len(x), numbers.labels[c])
    y = np.broadcast_to(np.asarray(module.target(jnp.asarray(centre + spread * x), jnp.asarray(labels), numbers.parameters))[0], x.shape)
    along = within @ (covariance @ xi) / (deviation * spread) if spread > 0 else np.zeros(len(gram))
    g = [np.asarray(e) for e in module.target_coefficients(weights, x, y)]
    overlap = np.asarray(module.target_overlap(along, k, *h, *g))
    return second, overlap, float(module.cluster_square(weights, y, numbers.noise))
