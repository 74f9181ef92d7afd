"""Mean square error of a network over the population, given its layers: no test samples, so no noise of them.

Preactivations of a sample of a cluster are Gaussian together with its projection on the target's direction. Products of two functions of
Gaussian variables are Mehler's series in their correlation, with Hermite coefficients by the trapezoid rule; a feature's own square is
exact.

Shapes: C clusters, k neurons, n input dimensions of which the first q are the frame. Source: Mehler 1866; theory.md 8.
"""

from collections.abc import Callable
from math import factorial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_TERMS = 24  # of the series: ten miss .4% of the error of ReLU where theta = n, 18 differ by 2e-4
_GRID = 2001  # points of the trapezoid rule
_REACH = 8.5
_FINE = 16001  # for the target


class Target(NamedTuple):
    """Of the target in each cluster; x is the standardised projection on its direction."""

    coefficients: jax.Array  # E He_p(x) y/p!, (C, P)
    square: jax.Array  # E y^2, noise included, (C,)
    spread: jax.Array  # deviation of the projection, (C,)


def target_moments(code: Any, numbers: Any) -> Target:
    """Of the printed target; numbers are those of a network's simulation."""
    xi, spikes = jnp.asarray(numbers.direction), jnp.asarray(numbers.spikes)
    spread = jnp.sqrt(xi @ xi + numbers.spread * (spikes @ xi) ** 2)
    x, weights = _rule(_FINE)
    t = (jnp.asarray(numbers.means) @ xi)[:, None] + spread[:, None] * x
    y = jnp.stack(
        [
            jnp.broadcast_to(jnp.asarray(code.target(row, label, numbers.parameters), float), row.shape)
            for row, label in zip(t, jnp.asarray(numbers.labels), strict=True)
        ]
    )
    return Target((y * weights) @ _polynomials(x).T, y**2 @ weights + numbers.noise**2, spread)


def error(
    features: Callable[[jax.Array], jax.Array], noise: jax.Array | float, F: jax.Array, w: jax.Array, numbers: Any, target: Target
) -> jax.Array:
    """E (y - w^T phi)^2 for the features phi = features(F x), with independent noise of that variance on each.

    Args:
        features: element by element.
        noise: variance added to each feature.
        F: first layer, (k, n).
        w: second layer, (k,).
        numbers: of the network's simulation.
        target: of its target.
    """
    spikes, means, xi = (jnp.asarray(x) for x in (numbers.spikes, numbers.means, numbers.direction))
    within, gram = F[:, : spikes.shape[1]], F @ F.T
    x, weights = _rule(_GRID)
    basis = (_polynomials(x) * weights).T
    total, factorials = 0.0, jnp.asarray([float(factorial(p)) for p in range(_TERMS + 1)])
    for c in range(len(numbers.probabilities)):
        along = within @ spikes[c]
        preactivation = gram + numbers.spread * jnp.outer(along, along)
        deviation = jnp.sqrt(jnp.diag(preactivation))
        values = features((within @ means[c])[:, None] + deviation[:, None] * x)  # (k, grid)
        h = values @ basis  # (k, P)
        own = values**2 @ weights + noise
        r = preactivation / jnp.outer(deviation, deviation)
        to_target = (within @ xi + numbers.spread * along * (spikes[c] @ xi)) / (
            deviation * jnp.where(target.spread[c] > 0, target.spread[c], 1.0)
        )

        def with_term(p, sums, h=h, r=r, to_target=to_target, coefficients=target.coefficients[c]):
            second, square, overlap, power, along_target = sums
            weighted = w * h[:, p]
            second += factorials[p] * weighted @ (power @ weighted)
            square += factorials[p] * jnp.sum(weighted**2)
            overlap += factorials[p] * coefficients[p] * (weighted @ along_target)
            return second, square, overlap, power * r, along_target * to_target

        none = jnp.zeros((), r.dtype)
        first = none, none, none, jnp.ones_like(r), jnp.ones_like(to_target)
        second, square, overlap, *_ = jax.lax.fori_loop(0, _TERMS + 1, with_term, first)
        second += jnp.sum(w**2 * own) - square  # a feature's own square is exact, not its series
        total += numbers.probabilities[c] * (target.square[c] - 2 * overlap + second)
    return total


def _rule(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Trapezoid rule for N(0, 1)."""
    x = np.linspace(-_REACH, _REACH, count)
    weights = np.exp(-(x**2) / 2)
    return x, weights / weights.sum()


def _polynomials(x: np.ndarray) -> np.ndarray:
    """He_p(x)/p!, (P, points)."""
    return np.stack([np.polynomial.hermite_e.hermeval(x, [0] * p + [1]) / factorial(p) for p in range(_TERMS + 1)])
