"""The main job on the logistic case."""

import csv
from pathlib import Path

from gmsym import derive
from gmsym.comparison import Comparison, Row, compare
from gmsym.pipeline.dmf import solve
from gmsym.pipeline.training import simulate
from gmsym.problem import GaussianMixture, Problem, losses, optimizers


def demo(directory: Path, progress: bool | None = None) -> Comparison:
    """The main job on the logistic case: derive, generate, solve, simulate, compare; writes a figure, a table and the module.

    Writes `gmsym_demo.png`, `gmsym_demo.csv` and `gmsym_demo_logistic.py` to `directory`. About half a minute on two cores.
    """
    from gmsym.plotting import overlay

    problem = Problem(GaussianMixture.symmetric(), losses.logistic(), optimizers.gd())
    values = {"sigma": 1.0, "mu_norm": 1.2, "eta": 1.0, "ridge": 0.05}
    system = derive.dmf(problem)
    theory = solve(system, alpha=1.5, steps=60, progress=progress, **values)
    runs = simulate(problem, n=1500, d=1000, steps=60, replicates=8, progress=progress, **values)
    comparison = compare(theory, runs)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "gmsym_demo_logistic.py").write_text(system.source())
    with (directory / "gmsym_demo.csv").open("w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(Row._fields)
        writer.writerows(comparison.table(theory["time"].values))
    overlay(theory, runs)[0].figure.savefig(directory / "gmsym_demo.png", dpi=150)
    return comparison
