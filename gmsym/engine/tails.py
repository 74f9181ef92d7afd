"""Whether a population of points reaches the tails of the gradient: means that are known otherwise. Source: own.

Scrambles of few points, and of fewer still, agree on a wrong value where rare fields carry a part of the gradient that none of them
has. So the points are asked for the mean and the mean square of the gradient over a fresh sample, h ~ N(m_k, Q_k), at some times: those are
integrals over C variables, which points of a wider law give, tails included. Of what the points miss of them beyond their own error bars,
relative to what all clusters together have, the changes of the order parameters at that time are taken to miss as much: a cluster whose
own gradient is small moves nothing, whatever its tails.

Each moment moves what it enters. The mean moves Theta along the means, and with it every overlap; the mean square is that of the
noise of the step, which no overlap with a fixed vector sees but Q alone. Rare steep fields are a large part of the mean square
long before they are one of the mean. The losses of a fresh sample err by what these errors of m and Q make of them, not by what they change
by along the curve.

Cost: 2^16 gradients a cluster and time, at no more than 8 times; two fresh samples a time where something is missed.
"""

from collections.abc import Callable, Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gmsym.engine.bars import EXPONENT, error_bar
from gmsym.runtime.causal_kernels import CausalKernelsModule, Numbers, given
from gmsym.runtime.points import whitened_sobol

_TIMES = 8
_WIDE = 2**14  # points of each of two sets of the wider law
_WIDTH = 2.0  # its standard deviation: with several fields its points are sparser in the middle, where they are not needed as much
_REACH = 9.0
_ROUNDING = 1e-9  # of the mean of |a|
_TRUSTED = 3.0  # bars
_TINY = 1e-30
_CANCELLED = 0.1  # of the root mean square of the gradient: a mean below that is small by cancellation, not what steps are made of
_OF_NOISE = ("Q", "Q_k")  # what the noise of the steps moves


def shortfall(
    module: CausalKernelsModule,
    numbers: Numbers,
    m: np.ndarray,
    Q: np.ndarray,
    runs: Sequence[np.ndarray],
    cheaper: Sequence[np.ndarray],
    ratio: float,
    trained: np.ndarray | None = None,
    exponent: float = EXPONENT,
) -> np.ndarray:
    """Shares of the gradient's mean and of its mean square that the points miss at each time, beyond their error bars, (2, T).

    Args:
        m, Q: moments of the fields of students and teachers, (T, K, C + S) and (T, K, C + S, C + S).
        runs, cheaper: point sets, (rank, N) each, of which the first C + S dimensions stand for the fields.
        ratio: how many times fewer points the cheaper ones have.
        trained: trained parameters of the loss, (T, P).
        exponent: with which errors are trusted to fall as points are added.
    """
    times = np.arange(len(m))
    some = np.linspace(0, len(m) - 1, _TIMES).astype(int)  # as many in a short run, so that none is compiled anew
    m, Q, fields = jnp.asarray(m[some]), jnp.asarray(Q[some]), m.shape[-1]
    v = np.zeros((_TIMES, 0)) if trained is None else trained[some]

    def means(points: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.asarray(_means(module, numbers, m, Q, v, jnp.asarray(points[:fields]), jnp.asarray(weights)))

    def plain(sets: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [means(points, np.full(points.shape[1], 1 / points.shape[1])) for points in sets]

    exact, other = (means(*_wide(fields, variant)) for variant in (0, 1))
    found, coarse = plain(runs), plain(cheaper)
    bar = error_bar(found, coarse, ratio, exponent)
    over = lambda x: np.einsum("k,tkic->tic", numbers.probabilities, x)  # noqa: E731
    mean, square = np.moveaxis(over(np.abs(np.mean(found, axis=0))), 1, 0)  # (some, C)
    size = np.sqrt(square)
    rounding = _ROUNDING * np.stack([size, square], axis=1)[:, None]
    margin = _TRUSTED * (bar + np.abs(exact - other)) + rounding
    units = np.maximum(np.stack([np.maximum(mean, _CANCELLED * size), square], axis=1), _TINY)
    missed = (over(np.maximum(np.abs(np.mean(found, axis=0) - exact) - margin, 0)) / units).max(2)
    return np.stack([np.interp(times, some, share) for share in missed.T])


def widening(
    values: Mapping[str, np.ndarray], shares: np.ndarray, fresh: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """What tails add to the error bar of each curve, of its shape.

    Args:
        values: curves by name, (T, ...).
        shares: of the gradient's mean and mean square, (2, T).
        fresh: curves of a fresh sample, such as the test loss, at changed `values`.
    """
    first, either = shares[0], shares.max(axis=0)
    found = {name: _along(x, either if name in _OF_NOISE else first) for name, x in values.items()}
    for name in (name for name in values if name.startswith("train_")):  # means over the points themselves
        found[name] += np.expand_dims(first, tuple(range(1, values[name].ndim))) * np.abs(values[name])
    if not shares.any():
        return found
    diagonal = np.eye(values["m"].shape[-1])  # a covariance remains one
    wider = values["Q_k"] + diagonal * found["Q_k"]
    moved = [{"m": values["m"] + sign * found["m"], "Q_k": wider} for sign in (1, -1)]
    curves = [fresh(dict(values) | change) for change in moved]
    tied = "M_k" in values  # correlations with teachers are not shifted
    for name in curves[0]:
        found[name] = np.max([np.abs(curve[name] - values[name]) for curve in curves], axis=0) + tied * found[name]
    return found


def _along(values: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Sum of the shares of all steps of a curve (T, ...), up and down."""
    share = np.expand_dims(share, tuple(range(1, values.ndim)))
    steps = share[:-1] * np.abs(np.diff(values, axis=0))
    return np.concatenate([np.zeros_like(values[:1]), np.cumsum(steps, axis=0)])


def _wide(fields: int, variant: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (C, N) and weights (N,) for N(0, I) that reach further: a grid on the line, else points of a wider law."""
    if fields == 1:
        points = np.linspace(-_REACH, _REACH, _WIDE, endpoint=False)[None] + variant * _REACH / _WIDE
        weights = np.exp(-(points[0] ** 2) / 2)
    else:
        points = _WIDTH * whitened_sobol(_WIDE, fields, seed=variant)
        weights = np.exp(-(points**2).sum(0) * (1 - _WIDTH**-2) / 2)
    return points, weights / weights.sum()


@eqx.filter_jit
def _means(module, numbers, m: Array, Q: Array, v: Array, points: Array, weights: Array) -> Float[Array, "t k two c"]:
    """Mean and mean square of the gradient over a fresh sample of each cluster."""

    def of(moments: tuple[Array, Array], label: Array, v: Array) -> Array:
        mean, covariance = moments
        h = mean[:, None] + jnp.linalg.cholesky(covariance + _TINY * jnp.eye(len(mean))) @ points
        students, tau = h[: module.FIELDS], h[module.FIELDS :]
        a = given(module.gradient, {"fields": students, "teacher": tau, "label": label, "trained": v, "parameters": numbers.parameters})
        return jnp.stack([a @ weights, a**2 @ weights])

    def at(moments: tuple[Array, Array, Array]) -> Array:
        return jnp.stack([of((moments[0][k], moments[1][k]), numbers.labels[k], moments[2]) for k in range(module.CLUSTERS)])

    return jax.lax.map(at, (m, Q, v))
