"""A derivation notebook of a problem: its equations, solution, simulation, comparison and figure, ready to run and to change."""

from typing import TYPE_CHECKING

from gmsym.errors import InputError
from gmsym.files import ProblemFile
from gmsym.writing import marked_notebook

if TYPE_CHECKING:
    import nbformat

_LIMIT = r"$n, d \to \infty$ at fixed $n/d$"
_SIZE = "n=given.n, d=given.simulation.d, steps=run.steps, seed=run.seed"
_READ = """%matplotlib inline
import gmsym as gm

given = {}
problem, run, values = given.problem, given.run, given.values"""
_FULL_BATCH = [
    ("text", f"## The equations\n\nDerived from the loss and the optimizer, in the limit {_LIMIT}."),
    ("code", "dmf = gm.derive.dmf(problem)\ndmf"),
    ("text", "## The solution\n\nOrder parameters at every step, each with its standard error."),
    (
        "code",
        'points = {x: given.run_options[x] for x in ("rtol", "samples", "scrambles") if x in given.run_options}\n'
        f"theory = gm.solve(dmf, values, {_SIZE}, **points)\ntheory",
    ),
    ("text", "## Training on generated data"),
    ("code", f"runs = gm.simulate(problem, values, {_SIZE}, replicates=given.simulation.replicates)"),
    ("code", "comparison = gm.compare(theory, runs)\ncomparison"),
    ("code", "axes = gm.plot(comparison)"),
    ("text", "## The generated module"),
    ("code", "print(gm.source(dmf))"),
]
_ONLINE = [
    ("text", "## The equations\n\nOf the overlaps as $d \\to \\infty$ with step $c/d$, in the time $t = \\text{steps}\\cdot c/d$."),
    ("code", "ode = gm.derive.effective(problem)\node"),
    ("text", "## Online SGD on generated samples, and the solution at the same times"),
    (
        "code",
        "runs = gm.simulate(\n"
        "    problem, values, d=given.simulation.d, time=run.time, replicates=given.simulation.replicates, seed=run.seed\n"
        ")",
    ),
    ("code", 'theory = gm.solve(ode, values, time=runs["time"].values, blocks_at=given.simulation.d)\ntheory'),
    ("code", "comparison = gm.compare(theory, runs)\ncomparison"),
    ("code", "axes = gm.plot(comparison)"),
    ("text", "## The generated module"),
    ("code", "print(gm.source(ode))"),
]


def notebook(given: ProblemFile, reading: str) -> "nbformat.NotebookNode":
    """The cells, without outputs.

    Args:
        given: the problem; it decides between full batches and online SGD.
        reading: the Python expression that gives it, such as 'gm.read("problem.toml")'.

    Raises:
        InputError: nbformat is not installed.
    """
    try:
        from nbformat import v4
    except ImportError:
        raise InputError("a notebook needs nbformat, which comes with the extra: pip install 'gmsym[notebook]'") from None
    cells = [_title(given), ("code", _READ.format(reading)), *(_ONLINE if given.is_online else _FULL_BATCH)]
    if given.problem.single is not None:  # its sampling says how long it is
        cells = [(kind, text.replace("steps=run.steps, ", "")) for kind, text in cells]
    if given.problem.is_flow:
        cells = [(kind, text.replace("steps=run.steps", "time=run.time").replace("at every step", "in time")) for kind, text in cells]
    made = [v4.new_markdown_cell(text) if kind == "text" else v4.new_code_cell(text) for kind, text in cells]
    for index, cell in enumerate(made):
        cell["id"] = f"cell-{index}"  # random ones would make a notebook differ from itself
    about = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return v4.new_notebook(cells=made, metadata=about | {"gmsym": marked_notebook(made)})


def _title(given: ProblemFile) -> tuple[str, str]:
    loss = given.problem.loss._repr_latex_().replace("\\displaystyle ", "")
    how = "one pass of online SGD" if given.is_online else f"`{given.problem.optimizer.name}` ({given.problem.sampling.kind} sampling)"
    return "text", f"# What does {how} do to this loss, in high dimension?\n\n{loss}"
