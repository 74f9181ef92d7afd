"""Which cases of a slow test guard its claim on every change, and which are further ones."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def guards(cases: Iterable[Any], *kept: str, name: Callable[[Any], str] = str) -> list[Any]:
    """Parameters of a test: all but the cases with the kept names are also marked `exhaustive`, and CI leaves them out."""
    cases = list(cases)
    assert set(kept) <= set(map(name, cases)), "a guard is missing"
    return [case if name(case) in kept else pytest.param(case, marks=pytest.mark.exhaustive) for case in cases]
