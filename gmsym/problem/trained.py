"""Parameters of a loss that are trained beside Theta: second-layer weights, biases. Source: theory.md (6.1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import sympy as sp

from gmsym import generated, symbols
from gmsym.errors import InputError
from gmsym.problem import _numbers as numbers

_NOT_NAMES = {"t", "theta", "g", "alpha", "eta", "ridge", "step", "time"}


@final
@dataclass(frozen=True, init=False)
class Trained:
    """P numbers v of O(1) that enter the loss by name and follow v' = v - (step/d) (dl/dv + ridge v) at each sample.

    Args:
        initial: {name: initial value}, in the order of the state.
        step: c_v; default, the step c of Theta.
        ridge: coefficient of (ridge/2) |v|^2.

    Raises:
        InputError: no name, or one that a loss cannot have.
    """

    names: tuple[sp.Symbol, ...]
    initial: tuple[sp.Expr, ...]
    step: sp.Expr | None
    ridge: sp.Expr

    def __init__(self, initial: Mapping[Any, Any], *, step: Any = None, ridge: Any = 0):
        if not isinstance(initial, Mapping) or not initial:
            raise InputError(f"trained initial = {initial!r}: {{name: initial value}} is needed, at least one")
        for name in map(str, initial):
            reserved = name in _NOT_NAMES or symbols.is_sample(name)
            if generated.name_fault(name) is not None or reserved:
                raise InputError(f"trained: {name!r} cannot be the name of a trained parameter; allowed is a name such as v0 or bias")
        object.__setattr__(self, "names", tuple(symbols.symbol(str(name)) for name in initial))
        object.__setattr__(self, "initial", tuple(numbers.scalar(value, f"trained {name}") for name, value in initial.items()))
        object.__setattr__(self, "step", None if step is None else numbers.scalar(step, "trained step"))
        object.__setattr__(self, "ridge", numbers.scalar(ridge, "trained ridge"))

    @property
    def expressions(self) -> tuple[sp.Expr, ...]:
        """All entries that may hold parameters."""
        return (*self.initial, self.ridge, *(() if self.step is None else (self.step,)))
