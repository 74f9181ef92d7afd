"""How generated functions of array algebra are called: each takes those of the arrays at hand that its equation mentions."""

from collections.abc import Callable
from typing import Any


def named(function: Callable, arrays: dict[str, Any]) -> Any:
    """The function at the arguments that it names."""
    return function(**{argument: arrays[argument] for argument in function.__code__.co_varnames[: function.__code__.co_argcount]})
