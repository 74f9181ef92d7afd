"""A mixture fitted to samples of a file, for problem files: [mixture] fitted = "fitted.nc"."""

from pathlib import Path
from typing import Annotated

import typer

import gmsym as gm
from gmsym.cli._app import ForceOption, QuietOption, app
from gmsym.cli._input import check_targets
from gmsym.errors import InputError
from gmsym.files.samples import read_samples, write_fitted


@app.command()
def fit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Samples: .npz with X and labels, or .csv with the label last.")],
    output: Annotated[Path, typer.Option("--output", metavar="FILE.nc", help="Where the mixture goes.")] = Path("fitted.nc"),
    clusters: Annotated[str, typer.Option("--clusters", help="discriminant: cells of each class; or class: one a class.")] = "discriminant",
    quantiles: Annotated[str, typer.Option("--quantiles", help="Between which the cells lie.")] = "0.05,0.25,0.75,0.95",
    covariance: Annotated[str, typer.Option("--covariance", help="tied: one matrix a class; or own: one a cluster.")] = "tied",
    seed: Annotated[int, typer.Option("--seed", help="Of the halves that tell what the fit is worth.")] = 0,
    force: ForceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fit a mixture to samples of a file; say what it is worth."""
    check_targets(force, output=(output, ".nc"))
    try:
        cuts = [float(x) for x in quantiles.split(",")]
    except ValueError:
        raise InputError(f"--quantiles {quantiles}: numbers between 0 and 1 are needed, such as 0.05,0.25,0.75,0.95") from None
    X, labels = read_samples(file)
    data = gm.GaussianMixture.fit(X, labels, clusters=clusters, quantiles=cuts, covariance=covariance, seed=seed)
    write_fitted(data, output)
    if not quiet:
        print(gm.fit_report(data))
        print(f"Written to {output}")
