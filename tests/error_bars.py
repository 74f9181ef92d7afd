"""Random problems whose stated error bars are held against a reference of 30 times the cost, by theory.

A family is one system and a law of its numbers, so that problems of a family share what is compiled. Each problem gives the errors
and the bars of its curves at the last time; problems that diverge are left out and counted.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import sympy as sp

import gmsym as gm
from gmsym import derive
from gmsym.engine.bands import find_bulk
from gmsym.engine.outliers import find, transform
from gmsym.engine.packed import matrices
from gmsym.engine.sde import solve_fluctuations
from gmsym.engine.spectral import _gaps
from gmsym.engine.stieltjes import stieltjes
from gmsym.pipeline._stages import load
from gmsym.pipeline.effective import arrays
from gmsym.pipeline.spectrum import numbers as numbers_of
from gmsym.pipeline.spectrum import state_instance

ROUNDING = 1e-11  # errors below that times max(1, |value|) are rounding
BARS = (1, 2, 3)
CURVES = ("m", "Q", "Q_k", "M", "trained", "train_loss", "test_loss", "test_error")


class Case(NamedTuple):
    """Errors and bars of one problem's curves, (curves,) each, in units of max(1, |value|)."""

    errors: np.ndarray
    bars: np.ndarray


class Coverage(NamedTuple):
    """Over all curves of all problems; the medians over those whose error is more than rounding."""

    problems: int
    diverged: int
    curves: int
    within: tuple[float, ...]  # share of the errors within 1, 2 and 3 bars
    shouting: float  # median bar over median error

    def row(self, name: str) -> str:
        shares = "  ".join(f"{100 * share:5.1f}%" for share in self.within)
        return f"{name:<24} {self.problems:5d} {self.diverged:5d} {self.curves:6d}   {shares}   {self.shouting:5.2f}"


HEAD = (
    f"{'theory':<24} {'probl':>5} {'div.':>5} {'curves':>6}   " + "  ".join(f"{n} bar{'s' * (n > 1):1}"[:6] for n in BARS) + "   bar/error"
)


def coverage(cases: list[Case | None]) -> Coverage:
    found = [case for case in cases if case is not None]
    errors, bars = (np.concatenate([getattr(case, name) for case in found]) for name in Case._fields)
    within = tuple(float(np.mean(errors <= n * bars + ROUNDING)) for n in BARS)
    real = errors > ROUNDING
    return Coverage(len(found), len(cases) - len(found), len(errors), within, float(np.median(bars[real]) / np.median(errors[real])))


def case(result, reference, suffix: str = "", curves: tuple[str, ...] = CURVES, time: int = -1) -> Case:
    errors, bars = [], []
    for name in curves:
        if name in result and name in reference:
            value, bar = (result[name + end].isel(time=time).values.ravel()[0] for end in (suffix, f"{suffix}_error"))
            truth = reference[name + suffix].isel(time=time).values.ravel()[0]
            scale = max(1.0, abs(truth))
            errors.append(abs(value - truth) / scale)
            bars.append(bar / scale)
    return Case(np.array(errors), np.array(bars))


# --- full batches -----------------------------------------------------------------------------------------------------

_TWO_SCALES = "log(1 + exp(-y*h)) + log(1 + exp(8*(-3 - y*h)))"
_ROBUST = "1/(1 + exp(2*y*h))**2 + log(1 + exp(1 - y*h))/4"
_s1, _s2, _p = sp.symbols("s1 s2 p", positive=True)


def _unequal(**more) -> gm.GaussianMixture:
    gram = [[1, sp.Rational(-1, 4)], [sp.Rational(-1, 4), sp.Rational(3, 2)]]
    return gm.GaussianMixture(probabilities=[_p, 1 - _p], labels=[1, -1], means_gram=gram, variance=[_s1, _s2], **more)


@lru_cache
def dmf_families() -> tuple[tuple[object, Callable[[np.random.Generator], dict]], ...]:
    """(system, law of its numbers)."""
    near, far = gm.GaussianMixture.symmetric(), _unequal()

    def usual(rng, momentum=True, fastest=2.0, **more):
        numbers = {"sigma": rng.uniform(0.5, 1.5), "mu_norm": rng.uniform(0.3, 2.0), "eta": rng.uniform(0.2, fastest)}
        numbers |= {"ridge": rng.choice([0.0, 0.02, 0.2])}
        return numbers | ({"momentum": rng.uniform(0, 0.7)} if momentum else {}) | more

    def clusters(rng, **more):
        numbers = {"s1": rng.uniform(0.2, 2), "s2": rng.uniform(0.2, 2), "p": rng.uniform(0.15, 0.85)}
        return numbers | {"eta": rng.uniform(0.2, 2.0), "ridge": rng.choice([0.0, 0.05])} | more

    classes = gm.GaussianMixture(probabilities=[_p, 1 - _p], labels=[[1, 0], [0, 1]], means_gram=[[1, 0], [0, 1]], variance=[_s1, _s2])
    families = (
        (gm.Problem(near, gm.losses.logistic(), gm.optimizers.heavy_ball()), usual),
        (gm.Problem(near, gm.Loss("robust", gm.parse(_ROBUST)), gm.optimizers.nesterov()), usual),
        (gm.Problem(near, gm.losses.hinge(), gm.optimizers.gd()), lambda rng: usual(rng, momentum=False, fastest=1.0)),
        (gm.Problem(far, gm.Loss("two_scales", gm.parse(_TWO_SCALES)), gm.optimizers.gd()), clusters),
        (gm.Problem(classes, gm.losses.softmax(2), gm.optimizers.gd(), norm2=0.5), clusters),
    )
    return tuple((derive.dmf(problem), law) for problem, law in families)


def dmf_cases(
    count: int, seed: int, first: int = 0, samples: int = 256, steps: int = 10, families: tuple[int, ...] = ()
) -> Iterator[Case | None]:
    every = dmf_families()
    chosen = [every[i] for i in families] if families else every
    for index in range(first, first + count):
        rng = np.random.default_rng([seed, index])
        system, law = chosen[index % len(chosen)]
        values = {"alpha": float(rng.uniform(0.5, 4.0)), **law(rng)}
        try:
            result = gm.solve(system, values, steps=steps, samples=samples, scrambles=4, seed=index)
            reference = gm.solve(system, values, steps=steps, samples=8 * samples, scrambles=16, seed=10**6 + index)
        except gm.ComputationError:
            yield None
            continue
        yield case(result, reference)


# --- online -----------------------------------------------------------------------------------------------------------


@lru_cache
def online_families() -> tuple[tuple[object, Callable[[np.random.Generator], dict]], ...]:
    def online(data, loss, **options) -> gm.Problem:
        return gm.Problem(data, loss, gm.optimizers.gd(), sampling=gm.sampling.online(), **options)

    def taught(loss: str) -> gm.Problem:
        data = gm.GaussianMixture(probabilities=[1], labels=[0], means_gram=[[0]], variance=[1])
        teacher = gm.Teacher(gram=[[1]], overlap=[sp.Rational(1, 10)])
        return online(data, gm.Loss("taught", gm.parse(loss), target=gm.parse("t0")), teacher=teacher)

    def usual(rng):
        return {"sigma": rng.uniform(0.3, 2), "mu_norm": rng.uniform(0.3, 2), "ridge": rng.choice([0.0, 0.05]), "eta": rng.uniform(0.2, 2)}

    def of_step(low, high):
        return lambda rng: {"eta": rng.uniform(low, high), "ridge": 0.0}

    def clusters(rng):
        numbers = {"s1": rng.uniform(0.2, 2), "s2": rng.uniform(0.2, 2), "p": rng.uniform(0.15, 0.85)}
        return numbers | {"eta": rng.uniform(0.2, 1.5), "ridge": rng.choice([0.0, 0.05])}

    families = (
        (online(gm.GaussianMixture.symmetric(), gm.losses.logistic()), usual),
        (taught("max(0, -sign(t0)*h)**2/2"), of_step(0.5, 1.8)),  # its student and teacher become one: arccos near 1
        (taught("max(0, -sign(t0)*h)"), of_step(0.2, 3.0)),
        (taught("log(1 + exp(-sign(t0)*h))"), of_step(0.2, 2.0)),
        (online(_unequal(), gm.Loss("two_scales", gm.parse(_TWO_SCALES))), clusters),
        (online(_unequal(), gm.losses.hinge()), clusters),
    )
    return tuple((derive.effective(problem), law) for problem, law in families)


def online_cases(count: int, seed: int, first: int = 0, longest: float = 1000.0) -> Iterator[Case | None]:
    families = online_families()
    for index in range(first, first + count):
        rng = np.random.default_rng([seed, index])
        system, law = families[index % len(families)]
        time = float(10 ** rng.uniform(0, np.log10(longest)))
        values, times = law(rng), [0.0, time / 2, time]
        try:
            result = gm.solve(system, values, time=times, tolerance=float(10.0 ** -rng.integers(5, 10)))
            reference = gm.solve(system, values, time=times, tolerance=1e-12)
        except gm.ComputationError:
            yield None
            continue
        yield case(result, reference)


# --- fluctuations -----------------------------------------------------------------------------------------------------


@lru_cache
def fluctuation_families() -> tuple[tuple[object, Callable[[np.random.Generator], dict]], ...]:
    chosen = [online_families()[i] for i in (0, 4)]
    return tuple((derive.fluctuations(system.problem), law) for system, law in chosen)


def fluctuation_cases(count: int, seed: int, first: int = 0) -> Iterator[Case | None]:
    """Covariances of all pairs of statistics at the last time, against more nodes and a tolerance of 1e-10."""
    families = fluctuation_families()
    for index in range(first, first + count):
        rng = np.random.default_rng([seed, index])
        system, law = families[index % len(families)]
        values, times = law(rng), [0.0, float(10 ** rng.uniform(-0.5, 1.0))]
        try:
            result = gm.solve(system, values, time=times)
            fine = solve_fluctuations(load(system), *arrays(system.problem.at(values)), times, tolerance=1e-10, level=2)
        except gm.ComputationError:
            yield None
            continue
        pairs = (-1, *np.triu_indices(result.sizes["statistic"]))
        value, bar, truth = result["covariance"].values[pairs], result["covariance_error"].values[pairs], fine.covariance[pairs]
        scale = np.maximum(1.0, np.abs(truth))
        yield Case(np.abs(value - truth) / scale, bar / scale)


# --- simulations ------------------------------------------------------------------------------------------------------


def simulation_cases(count: int, seed: int, first: int = 0, steps: int = 4) -> Iterator[Case | None]:
    """Test loss and error of 8 runs at the last time against 240 runs, and at time 0 against the theory's means."""
    families = [family for i, family in enumerate(dmf_families()) if i != 4]
    tested = ("test_loss", "test_error")
    for index in range(first, first + count):
        rng = np.random.default_rng([seed, index])
        system, law = families[index % len(families)]
        values = law(rng)
        try:
            size = {"n": 80, "d": 50, "steps": steps}
            result = gm.simulate(system.problem, values, **size, replicates=8, seed=index)
            reference = gm.simulate(system.problem, values, **size, replicates=240, seed=10**6 + index)
            start = gm.solve(system, {"alpha": 1.6, **values}, steps=1, samples=256, scrambles=2)
        except gm.ComputationError:
            yield None
            continue
        both = case(result, reference, curves=tested), case(result, start, curves=tested, time=0)
        yield Case(*(np.concatenate(parts) for parts in zip(*both, strict=True)))


# --- finite size ------------------------------------------------------------------------------------------------------


def finite_cases(count: int, seed: int, first: int = 0, steps: int = 4) -> Iterator[Case | None]:
    """Deviations and biases of logistic regression from 4 populations and 20 pairs of runs, against 120 and 600."""
    problem, law = dmf_families()[0][0].problem, dmf_families()[0][1]
    system = derive.finite_size(problem)
    for index in range(first, first + count):
        rng = np.random.default_rng([seed, index])
        values, options = {"alpha": 2.0, **law(rng)}, {"steps": steps, "times": [steps - 1], "samples": 1024}
        try:
            result = gm.solve(system, values, **options, populations=4, replicates=20, seed=index)
            reference = gm.solve(system, values, **options, populations=120, replicates=600, seed=10**6 + index)
        except gm.ComputationError:
            yield None
            continue
        both = [case(result, reference, suffix) for suffix in ("_deviation", "_bias")]
        yield Case(*(np.concatenate(parts) for parts in zip(*both, strict=True)))


# --- spectra ----------------------------------------------------------------------------------------------------------

_FINE = 3.0  # resolution of the reference: 3 times the nodes in each dimension
_RESOLVED = 0.3  # points are left out where the reference's own error may be more than that of the difference


@lru_cache
def spectrum_families() -> tuple[object, ...]:
    near = gm.GaussianMixture.symmetric(mu_norm=1.5, sigma=1)
    far = gm.GaussianMixture(
        probabilities=[sp.Rational(1, 3), sp.Rational(2, 3)],
        labels=[1, -1],
        means_gram=[[1, 0], [0, 2]],
        variance=[[1, 4], [1, 4]],
        fractions=[0.5, 0.5],
    )
    unequal = gm.GaussianMixture(
        probabilities=[sp.Rational(1, 3), sp.Rational(2, 3)],
        labels=[1, -1],
        means_gram=[[1, 0], [0, 2]],
        variance=[[1, 4], [2, 1]],
        fractions=[0.5, 0.5],
    )
    two_scales = gm.Loss("two_scales", gm.parse(_TWO_SCALES))
    chosen = (
        (near, gm.losses.logistic(), "hessian"),
        (near, gm.losses.smoothed_hinge(), "information"),
        (far, gm.losses.hinge(), "information"),
        (far, two_scales, "hessian"),
        (near, gm.losses.phase_retrieval(), "hessian"),
        (unequal, gm.losses.logistic(), "hessian"),
    )
    return tuple(derive.spectrum(gm.Problem(data, loss, gm.optimizers.gd()), matrix) for data, loss, matrix in chosen)


def spectrum_cases(count: int, seed: int, first: int = 0) -> Iterator[Case | None]:
    """Density at eight points in units of its mean, edges in units of the span, outliers and overlaps, against 3 times the nodes.

    A band or an outlier that only one of both has is an error of 1 under a bar of 0.
    """
    families = spectrum_families()
    for index in range(first, first + count):
        rng = np.random.default_rng([seed, index])
        system, alpha = families[index % len(families)], float(10 ** rng.uniform(-0.5, 1.3))
        gram = np.array(system.problem.data.means_gram, dtype=float)
        along, beside = rng.normal(size=2), 10 ** rng.uniform(-0.5, 0.7)  # Theta in the span of the means, and orthogonal to it
        state = {"m": gram @ along, "Q": float(along @ gram @ along + beside**2)}
        try:
            result = gm.solve(system, {"alpha": alpha}, **state, points=200)
        except gm.ComputationError:
            yield None
            continue
        numbers = numbers_of(system, state_instance(system.problem, {"alpha": alpha}, *state.values()))
        yield _spectrum_case(result, load(system), numbers, rng)


def _spectrum_case(result, module, numbers, rng) -> Case:
    bulk = find_bulk(module, numbers, _FINE)
    edges, ends = result["edge"].values, np.array(bulk.bands) * bulk.nodes.scale
    span = np.ptp(edges[np.isfinite(edges)]) if np.isfinite(edges).sum() > 1 else np.abs(edges[np.isfinite(edges)]).max()
    chosen = np.sort(rng.choice(result.sizes["z"], 8, replace=False))
    z, density, bar = (result[name].values[chosen] for name in ("z", "density", "density_error"))
    fine, other = (_density_at(module, law, z) for law in (bulk.nodes, bulk.other))
    known = np.abs(fine - other) <= np.maximum(_RESOLVED * np.abs(fine - density), ROUNDING)
    errors, bars = [span * np.abs(fine - density)[known]], [span * bar[known]]
    compared = [(edges.ravel(), ends.ravel(), result["edge_error"].values.ravel(), span)]
    fresh = find(module, bulk.nodes, bulk.other, _gaps(bulk), bulk.width)
    compared += [
        (result["outlier_z"].values, fresh.z * bulk.nodes.scale, result["outlier_error"].values, span),
        (result["overlap"].values, fresh.overlap, result["overlap_error"].values, 1.0),
    ]
    for values, truth, own, unit in compared:
        same = len(values) == len(truth)
        bounded = np.isfinite(values) & np.isfinite(truth) if same else np.zeros(0)  # an end may be open for the fewer nodes
        errors.append(np.abs(values[bounded] - truth[bounded]) / unit if same else np.ones(1))
        bars.append(own[bounded] / unit if same else np.zeros(1))
    return Case(np.concatenate(errors), np.concatenate(bars))


def _density_at(module, law, z: np.ndarray) -> np.ndarray:
    s = transform(stieltjes(module), law, z / law.scale, 1e-12)
    full = matrices(s.reshape(len(law.fractions), -1, len(z)), module.SIZE, 1)
    return np.asarray(module.density(law.fractions, full)) / law.scale


THEORIES = {
    "dmf": dmf_cases,
    "online": online_cases,
    "simulation": simulation_cases,
    "finite size": finite_cases,
    "fluctuations": fluctuation_cases,
    "spectra": spectrum_cases,
}
