"""Hyperparameters of a problem, by gradients through its theory."""

from typing import Annotated

import typer

import gmsym as gm
from gmsym.cli._app import JsonOption, QuietOption, TheoryOption
from gmsym.cli._input import check_numbers, check_targets, problem_verb, progress
from gmsym.cli._output import show, write_json
from gmsym.errors import InputError
from gmsym.files import ProblemFile


@problem_verb()
def tune(
    given: ProblemFile,
    over: Annotated[str, typer.Option("--over", metavar="NAMES", help="Parameters that change, such as eta,momentum.")] = "eta",
    objective: Annotated[str, typer.Option("--objective", metavar="NAME", help="What is made least.")] = "test_loss",
    index: Annotated[str, typer.Option("--index", metavar="I,J", help="Which entry of it, such as 0,0 of Q.")] = "",
    stop: Annotated[bool, typer.Option("--stop", help="At the best time up to the last one, not at the last.")] = False,
    theory: TheoryOption = None,
    json_target: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Find the parameters that make a number of a theory least."""
    check_numbers(given, theory)
    check_targets(False, json=(json_target,))
    names = [name.strip() for name in over.split(",") if name.strip()]
    try:
        place = [int(i) for i in index.split(",") if i.strip()]
    except ValueError:
        raise InputError(f"--index {index}: whole numbers are needed, such as 0,0") from None

    found = gm.pipeline.tune_file(given, theory, names, objective, place, stop, progress=progress(quiet))
    if json_target is not None:
        record = {"values": found.values, "objective": objective, "start": found.history[0], "best": found.history[-1]}
        write_json(record | {"time": found.time}, json_target)
    elif not quiet:
        show(gm.pipeline.tuned_table(found, objective))
