"""Whether the surrogate and training have the same law: statistics of many runs of both."""

from typing import NamedTuple

import numpy as np
import scipy.stats

import gmsym as gm


class SameLaw(NamedTuple):
    """Statistics of m, Q and the train loss at all times but the first."""

    score: float  # largest |difference of means| in standard errors
    least_ratio: float  # of variances
    largest_ratio: float
    p_value: float  # two-sample Kolmogorov-Smirnov test of the final train loss
    correlations: tuple[float, float]  # of Q at half time with the final train loss, in the surrogate and in training


def same_law(problem: gm.Problem, *, n: int, d: int, steps: int, replicates: int, **values: float) -> SameLaw:
    """Runs `replicates` of both."""
    first = gm.solve(gm.derive.surrogate(problem), values, n=n, d=d, steps=steps, replicates=replicates, seed=1)
    second = gm.simulate(problem, values, n=n, d=d, steps=steps, replicates=replicates, seed=2)
    scores, ratios = [], []
    for name in ("m", "Q", "train_loss"):
        a, b = (x[f"{name}_runs"].values.reshape(replicates, steps, -1)[:, 1:] for x in (first, second))
        scores.append((a.mean(0) - b.mean(0)) / np.sqrt((a.var(0) + b.var(0)) / replicates))
        ratios.append(a.var(0) / b.var(0))
    flat = np.concatenate([r.ravel() for r in ratios])
    final = [x["train_loss_runs"].values[:, -1] for x in (first, second)]
    correlations = tuple(
        float(np.corrcoef(x["Q_runs"].values[:, steps // 2, 0, 0], x["train_loss_runs"].values[:, -1])[0, 1]) for x in (first, second)
    )
    return SameLaw(
        float(max(np.abs(s).max() for s in scores)), float(flat.min()), float(flat.max()), scipy.stats.ks_2samp(*final).pvalue, correlations
    )
