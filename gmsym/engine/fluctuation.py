"""Fluctuations of training at finite size without sampling it: influence functions of the surrogate. Source: theory.md 1.3, Panahi 2026.

The surrogate couples its samples and coordinates through sums over them alone. Give each a weight: the derivative of an order
parameter in the weight of one of them is its influence, propagated through all later steps (the sum over rounds of
(I - D Gamma)^{-1} and the single coordinate's own moments at once), and one reverse sweep finds all of them. Samples of a cluster are
independent, so n Var(y) is the variance of the influence over a cluster, summed over clusters; coordinates likewise, after
what the exact Gram matrix of (Theta_0, means) fixes is projected off.

Cost of a population of N samples: O(P N T^2 C^2 K) time for P outputs, O(N T^{3/2} C K) memory an output in a chunk.
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from gmsym.engine.recursion import Weights, run_program, test_performance, unit_weights
from gmsym.errors import ComputationError
from gmsym.runtime.frames import oriented
from gmsym.runtime.recursion import Design, RecursionModule

_CHUNK = 8  # outputs in one reverse sweep


def relative_variances(
    module: RecursionModule, design: Design, *, times: Sequence[int], key: Array
) -> dict[str, Float[np.ndarray, "t ..."]]:
    """n Var(y) of each order parameter, train loss, test loss and test error at `times`, from one population of the design's size.

    Raises:
        ComputationError: the population diverged.
    """
    steps, chosen = max(times) + 1, jnp.asarray(times)
    weights = unit_weights(design)

    def outputs(weights: Weights) -> dict[str, Array]:
        order = run_program(module, design, steps, key, weights=weights).order
        order = {name: value[chosen] for name, value in order.items()}
        return order | test_performance(module, design, order["m"], order["Q_k"])

    @eqx.filter_jit
    def variances(weights: Weights) -> tuple[dict[str, Array], dict[str, Array]]:
        values, pullback = jax.vjp(outputs, weights)
        flat, restore = ravel_pytree(values)
        sources = jnp.eye(len(flat))
        found = jax.lax.map(lambda source: _variance(design, key, pullback(restore(source))[0]), sources, batch_size=_CHUNK)
        return values, restore(sum(design.counts) * found)

    values, found = variances(weights)
    for name, value in found.items():
        if not (np.isfinite(value).all() and np.isfinite(values[name]).all()):
            raise ComputationError(f"the fluctuation of {name} is not finite within {steps} steps: training diverges, or nearly so")
    return {name: np.asarray(value) for name, value in found.items()}


def _variance(design: Design, key: Array, influence: Weights) -> Array:
    """Variance of a sum of independent influences, given cluster sizes and the Gram matrix of the start in each block."""
    total = jnp.zeros(())
    for count, row in zip(design.counts, influence.samples, strict=True):
        total += count * jnp.var(row[:count])
    start = jax.random.normal(jax.random.split(key)[0], (sum(design.sizes), len(design.root)))
    frame = oriented(start, design.sizes, np.eye(len(design.root)))
    pairs = np.triu_indices(len(design.root))
    ends = np.cumsum(design.sizes)
    for size, end in zip(design.sizes, ends, strict=True):
        block = frame[end - size : end]
        known = jnp.concatenate([jnp.ones((size, 1)), block[:, pairs[0]] * block[:, pairs[1]]], axis=1)
        values = influence.coordinates[end - size : end]
        rest = values - known @ jnp.linalg.lstsq(known, values)[0]
        total += jnp.sum(rest**2)
    return total
