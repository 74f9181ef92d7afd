"""What a newcomer asks first: a problem file to change, what there is to choose from, and which version this is."""

import inspect
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

import gmsym as gm
from gmsym import writing
from gmsym.cli._app import ForceOption, app
from gmsym.cli._input import check_targets
from gmsym.errors import InputError
from gmsym.files.suggest import unknown

_CATALOGS: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    "losses": gm.losses.CATALOG,
    "optimizers": gm.optimizers.CATALOG,
    "samplings": gm.sampling.CATALOG,
}
_LEVELS = ("debug", "info", "warning", "error")
_LISTED = (*_CATALOGS, "theories")
_FILE = """# {mark}: a problem, to change. gmsym solve problem.toml; gmsym compare problem.toml
[mixture]                                        # two clusters, means +mu and -mu, labels +1 and -1
probabilities = [0.5, 0.5]
labels = [1, -1]
means_gram = [[1.44, -1.44], [-1.44, 1.44]]      # mu_k . mu_l
variance = [1.0, 1.0]                            # sigma_k^2; or blocks = {{ fractions = [0.5, 0.5], variance = [[1, 2], [1, 2]] }}

[loss]
expression = "log(1 + exp(-y*h))"                # of the field h = theta . x and the label y; or name = "hinge": gmsym list losses

[optimizer]
name = "heavy_ball"                              # gmsym list optimizers; or update = {{ theta = "theta + v", v = "beta*v - eta*g" }}
eta = 1.0                                        # a number, or a schedule in the step t such as "2/(1 + t/50)"
momentum = 0.5
ridge = 0.05                                     # lambda in (lambda/2) |theta|^2

[sampling]
kind = "full"                                    # gmsym list samplings; online SGD takes [run] time in place of steps

[run]
alpha = 1.5                                      # n/d, samples per dimension; a list of numbers sweeps it
steps = 100

[simulation]                                     # the witness: training on generated data
d = 1000
replicates = 8

# [sweep]                                        # gmsym sweep problem.toml: a grid of points, kept in a folder
# over = {{ alpha = [0.5, 1.0, 2.0], eta = [0.5, 1.0] }}
# store = "study"
"""


@app.command()
def init(
    output: Annotated[Path, typer.Option("--output", metavar="FILE.toml", help="Where the problem goes.")] = Path("problem.toml"),
    force: ForceOption = False,
) -> None:
    """Write a commented problem file, to change."""
    check_targets(force, output=(output, ".toml"))
    writing.write_text(_FILE.format(mark=writing.MARK), output)
    print(f"Written to {output}")


@app.command("list")
def listing(what: Annotated[str, typer.Argument(metavar="|".join(_LISTED), help="What to list.")]) -> None:
    """List losses, optimizers, samplings or theories there are."""
    if what not in _LISTED:
        raise InputError(f"list: {unknown('list', what, _LISTED)}")
    rows = _theories() if what == "theories" else {_called(name, made): _first_line(made) for name, made in _CATALOGS[what].items()}
    width = max(map(len, rows))
    for name, said in rows.items():
        print(f"{name.ljust(width)}  {said}".rstrip())


def _called(name: str, made: Callable[..., Any]) -> str:
    """An entry with what it takes in a problem file."""
    taken = [x for x in inspect.signature(made).parameters if x != "step"]
    return f"{name}({', '.join(taken)})" if taken else name


def _theories() -> dict[str, str]:
    rows = {}
    for name, row in gm.pipeline.THEORIES.items():
        verb = getattr(gm.derive, name.replace("-", "_"), row.derive)
        rows[name] = _first_line(verb) + ("" if row.solved else " (to read)")
    return rows


def _first_line(made: Callable[..., Any]) -> str:
    return inspect.cleandoc(made.__doc__ or "").partition("\n")[0]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"gmsym {gm.__version__}")
        raise typer.Exit()


def _log_level(level: str) -> str:
    if level not in _LEVELS:
        raise InputError(f"--log-level: {unknown('level', level, _LEVELS)}")
    logging.getLogger("gmsym").setLevel(level.upper())
    return level


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")] = False,
    log_level: Annotated[
        str,
        typer.Option(
            "--log-level", callback=_log_level, metavar="LEVEL", show_default=False, help=f"Words on stderr: {', '.join(_LEVELS)}."
        ),
    ] = "warning",
) -> None:
    """Training dynamics on Gaussian mixtures: derived, solved and simulated."""
