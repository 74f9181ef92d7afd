"""Online SGD in d dimensions, one fresh sample a step, by jax.grad of the printed loss. Source: theory.md 6."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from gmsym.problem import Problem
from gmsym.problem.design import frame, rows_of
from gmsym.runtime.frames import placed
from gmsym.simulation._recording import Kind, kind_of, load, numbers_of, observables, recorded_steps, replicated
from gmsym.simulation._replicates import Program
from gmsym.simulation.fresh import fresh_fields, per_shift


def run_online(
    problem: Problem,
    values: Mapping[str, float],
    *,
    d: int,
    time: float,
    replicates: int = 8,
    points: int = 21,
    seed: int = 0,
    of: str | None = None,
    checkpoint: Path | str | None = None,
    report: Callable[[float], None] | None = None,
) -> xr.Dataset:
    """Online SGD from a freshly oriented initial state: Theta' = Theta - (c/d) (dl + ridge Theta), v' = v - (c_v/d) (dl + ridge_v v).

    Cost: O(d (C + K + T)) time a step and replicate, time * d/c steps; O(d) memory.

    Args:
        problem: what is trained; its optimizer is linear (problem/small_steps.py); t in its rule is the time steps * c/d.
        values: a number for each of `problem.parameters`; that of eta is c.
        d: dimension; d_b = rho_b d by largest remainders.
        time: final time.
        replicates: independent repetitions, at least 2, for the standard errors.
        points: number of recorded times, evenly spaced.
        seed: of samples and orientations.
        of: a state variable of the update rule, which is recorded in place of Theta.
        checkpoint: a file that keeps records and states, so that the same call continues after an interruption; it stays.
        report: called with the completed fraction, about every second.

    Returns:
        Means over replicates m, Q, Q_k, M, trained, test_loss and perhaps test_error at float times, with several blocks also m_b, Q_b
        and M_b; `*_error` and `*_runs`.

    Raises:
        InputError: a number out of range; fewer coordinates than vectors in a block.
        ComputationError: a run diverged.
    """
    problem.check_online("simulate (online SGD)")
    kind, instance = kind_of(problem), problem.at(values)
    steps = recorded_steps(time, instance.online_step, d, points)
    sizes, roots, _ = frame(instance, d)  # online steps are linear, and see no law of the coordinates
    C, K = instance.initial_overlap.shape
    kept = tuple(i for i, name in enumerate(instance.parameters) if name != "eta")
    problem.optimizer.check_of(of)
    place = 0 if of is None else 1 + [x.name for x in problem.optimizer.state].index(of)
    program, numbers = _program(kind, C, sizes, kept, place), (numbers_of(instance, sizes), roots)
    return replicated(program, numbers, problem, instance, steps, d, replicates, seed, d * (C + K + 4), "online", checkpoint, report, of=of)


@lru_cache(maxsize=64)
def _program(kind: Kind, C: int, sizes: tuple[int, ...], kept: tuple[int, ...], place: int) -> Program:
    """One trajectory in blocks of d_b coordinates; its numbers are the problem's, and roots of the vectors' Gram matrices. `kept` are the
    places of the parameters without the step, `place` is what is recorded: Theta, or a state after it."""
    code, rows, d = load(kind), rows_of(sizes), sum(sizes)

    def begin(numbers, key):
        numbers, roots = numbers
        K, T = len(numbers.probabilities), len(numbers.teacher_gram)
        start, samples, fresh = jax.random.split(key, 3)
        vectors = (
            jnp.asarray(numbers.vectors)
            if len(numbers.vectors)
            else placed(jax.random.normal(start, (d, max(map(len, roots))), dtype=float), sizes, roots)
        )
        fixed = samples, fresh_fields(C + T, per_shift(d))(fresh), vectors[:, C : C + K], vectors[:, C + K :]
        # Theta with its states, and likewise the trained parameters.
        return fixed, tuple((x, *[jnp.zeros_like(x)] * kind.states) for x in (vectors[:, :C], numbers.trained))

    def advance(numbers, fixed, state, span):
        numbers, _ = numbers
        samples, fresh, means, teachers = fixed
        observed = observables(kind, code, numbers, fresh)
        in_coordinates, full = len(numbers.vectors), len(numbers.factors)
        variance = numbers.variance if in_coordinates else jnp.repeat(numbers.variance, np.array(sizes), axis=1, total_repeat_length=d)
        deviations = jnp.sqrt(variance)  # (K, d)

        def norm(x):  # of the gradient of one sample, which is of order sqrt(d)
            return jnp.sqrt(jnp.sum(x**2) / d)

        def moved(of, slope, t, step):
            """Theta, or the trained parameters, and its states after a step."""
            if hasattr(code, "step"):
                return (of[0] - step * slope,)
            new = code.update(t, step, of[0], of[1:], slope, norm, [numbers.parameters[j] for j in kept])
            return tuple(jnp.broadcast_to(jnp.asarray(x, float), of[0].shape) for x in new)

        def update(i, state):
            theta, v = (of[0] for of in state)
            which, noise = jax.random.split(jax.random.fold_in(samples, i))
            k = jax.random.choice(which, len(numbers.probabilities), p=numbers.probabilities)
            normal = jax.random.normal(noise, (d,), dtype=float)
            sample = means[:, k] + (numbers.factors[numbers.groups[k]] @ normal if full else deviations[k] * normal)

            def loss(theta, v):
                return code.loss(theta.T @ sample, teachers.T @ sample, numbers.labels[k, : kind.loss_labels], v, numbers.parameters)

            slope, slope_v = jax.grad(loss, argnums=(0, 1))(theta, v)
            t = i * (numbers.step / d)
            c = code.step(t, numbers.parameters) if hasattr(code, "step") else numbers.step
            c_v = c * (numbers.trained_step / numbers.step)
            of_theta, of_v = state
            return (
                moved(of_theta, slope + numbers.ridge * theta, t, c / d),
                moved(of_v, slope_v + numbers.trained_ridge * v, t, c_v / d),
            )

        state = jax.lax.fori_loop(span[0], span[1], update, state)
        theta, v = state[0][place], state[1][0]
        if in_coordinates:
            return state, observed(theta, v)
        Q, m, M = (jnp.stack([x[block].T @ theta[block] for block in rows]) for x in (theta, means, teachers))
        return state, observed(Q, m, M, v)

    return Program(begin, advance)
