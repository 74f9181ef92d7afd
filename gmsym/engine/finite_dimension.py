"""Online SGD at a finite dimension, to order 1/d: means over runs and deviations of one run. Source: own, from theory.md 6.

The mean of the state is ubar + zeta/d, its covariance P/d; the generated module has what that makes of a function of the state. The
function's derivatives are taken from its values at 2 n + 1 points along the principal axes of P, which serves functions that are known
on fixed nodes with jumps as well. Cost: 2 n + 1 evaluations of the test loss and error a recorded time.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gmsym.engine.ode import observables
from gmsym.engine.sde import Fluctuations, unflat
from gmsym.errors import ComputationError
from gmsym.runtime.arguments import named
from gmsym.runtime.nodes import Nodes
from gmsym.runtime.ode import Numbers, State
from gmsym.runtime.sde import SdeModule

_REACH = 3.0  # squared distance of the points, in deviations: then they have the fourth moment of a Gaussian along each axis


class FiniteDimension(NamedTuple):
    """What finite d changes in the order parameters, by the names of `engine.ode.observables`."""

    shift: dict[str, np.ndarray]  # of the mean, to order 1/d
    deviation: dict[str, np.ndarray]  # standard deviation of one run, to order 1/sqrt(d)


def at_dimension(
    module: SdeModule, numbers: Numbers, start: State, found: Fluctuations, d: int, nodes: tuple[Nodes, ...]
) -> FiniteDimension:
    """Shifts and deviations at dimension d from fluctuations with their bias; `nodes` are those of the module's test loss and error.

    Raises:
        ComputationError: a value is not finite: d is too small for the expansion.
    """
    shift, deviation = _at(module, numbers, start, found.mean, found.bias, found.covariance, jnp.asarray(d, float), nodes)
    if not all(bool(jnp.isfinite(x).all()) for x in (*shift.values(), *deviation.values())):
        raise ComputationError(f"the expansion in 1/d is not finite at d = {d}; take d larger")
    return FiniteDimension({k: np.asarray(x) for k, x in shift.items()}, {k: np.asarray(x) for k, x in deviation.items()})


@eqx.filter_jit
def _at(module, numbers: Numbers, start: State, mean: Array, bias: Array, covariance: Array, d: Array, nodes) -> tuple[dict, dict]:
    size = mean.shape[1]

    def of_time(given):
        mean, bias, covariance = given
        values, vectors = jnp.linalg.eigh(named(module.square_of_root, {"P": covariance}))
        root, reach = vectors * jnp.sqrt(jnp.clip(values, 0)), jnp.sqrt(_REACH / d)
        centre, axes = mean + bias / d, reach * root.T
        points = jnp.concatenate([jnp.stack([mean, centre]), centre + axes, centre - axes])
        seen = observables(module, jax.vmap(lambda point: unflat(point, start))(points), numbers, nodes)

        def combined(f):
            limit, middle, above, below = (x.reshape(len(x), f[0].size) for x in (f[:1], f[1:2], f[2 : 2 + size], f[2 + size :]))
            arrays = {
                "d": d,
                "Df_zeta": d * (middle - limit)[0],
                "D2f_P": (above + below - 2 * middle).sum(axis=0) / reach**2,
                "Df_R": (above - below).T / (2 * reach),
            }
            variance = jnp.diagonal(named(module.variance, arrays))
            return named(module.shift, arrays).reshape(f.shape[1:]), jnp.sqrt(variance).reshape(f.shape[1:])

        return {name: combined(f) for name, f in seen.items()}

    found = jax.lax.map(of_time, (mean, bias, covariance))
    return {name: pair[0] for name, pair in found.items()}, {name: pair[1] for name, pair in found.items()}
