"""Curves at n samples from the expansion of their mean and variance in 1/n. Source: own, theory.md 1.3."""

import sympy as sp

from gmsym.system import Equation, Equations, SizeExpansion
from gmsym.system import size_expansion as S
from gmsym.system.indexed import total

_OWN = {"source": "own; theory.md 1.3", "status": "own"}
_V, _s = sp.symbols("V s", positive=True)  # n Var y, and its root


def size_expansion() -> SizeExpansion:
    """Bias, mean and standard deviation of any order parameter, from E y = y_limit + bias/n + O(1/n^2) and Var y = V/n + O(1/n^2).

    Example:
        >>> from gmsym.derive import size_expansion
        >>> [str(e.rhs) for e in size_expansion().equations()][2:]
        ['asymptote() + bias()/n_tot', 'scaled()/sqrt(n_tot)']
    """

    def mean(n: sp.Expr) -> sp.Expr:
        return S.asymptote + S.shift / n

    def deviation(n: sp.Expr) -> sp.Expr:
        return sp.sqrt(_V / n)

    doubled = sp.Eq(S.single - S.double, mean(total) - mean(2 * total))
    (bias,) = sp.solve(doubled, S.shift)
    scaled = sp.simplify(sp.sqrt(total) * deviation(total))
    (variance,) = sp.solve(sp.Eq(_s, scaled), _V)
    at_size = sp.powdenest(deviation(total).xreplace({_V: variance}), force=True)
    return SizeExpansion(
        Equations(
            (
                Equation(S.shift, sp.factor(bias), "shift of the mean off the limit, times n, from two sizes", **_OWN),
                Equation(S.scaled, scaled.xreplace({_V: S.variance}), "standard deviation of a run, times root n", **_OWN),
                Equation(S.mean, mean(total), "mean at n samples", **_OWN),
                Equation(S.deviation, at_size.xreplace({_s: S.scaled}), "standard deviation of one run at n samples", **_OWN),
            )
        )
    )
