"""Spectra of random problems: each is solved, or said why not. Prints a line for each that is not, and counts; progress goes to stderr.

    python tests/benchmarks/spectra_random.py [--first 0] [--count 300] [--d 0] [--limit 120]

Problem i has the seed i: a loss of the catalog or of a list of expressions, one to three clusters, one or two blocks of coordinates with
variances of their own, a state within the means' span and beside it, n/d from 0.15 to 20, Hessian or information. With --d, the Kolmogorov
distance to the eigenvalues of one matrix of that dimension, times d. A problem that takes more than --limit CPU seconds has failed.
"""

import argparse
import signal
import sys
import time

import numpy as np

import gmsym as gm
from gmsym import derive
from gmsym.comparison import kolmogorov
from gmsym.problem.losses import CATALOG

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


def out_of_time(*_) -> None:
    raise TimeoutError("the limit of CPU time")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--two", type=float, default=0.15, help="share of losses of two fields")
    parser.add_argument("--d", type=int, default=0)
    parser.add_argument("--limit", type=float, default=120.0, help="CPU seconds a problem")
    given = parser.parse_args()
    signal.signal(signal.SIGPROF, out_of_time)
    failed, missed, undecided, distances = 0, [], 0, []
    for seed in range(given.first, given.first + given.count):
        start = time.process_time()
        try:
            system, alpha, words = drawn(seed, given.two)
        except gm.InputError as error:
            print(f"{seed}: no problem: {error}", flush=True)
            continue
        try:
            signal.setitimer(signal.ITIMER_PROF, given.limit)
            found = gm.solve(system, {"alpha": alpha}, points=200)
            missed.append(float(found["band_mass_error"].sum()))
            undecided += found.sizes["interval"] > 0
            if given.d:
                runs = gm.simulate(system, {"alpha": alpha}, d=given.d, replicates=1, seed=seed, vectors=False, progress=False)
                distances.append(float(kolmogorov(found, runs)[0]) * given.d)
                if distances[-1] > 15:
                    print(f"{seed}: {words}: d KS = {distances[-1]:.1f}, edges {found['edge'].values.tolist()}", flush=True)
            if missed[-1] > 1e-2 or found.sizes["interval"]:
                print(f"{seed}: {words}: missed mass {missed[-1]:.1e}, undecided {found['undecided'].values.tolist()}", flush=True)
        except Exception as error:
            failed += 1
            print(f"{seed}: {words}: FAILED {type(error).__name__}: {str(error)[:150]}", flush=True)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        print(f"{seed} {words}: {time.process_time() - start:.1f} CPU s", file=sys.stderr, flush=True)
    missed_, far = np.array(missed), np.array(distances or [0.0])
    print(
        f"{len(missed)} solved, {failed} failed, {undecided} with undecided gaps; missed mass: median {np.median(missed_):.1e}, "
        f"largest {missed_.max():.1e}, above 1e-8 in {(missed_ > 1e-8).sum()}; d KS: median {np.median(far):.1f}, largest {far.max():.1f}"
    )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
