"""Displayed kernel equations read literally: every kernel at every time by the equation printed for it, every sum written out.

Nothing is known here of DMF but that a kernel is what its equation says: no innovations, no Gram-Schmidt, no generated code.
Values are C x C, C x 1 or 1 x 1 arrays, products those of matrices in the order in which they stand.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import sympy as sp

from gmsym.calculus.kernels import Kernel, Transposed
from gmsym.system import Equation

Indices = dict[sp.Symbol, int]


class Interpreter:
    """Kernels by their equations.

    Args:
        equations: the display.
        given: values of numbers (by symbol) and of kernels at given indices (by (name, *indices)).
        labels: values of displayed names of a cluster's sample, such as y_{k}, by name, in order of clusters.
    """

    def __init__(
        self, equations: Iterable[Equation], given: Mapping[sp.Symbol | tuple, float | np.ndarray], labels: Mapping[str, list[float]]
    ):
        self.equations, self.labels = tuple(equations), labels
        self.known = {key: np.atleast_2d(np.asarray(value, dtype=float)) for key, value in given.items()}

    def kernel(self, name: str, *indices: int) -> np.ndarray:
        """Value of the kernel of that name."""
        key = name, *indices
        if key not in self.known:
            for equation in self.equations:
                at = _matched(equation.lhs, name, indices)
                if at is not None:
                    self.known[key] = self.value(equation.rhs, at)
                    break
            else:
                raise LookupError(f"no equation for {name}{indices}")
        return self.known[key]

    def value(self, expr: sp.Expr, at: Indices) -> np.ndarray:
        """Value of an expression at the indices `at`."""
        if isinstance(expr, sp.Add):
            return sum(self.value(x, at) for x in expr.args)
        if isinstance(expr, sp.Mul):
            product = np.ones((1, 1))
            for factor in map(lambda x: self.value(x, at), expr.args):
                product = product @ factor if product.shape[1] == factor.shape[0] else product * factor
            return product
        if isinstance(expr, sp.Sum):
            *inner, (index, low, high) = expr.limits
            rest = sp.Sum(expr.function, *inner) if inner else expr.function
            total = np.zeros((1, 1))
            for now in range(self.index(low, at), self.index(high, at) + 1):
                total = total + self.value(rest, {**at, index: now})
            return total
        if isinstance(expr, Transposed):
            return self.value(expr.args[0], at).T
        if isinstance(expr, sp.KroneckerDelta):
            return np.full((1, 1), float(self.index(expr.args[0], at) == self.index(expr.args[1], at)))
        if isinstance(expr, Kernel):
            return self.kernel(type(expr).__name__, *(self.index(x, at) for x in expr.args))
        if isinstance(expr, sp.Pow):
            return self.value(expr.base, at) ** float(expr.exp)
        if expr.is_number:
            return np.full((1, 1), float(expr))
        if expr.is_Symbol and expr.name in self.labels:
            cluster = next(value for symbol, value in at.items() if symbol.name == "k")
            return np.full((1, 1), self.labels[expr.name][cluster - 1])
        return self.known[expr]

    def index(self, expr: sp.Expr, at: Indices) -> int:
        """Value of an index or of a limit."""
        if expr.is_Integer:
            return int(expr)
        if expr.is_Symbol:
            return at[expr] if expr in at else int(self.known[expr].item())
        return sum(self.index(x, at) for x in expr.args)


def _matched(lhs: sp.Expr, name: str, indices: tuple[int, ...]) -> Indices | None:
    """Indices at which the left-hand side of an equation is that kernel: of symbols, t + 1, or numbers."""
    if type(lhs).__name__ != name or not isinstance(lhs, Kernel):
        return None
    found: Indices = {}
    for pattern, value in zip(lhs.args, indices, strict=True):
        shift = pattern.as_coeff_Add()[0]
        symbols = pattern.free_symbols
        if not symbols and int(pattern) != value:
            return None
        for symbol in symbols:
            if value < shift or found.get(symbol, value - shift) != value - shift:
                return None
            found[symbol] = value - int(shift)
    return found
