"""What every pipeline shares: loading of generated text, names, words and progress."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import ModuleType

from gmsym.codegen import source
from gmsym.problem import Problem
from gmsym.runtime import check_double
from gmsym.runtime import load as load_text
from gmsym.system import AbstractSystem

DEVIATION = "_deviation"  # suffix of the standard deviation of one run


def deviation_labels(about: dict[str, str]) -> dict[str, str]:
    """Attributes of X_deviation from those of X."""
    return {"long_name": f"standard deviation of the {about['long_name']}", "latex": rf"\mathrm{{sd}}({about['latex']})"}


def load(system: AbstractSystem) -> ModuleType:
    """The generated module of a system; the same object for the same source, so that compiled functions are reused.

    Raises:
        InputError: JAX computes in single precision.
    """

    check_double()
    return _load(source(system))


@lru_cache(maxsize=64)
def _load(text: str) -> ModuleType:

    return load_text(text, "gmsym_generated")


def say(sentence: str) -> None:
    """A word to the user that is no failure; a program that wants to keep or to silence it takes the logger `gmsym`."""
    logging.getLogger("gmsym").warning(sentence)


def say_unobserved(problem: Problem, theory: str) -> None:
    """Say that a theory does not give the means of the problem's observables, where it has some."""
    if problem.observables:
        names = ", ".join(name for name, _ in problem.observables)
        say(f"{theory} does not give the means of the observables {names}; gmsym.simulate and, online, derive.effective do")


@contextmanager
def progress_bar(description: str, wanted: bool | None) -> Iterator[Callable[[float], None]]:
    """A function that takes the completed fraction, drawn as a bar on stderr."""
    if wanted is False or (wanted is None and not sys.stderr.isatty()):
        yield lambda fraction: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=1.0)
        yield lambda fraction: bar.update(task, completed=fraction)
