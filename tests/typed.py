"""Shapes and types of `gmsym.runtime` and `gmsym.engine`, checked at every call of a test run: jaxtyping's import hook with beartype.

To import this module, before the first of theirs, switches it on.
"""

import functools
import operator
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jaxtyping
import numpy as np
from beartype import BeartypeConf, beartype
from jax.typing import ArrayLike

_SETTINGS = BeartypeConf(is_pep484_tower=True)  # a whole number is a float


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The type checker that the hook calls: shapes as they are declared; arrays of NumPy and numbers where JAX takes them for its
    own, traced numbers for numbers, one array for a sequence of them.

    Generated modules are left out: what a module offers depends on its problem.
    """
    if not isinstance(function, type):
        function.__annotations__ = {name: _widened(hint) for name, hint in function.__annotations__.items()}
    return beartype(function, conf=_SETTINGS)


def _widened(hint: Any) -> Any:
    if hint is np.ndarray:  # what indexing and reductions leave of one
        return np.ndarray | np.generic | float
    if hint is jax.Array:
        return ArrayLike
    if hint in (int, float, complex):  # also one that is traced
        return hint | jax.Array | np.generic
    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        return hint.dtype[ArrayLike, hint.dim_str] if hint.array_type is jax.Array else hint
    if getattr(hint, "_is_protocol", False) and hint.__module__.startswith("gmsym"):
        return object
    if isinstance(hint, str):
        return object if hint.removesuffix(" | None").endswith("Module") else hint
    inner = tuple(map(_widened, typing.get_args(hint))) if not isinstance(hint, typing.ParamSpec) else ()
    if not inner or inner == typing.get_args(hint):
        return hint
    origin = typing.get_origin(hint)
    if origin is Sequence:  # or one array, along its first axis
        return Sequence[inner] | ArrayLike
    if origin in (types.UnionType, typing.Union):
        return functools.reduce(operator.or_, inner)
    return origin[inner]


jaxtyping.install_import_hook(["gmsym.runtime", "gmsym.engine"], "tests.typed.checked")
