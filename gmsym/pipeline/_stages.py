"""What every pipeline shares: loading of generated text, names and words."""

import logging
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


def say_unobserved(problem: Problem, theory: str, sample: str = "") -> None:
    """Say that a theory does not give the means of the problem's observables, or not those of the training samples, where it has some."""
    if problem.observables:
        names = ", ".join(problem.observable_names)
        which = f"{sample} means" if sample else "means"
        say(f"{theory} does not give the {which} of the observables {names}; gmsym.simulate and derive.dmf do")
