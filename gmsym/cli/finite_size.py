"""Verbs of training at finite size."""

from typing import Annotated

import typer

from gmsym import writing
from gmsym.cli._app import DatasetOption, FigureOption, ForceOption, JsonOption, QuietOption
from gmsym.cli._input import check_targets, partial, problem_verb, progress
from gmsym.cli._output import draw, report, write_json
from gmsym.errors import InputError
from gmsym.problem.file import ProblemFile


@problem_verb()
def surrogate(
    given: ProblemFile,
    n: Annotated[int | None, typer.Option("--n", help="Samples. Default: alpha*d of the problem.")] = None,
    d: Annotated[int | None, typer.Option("--d", help="Dimension. Default: that of the simulation.")] = None,
    replicates: Annotated[
        int | None, typer.Option("--replicates", help="Independent trajectories. Default: those of the simulation.")
    ] = None,
    json_target: JsonOption = None,
    output: DatasetOption = None,
    force: ForceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Sample the finite-size surrogate, equal in law to training: mean, standard deviation and standard error at the last step."""
    _ = given.instance  # refuses bad numbers before anything is computed
    check_targets(force, json=(json_target,), output=(output, ".nc"))
    for name, value, least in (("n", n, 1), ("d", d, 1), ("replicates", replicates, 2)):
        if value is not None and value < least:
            raise InputError(f"--{name} {value}: an integer of at least {least} is needed")
    size = given.simulation.d if d is None else d
    from gmsym import pipeline, schema

    result = pipeline.surrogate(
        given.problem,
        n=round(given.run.alpha * size) if n is None else n,
        d=size,
        steps=given.run.steps,
        replicates=given.simulation.replicates if replicates is None else replicates,
        seed=given.run.seed,
        progress=progress(quiet),
        **partial(output),
        **given.values,
    )
    if output is not None:
        writing.write_datasets({None: result}, output)
        partial(output)["checkpoint"].unlink(missing_ok=True)
    if json_target is not None:
        write_json(schema.last(result) | {"deviation": schema.last_deviation(result)}, json_target)
    else:
        report(result, None, quiet)


@problem_verb("finite-size")
def finite_size(
    given: ProblemFile,
    n: Annotated[int | None, typer.Option("--n", help="Samples. Default: alpha*d of the problem.")] = None,
    populations: Annotated[int, typer.Option("--populations", help="Populations behind the standard deviation.")] = 4,
    replicates: Annotated[int, typer.Option("--replicates", help="Pairs of surrogate runs behind the 1/n correction.")] = 200,
    json_target: JsonOption = None,
    output: DatasetOption = None,
    figure: FigureOption = None,
    force: ForceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Predict mean and standard deviation of training with n samples in n/alpha dimensions, from the limit and a few surrogate runs."""
    _ = given.instance  # refuses bad numbers before anything is computed
    check_targets(force, json=(json_target,), output=(output, ".nc"), figure=(figure, ".png", ".svg", ".pdf"))
    if n is not None and n < 1:
        raise InputError(f"--n {n}: an integer of at least 1 is needed")
    from gmsym import pipeline
    from gmsym.plotting import bands

    run = given.run
    size = given.n if n is None else n
    finite = pipeline.finite_size(
        given.problem,
        alpha=size / max(1, round(size / run.alpha)),  # n/alpha may not be an integer
        steps=run.steps,
        samples=run.samples,
        scrambles=run.scrambles,
        seed=run.seed,
        populations=populations,
        replicates=replicates,
        progress=progress(quiet),
        **given.values,
    )
    curves = pipeline.at_size(finite, size)
    if output is not None:
        writing.write_datasets({None: curves}, output)
    if figure is not None:
        draw(lambda: bands(finite, curves), figure)
    report(curves, json_target, quiet)
