"""The catalog of named optimizers. A step-size schedule is any expression of the step counter `t` passed as `step`."""

from collections.abc import Callable

import sympy as sp

from gmsym import symbols
from gmsym.errors import InputError
from gmsym.problem.optimizer import Optimizer
from gmsym.symbols import eta, g, momentum, t, theta

_v = symbols.symbol("v")
_decay = symbols.symbol("weight_decay")


def gd(step: sp.Expr = eta) -> Optimizer:
    """Gradient descent: theta - eta g."""
    return Optimizer("gd", {"theta": theta - step * g})


def weight_decay(step: sp.Expr = eta) -> Optimizer:
    """Gradient descent with decoupled weight decay: theta - eta (g + weight_decay theta)."""
    return Optimizer("weight_decay", {"theta": theta - step * (g + _decay * theta)})


def heavy_ball(step: sp.Expr = eta) -> Optimizer:
    """Polyak's momentum: v <- momentum v - eta g, theta <- theta + v."""
    return Optimizer("heavy_ball", {"theta": theta + _v, "v": momentum * _v - step * g})


def nesterov(step: sp.Expr = eta) -> Optimizer:
    """Nesterov's momentum; theta is where the gradient is taken: v <- momentum v - eta g, theta <- theta + momentum v - eta g."""
    return Optimizer("nesterov", {"theta": theta + momentum * _v - step * g, "v": momentum * _v - step * g})


def adams_bashforth(order: int = 2, step: sp.Expr = eta) -> Optimizer:
    """Linear multistep method of order 1, 2 or 3 for the gradient flow.

    The first steps use the methods of lower order: order 2 keeps its global order, order 3 starts with an error of
    order eta^2.
    """
    if order not in (1, 2, 3):
        raise InputError(f"order = {order!r}: Adams-Bashforth of order 1, 2 or 3 is available")
    past = [g, *(symbols.symbol(f"g{lag}") for lag in range(1, order))]
    slopes = [sum(c * p for c, p in zip(_weights(k), past, strict=False)) for k in range(1, order + 1)]
    slope = sp.Piecewise(*((s, sp.Eq(t, k)) for k, s in enumerate(slopes[:-1])), (slopes[-1], True))
    # The rule of theta reads the new state, so the gradients are kept one place further on.
    kept = [symbols.symbol(f"g{lag}") for lag in range(order)]
    shifted = slope.subs(dict(zip(reversed(past), reversed(kept), strict=True)), simultaneous=True)
    return Optimizer(
        f"adams_bashforth{order}", {"theta": theta - step * shifted, **{k.name: p for k, p in zip(kept, [g, *kept], strict=False)}}
    )


def _weights(order: int) -> list[sp.Rational]:
    """Weights of the last `order` slopes: the integral over the next unit step of the polynomial through them."""
    x = sp.Dummy()
    nodes = [-j for j in range(order)]
    basis = [sp.Mul(*((x - b) / sp.Integer(a - b) for b in nodes if b != a)) for a in nodes]
    return [sp.integrate(sp.expand(polynomial), (x, 0, 1)) for polynomial in basis]


CATALOG: dict[str, Callable[..., Optimizer]] = {f.__name__: f for f in (gd, weight_decay, heavy_ball, nesterov, adams_bashforth)}
