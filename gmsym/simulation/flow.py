"""Gradient flow on generated data, integrated adaptively by diffrax. Source: theory.md 0 and 4."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from gmsym import runtime, schema
from gmsym.errors import ComputationError, check_integers
from gmsym.problem import Problem
from gmsym.problem.design import design, instance_of_size, stated
from gmsym.runtime.batches import together
from gmsym.runtime.checkpoint import Checkpoint
from gmsym.simulation._replicates import Program, run_replicates
from gmsym.simulation.data import beside, generate, numbers_of
from gmsym.simulation.fresh import fresh_fields, held, per_shift
from gmsym.simulation.training import observing, source

_TOLERANCE = 1e-7  # of a step, relative and absolute: far below the spread of replicates
_MOST_STEPS = 2**18
_EVALUATIONS = 100  # of the gradient between two records, for chunks of a second
_SECONDS = 5e-10  # of a multiplication and an addition
_LARGEST_NORM2 = 1e12


def integrate(
    problem: Problem,
    values: Mapping[str, float],
    *,
    n: int,
    d: int,
    times: np.ndarray,
    replicates: int = 8,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    report: Callable[[float], None] | None = None,
) -> xr.Dataset:
    """Integrates `replicates` times on fresh data from a freshly oriented initial state, by Tsitouras' method of order 5 with a tolerance
    of 1e-7 a step. Arguments, result and cost: as `simulation.train`, with real `times` (N,) from 0 in place of steps.

    Raises:
        InputError: a number out of range; a cluster without samples; a block too small.
        ComputationError: the flow diverged, or its solver did not arrive.
    """
    problem.check_full_batch("simulate (gradient flow)", teachers=True, trained=True, own=True, flow=True)
    check_integers(n=(n, 1), d=(d, 1), replicates=(replicates, 2), seed=(seed, 0))
    instance = instance_of_size(problem, values, n, d)
    plan = design(instance, n, d)
    runtime.check_double()
    tested = held(problem.fields + len(problem.loss.beside), len(problem.data.probabilities), per_shift(n))
    batch = together(replicates, n * d + tested)
    names = problem.observable_names
    runs = run_replicates(
        _program(source(problem), len(problem.loss.labels), problem.decision, len(problem.loss.own_noises), plan.counts, plan.sizes, names),
        numbers_of(plan),
        seed=seed,
        replicates=replicates,
        spans=np.stack([times, np.append(times[1:], times[-1])], axis=1),
        seconds=_SECONDS * batch * (2 * _EVALUATIONS * n * d * problem.fields + 5 * tested),
        batch=batch,
        check=lambda observed, first, start: _check(observed, times[start:], first),
        checkpoint=Checkpoint(
            checkpoint, problem=problem.signature, values=instance.values, n=n, d=d, times=times, replicates=replicates, seed=seed
        ),
        report=report,
    )
    return schema.of_runs(
        runs,
        stated(problem, plan.instance, n / d) | {"n": n, "d": d, "replicates": replicates, "seed": seed},
        times=times,
        parameters=[x.name for x in problem.trained_parameters],
        observables=names,
    )


@lru_cache(maxsize=64)
def _program(
    text: str,
    loss_labels: int,
    decision: str | None,
    noises: int,
    counts: tuple[int, ...],
    sizes: tuple[int, ...],
    names: tuple[str, ...],
) -> Program:
    """One flow of a `source`, whose update is the velocity: a record at the start of each span of time."""
    code = runtime.load(text, "gmsym_training")
    observed = observing(code, loss_labels, decision, counts, sizes, names)
    solver = diffrax.Tsit5()
    controller = diffrax.PIDController(rtol=_TOLERANCE, atol=_TOLERANCE)

    def begin(numbers, key):
        data = generate(counts, sizes, numbers, key)
        points = fresh_fields(data.theta.shape[1] + data.teachers.shape[1] + noises, per_shift(sum(counts)))(key)
        return (data, beside(data, noises, key), points), (data.theta, jnp.asarray(numbers.trained))

    def advance(numbers, fixed, state, span):
        data, teacher, standard = fixed
        label = data.labels[:, :loss_labels].T

        def losses(theta, v):
            fields = (data.samples @ theta).T
            return jnp.mean(code.loss(fields, teacher, label, v, numbers.parameters)), fields

        def risk(theta, v):
            return losses(theta, v)[0] + numbers.ridge / 2 * jnp.sum(theta**2) + numbers.trained_ridge / 2 * jnp.sum(v**2)

        def velocity(t, state, args):
            slopes = jax.grad(risk, argnums=(0, 1))(*state)
            zero = jnp.zeros((), float)
            moved = (code.update(x, g, zero, zero, (), None, numbers.parameters)[0] for x, g in zip(state, slopes, strict=True))
            return tuple(jnp.broadcast_to(jnp.asarray(y, x.dtype), x.shape) for y, x in zip(moved, state, strict=True))

        theta, v = state
        train_loss, fields = losses(theta, v)
        record = observed(numbers, data, teacher, standard, theta, v, fields, train_loss)
        found = diffrax.diffeqsolve(
            diffrax.ODETerm(velocity),
            solver,
            span[0],
            span[1],
            None,
            state,
            saveat=diffrax.SaveAt(t1=True),
            stepsize_controller=controller,
            max_steps=_MOST_STEPS,
            throw=False,
        )
        arrived = found.result == diffrax.RESULTS.successful
        return jax.tree.map(lambda x: jnp.where(arrived, x[-1], jnp.nan), found.ys), record

    return Program(begin, advance)


def _check(observed: dict[str, np.ndarray], times: np.ndarray, first: int) -> None:
    """Raises ComputationError at the first time at which a replicate, numbered from `first`, has diverged or did not arrive."""
    norm2 = np.trace(observed["Q"], axis1=-2, axis2=-1)
    for name, values in {"|Theta|^2": norm2, **observed}.items():
        lost = ~(values <= _LARGEST_NORM2) if name == "|Theta|^2" else ~np.isfinite(values).all(axis=tuple(range(2, values.ndim)))
        if lost.any():
            time, replicate = np.argwhere(lost.T)[0]
            raise ComputationError(
                f"the flow diverged before time {times[time]:.6g}, or its solver did not arrive there: {name} = "
                f"{values[replicate, time]} in replicate {first + replicate}; a shorter time may help"
            )
