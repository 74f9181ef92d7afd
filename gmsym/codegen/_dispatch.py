"""Source text and signature of a system of any kind."""

import hashlib
from functools import lru_cache, singledispatch
from typing import Any

from gmsym import generated
from gmsym.codegen import causal_kernels, fixed_point, influence, ode, recursion, sde, size_expansion, spectral, stationary
from gmsym.codegen._listing import Source
from gmsym.errors import InputError
from gmsym.system import (
    AbstractSystem,
    CausalKernels,
    FiniteSize,
    FixedPoint,
    Flow,
    Influence,
    IntegroDifferential,
    Ode,
    Passes,
    Recursion,
    Refinement,
    Sde,
    SizeExpansion,
    Spectral,
    Stationary,
)


def source(system: AbstractSystem) -> Source:
    """Readable source of the JAX module of a system: the same text for equal systems, in every process; a string, which a notebook
    shows folded and in colour.

    Args:
        system: what a function of `gmsym.derive` returns.

    Raises:
        InputError: no system; a system of a kind that has no module.
        UnprintableError: an expression in it holds a function that the printer does not know.
    """
    return Source(_signed(_checked(system))[0])


def signature(system: AbstractSystem) -> str:
    """Twelve hexadecimal digits that systems share if and only if their modules compute the same: the hash of what stands below
    the module's header and imports. Raises as `source`."""
    return _signed(_checked(system))[1]


def _checked(system: Any) -> AbstractSystem:
    if not isinstance(system, AbstractSystem):
        raise InputError(f"source: a system is needed, such as gm.derive.dmf(problem); got {type(system).__name__}")
    return system


@lru_cache(maxsize=64)
def _signed(system: AbstractSystem) -> tuple[str, str]:
    text = generated.checked(_text(system), system.name)
    head, mark, body = text.partition(_UNSIGNED)
    digest = hashlib.sha256(body.encode()).hexdigest()[:12]
    return head + mark.replace('""', f'"{digest}"') + body, digest


_UNSIGNED = '\nSIGNATURE = ""\n'


@singledispatch
def _text(system: AbstractSystem) -> str:
    raise TypeError(f"gmsym.codegen writes no {type(system).__name__}; add it to gmsym/codegen/_dispatch.py")


_text.register(CausalKernels, causal_kernels.source)
_text.register(FixedPoint, fixed_point.source)
_text.register(Influence, influence.source)
_text.register(Ode, ode.source)
_text.register(Recursion, recursion.source)
_text.register(Sde, sde.source)
_text.register(SizeExpansion, size_expansion.source)
_text.register(Spectral, spectral.source)
_text.register(Stationary, stationary.source)


@_text.register
def _(system: Flow) -> str:
    return causal_kernels.source(system.kernels)


@_text.register
def _(system: IntegroDifferential) -> str:
    raise InputError(
        f"{system.name}: a gradient flow in continuous time has no module of its own; "
        "gmsym.derive.dmf of a problem with gmsym.optimizers.flow() has that of the schemes which integrate it"
    )


@_text.register
def _(system: Passes) -> str:
    return _text(system.kernels)


@_text.register
def _(system: FiniteSize | Refinement) -> str:
    parts = ", ".join(f"system.parts[{name!r}]" for name in system.parts)
    raise InputError(f"{system.name}: its parts have modules, each of its own: {parts}")
