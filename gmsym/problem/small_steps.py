"""What an update rule does over many small steps: the variables that keep a value over a time 1/eta, and what moves them. Own.

Online SGD takes steps of length eta = c/d, some d/c of them in a unit of time. A linear rule z' = F z + G g of z = (theta, state) has a
limit for eta -> 0 where the other directions of z than those that F(0) leaves alone die out within a few steps. With l the left and R the
right eigenvectors of F(0) of eigenvalue 1, l R = 1, the amplitudes zeta = l z obey

    zeta' = zeta + eta (l F'(0) R zeta + l G'(0) g) + O(eta^2),

for l F(0) = l: what dies out is of order eta, and enters l z' at order eta^2 only. R is written so that zeta are theta and some of the
states themselves. Momentum over a few steps dies out and leaves a longer step, eta/(1 - momentum); a velocity that lasts a time of order
1 is one of zeta.

The gradient of one sample is Y a^T with |Y|^2 = sigma^2 d, so that its norm is of order sqrt(d): a rule reads |g|/sqrt(d), which is
sigma |a|, a function of the sample's gradient in its fields. Normalised and clipped steps thus weigh it: g w(|g|) is Y (w a)^T.

A rule may also read each coordinate of the gradient, which is a Y_j and of order 1, through an odd function phi: signs, clipping by
coordinate. Given the fields, the mean of phi(a Y_j) is the linear one, gamma(a) Y_j with gamma = a E phi'(a sigma z), z ~ N(0, 1), up to
what has no part along theta, the means and the teachers; its mean square is E phi(a sigma z)^2. So gamma stands for a in the drift, and
E phi^2 for sigma^2 a^2 in the corrector (derive/effective.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import final

import numpy as np
import sympy as sp

from gmsym import symbols
from gmsym.errors import InputError
from gmsym.functions import Norm
from gmsym.problem.optimizer import Optimizer
from gmsym.symbols import eta, g

size = sp.Symbol("size", positive=True)  # |g|/sqrt(d)
_MOST = 8  # variables of a rule that is looked through
_FEW = 4  # of a rule whose states may be sums of gradients without their step, too


@final
@dataclass(frozen=True)
class SmallSteps:
    """d zeta/dt = drift zeta - gain g in the time t = steps * eta, of theta and the states that last; functions of t and parameters."""

    lasting: tuple[sp.Symbol, ...]  # zeta: theta, then states
    powers: tuple[int, ...]  # of eta, in which each of zeta is measured
    drift: sp.ImmutableDenseMatrix  # (n, n)
    gain: sp.ImmutableDenseMatrix  # (n, 1)
    at_rest: sp.ImmutableDenseMatrix  # F(0), of all of (theta, state)
    weight: sp.Expr = sp.S.One  # w, of the norm of the gradient of one sample
    coordinate: sp.Expr | None = None  # phi, of a coordinate of that gradient

    @classmethod
    def descent(cls, rate: sp.Expr) -> "SmallSteps":
        """Of theta - eta*rate*g."""
        one = sp.ImmutableDenseMatrix([[1]])
        return cls((symbols.theta,), (0,), one * 0, one * sp.simplify(rate), one)

    def seen(self, gradient: Sequence[sp.Expr], scale: sp.Expr) -> tuple[sp.Expr, ...]:
        """The gradient of a sample in its fields as the rule weighs it; `scale` is its noise's |Y|/sqrt(d)."""
        if self.weight == 1:
            return tuple(gradient)
        norm = scale * (sp.Abs(gradient[0]) if len(gradient) == 1 else sp.sqrt(sp.Add(*(x**2 for x in gradient))))
        return tuple(x * self.weight.xreplace({size: norm}) for x in gradient)

    @property
    def weighs(self) -> bool:
        """Whether the rule reads the gradient of a sample otherwise than linearly."""
        return self.weight != 1 or self.coordinate is not None

    @property
    def is_descent(self) -> bool:
        """Whether nothing but the gradient moves theta, and nothing else lasts."""
        return len(self.lasting) == 1 and self.drift.is_zero_matrix is True

    def check(self, values: dict[str, float], name: str) -> None:
        """Raises InputError where, in these numbers, a part of the state neither lasts nor dies out within a few steps."""
        numbers = {x: values[x.name] for x in self.at_rest.free_symbols if x.name in values}
        matrix = self.at_rest.subs(symbols.t, 1).subs(numbers)
        if matrix.free_symbols:
            return
        factors = np.linalg.eigvals(np.array(matrix, dtype=float))
        others = np.abs(factors[np.argsort(np.abs(factors - 1))][len(self.lasting) :])  # than those of what lasts
        if len(others) and max(others) > 1 - 1e-9:
            raise InputError(
                f"optimizer {name!r}: with {', '.join(f'{x} = {value:g}' for x, value in numbers.items())} its state does not die out in a "
                f"few steps (factor {max(others):.6g} a step), so online SGD has no limit as d -> infinity; a state that lasts is written "
                "in steps of eta, such as v - eta*(friction*v + g)"
            )


def small_steps(optimizer: Optimizer) -> SmallSteps:
    """What the rule does over many steps of length eta.

    Raises:
        InputError: it is not linear but for a weight of the gradient by its norm, or an odd function of its coordinates, has noise, or
            has no limit; says why.

    Example:
        >>> from gmsym.problem import optimizers
        >>> small_steps(optimizers.heavy_ball()).gain
        Matrix([[-1/(momentum - 1)]])
    """
    said = f"optimizer {optimizer.name!r}: online SGD"
    if optimizer.is_noisy:
        raise InputError(f"{said} does not treat noise in the update rule; batches, passes over samples and full batches do")
    weight, optimizer = _weighed(optimizer)
    coordinate, optimizer = (None, optimizer) if optimizer.is_linear else _of_coordinates(optimizer)
    if not optimizer.is_linear:
        why = (
            "one that is not linear in its state (Adam, Adagrad, signum) follows a window of samples, which no finite number of order "
            "parameters describes (over windows of order d samples a second moment is one number for all coordinates: a step of gd)"
            if optimizer.state
            else "one that is not linear in theta (a threshold, a box) moves each coordinate by its own size, so that the law of all of "
            "them is followed, no finite number of order parameters"
        )
        raise InputError(
            f"{said} takes rules that are linear in theta, the state and the gradient, which its norm may weigh, or an odd function of "
            f"each of its coordinates take the place of; {why}; full batches and mini-batches take any rule"
        )
    if eta not in optimizer.parameters:
        raise InputError(f"{said} takes steps c/d, where c is the value of eta; this rule has no eta")
    count = 1 + len(optimizer.state)
    if count > _MOST:
        raise InputError(f"{said} takes rules with at most {_MOST - 1} state variables, not {count - 1}")
    F, G = optimizer.jacobian[:, :count], optimizer.jacobian[:, count]
    tried = (0, 1, -1) if count <= _FEW else (0, 1)
    for powers in sorted(product(tried, repeat=count - 1), key=lambda x: (sum(map(abs, x)), *map(abs, x))):
        found = _expanded(optimizer, F, G, (0, *powers))
        if found is not None:
            return replace(found, weight=weight, coordinate=coordinate)
    raise InputError(
        f"{said} has no limit for this rule as the step eta = c/d vanishes: theta or a state is moved by more than order eta a step, or "
        "nothing of theta lasts. Steps are eta times the gradient (a state that sums gradients takes eta of each), and a state may last "
        "(v - eta*(friction*v + g)) or die out (momentum*v - eta*g)"
    )


def _weighed(optimizer: Optimizer) -> tuple[sp.Expr, Optimizer]:
    """(w, the rule with g in the place of w(|g|) g): the weight that all rules give the gradient by its norm.

    Raises:
        InputError: another norm than the gradient's, or weights that differ.
    """
    if not optimizer.has_norm:
        return sp.S.One, optimizer
    said = f"optimizer {optimizer.name!r}: online SGD"
    rules = [rule.xreplace({Norm(g): size}) for rule in optimizer.composed]
    if any(rule.has(Norm) for rule in rules):
        raise InputError(f"{said} takes the norm of the gradient g alone; full batches and mini-batches take any")
    slopes = [sp.diff(rule, g) for rule in rules]
    weight = next(sp.Mul(*(x for x in sp.Mul.make_args(sp.factor_terms(y)) if x.has(size))) for y in slopes if y != 0)
    plain = [sp.expand(rule.xreplace({g: g / weight})) for rule in rules]
    if any(rule.has(size) for rule in plain):
        raise InputError(f"{said} takes one weight of the gradient by its norm, {weight} say, in all rules of a step")
    return weight, Optimizer(optimizer.name, dict(zip(("theta", *(x.name for x in optimizer.state)), plain, strict=True)))


def _of_coordinates(optimizer: Optimizer) -> tuple[sp.Expr | None, Optimizer]:
    """(phi, the rule with g in the place of phi(g)): the odd function of each coordinate of the gradient that all rules read; (None, the
    rule) where there is no such."""
    parts = [sp.expand(rule).as_independent(g, as_Add=True) for rule in optimizer.composed]
    factors = [of_g.as_independent(g, as_Add=False) for _, of_g in parts if of_g != 0]
    if not factors or any(f != factors[0][1] or f.has(symbols.theta, eta, *optimizer.state) for _, f in factors):
        return None, optimizer
    phi = factors[0][1]
    numbers = {x: sp.Rational(7 * i + 3, 5) for i, x in enumerate(sorted(phi.free_symbols - {g}, key=str))}
    at = phi.xreplace(numbers)
    if any(abs(sp.N(at.subs(g, x) + at.subs(g, -x), 30)) > 1e-20 for x in (sp.Rational(1, 7), 1, 50)):
        return None, optimizer
    plain = [still + (0 if of_g == 0 else of_g.as_independent(g, as_Add=False)[0] * g) for still, of_g in parts]
    return phi, Optimizer(optimizer.name, dict(zip(("theta", *(x.name for x in optimizer.state)), plain, strict=True)))


def _expanded(optimizer: Optimizer, F: sp.MatrixBase, G: sp.MatrixBase, powers: tuple[int, ...]) -> SmallSteps | None:
    """With each variable measured in its power of eta; None where that has no limit."""
    size = len(powers)
    scaled = sp.Matrix(size, size, lambda i, j: sp.expand(F[i, j] * eta ** (powers[j] - powers[i])))
    drive = sp.Matrix(size, 1, lambda i, _: sp.expand(G[i] / eta ** powers[i]))
    rest, slope = _orders(scaled)
    still, gain = _orders(drive)
    if rest is None or still is None or any(x != 0 for x in still):
        return None
    right = sp.Matrix.hstack(*(rest - sp.eye(size)).applyfunc(sp.simplify).nullspace() or [sp.zeros(size, 0)])
    left = sp.Matrix.hstack(*(rest - sp.eye(size)).T.applyfunc(sp.simplify).nullspace() or [sp.zeros(size, 0)]).T
    count = right.cols
    # theta first: its direction is among those that last, and so are states for the others.
    for chosen in combinations(range(1, size), count - 1) if count else ():
        own = right.extract([0, *chosen], list(range(count)))
        if sp.simplify(own.det()) == 0:
            continue
        basis = (right * own.inv()).applyfunc(sp.simplify)
        overlap = (left * basis).applyfunc(sp.simplify)
        if sp.simplify(overlap.det()) == 0:
            return None  # a Jordan block: something grows with the number of steps
        dual = overlap.inv() * left
        drift, moved = (x.applyfunc(sp.simplify) for x in (dual * slope * basis, -dual * gain))
        if any(x.has(sp.nan, sp.zoo, sp.oo) for x in (*drift, *moved)):
            return None
        return SmallSteps(
            lasting=(symbols.theta, *(optimizer.state[i - 1] for i in chosen)),
            powers=(0, *(powers[i] for i in chosen)),
            drift=sp.ImmutableDenseMatrix(drift),
            gain=sp.ImmutableDenseMatrix(moved),
            at_rest=sp.ImmutableDenseMatrix(rest),
        )
    return None


def _orders(matrix: sp.MatrixBase) -> tuple[sp.MatrixBase | None, sp.MatrixBase | None]:
    """Values at eta = 0 and first derivatives there; None where they are not finite."""
    if any(sp.denom(sp.together(x)).subs(eta, 0) == 0 for x in matrix):
        return None, None
    value, slope = matrix.subs(eta, 0), sp.diff(matrix, eta).subs(eta, 0)
    if value.has(sp.nan, sp.zoo, sp.oo) or slope.has(sp.nan, sp.zoo, sp.oo):
        return None, None
    return value, slope
