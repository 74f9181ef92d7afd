"""The three ways in which gmsym says no, which the command line maps to exit statuses; and the checks of numbers."""

from numbers import Integral, Real
from typing import Any


class InputError(ValueError):
    """The caller's input is outside what is allowed. The message names the argument, its value and what is allowed."""


class ComputationError(RuntimeError):
    """A computation diverged or did not converge. The message says what, and at which step."""


class UnprintableError(NotImplementedError):
    """An expression holds a function with no entry in the printer's table."""


def check_integers(**given: tuple[Any, int]) -> None:
    """InputError unless each value is an integer of at least its second number that fits 63 bits."""
    for name, (value, least) in given.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise InputError(f"{name} = {value!r}: an integer of at least {least} is needed")
        if value >= 2**63:
            raise InputError(f"{name} is an integer of {value.bit_length()} bits: one from {least} to 2^63 - 1 is needed")


def check_flag(name: str, value: Any) -> None:
    """InputError unless the value is True or False."""
    if not isinstance(value, bool):
        raise InputError(f"{name} = {repr(value)[:40]}: True or False is needed")


def check_positive(name: str, value: Any, meaning: str) -> float:
    """The value as a number, or InputError unless it is positive and at most 1e300; `meaning` says what is needed."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value <= 1e300:
        raise InputError(f"{name} = {repr(value)[:40]}: {meaning}")
    return float(value)
