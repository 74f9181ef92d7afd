"""How large programs are compiled: XLA's plain emitters take a third to a half off the time on a CPU, and what they emit is as fast."""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import equinox as eqx
import jax

_OPTIONS = {"xla_cpu_use_fusion_emitters": False}


@cache
def compiler_options() -> dict[str, bool]:
    """Options of jax.jit for large programs: none where this XLA does not know them. Found at the first call, not on import."""
    try:
        jax.jit(lambda: 0, compiler_options=_OPTIONS).lower().compile()
    except Exception:  # of no one type from one version of JAX to the next
        return {}
    return _OPTIONS


def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """`eqx.filter_jit` of a large program that is called from outside of any other, compiled when it is first called.

    Args:
        function: the program.
        options: those of `eqx.filter_jit`.
    """

    @cache
    def ready() -> Callable[..., Any]:
        return eqx.filter_jit(function, compiler_options=compiler_options() or None, **options)

    @wraps(function)
    def call(*args: Any, **given: Any) -> Any:
        return ready()(*args, **given)

    return call


def jitted(function: Callable[..., Any]) -> Callable[..., Any]:
    """`jax.jit` of a large program of arrays that is called from outside of any other."""
    return jax.jit(function, compiler_options=compiler_options() or None)
