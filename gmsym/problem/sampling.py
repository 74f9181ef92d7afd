"""Which samples a step of training sees. Source: theory.md 0 and 6.

`full()`: every step sees all n samples. `online()`: every step sees one fresh sample and has the length eta/d; time is steps * eta/d.
"""

from abc import ABC
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, final


class AbstractSampling(ABC):
    """A way of sampling. Frozen."""

    kind: ClassVar[str]  # as a problem file calls it


@final
@dataclass(frozen=True)
class Full(AbstractSampling):
    """All samples at every step; time counts steps."""

    kind: ClassVar[str] = "full"


@final
@dataclass(frozen=True)
class Online(AbstractSampling):
    """One fresh sample at every step, whose step c/d has c = eta, the parameter of the optimizer; time is steps * c/d."""

    kind: ClassVar[str] = "online"


def full() -> Full:
    """Full batches: every step sees all n samples."""
    return Full()


def online() -> Online:
    """Online SGD: every step sees one fresh sample and moves by eta/d times its gradient."""
    return Online()


CATALOG: dict[str, Callable[..., AbstractSampling]] = {f.__name__: f for f in (full, online)}
