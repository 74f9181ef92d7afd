"""Contract of a generated module of kind `SizeExpansion`. Source: theory.md 1.3.

Functions take those of their arguments that their equations mention (runtime/arguments.py); arrays are order parameters of any shape.
"""

from typing import Protocol


class SizeExpansionModule(Protocol):
    """What a generated module of this kind offers: how an order parameter depends on the number of samples, `total`."""

    SIGNATURE: str

    def bias(self, single, double, total):
        """n times what an output at size n is off the limit, from the mean of two runs of n samples and the run on their union."""
        ...

    def scaled(self, variance):
        """Root n times the standard deviation of a run, from n times its variance."""
        ...

    def mean(self, asymptote, bias, total):
        """The mean at n samples."""
        ...

    def deviation(self, scaled, total):
        """The standard deviation of a run at n samples."""
        ...
