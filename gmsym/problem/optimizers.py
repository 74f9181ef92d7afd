"""The catalog of named optimizers. A step-size schedule is any expression of the step counter `t` passed as `step`.

Rules that are not linear read coordinates of order 1, sqrt(d) times those of Theta and of its gradient. In coordinates of size 1/sqrt(d)
the penalty of `l1` is thus (l1/sqrt(d)) |Theta|_1, a bound or a threshold is divided by sqrt(d), and so are the step and the `eps` of
rules that divide by the size of the gradient.
"""

from collections.abc import Callable
from typing import Any

import sympy as sp

from gmsym import symbols
from gmsym.errors import InputError, check_integers
from gmsym.functions import Norm, PiecewiseLinear
from gmsym.problem import _numbers as numbers
from gmsym.problem.optimizer import Optimizer
from gmsym.symbols import eta, g, momentum, noise, t, temperature, theta

_v = symbols.symbol("v")
_decay = symbols.symbol("weight_decay")
_l1, _eps, _radius, _clip = (symbols.symbol(name) for name in ("l1", "eps", "radius", "clip"))
_beta1, _beta2 = symbols.symbol("beta1"), symbols.symbol("beta2")


def gd(step: sp.Expr = eta) -> Optimizer:
    """Gradient descent: theta - eta g."""
    return Optimizer("gd", {"theta": theta - step * g})


def weight_decay(step: sp.Expr = eta) -> Optimizer:
    """Gradient descent with decoupled weight decay: theta - eta (g + weight_decay theta)."""
    return Optimizer("weight_decay", {"theta": theta - step * (g + _decay * theta)})


def heavy_ball(step: sp.Expr = eta) -> Optimizer:
    """Polyak's momentum: v <- momentum v - eta g, theta <- theta + v."""
    return Optimizer("heavy_ball", {"theta": theta + _v, "v": momentum * _v - step * g})


def lasting_momentum(step: sp.Expr = eta) -> Optimizer:
    """Momentum that lasts a time 1/friction, however small the steps: v <- v - eta (friction v + g), theta <- theta + eta v.

    Over many small steps, those of online SGD above all, it is theta'' = -friction theta' - gradient; `heavy_ball`, whose memory is a
    number of steps, is there but a step eta/(1 - momentum).
    """
    return Optimizer("lasting_momentum", {"theta": theta + step * _v, "v": _v - step * (symbols.symbol("friction") * _v + g)})


def nesterov(step: sp.Expr = eta) -> Optimizer:
    """Nesterov's momentum; theta is where the gradient is taken: v <- momentum v - eta g, theta <- theta + momentum v - eta g."""
    return Optimizer("nesterov", {"theta": theta + momentum * _v - step * g, "v": momentum * _v - step * g})


def langevin(step: sp.Expr = eta) -> Optimizer:
    """Langevin dynamics: theta - eta g + sqrt(2 eta temperature) noise, with noise N(0, 1/d) in every coordinate.

    In the limit of small steps its stationary law is exp(-d R(Theta)/temperature).
    """
    return Optimizer("langevin", {"theta": theta - step * g + sp.sqrt(2 * step * temperature) * noise})


def flow() -> Optimizer:
    """Gradient flow, d theta/dt = -g: continuous time, solved to a stated accuracy; it has no step."""
    return Optimizer("flow", {"theta": -g}, continuous=True)


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


def ista(step: sp.Expr = eta) -> Optimizer:
    """Proximal gradient with the penalty (l1/sqrt(d)) |Theta|_1; `ridge` is part of the gradient."""
    return Optimizer("ista", {"theta": _shrunk(theta - step * g, step * _l1)})


def fista(step: sp.Expr = eta) -> Optimizer:
    """Accelerated proximal gradient (Beck and Teboulle 2009, with the weights t/(t + 3) of Chambolle and Dossal 2015).

    theta is where the gradient is taken: x <- prox(theta - eta g), theta <- x + t/(t + 3) (x - the x before).
    """
    x, v = symbols.symbol("x"), _v
    near = _shrunk(theta - step * g, step * _l1)
    return Optimizer("fista", {"theta": x + t / (t + 3) * v, "x": near, "v": near - x})


def elastic_net(step: sp.Expr = eta) -> Optimizer:
    """Proximal gradient with the penalty (l1/sqrt(d)) |Theta|_1 + (l2/2) |Theta|^2, both in the proximal step."""
    return Optimizer("elastic_net", {"theta": _shrunk(theta - step * g, step * _l1) / (1 + step * symbols.symbol("l2"))})


def projected(step: sp.Expr = eta) -> Optimizer:
    """Projected gradient on the box of coordinates up to radius/sqrt(d) in size."""
    return Optimizer("projected", {"theta": sp.Max(-_radius, sp.Min(_radius, theta - step * g))})


def sign_descent(step: sp.Expr = eta) -> Optimizer:
    """Sign of the gradient: theta - eta sign(g), with a step of eta/sqrt(d) for each coordinate."""
    return Optimizer("sign_descent", {"theta": theta - step * sp.sign(g)})


def signum(step: sp.Expr = eta) -> Optimizer:
    """Sign of a running mean of gradients: v <- momentum v + (1 - momentum) g, theta <- theta - eta sign(v)."""
    return Optimizer("signum", {"theta": theta - step * sp.sign(_v), "v": momentum * _v + (1 - momentum) * g})


def clipped(step: sp.Expr = eta) -> Optimizer:
    """Gradient descent with each coordinate of the gradient clipped to `clip` (clip/sqrt(d)) in size."""
    return Optimizer("clipped", {"theta": theta - step * sp.Max(-_clip, sp.Min(_clip, g))})


def normalized(step: sp.Expr = eta) -> Optimizer:
    """Normalised gradient descent: theta - eta g/|g|, |g| the norm of the whole gradient: Theta moves by eta."""
    return Optimizer("normalized", {"theta": theta - step * g / Norm(g)})


def norm_clipped(step: sp.Expr = eta) -> Optimizer:
    """Gradient descent with the gradient's norm clipped to `clip`: theta - eta g min(1, clip/|g|)."""
    return Optimizer("norm_clipped", {"theta": theta - step * g * sp.Min(1, _clip / Norm(g))})


def projected_ball(step: sp.Expr = eta) -> Optimizer:
    """Projected gradient on the ball |Theta| <= radius, the norm that of all columns together."""
    near = theta - step * g
    return Optimizer("projected_ball", {"theta": near * sp.Min(1, _radius / Norm(near))})


def adagrad(step: sp.Expr = eta) -> Optimizer:
    """Duchi, Hazan, Singer 2011: s <- s + g^2, theta <- theta - eta g/(sqrt(s) + eps)."""
    s = symbols.symbol("s")
    return Optimizer("adagrad", {"theta": theta - step * g / (sp.sqrt(s) + _eps), "s": s + g**2})


def rmsprop(step: sp.Expr = eta) -> Optimizer:
    """Running mean square of the gradient: s <- decay s + (1 - decay) g^2, theta <- theta - eta g/(sqrt(s) + eps)."""
    s, decay = symbols.symbol("s"), symbols.symbol("decay")
    return Optimizer("rmsprop", {"theta": theta - step * g / (sp.sqrt(s) + _eps), "s": decay * s + (1 - decay) * g**2})


def adam(step: sp.Expr = eta) -> Optimizer:
    """Kingma and Ba 2015, with bias correction; parameters beta1, beta2, eps."""
    return Optimizer("adam", {"theta": theta - step * _direction(), **_moments()})


def adamw(step: sp.Expr = eta) -> Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): theta - eta (direction + weight_decay theta)."""
    return Optimizer("adamw", {"theta": theta - step * (_direction() + _decay * theta), **_moments()})


def lion(step: sp.Expr = eta) -> Optimizer:
    """Chen et al. 2023: c <- beta1 v + (1 - beta1) g, theta <- theta - eta (sign(c) + weight_decay theta), v <- beta2 v + (1 - beta2) g."""
    c = symbols.symbol("c")
    rules = {"c": _beta1 * _v + (1 - _beta1) * g, "v": _beta2 * _v + (1 - _beta2) * g}
    return Optimizer("lion", {"theta": theta - step * (sp.sign(c) + _decay * theta), **rules})


def _shrunk(x: sp.Expr, threshold: sp.Expr) -> sp.Expr:
    """Soft threshold, the proximal operator of threshold |x|."""
    return sp.sign(x) * sp.Max(sp.Abs(x) - threshold, 0)


def _moments() -> dict[str, sp.Expr]:
    """Adam's running means of the gradient and of its square."""
    v, s = _v, symbols.symbol("s")
    return {"v": _beta1 * v + (1 - _beta1) * g, "s": _beta2 * s + (1 - _beta2) * g**2}


def _direction() -> sp.Expr:
    """Adam's step, both means without the bias of their start at zero."""
    v, s = _v, symbols.symbol("s")
    return v / (1 - _beta1 ** (t + 1)) / (sp.sqrt(s / (1 - _beta2 ** (t + 1))) + _eps)


def averaged(optimizer: Optimizer, weight: Any = None) -> Optimizer:
    """`optimizer`, with a state variable `average` of its iterates, which results with `of="average"` are about.

    At step t it moves by `weight` of the way to that step's iterate: by 1/(t + 1), the default, to the mean of the iterates 0..t (Polyak
    1990), by a constant to their exponential moving average. It starts at 0, and at time t holds the iterates before t.

    Args:
        optimizer: any, linear or not.
        weight: an expression of the step counter t and parameters. With online sampling t is a time, steps * eta/d, over which only
            weights of order eta last: kappa*eta, the mean over a time 1/kappa, or eta/(t + 1), (1/(t + 1)) times the integral of theta so
            far. The default, and any weight of order 1, follows theta within a few steps there, and is refused as `of="average"`.

    Raises:
        InputError: the optimizer has a state variable of that name; a weight that is no expression.

    Example:
        >>> [str(rule) for _, rule in averaged(gd()).update]
        ['-eta*g + theta', 'average + (-average + theta)/(t + 1)']
    """
    if any(x.name == "average" for x in optimizer.state):
        raise InputError(f"optimizer {optimizer.name!r} has a state variable 'average' already")
    average = symbols.symbol("average")
    share = 1 / (t + 1) if weight is None else numbers.scalar(weight, "weight")
    rules = {x.name: rule for x, rule in optimizer.update} | {"average": average + share * (theta - average)}
    return Optimizer(f"averaged_{optimizer.name}", rules)


def schedule(name: str, knots: int, every: Any = 1, at: sp.Expr = t) -> sp.Expr:
    """A whole schedule as parameters: `name_0, name_1, ...` are its values at the steps 0, every, 2 every, ..., linear in between.

    A step's rule reads it like any expression, `gd(step=schedule("eta", 40))`; each knot is a parameter with a number, and
    `gmsym.tune(..., ["eta"])` finds them all.

    Args:
        name: of the knots, an identifier.
        knots: how many; after the last one it is constant.
        every: steps (or times, of online SGD) between two.
        at: what it is a function of.

    Raises:
        InputError: no name, fewer than two knots, or steps between them that are not positive.

    Example:
        >>> import gmsym as gm
        >>> gm.optimizers.schedule("eta", 3, every=10).subs(gm.symbols.t, 15)
        eta_1/2 + eta_2/2
    """
    check_integers(knots=(knots, 2))
    spacing = numbers.scalar(every, "every")
    if not spacing.is_positive:
        raise InputError(f"every = {every!r}: a positive number of steps between two knots is needed")
    return PiecewiseLinear(at, spacing, *(symbols.symbol(f"{name}_{i}") for i in range(knots)))


def knots_of(optimizer: Optimizer) -> dict[str, tuple[str, ...]]:
    """Names of the knots of an optimizer's schedules, by the schedule's name."""
    found = {}
    for node in sorted({x for _, rule in optimizer.update for x in rule.atoms(PiecewiseLinear)}, key=sp.default_sort_key):
        names = [str(x) for x in node.args[2:]]
        stem = names[0].removesuffix("_0")
        if names == [f"{stem}_{i}" for i in range(len(names))]:
            found[stem] = tuple(names)
    return found


CATALOG: dict[str, Callable[..., Optimizer]] = {
    f.__name__: f
    for f in (
        *(gd, weight_decay, heavy_ball, lasting_momentum, nesterov, langevin, adams_bashforth, flow, ista, fista, elastic_net, projected),
        *(projected_ball, sign_descent, signum, clipped, normalized, norm_clipped, adagrad, rmsprop, adam, adamw, lion),
    )
}
