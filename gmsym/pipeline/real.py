"""Learning curves on real data: training on given samples, what a fit is worth. Source: verified/real_data.md."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, final

from gmsym import schema
from gmsym.errors import InputError
from gmsym.pipeline._cost import training
from gmsym.pipeline._provenance import with_provenance
from gmsym.pipeline._verbs import solve
from gmsym.pipeline._work import working
from gmsym.problem import GaussianMixture, Problem
from gmsym.problem.fitting import ENOUGH, bias
from gmsym.simulation import pass_over, train_on

if TYPE_CHECKING:
    import xarray as xr


def train(
    problem: Problem,
    values: Mapping[str, float],
    X: Any,
    labels: Any,
    *,
    n: int,
    steps: int | None = None,
    test: int | None = None,
    replicates: int = 20,
    points: int | None = None,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    progress: bool | None = None,
) -> "xr.Dataset":
    """Train on given samples: random splits, each tested on samples that it does not train on; the witness beside a theory of real data.

    Args:
        problem: training with full or mini-batches, or online; its mixture is fitted, `gmsym.GaussianMixture.fit(X, labels)`, or in the
            coordinates of X. Its observables may read fields and labels, such as `gmsym.observables.errors(data, loss)`.
        values: a number for each parameter of the problem.
        X: features, (N, d), of the samples to draw from; not those of the fit, where the two are to be independent.
        labels: as `GaussianMixture.fit` takes them.
        n: samples that a split trains on; online, each of them once, so that the last time is n c/d.
        steps: number of times; time 0 is the initial state. Not of online SGD, which has `points`.
        test: samples that it is tested on. Default: all others.
        replicates: splits; the standard errors come from their spread. Splits of one set overlap, so that a mean over many of them is
            that of the set, and not of what it was drawn from.
        points: of online SGD: number of recorded times. Default: 21.
        seed: of the splits.
        checkpoint: as `gmsym.simulate`.
        progress: show a progress bar; by default on a terminal, and in a notebook after two seconds.

    Returns:
        As `gmsym.simulate`: means over splits, X_error and X_runs, which `gmsym.compare` takes. Test loss and error are means over the
        held-out samples; m, Q and Q_k are those of the weights with the mixture's means and covariances.

    Raises:
        InputError: a number out of range, features or labels that do not fit the mixture, fewer samples than asked for.
        ComputationError: training diverged; names the step and the quantity.

    Example:
        >>> import gmsym as gm, numpy as np
        >>> y = np.repeat([1, -1], 400)
        >>> X = np.random.default_rng(0).normal(size=(800, 3)) + y[:, None]
        >>> data = gm.GaussianMixture.fit(X, y, clusters="class")
        >>> problem = gm.Problem(data, gm.losses.logistic(), gm.optimizers.gd())
        >>> runs = gm.train(problem, {"eta": 0.5}, X, y, n=200, steps=3, replicates=4)
        >>> runs.sizes["replicate"], float(runs["test_error"][0])
        (4, 0.5)
    """
    if not isinstance(problem, Problem):
        raise InputError(f"problem = {repr(problem)[:60]}: a gmsym Problem is needed")
    own = _length(problem, steps, points)
    whole = getattr(X, "shape", (1, 1)) if getattr(X, "ndim", 0) == 2 else (1, 1)
    cost = training(*whole, next(iter(own.values())), replicates, problem.fields, 1)
    options = {"n": n, **own, "test": test, "replicates": replicates, "seed": seed, "checkpoint": checkpoint}
    with working("training", cost, "fewer steps or replicates, or fewer samples", progress) as report:
        started = perf_counter()
        runs = (pass_over if problem.is_online else train_on)(problem, values, X, labels, **options, report=report)
    return with_provenance(runs, problem, values, options, perf_counter() - started)


def _length(problem: Problem, steps: int | None, points: int | None) -> dict[str, int]:
    """How many times are recorded."""
    if problem.is_online:
        if steps is not None:
            raise InputError(f"steps = {steps!r}: one pass of online SGD has as many as samples, n; points are the times that are recorded")
        return {"points": 21 if points is None else points}
    if points is not None:
        raise InputError(f"points = {points!r}: of online SGD; training with batches takes steps, the number of times")
    if steps is None:
        raise InputError("steps is missing: training with batches needs the number of times")
    return {"steps": steps}


def halving(problem: Problem, values: Mapping[str, Any], **options: Any) -> "xr.Dataset":
    """How much a prediction depends on the samples of the fit: its change when these are halved.

    Moments of too few samples make a problem easier than it is; the error of the whole fit is about the change from the halves to it.
    Cost: three solutions.

    Args:
        problem: its mixture is fitted.
        values, options: as `gmsym.solve`.

    Returns:
        Dataset with X, the prediction; X_half, the mean of those of two random halves of the fit's samples; X_change, their absolute
        difference, which `gmsym.compare(theory, runs, model=...)` takes as the model's own error; and X_extrapolated, 2 X - X_half.

    Raises:
        InputError: as `gmsym.solve`; a mixture that is not fitted, or whose halves are too small.
    """
    if not isinstance(problem, Problem) or problem.data.fitted is None:
        raise InputError("halving needs a problem whose mixture is fitted: GaussianMixture.fit(X, labels)")
    halves = problem.data.halves()
    if not halves:
        raise InputError("the mixture's fit has too few samples to be halved: take fewer clusters, or more samples")
    whole = solve(problem, values, **options)
    parts = [solve(replace(problem, data=half), values, **options) for half in halves]
    found = {}
    for name in schema.variables(whole):
        mean = sum(part[name] for part in parts) / len(parts)
        found |= {name: whole[name], f"{name}_half": mean, f"{name}_change": abs(whole[name] - mean)}
        found[f"{name}_extrapolated"] = 2 * whole[name] - mean
    return whole[[]].assign(found).assign_attrs(kind="halving")


@final
@dataclass(frozen=True)
class FitReport:
    """What a fit is worth before anything is solved."""

    samples: int  # n_fit
    d: int
    clusters: int
    fewest: int  # samples of the smallest cluster
    effective_dimension: float  # (tr S)^2/tr S^2: fluctuations of single runs are those of so many dimensions
    shape: tuple[tuple[float, float], ...]  # skewness and excess kurtosis of each class along the discriminant; 0 of a Gaussian
    bias: float  # of the test error, about
    advice: tuple[str, ...]

    def __repr__(self) -> str:
        rows = [
            ("samples", f"{self.samples}, {self.samples / self.d:.3g} a dimension (d = {self.d})"),
            ("clusters", f"{self.clusters}, the smallest of {self.fewest} samples"),
            ("effective dimension", f"{self.effective_dimension:.3g}"),
            ("skewness, excess kurtosis", "; ".join(f"{a:.2f}, {b:.2f}" for a, b in self.shape) + " along the discriminant, by class"),
            ("test error", f"about {self.bias:.2g} too low"),
            *(("advice", line) for line in self.advice),
        ]
        return "\n".join(f"{name:<26}{text}" for name, text in rows)


def fit_report(data: GaussianMixture) -> FitReport:
    """Samples, dimensions and shape of the data that a mixture was fitted to, and what to do about them.

    Raises:
        InputError: a mixture that was not fitted.
    """
    fitted = getattr(data, "fitted", None)
    if fitted is None:
        raise InputError(f"data = {repr(data)[:60]}: a mixture of GaussianMixture.fit(X, labels) is needed")
    d, n = data.blocks, fitted.samples
    advice: list[str] = []
    if n < ENOUGH * d:
        advice.append(f"fit on {ENOUGH * d} samples or more; see how predictions move by gmsym.halving")
    if min(fitted.counts) < d and fitted.covariance == "own":
        advice.append("covariance='tied': the smallest cluster has fewer samples than coordinates")
    if fitted.clusters == "class" and max(abs(x) for pair in fitted.shape for x in pair) > 0.2:
        advice.append("clusters='discriminant': the classes are not Gaussian along the discriminant")
    if not fitted.halves:
        advice.append("the clusters are too small for the fit to be halved")
    return FitReport(
        samples=n,
        d=d,
        clusters=data.clusters,
        fewest=min(fitted.counts),
        effective_dimension=fitted.effective_dimension,
        shape=fitted.shape,
        bias=bias(n, d),
        advice=tuple(advice),
    )
