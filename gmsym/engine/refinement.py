"""Iterative refinement of the limit towards the exact surrogate at finite size. Source: theory.md 1.3, Panahi 2026.

For given Gaussians the surrogate's scalars kappa are the fixed point of the empirical map Gamma_n, which is causal. Rounds start
from the limit's scalars. A Newton step solves (I - D Gamma_n) delta = Gamma_n(kappa) - kappa by forward substitution in time: with
the offsets e = kappa - Gamma_n(kappa) the coupled program reproduces kappa row by row, so one derivative of it in the direction
-e is the step, and no Jacobian of the O(T^2) scalars is formed.

Cost of a round and replicate: O((n + d) T^2 C^2 K), like the surrogate itself (Picard one program, Newton three). Three programs
are compiled for a size, whatever the numbers, the rounds and the replicates are.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gmsym.engine.draws import draws
from gmsym.engine.recursion import Scalars, check_steps, no_offsets, replicate_key, run_program
from gmsym.errors import ComputationError
from gmsym.runtime.checkpoint import Checkpoint
from gmsym.runtime.compiling import compiled
from gmsym.runtime.interrupt import in_pieces
from gmsym.runtime.recursion import Design, RecursionModule

_ORDERS = {"theta_gram": 0.0, "gradient_gram": 1.0, "m": 0.0, "asum": 0.0}  # powers of n; the other scalars are of order sqrt(n)


@compiled
def empirical_map(module: RecursionModule, design: Design, steps: int, key: Array, scalars: Scalars) -> Scalars:
    """Gamma_n(scalars): given them, samples and coordinates decouple; the scalars of the vectors that come out."""
    return run_program(module, design, steps, draws(design, key), offsets=scalars, coupled=False).empirical


@compiled
def exact_scalars(module: RecursionModule, design: Design, steps: int, key: Array) -> Scalars:
    """The fixed point of Gamma_n, which is the surrogate's own run."""
    return run_program(module, design, steps, draws(design, key), offsets=no_offsets(module, steps)).used


def newton_step(module: RecursionModule, design: Design, steps: int, key: Array, scalars: Scalars) -> Scalars:
    """scalars - (D Gamma_n - I)^{-1}(Gamma_n(scalars) - scalars)."""
    return _linearised(module, design, steps, key, scalars, empirical_map(module, design, steps, key, scalars))


@compiled
def _linearised(module: RecursionModule, design: Design, steps: int, key: Array, scalars: Scalars, mapped: Scalars) -> Scalars:
    """The step from scalars whose map is known."""
    residual = jax.tree.map(jnp.subtract, mapped, scalars)
    offsets = jax.tree.map(jnp.negative, residual)
    start, change = jax.jvp(lambda e: run_program(module, design, steps, draws(design, key), offsets=e).used, (offsets,), (residual,))
    return jax.tree.map(jnp.add, start, change)


def limit_scalars(
    module: RecursionModule, design: Design, steps: int, *, replicates: int, seed: int, checkpoint: Checkpoint | None = None
) -> Scalars:
    """Scalars of the limit divided by their order, as means of the surrogate's own at the large size of `design`, whose runs are kept.

    phi and psi are 0; the others err by O(1/n) and by O(1/sqrt(n replicates)).
    """
    total = no_offsets(module, steps)

    def compute(index: int) -> dict[str, np.ndarray]:
        return jax.tree.map(np.asarray, exact_scalars(module, design, steps, replicate_key(seed, index))._asdict())

    for scalars in in_pieces(compute, [1] * replicates, "runs of the limit", checkpoint=checkpoint):
        total = jax.tree.map(jnp.add, total, Scalars(**scalars))
    mean = jax.tree.map(lambda x: x / replicates, total)
    return _scaled(mean, sum(design.counts), -1)._replace(phi=jnp.zeros_like(mean.phi), psi=jnp.zeros_like(mean.psi))


def refinement_errors(
    module: RecursionModule,
    design: Design,
    start: Scalars,
    *,
    steps: int,
    rounds: int,
    method: Literal["picard", "newton"],
    replicates: int,
    seed: int,
    checkpoint: Checkpoint | None = None,
    report: Callable[[float], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Distance in Q_k(t, s) and m to the exact surrogate after 0, 1, ... rounds, (R, rounds + 1), and what each moved, (R, rounds).

    Args:
        module, design: the program and its numbers.
        start: scalars of the limit from `limit_scalars`.
        steps, rounds, replicates, seed: T; rounds; independent draws of all Gaussians; their seed.
        method: a step of Picard is Gamma_n, a step of Newton solves the linearised equation.
        checkpoint: keeps finished replicates.
        report: called with the completed fraction.

    Raises:
        InputError: more steps than directions.
        ComputationError: training diverges, or a round left the domain of the map (a Gram matrix is not positive semidefinite).
    """
    check_steps(design, steps)
    advance = {"picard": empirical_map, "newton": newton_step}[method]

    first = _scaled(start, sum(design.counts), 1)

    def compute(index: int) -> dict[str, np.ndarray]:
        exact, scalars = exact_scalars(module, design, steps, replicate_key(seed, index)), first
        if not all(np.isfinite(x).all() for x in exact):
            raise ComputationError(f"training diverges within {steps} steps, or its iterates are collinear to rounding; take steps smaller")
        found, moved = [_distance(scalars, exact)], []
        for _ in range(rounds):
            former, scalars = scalars, advance(module, design, steps, replicate_key(seed, index), scalars)
            found.append(_distance(scalars, exact))
            moved.append(_distance(scalars, former))
        row = np.asarray(found)
        if not np.isfinite(row).all():
            raise ComputationError(f"{method} refinement left the domain of the map at replicate {index}: errors {row}; take n larger")
        return {"error": row, "moved": np.asarray(moved)}

    pieces = list(in_pieces(compute, [1] * replicates, "replicates", checkpoint=checkpoint, report=report))
    return np.stack([piece["error"] for piece in pieces]), np.stack([piece["moved"] for piece in pieces])


def _scaled(scalars: Scalars, n: int, power: int) -> Scalars:
    """Each scalar times n to `power` times its order."""
    factors = {name: float(n) ** (power * _ORDERS.get(name, 0.5)) for name in Scalars._fields}
    return Scalars(**{name: factors[name] * value for name, value in scalars._asdict().items()})


def _distance(first: Scalars, second: Scalars) -> Array:
    """Square root of the mean squares of Q_k(t, s), s <= t, and of m together."""
    steps, clusters, fields = first.m.shape
    entries = {"theta_gram": clusters * fields * fields * steps * (steps + 1) / 2, "m": first.m.size}  # later slots are zero
    return jnp.sqrt(sum(jnp.sum((getattr(first, name) - getattr(second, name)) ** 2) / count for name, count in entries.items()))
