"""The solved transform against the polynomial P(S, z) that the derivation has for an A with finitely many values."""

import jax
import jax.numpy as jnp
import numpy as np

from gmsym.errors import ComputationError
from gmsym.runtime.spectral import Numbers, SpectralModule

_LARGEST = 1e-8  # away from the axis; other nodes than panels that end at the kinks would leave more


def deviation(module: SpectralModule, numbers: Numbers, z: np.ndarray, s: np.ndarray) -> float:
    """Largest relative change of S, (P,), by a step of Newton's method on P(S, z) = 0; in the units of the matrix.

    Raises:
        ComputationError: the two disagree.
    """
    gram, columns = numbers.grams.sum(0), len(module.COLUMNS)
    seen = np.asarray(module.DIRECTIONS, dtype=float).reshape(columns, -1)
    means = gram[columns : columns + len(numbers.labels), :columns] @ seen
    Q = seen.T @ gram[:columns, :columns] @ seen
    q = module.probabilities(means[:, 0], Q[0, 0], numbers.named) if seen.size else ()

    def at(x: jax.Array) -> jax.Array:
        return module.closed_form(z, x, numbers.alpha, q, numbers.named)

    value, slope = jax.jvp(at, (jnp.asarray(s),), (jnp.ones_like(s),))
    worst = float(np.abs(np.asarray(value / slope) / s).max())
    if not worst < _LARGEST:
        raise ComputationError(f"the Stieltjes transform misses its closed form by {worst:.2g}, relatively")
    return worst
