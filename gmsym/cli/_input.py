"""What verbs read: a problem from a file, from options, or from both; targets that can be written."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, final, get_type_hints

from gmsym import writing
from gmsym.cli._app import (
    DatasetOption,
    FigureOption,
    FileArgument,
    ForceOption,
    JsonOption,
    LossOption,
    OptimizerOption,
    QuietOption,
    SetOption,
    TheoryOption,
    app,
)
from gmsym.errors import InputError
from gmsym.files import reader as problem_file
from gmsym.files.reader import ProblemFile


def read(file: Path | None, loss: str | None, optimizer: str | None, settings: list[str] | None) -> ProblemFile:
    """The problem of a file, of options, or of a file changed by options."""
    chosen = problem_file.parse_settings(settings or [])
    if file is not None:
        if "=" in file.name and not file.exists():
            raise InputError(f"{file}: no such file; a setting is written --set {file}")
        return problem_file.read(file, loss=loss, optimizer=optimizer, settings=chosen)
    if loss is None:
        raise InputError("a problem is needed: a file, or --loss with --optimizer and --set")
    return problem_file.from_options(loss, optimizer or "gd", chosen)


_PROBLEM = {"file": FileArgument, "loss": LossOption, "optimizer": OptimizerOption, "settings": SetOption}


def problem_verb(name: str | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a verb whose first argument is the problem; on the command line that is a file, or options, or both."""

    def register(verb: Callable[..., None]) -> Callable[..., None]:
        @wraps(verb)
        def command(file: Any = None, loss: Any = None, optimizer: Any = None, settings: Any = None, **options: Any) -> None:
            verb(read(file, loss, optimizer, settings), **options)

        _, *own = inspect.signature(verb).parameters.values()
        hints = _PROBLEM | get_type_hints(verb, include_extras=True)
        shared = [inspect.Parameter(x, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None) for x in _PROBLEM]
        parameters = [x.replace(annotation=hints[x.name]) for x in (*shared, *own)]
        command.__signature__ = inspect.Signature(parameters)
        command.__annotations__ = {x.name: x.annotation for x in parameters}
        return app.command(name)(command)

    return register


def check_targets(force: bool, **targets: tuple[Any, ...]) -> None:
    """Refuse, before a long computation, files that could not be written after it, or that are not gmsym's own.

    Args:
        force: whether other files may be overwritten.
        targets: by the option's name, (the file or None or, where any suffix is allowed, "-", the suffixes that are allowed).
    """
    taken: dict[Path, str] = {}
    for option, (target, *suffixes) in targets.items():
        if target is None or str(target) == "-" and not suffixes:
            continue
        writing.check(f"--{option}", target, *suffixes, force=force)
        other = taken.setdefault(Path(target).resolve(), option)
        if other != option and Path(target).is_file() | (not Path(target).exists()):
            raise InputError(f"--{option} {target}: --{other} names the same file")


def progress(quiet: bool) -> bool | None:
    return False if quiet else None  # None: on a terminal only


@final
@dataclass(frozen=True)
class Targets:
    """Where a computation goes."""

    json: str | None
    output: Path | None
    figure: Path | None
    quiet: bool

    @property
    def partial(self) -> dict[str, Path]:
        """The option of a computation that keeps what is done beside `output`, where there is one."""
        return {} if self.output is None else {"checkpoint": self.output.with_name(f"{self.output.name}.partial")}

    @property
    def progress(self) -> bool | None:
        return progress(self.quiet)


def computing_verb(verb: Callable[[ProblemFile, str | None, Targets], None]) -> Callable[..., None]:
    """Register a verb that computes a theory of a problem: it gets the problem, the theory's name and where results go, all checked."""

    def command(
        given: ProblemFile,
        theory: TheoryOption = None,
        json_target: JsonOption = None,
        output: DatasetOption = None,
        figure: FigureOption = None,
        force: ForceOption = False,
        quiet: QuietOption = False,
    ) -> None:
        check_numbers(given, theory)
        check_targets(force, json=(json_target,), output=(output, ".nc"), figure=(figure, ".png", ".svg", ".pdf"))
        verb(given, theory, Targets(json_target, output, figure, quiet))

    command.__name__, command.__doc__ = verb.__name__, verb.__doc__
    return problem_verb()(command)


def check_numbers(given: ProblemFile, theory: str | None) -> None:
    """Refuse bad numbers before anything heavy is loaded; a spectrum and the end of training do not need those of the optimizer."""
    if theory not in ("spectrum", "stationary"):
        _ = given.instance
