"""Fluctuations and bias of training at finite size, around its limit. Source: theory.md 1.3, Panahi 2026 (arXiv 2603.09310).

The surrogate couples its samples and coordinates through sums over them alone. Give each a weight: the derivative of an order
parameter in the weight of one of them is its influence, propagated through all later steps (the sum over rounds of
(I - D Gamma)^{-1} and the single coordinate's own moments at once), and one reverse sweep of the generated adjoint finds all of them
(engine/influence.py). Samples of a cluster are independent, and so are coordinates, after what the exact Gram matrix of (Theta_0, means)
fixes is projected off; the generated variance adds them up.

The bias 1/n is what the surrogate on the samples and coordinates of two runs together differs by from the mean of the two: the
fluctuations of first order cancel draw by draw.

Cost of a population of N samples: O(P N T^2 C^2 K) time for P outputs, O(N T C K) memory an output in a chunk.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from gmsym.engine.draws import Draws, draws, union
from gmsym.engine.influence import influences
from gmsym.engine.recursion import Weights, replicate_key, run_program, test_performance, unit_weights
from gmsym.errors import ComputationError, InputError
from gmsym.runtime.arguments import named
from gmsym.runtime.causal_kernels import observables
from gmsym.runtime.checkpoint import Checkpoint
from gmsym.runtime.compiling import compiled
from gmsym.runtime.frames import oriented
from gmsym.runtime.influence import InfluenceModule
from gmsym.runtime.interrupt import in_pieces
from gmsym.runtime.recursion import Design, RecursionModule

_CHUNK = 8  # outputs in one reverse sweep


class Doubling(NamedTuple):
    """Replicates of curves at the size of a design and at twice that size, each pair of replicates r sharing its Gaussians."""

    single: dict[str, np.ndarray]  # mean of the two runs, (R, t, ...)
    double: dict[str, np.ndarray]  # the run on both together


def double_runs(
    module: RecursionModule,
    design: Design,
    *,
    times: Sequence[int] | np.ndarray,
    replicates: int,
    seed: int,
    checkpoint: Checkpoint | None = None,
    report: Callable[[float], None] | None = None,
) -> Doubling:
    """Curves at `times` of pairs of surrogate runs and of their unions; finished pairs are kept in the checkpoint.

    Raises:
        ComputationError: a run diverged.
    """
    steps, chosen = max(times) + 1, np.asarray(times)

    def compute(index: int) -> dict[str, np.ndarray]:
        found = {}
        for size, runs in _pair(module, design, steps, chosen, replicate_key(seed, index))._asdict().items():
            for name, value in runs.items():
                if not np.isfinite(value).all():
                    raise ComputationError(f"the surrogate diverged: {name} is not finite within {steps} steps")
                found[f"{size} {name}"] = np.asarray(value)
        return found

    found = in_pieces(compute, [1] * replicates, "pairs of runs", checkpoint=checkpoint, report=report)
    stacked = {name: np.stack([piece[name] for piece in found]) for name in found[0]}
    return Doubling(
        *({name.removeprefix(f"{size} "): x for name, x in stacked.items() if name.startswith(size)} for size in Doubling._fields)
    )


@compiled
def _pair(module: RecursionModule, design: Design, steps: int, times: Array, key: Array) -> Doubling:
    """Two runs, their mean, and the run on both together."""

    def curves(design: Design, gaussians: Draws) -> dict[str, Array]:
        return _curves(module, design, run_program(module, design, steps, gaussians).order, times)

    parts = jax.random.split(key)
    runs = jax.vmap(lambda part: curves(design, draws(design, part)))(parts)
    return Doubling(jax.tree.map(lambda x: x.mean(axis=0), runs), curves(*union(design, tuple(parts))))


def _curves(module: RecursionModule, design: Design, order: dict[str, Array], times: Array) -> dict[str, Array]:
    """Order parameters, train loss and what follows from them; not observables over the training samples, of which there is no adjoint."""
    left_out = {f"train_{name}" for name in observables(module)}
    order = {name: value[times] for name, value in order.items() if name not in left_out}
    return order | test_performance(module, design, order["m"], order["Q_k"])


def relative_variances(
    module: RecursionModule,
    adjoint: InfluenceModule,
    design: Design,
    *,
    times: Sequence[int] | np.ndarray,
    populations: int,
    seed: int,
    checkpoint: Checkpoint | None = None,
    report: Callable[[float], None] | None = None,
) -> dict[str, Float[np.ndarray, "r t ..."]]:
    """n Var(y) of each order parameter, train loss, test loss and test error at `times`, from each of R populations of the design's size.

    Finished populations are kept in the checkpoint.

    Raises:
        InputError: a cluster or a block too small for a variance.
        ComputationError: a population diverged.
    """
    if min(design.counts) < 2 or min(design.sizes) <= constraints(design):
        raise InputError(
            f"population of {sum(design.counts)} samples, {sum(design.sizes)} coordinates: a cluster has {min(design.counts)}, a block "
            f"{min(design.sizes)}; at least 2 and {constraints(design) + 1} are needed; take population larger"
        )
    steps, chosen = max(times) + 1, np.asarray(times)

    def compute(index: int) -> dict[str, np.ndarray]:
        found = jax.tree.map(np.asarray, _variances(module, adjoint, design, steps, chosen, replicate_key(seed, index)))
        for name, value in found.items():
            if not np.isfinite(value).all():
                raise ComputationError(f"the fluctuation of {name} is not finite within {steps} steps: training diverges, or nearly so")
        return found

    parts = in_pieces(compute, [1] * populations, "populations", checkpoint=checkpoint, report=report)
    return jax.tree.map(lambda *x: np.stack(x), *parts)


@compiled
def _variances(module: RecursionModule, adjoint: InfluenceModule, design: Design, steps: int, times: Array, key: Array) -> dict[str, Array]:
    """Those of one population."""
    gaussians = draws(design, key)
    run = run_program(module, design, steps, gaussians, traced=True)
    frame = oriented(gaussians.start(len(design.root)), design.sizes, np.eye(len(design.root)))
    means = oriented(gaussians.start(len(design.root)), design.sizes, design.root).T[module.FIELDS :]
    values, pullback = jax.vjp(lambda order: _curves(module, design, order, times), run.order)
    flat, restore = ravel_pytree(values)

    def variance(source: Array) -> Array:
        (order_bar,) = pullback(restore(source))
        return _variance(adjoint, design, frame, influences(module, adjoint, design, means, run.trace, order_bar))

    found = jax.lax.map(variance, jnp.eye(len(flat)), batch_size=_CHUNK)
    return restore(jnp.where(jnp.isfinite(flat), found, jnp.nan))


def constraints(design: Design) -> int:
    """How many moments of a block of coordinates the exact Gram matrix of the start fixes, the mean counted in."""
    rank = len(design.root)
    return 1 + rank * (rank + 1) // 2


def _variance(adjoint: InfluenceModule, design: Design, frame: Array, influence: Weights) -> Array:
    """n times the unbiased variance of a sum of independent influences, given cluster sizes and the Gram matrix of the start in each block.

    Args:
        frame: orthonormal directions of the start, (d, rank).
    """
    arrays = {"counts": jnp.asarray(design.counts, float), "exists": unit_weights(design).samples, "total": sum(design.counts)}
    of_samples = named(adjoint.variance_of_samples, arrays | {"influence": influence.samples})
    pairs = np.triu_indices(len(design.root))
    of_blocks = jnp.zeros(())
    for size, end in zip(design.sizes, np.cumsum(design.sizes), strict=True):
        block, values = frame[end - size : end], influence.coordinates[end - size : end]
        known = jnp.concatenate([jnp.ones((size, 1)), block[:, pairs[0]] * block[:, pairs[1]]], axis=1)
        of_block = {"known": known, "fit": jnp.linalg.lstsq(known, values)[0], "influence_x": values}
        of_blocks += named(adjoint.variance_of_coordinates, of_block | {"size": size, "fixed": constraints(design)})
    return named(adjoint.variance, arrays | {"of_samples": of_samples, "of_blocks": of_blocks})
