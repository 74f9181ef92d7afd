"""What the simulations of online SGD share: the printed loss, the steps at which they record, observables, replicates."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp
import xarray as xr

from gmsym import printer, runtime, schema, symbols
from gmsym.errors import ComputationError, InputError, check_integers, check_positive
from gmsym.problem import Instance, Problem
from gmsym.problem.design import realised, shares
from gmsym.runtime.batches import together
from gmsym.runtime.checkpoint import Checkpoint
from gmsym.runtime.roots import square_root
from gmsym.simulation import observed as own
from gmsym.simulation._replicates import Program, run_replicates
from gmsym.simulation.data import covariances, square_roots

_LARGEST = 1e12  # |Theta|^2 beyond this counts as divergence
_LONGEST = 0.5  # seconds of a span, about
_STEP, _SECONDS = 1e-5, 5e-9  # seconds of a step, and of a number in it


class Numbers(NamedTuple):
    """What may change without a new compilation. B blocks, K clusters, L labels, T teachers, P trained parameters of the loss."""

    probabilities: Any  # (K,)
    labels: Any  # (K, L)
    variance: Any  # (K, B)
    teacher_gram: Any  # (T, T)
    teacher_means: Any  # (T, K)
    shares: Any  # d_b/d, (B,)
    d: Any
    step: Any
    ridge: Any
    trained: Any  # at the start, (P,)
    trained_step: Any
    trained_ridge: Any
    parameters: tuple[Any, ...]
    # Of a problem in coordinates; empty otherwise.
    vectors: Any = ()  # (Theta_0, means), (d, C + K)
    factors: Any = ()  # of its different covariances, F F^T = Sigma, (G, d, d); empty if they are diagonal
    groups: Any = ()  # which of them is that of each cluster, (K,)


class Kind(NamedTuple):
    """What a compiled program belongs to, beside shapes."""

    text: str  # see `source`
    loss_labels: int  # the first labels, which the loss takes
    decision: str | None
    names: tuple[str, ...]  # of the problem's own observables
    states: int  # of the update rule


def numbers_of(instance: Instance, sizes: Sequence[int]) -> Numbers:
    """The numbers of a problem whose blocks have d_b coordinates."""
    d, known = sum(sizes), instance.vectors
    own: dict[str, Any] = {}
    if known is not None:
        own["vectors"] = np.concatenate([known.start, known.means.T], axis=1)
        own |= {} if known.covariance is None else {"factors": square_roots(known.covariance), "groups": np.asarray(known.groups)}
    return Numbers(
        probabilities=instance.probabilities,
        labels=instance.labels,
        variance=instance.variance,
        teacher_gram=instance.teacher_gram,
        teacher_means=instance.teacher_means,
        shares=np.asarray(sizes) / d,
        d=float(d),
        step=instance.online_step,
        ridge=instance.ridge,
        trained=instance.trained,
        trained_step=instance.online_trained_step,
        trained_ridge=instance.trained_ridge,
        parameters=tuple(instance.parameters.values()),
        **own,
    )


def kind_of(problem: Problem) -> Kind:
    """Its printed code, and what else decides what is compiled."""
    return Kind(_source(problem), len(problem.loss.labels), problem.decision, problem.observable_names, len(problem.optimizer.state))


def load(kind: Kind) -> ModuleType:
    """The printed loss of a sample, the update of a coordinate or its step, and the classifier's score if any."""
    runtime.check_double()
    return runtime.load(kind.text, "gmsym_online")


def _source(problem: Problem) -> str:
    loss, trained, parameters = problem.loss, problem.trained_parameters, problem.local_parameters
    optimizer = problem.optimizer
    given = {"fields": loss.fields, "teacher": loss.beside, "label": loss.labels, "trained": trained, "parameters": parameters}
    definitions = [
        printer.function("loss", given, "Loss of a sample.", loss.value),
    ]
    if problem.is_descent:
        step = -optimizer.jacobian[0, 1]
        definitions.append(printer.function("step", {"t": symbols.t, "parameters": parameters}, "Step c(t).", step))
    else:
        definitions.append(printer.function("update", _of_update(problem), "New (theta, state) of each coordinate.", optimizer.composed))
    if problem.decision == "sign":
        given = {"fields": loss.fields, "trained": trained, "parameters": parameters}
        definitions.append(printer.function("readout", given, "Score whose sign is predicted.", loss.readout))
        given = {"teacher": loss.beside, "label": symbols.labels(problem.data.label_size), "parameters": parameters}
        definitions.append(printer.function("target", given, "Its sign is the true class.", problem.target))
    definitions += own.printed(problem)
    return printer.module(f"loss and schedule of {loss.name}.", *definitions)


def _of_update(problem: Problem) -> dict[str, Any]:
    """Arguments of the update rule: `eta` is the step c/d."""
    others = [x for x in problem.local_parameters if x != symbols.eta]
    state = problem.optimizer.state
    return {"t": symbols.t, "eta": symbols.eta, "theta": symbols.theta, "state": state, "gradient": symbols.g} | {
        "norm": sp.Dummy("norm"),
        "parameters": others,
    }


def recorded_steps(time: float, step: float, d: int, points: int) -> np.ndarray:
    """Numbers of steps after which a run records, (N,): about `points` evenly spaced up to `time`, 0 included.

    Raises:
        InputError: an argument out of range.
    """
    time = check_positive("time", time, "a positive number is needed, t = steps * c/d")
    check_integers(d=(d, 1), points=(points, 2))
    ratio = time * d / step
    if not ratio < 2**63:
        raise InputError(f"time = {time!r} at step c = {step!r} and d = {d} is {ratio:.3g} steps: less than 2^63 are needed")
    total = round(ratio)
    if total < 1:
        raise InputError(f"time = {time!r} is less than half a step c/d = {step / d:.3g}; take it longer")
    return np.unique(np.linspace(0, total, points).round().astype(int))


def observables(kind: Kind, code: ModuleType, numbers: Numbers, standard: jax.Array) -> Callable[..., dict[str, jax.Array]]:
    """The function (Q (B, C, C), m (B, K, C), M (B, T, C), v) -> what a run records, from the overlaps of each block of d_b coordinates:
    the variables of the schema, test_loss and perhaps test_error on points (C + T, N) of N(0, I). In coordinates, of (Theta, v)."""
    shares, parameters = numbers.shares[:, None, None], numbers.parameters

    def of_cluster(mean, covariance, label, moments, v, size):
        fields = mean[:, None] + square_root(covariance) @ standard[: len(mean)]
        h, teacher = fields[:size], jnp.concatenate([fields[size:], standard[len(mean) :]])  # a sample's own noises last
        found = {"test_loss": jnp.mean(code.loss(h, teacher, label[: kind.loss_labels], v, parameters))}
        if kind.decision == "sign":
            right = jnp.sign(code.readout(h, v, parameters)) * jnp.sign(code.target(teacher, label, parameters))
            found["test_error"] = jnp.mean((1 - right) / 2)
        if kind.decision == "argmax":
            best = h == h.max(axis=0)
            found["test_error"] = 1 - jnp.mean(best[jnp.argmax(label)] / best.sum(axis=0))
        if kind.names:
            found |= own.means(code.observables(h, teacher, label, moments, v, parameters), kind.names, "test")
        return found

    def observed(Q, m, M, v):
        gram = jnp.block([[Q, M.swapaxes(1, 2)], [M, shares * numbers.teacher_gram]])
        return of_law(Q, m, M, v, jnp.einsum("kb,bfg->kfg", numbers.variance, gram))

    def of_law(Q, m, M, v, covariance):
        size = Q.shape[-1]
        found = {"Q": Q.sum(axis=0), "m": m.sum(axis=0), "M": M.sum(axis=0), "trained": v, "Q_k": covariance[:, :size, :size]}
        mean = jnp.concatenate([found["m"], numbers.teacher_means.T], axis=1)
        moments = own.moments(found["m"], found["Q_k"])
        tested = jax.vmap(partial(of_cluster, size=size), in_axes=(0, 0, 0, 0, None))(mean, covariance, numbers.labels, moments, v)
        found |= {name: numbers.probabilities @ value for name, value in tested.items()}
        return found | ({"Q_b": Q, "m_b": m, "M_b": M} if len(Q) > 1 else {})

    def in_coordinates(theta, v):
        means = numbers.vectors[:, theta.shape[1] :]
        whole = covariances(theta, numbers.factors, numbers.groups, numbers.variance)
        return of_law((theta.T @ theta)[None], (means.T @ theta)[None], jnp.zeros((1, 0, theta.shape[1])), v, whole)

    return in_coordinates if len(numbers.vectors) else observed


def replicated(
    program: Program,
    numbers: Any,
    problem: Problem,
    instance: Instance,
    steps: np.ndarray,
    d: int,
    replicates: int,
    seed: int,
    vectors: int,
    sampler: str,
    checkpoint: Path | str | None,
    report: Callable[[float], None] | None,
    *,
    n: int | None = None,
    times: np.ndarray | None = None,
    batch: int | None = None,
    of: str | None = None,
) -> xr.Dataset:
    """Independent trajectories as a result; `vectors` is the size of one's state, which sets how many run at a time unless `batch` does.

    Training on n samples gives its own `times` at the steps.

    A record ends a span of steps; spans are cut so that Ctrl-C need not wait for a long one.

    Raises:
        InputError: an argument out of range.
        ComputationError: a trajectory diverged.
    """
    check_integers(replicates=(replicates, 2), seed=(seed, 0))
    batch = together(replicates, vectors) if batch is None else batch
    at = instance.online_step / d * (1 if times is None else times[-1] / (steps[-1] * instance.online_step / d))
    times = steps * at if times is None else times
    step = _STEP + batch * _SECONDS * (100 if sampler == "chain" else vectors)
    most = max(1, int(_LONGEST / step))
    ends = np.unique(np.concatenate([steps, np.arange(0, steps[-1], most)]))
    spans = np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1)
    found = run_replicates(
        program,
        numbers,
        seed=seed,
        replicates=replicates,
        spans=spans,
        seconds=step * ends[-1] / len(ends),
        batch=batch,
        check=lambda observed, first, start: _check_finite(observed, ends[start:] * at, first),
        checkpoint=Checkpoint(
            checkpoint,
            problem=problem.signature,
            values=instance.values,
            step=instance.online_step,
            d=d,
            steps=steps,
            replicates=replicates,
            seed=seed,
            sampler=sampler,
            **({} if of is None else {"of": of}),
        ),
        report=report,
    )
    runs = {name: run[:, np.searchsorted(ends, steps)] for name, run in found.items()}
    return schema.of_runs(
        runs,
        attributes(problem, instance, d, n) | {"d": d, "replicates": replicates, "seed": seed, "sampler": sampler},
        times=times,
        parameters=[x.name for x in problem.trained_parameters],
        observables=problem.observable_names,
    )


def attributes(problem: Problem, instance: Instance, d: int, n: int | None = None) -> dict[str, Any]:
    """What a result of online SGD, or of one of n samples at a time, says about its problem."""
    counted = {} if n is None else {"n": n, "alpha": n / d}
    return counted | {
        "problem": problem.name,
        "problem_signature": problem.signature,
        "step": instance.online_step,
        "parameters": instance.values,
        **shares(realised(instance, d, n)),
    }


def _check_finite(observed: dict[str, np.ndarray], times: np.ndarray, first: int) -> None:
    """Raises ComputationError at the first time at which a replicate, numbered from `first`, has diverged or has no value."""
    norm2 = np.trace(observed["Q"], axis1=-2, axis2=-1)
    lost = ~(norm2 <= _LARGEST)
    if lost.any():
        time, replicate = np.argwhere(lost.T)[0]
        raise ComputationError(
            f"training diverged before time {times[time]:.6g}: |Theta|^2 = {norm2[replicate, time]:.3g} in replicate "
            f"{first + replicate}; a smaller step c may help"
        )
    for name, values in observed.items():
        lost = ~np.isfinite(values).all(axis=tuple(range(2, values.ndim)))
        if lost.any():
            time, replicate = np.argwhere(lost.T)[0]
            raise ComputationError(
                f"{name} is {values[replicate, time]} at time {times[time]:.6g} in replicate {first + replicate}: "
                "the loss has no value there"
            )
