"""The main job on the logistic case."""

import csv
import io
from pathlib import Path

from gmsym import derive, writing
from gmsym.codegen import source
from gmsym.comparison import Comparison, Row, compare
from gmsym.pipeline._verbs import simulate, solve
from gmsym.plotting import overlay
from gmsym.problem import GaussianMixture, Problem, losses, optimizers


def demo(directory: Path, progress: bool | None = None, force: bool = False) -> Comparison:
    """The main job on the logistic case: derive, generate, solve, simulate, compare; writes a figure, a table and the module.

    Writes `gmsym_demo.png`, `gmsym_demo.csv` and `gmsym_demo_logistic.py` to `directory`. About half a minute on two cores.

    Raises:
        InputError: the directory cannot be written to, or holds files of these names that gmsym did not write and `force` is False.
        ComputationError: a file could not be written.
    """
    writing.make_folder("--output", directory)
    module, table, picture = (directory / f"gmsym_demo{end}" for end in ("_logistic.py", ".csv", ".png"))
    for path in (module, table, picture):
        writing.check("--output", path, force=force)

    problem = Problem(GaussianMixture.symmetric(), losses.logistic(), optimizers.gd())
    values = {"alpha": 1.5, "sigma": 1.0, "mu_norm": 1.2, "eta": 1.0, "ridge": 0.05}
    system = derive.dmf(problem)
    theory = solve(system, values, steps=60, progress=progress)
    runs = simulate(problem, values, d=1000, steps=60, replicates=8, progress=progress)
    comparison = compare(theory, runs)
    writing.write_text(source(system), module)
    rows = io.StringIO(newline="")
    writer = csv.writer(rows)
    writer.writerow(Row._fields)
    writer.writerows(comparison.table(theory["time"].values))
    writing.write_text(rows.getvalue(), table)
    writing.write_figure(overlay(theory, runs)[0].figure, picture)
    return comparison
