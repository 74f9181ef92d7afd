"""Spectra of every loss of the catalog, below, at and above n = d, against eigenvalues of generated matrices. Prints a table.

    python -m tests.benchmarks.spectra_catalog [--losses NAME,...] [--states 0,1,2] [--ratios 0.2,0.5,...] [--d 100] [--log FILE]

With --log, lines are appended to that file, and what stands there is not computed again. At the end a summary of each loss.

Columns: atom in theory and simulation; bands; open ends; mass that the density misses; largest outward distance of an eigenvalue that is no
outlier from its band, in units of the span (finite-size edges stray by d^(-2/3)); outliers in theory, and the largest relative distance of
the runs' mean from one of overlap 0.3 or more, times the root of n and of the replicates, whose own errors are too few to score by; d times
the Kolmogorov distance. Ends with status 1 if a spectrum was not solved.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import sympy as sp

import gmsym as gm
from gmsym import derive
from gmsym.comparison import kolmogorov, outlier_table
from gmsym.problem.losses import CATALOG
from tests.benchmarks.limit import cpu_limit

RATIOS = (0.2, 0.5, 0.9, 1.0, 1.2, 2.0, 10.0)
PIECEWISE_LINEAR = ("hinge", "perceptron")  # without a Hessian
HEAD = "loss, matrix, state: n/d  atom (theory, simulated)  bands open  missed mass  beyond  outliers dist.  d KS  undecided  CPU"
_KEY = 34  # characters of a line that name the spectrum
STATES = ((0.3, 0.2), (1.0, 0.5), (4.0, 1.2))  # |Theta|^2 and Theta . mu of each column, orthogonal columns


class Row(NamedTuple):
    """One spectrum beside its matrices; the columns of the table."""

    atom: float
    simulated: float
    bands: int
    open: int
    missed: float
    beyond: float
    outliers: int
    distance: float
    ks: float
    undecided: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.atom:.4f} {self.simulated:.4f}  {self.bands:.0f} {self.open:.0f}  {self.missed:.0e}  {self.beyond:.3f}  "
            f"{self.outliers:.0f} {self.distance:4.1f}  {self.ks:5.1f}  {self.undecided:.0f}  {self.seconds:5.1f} s"
        )


def problem(name: str, state: tuple[float, float]) -> gm.Problem:
    loss = CATALOG[name]()
    norm2, overlap = state
    fields = len(loss.fields)
    if name == "softmax":
        data = gm.GaussianMixture(
            probabilities=[sp.Rational(1, 3)] * 3, labels=np.eye(3).tolist(), means_gram=(2 * np.eye(3)).tolist(), variance=[1] * 3
        )
        return gm.Problem(data, loss, gm.optimizers.gd(), norm2=norm2 * np.eye(3), overlap=overlap * 0.7 * np.eye(3))
    data = gm.GaussianMixture.symmetric(mu_norm=1.5, sigma=1)
    share = overlap / np.sqrt(fields)
    return gm.Problem(data, loss, gm.optimizers.gd(), norm2=norm2 * np.eye(fields), overlap=[[share, -share]] * fields)


def row(system, alpha: float, d: int, replicates: int) -> Row:
    start = time.process_time()
    theory = gm.solve(system, {"alpha": alpha}, points=200)
    spent = time.process_time() - start
    runs = gm.simulate(system, {"alpha": alpha}, d=d, replicates=replicates, seed=1, progress=False)
    values = runs["eigenvalue"].values
    zeros = np.abs(values) < 1e-9 * np.abs(values).max()
    atom = (zeros.sum(1) + runs.attrs["zeros"]).mean() / (values.shape[1] + runs.attrs["zeros"])
    edges = theory["edge"].values
    span = np.ptp(edges[np.isfinite(edges)]) if np.isfinite(edges).sum() > 1 else np.abs(values).max()
    rest = [v[~z] for v, z in zip(values, zeros, strict=True)]
    counted = [int((theory["gap"].values == g).sum()) for g in range(len(edges) + 1)]
    beyond = 0.0
    for v in rest:
        left, right = counted[0], counted[-1]
        own = v[left : len(v) - right]
        distances = np.min(
            [np.where((e[0] <= own) & (own <= e[1]), 0, np.minimum(abs(own - e[0]), abs(own - e[1]))) for e in edges], axis=0
        )
        inner = sum(counted[1:-1])
        beyond = max(beyond, float(np.sort(distances)[: len(distances) - inner].max(initial=0)) / span)
    found = [r for r in outlier_table(theory, runs) if r.overlap > 0.3]
    scores = [abs(r.simulated / r.z - 1) * np.sqrt(alpha * d * replicates) for r in found]
    distance = kolmogorov(theory, runs).mean() * d
    return Row(
        atom=float(theory["atom"]),
        simulated=float(atom),
        bands=len(edges),
        open=int(np.isinf(edges).sum()),
        missed=float(theory["band_mass_error"].sum()),
        beyond=beyond,
        outliers=theory.sizes["outlier"],
        distance=max(scores, default=0.0),
        ks=distance,
        undecided=theory.sizes["interval"],
        seconds=spent,
    )


def summary(lines: list[str]) -> str:
    """A line a loss and matrix: spectra, failures, d KS (median, largest), missed mass, difference of atoms, distance of outliers."""
    found: dict[str, list[Row | None]] = {}
    for line in lines:
        numbers = line[_KEY:].removesuffix(" s").split()
        found.setdefault(line[:20], []).append(None if "FAILED" in line else Row(*map(float, numbers)))
    text = ["loss, matrix: spectra failed  d KS (median, largest)  missed mass  atoms  outliers  undecided"]
    for name, rows in found.items():
        solved = np.array([row for row in rows if row is not None]).reshape(-1, len(Row._fields))
        if not len(solved):
            text.append(f"{name} {len(rows):4d} {len(rows):4d}")
            continue
        at = dict(zip(Row._fields, solved.T, strict=True))
        atoms = np.abs(at["atom"] - at["simulated"]).max()
        text.append(
            f"{name} {len(rows):4d} {len(rows) - len(solved):4d}  {np.median(at['ks']):5.1f} {at['ks'].max():5.1f}  "
            f"{at['missed'].max():.0e}  {atoms:.3f}  {at['distance'].max():4.1f}  {at['undecided'].sum():.0f}"
        )
    return "\n".join(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--losses", default=",".join(CATALOG))
    parser.add_argument("--states", default="0,1,2")
    parser.add_argument("--ratios", default=",".join(map(str, RATIOS)))
    parser.add_argument("--d", type=int, default=100)
    parser.add_argument("--replicates", type=int, default=2)
    parser.add_argument("--limit", type=float, default=300.0, help="CPU seconds a spectrum, its matrices included")
    parser.add_argument("--log", type=Path)
    given = parser.parse_args()
    known = given.log.read_text().splitlines() if given.log is not None and given.log.exists() else []
    keys = {line[:_KEY] for line in known}
    failed = sum("FAILED" in line for line in known)
    print(HEAD, flush=True)
    for state in map(int, given.states.split(",")):
        for name in given.losses.split(","):
            for matrix in ("hessian", "information"):
                if matrix == "hessian" and name in PIECEWISE_LINEAR:
                    continue
                system = derive.spectrum(problem(name, STATES[state]), matrix)
                for alpha in map(float, given.ratios.split(",")):
                    key = f"{name:15s} {matrix[:4]} {state}: {alpha:9.3g} "
                    if key in keys:
                        continue
                    try:
                        with cpu_limit(given.limit):
                            text = str(row(system, alpha, given.d, given.replicates))
                    except Exception as error:
                        failed += 1
                        text = f"FAILED {type(error).__name__}: {str(error)[:200]}"
                    known.append(key + text)
                    print(key + text, flush=True)
                    if given.log is not None:
                        with given.log.open("a") as file:
                            file.write(key + text + "\n")
    print(summary(known))
    print(f"not solved: {failed}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
