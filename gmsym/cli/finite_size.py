"""Verbs of training at finite size."""

from typing import Annotated

import typer

from gmsym.cli._app import DatasetOption, FileArgument, JsonOption, LossOption, OptimizerOption, QuietOption, SetOption, app
from gmsym.cli._input import check_target, progress, read
from gmsym.cli._output import report, write_json


@app.command()
def surrogate(
    file: FileArgument = None,
    loss: LossOption = None,
    optimizer: OptimizerOption = None,
    settings: SetOption = None,
    n: Annotated[int | None, typer.Option("--n", help="Samples. Default: alpha*d of the problem.")] = None,
    d: Annotated[int | None, typer.Option("--d", help="Dimension. Default: that of the simulation.")] = None,
    replicates: Annotated[
        int | None, typer.Option("--replicates", help="Independent trajectories. Default: those of the simulation.")
    ] = None,
    json_target: JsonOption = None,
    output: DatasetOption = None,
    quiet: QuietOption = False,
) -> None:
    """Sample the finite-size surrogate, equal in law to training: mean, standard deviation and standard error at the last step."""
    given = read(file, loss, optimizer, settings)
    _ = given.instance
    check_target("--json", json_target)
    check_target("--output", output, ".nc")
    size = d or given.simulation.d
    from gmsym import pipeline, schema

    result = pipeline.surrogate(
        given.problem,
        n=n or round(given.run.alpha * size),
        d=size,
        steps=given.run.steps,
        replicates=replicates or given.simulation.replicates,
        seed=given.run.seed,
        progress=progress(quiet),
        **given.values,
    )
    if output is not None:
        result.to_netcdf(output)
    if json_target is not None:
        write_json(schema.last(result) | {"deviation": schema.last_deviation(result)}, json_target)
    else:
        report(result, None, quiet)
