"""What a problem of any kind offers to everything that is built on it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import sympy as sp


class AbstractProblem(ABC):
    """A question about training, symbolic: what is trained on which data, and how. Frozen; everything has a declared order."""

    @property
    @abstractmethod
    def name(self) -> str:
        """How results and titles call it."""

    @property
    @abstractmethod
    def parameters(self) -> tuple[sp.Symbol, ...]:
        """All symbols that need a number, in alphabetical order."""

    @property
    @abstractmethod
    def signature(self) -> str:
        """Twelve hexadecimal digits that tell problems apart whatever they are called."""

    @property
    @abstractmethod
    def natural(self) -> str:
        """The theory of `gmsym.derive` that answers it where none is named."""

    @property
    @abstractmethod
    def is_online(self) -> bool:
        """Whether every step sees a fresh sample, so that there is no number of samples a dimension."""

    @abstractmethod
    def at(self, values: Mapping[str, float]) -> Any:
        """The problem in numbers, checked.

        Raises:
            InputError: an unknown or missing parameter, or a number out of range.
        """
