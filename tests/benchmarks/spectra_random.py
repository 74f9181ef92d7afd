"""Spectra of random problems: each is solved, or said why not. Prints a line for each, and counts.

    python -m tests.benchmarks.spectra_random [--first 0] [--count 300] [--d 0] [--limit 120] [--log FILE]

Problem i has the seed i: a loss of the catalog or of a list of expressions, one to three clusters, one or two blocks of coordinates with
variances of their own, a state within the means' span and beside it, n/d from 0.15 to 20, Hessian or information. With --d, the Kolmogorov
distance to the eigenvalues of one matrix of that dimension, times d. A problem that takes more than --limit CPU seconds has failed.
With --log, a line a problem is appended to that file, and what stands there is not computed again.
"""

import argparse
import re
import sys
import time
from pathlib import Path

import numpy as np

import gmsym as gm
from gmsym import derive
from gmsym.comparison import kolmogorov
from gmsym.problem.losses import CATALOG
from tests.benchmarks.limit import cpu_limit

ONE = ("logistic", "squared", "hinge", "smoothed_hinge", "perceptron", "exponential", "huber", "probit", "phase_retrieval")
TEXTS = (
    "(erf(h/sqrt(2)) - y)**2/2",
    "(tanh(h) - y)**2/2",
    "log(cosh(h - y))",
    "h**4/4 - y*h",
    "log(1 + (h - y)**2)",
    "max(0, 1 - y*h)**2/2",
)
TWO = ("softmax", "erf_committee", "relu_committee")


def drawn(seed: int, two: float) -> tuple[gm.system.Spectral, float, str]:
    """(system, n/d, in words)."""
    rng = np.random.default_rng(seed)
    several = rng.random() < two
    text = str(rng.choice(TWO if several else (*ONE, *TEXTS)))
    name = text if text in CATALOG else "loss"
    loss = (CATALOG[text](2) if text == "softmax" else CATALOG[text]()) if text in CATALOG else gm.Loss("loss", gm.parse(text))
    fields, clusters, blocks = len(loss.fields), int(rng.integers(1, 4)), int(rng.integers(1, 3))
    vectors = rng.normal(size=(fields + clusters, fields + clusters + 1)) * 10 ** rng.uniform(-0.5, 0.5, (fields + clusters, 1))
    gram = vectors @ vectors.T / vectors.shape[1]
    labels = np.eye(2)[rng.integers(0, 2, clusters)] if text == "softmax" else rng.choice([-1, 1], clusters)
    data = gm.GaussianMixture(
        probabilities=rng.dirichlet(3 * np.ones(clusters)).tolist() if clusters > 1 else [1],
        labels=labels.tolist(),
        means_gram=gram[fields:, fields:],
        variance=(10 ** rng.uniform(-0.5, 0.7, (clusters, blocks))).round(3).tolist(),
        fractions=None if blocks == 1 else [0.25, 0.75],
    )
    matrix = str(rng.choice(["hessian", "information"])) if text not in ("hinge", "perceptron") else "information"
    problem = gm.Problem(data, loss, gm.optimizers.gd(), norm2=gram[:fields, :fields], overlap=gram[:fields, fields:])
    alpha = float(rng.choice([0.5, 1.0, 2.0, 0.0]) or 10 ** rng.uniform(-0.8, 1.3))
    return derive.spectrum(problem, matrix), alpha, f"{name} {text} {matrix} clusters={clusters} blocks={blocks} n/d={alpha:.3g}"


def outcome(seed: int, two: float, d: int, limit: float) -> str:
    """A line on the problem."""
    start = time.process_time()

    def told(words: str) -> str:
        return f"{seed:4d} {words}, {time.process_time() - start:.1f} CPU s"

    try:
        system, alpha, words = drawn(seed, two)
    except gm.InputError as error:
        return told(f"NO PROBLEM: {error}")
    distance = np.nan
    try:
        with cpu_limit(limit):
            found = gm.solve(system, {"alpha": alpha}, points=200)
            if d:
                runs = gm.simulate(system, {"alpha": alpha}, d=d, replicates=1, seed=seed, vectors=False, progress=False)
                distance = float(kolmogorov(found, runs)[0]) * d
    except Exception as error:
        return told(f"{words}: FAILED {type(error).__name__}: {str(error)[:200]}")
    missed = float(found["band_mass_error"].sum())
    return told(f"{words}: missed mass {missed:.1e}, undecided {found.sizes['interval']}, d KS {distance:.1f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--two", type=float, default=0.15, help="share of losses of two fields")
    parser.add_argument("--d", type=int, default=0)
    parser.add_argument("--limit", type=float, default=120.0, help="CPU seconds a problem")
    parser.add_argument("--log", type=Path)
    given = parser.parse_args()
    known = given.log.read_text().splitlines() if given.log is not None and given.log.exists() else []
    seen = {int(line[:4]) for line in known}
    for seed in range(given.first, given.first + given.count):
        if seed in seen:
            continue
        line = outcome(seed, given.two, given.d, given.limit)
        known.append(line)
        print(line, flush=True)
        if given.log is not None:
            with given.log.open("a") as file:
                file.write(line + "\n")
    failed = sum("FAILED" in line for line in known)
    numbers = [re.search(r"missed mass (\S+), undecided (\d+), d KS (\S+),", line) for line in known]
    missed, undecided, far = np.array([found.groups() for found in numbers if found], dtype=float).reshape(-1, 3).T
    print(f"{len(missed)} solved, {failed} failed, {int((undecided > 0).sum())} with undecided gaps")
    if len(missed):
        print(f"missed mass: median {np.median(missed):.1e}, largest {missed.max():.1e}, above 1e-2 in {(missed > 1e-2).sum()}")
        print(f"d KS: median {np.nanmedian(far):.1f}, largest {np.nanmax(far):.1f}" if np.isfinite(far).any() else "no matrices")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
