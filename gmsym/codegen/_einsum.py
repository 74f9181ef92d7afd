"""The one writer of array code: a product of numbers and of arrays whose axes are letters, as text.

What reads equations differs from kind to kind: products of kernels in the order in which they stand (codegen._arrays, codegen.ode),
matrices that do not commute (codegen._matrices), indices that are written out (codegen._indexed). Each of them comes to this.
"""

from collections.abc import Sequence
from typing import NamedTuple

FURTHER = "..."  # ends the axes of an array that has any number of further ones


class Operand(NamedTuple):
    """An array in a product."""

    text: str
    axes: str  # a letter each


def product(operands: Sequence[Operand], output: str, numbers: Sequence[str] = (), divisors: Sequence[str] = ()) -> str:
    """Text of a product as an array with the axes `output`, or one that broadcasts to it; axes that are not in `output` are summed.

    Args:
        operands: in the order in which they are written.
        output: axes of the result, without further ones.
        numbers: factors; "-1" in front becomes a sign.
        divisors: likewise.
    """
    sign, numbers = ("-", list(numbers[1:])) if list(numbers[:1]) == ["-1"] else ("", list(numbers))
    below = "".join(f" / {divisor}" for divisor in divisors)
    if not operands:
        return sign + " * ".join(numbers or ["1"]) + below
    found = "".join(axis for axis in output if any(axis in axes for _, axes in operands))
    text = _contracted(operands, found + (FURTHER if any(axes.endswith(FURTHER) for _, axes in operands) else ""))
    if found != output:
        text = f"{text}[{', '.join(':' if axis in found else 'None' for axis in output)}]"
    return sign + " * ".join([*numbers, text]) + below


def _contracted(operands: Sequence[Operand], output: str) -> str:
    if all(axes == output for _, axes in operands) and (len(operands) == 1 or output == FURTHER):
        return " * ".join(text for text, _ in operands)
    return f'jnp.einsum("{",".join(axes for _, axes in operands)}->{output}", {", ".join(text for text, _ in operands)})'


def total(products: Sequence[str], between: str = " ") -> str:
    """Text of a sum of products."""
    head, *rest = products
    return head + "".join(f"{between}- {text[1:]}" if text.startswith("-") else f"{between}+ {text}" for text in rest)
