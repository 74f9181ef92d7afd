"""An optimizer as a coordinatewise update rule written in SymPy. Source: theory.md 0."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import final

import sympy as sp
from sympy.core.function import AppliedUndef

from gmsym import symbols
from gmsym.errors import InputError, check_flag
from gmsym.functions import Norm
from gmsym.problem.display import aligned, optimizer_lines
from gmsym.symbols import g, noise, t, theta


def check_schedule(rule: sp.Expr, name: str) -> None:
    """Raises InputError for an expression of the step counter that has no finite real value at some t = 0, 1, ...

    Checked are t = 0 and the zeros of denominators and arguments of logarithms that are polynomials of t alone.
    """
    times = {sp.S.Zero} if rule.has(t) else set()
    for node in rule.atoms(sp.Pow, sp.log):
        base = node.base if node.is_Pow else node.args[0]
        if base.free_symbols == {t} and base.is_polynomial(t) and (isinstance(node, sp.log) or not node.exp.is_nonnegative):
            times |= {x for x in sp.Poly(base, t).ground_roots() if x.is_integer and x >= 0}
    for time in sorted(times):
        value = rule.subs(t, time)
        if value.has(sp.nan, sp.zoo, sp.oo, -sp.oo, sp.I):
            raise InputError(f"{name} = {rule} is not finite at t = {time}; a schedule has a value at every step t = 0, 1, ...")


@final
@dataclass(frozen=True, init=False)
class Optimizer:
    """theta and auxiliary state variables, one rule each, applied to every coordinate alike.

    The rules of the state variables read the values before the step. The rule of `theta` is applied last: it reads the
    old `theta` and the *new* state. Heavy ball is thus `v: beta*v - eta*g`, `theta: theta + v`. To use a previous
    gradient, keep it in a state variable. All state variables start at 0.

    A rule reads coordinates of order 1: `theta` and `g` are sqrt(d) times a coordinate of Theta and of the gradient (a trained parameter
    of the loss and its gradient as they are). Linear rules do not see it. A threshold, a step of fixed length and the like are thus
    1/sqrt(d) of what the rule says in Theta's own coordinates, and have a limit as d -> infinity.

    Args:
        name: an identifier.
        update: {"theta": rule, state variable: rule, ...}. A rule may use `theta`, the state variables, the gradient
            `g` of the regularised risk, the step counter `t` = 0, 1, ..., parameters, and `noise`: a fresh Gaussian of each step and
            coordinate, N(0, 1/d), so that a column of Theta moves by O(1) where its coefficient is O(1). `gmsym.functions.Norm(u)` is the
            Euclidean norm of all coordinates and columns of u, an expression of theta, g and the state, such as |gradient| for u = g.
        continuous: whether the one rule, of theta, is its velocity d theta/dt in place of its new value: a flow in continuous time, without
            state, noise or steps.

    Raises:
        InputError: no rule for theta, a reserved name, or a rule that is not causal.
    """

    name: str
    update: tuple[tuple[sp.Symbol, sp.Expr], ...]  # theta first, then the state variables in the given order
    continuous: bool = False

    def __init__(self, name: str, update: Mapping[str | sp.Symbol, sp.Expr], *, continuous: bool = False):
        symbols.check_name(name, advice="; an optimizer needs an identifier, such as 'my_optimizer'")
        for variable, rule in update.items():
            symbols.check_name(str(variable), "update variable")
            if isinstance(rule, bool) or not isinstance(rule, (sp.Expr, int, float)):
                raise InputError(f"update rule {variable} = {rule!r}: a SymPy expression is needed (text goes through gmsym.parse)")
        rules = {str(k): symbols.canonical(sp.sympify(v)) for k, v in update.items()}
        if "theta" not in rules:
            raise InputError(f"update has rules for {sorted(rules)}: a rule for theta is needed")
        for variable, rule in rules.items():
            if variable in {"g", "t", "noise", "eta", "ridge", "alpha"} or symbols.is_field(variable) or symbols.is_label(variable):
                raise InputError(f"update: {variable!r} is a reserved name and cannot be a state variable")
            stray = sorted(s.name for s in rule.free_symbols if symbols.is_field(s.name) or symbols.is_label(s.name))
            if stray:
                raise InputError(f"update rule {variable} = {rule} uses {stray}; fields and labels belong to the loss")
            timed = sorted(map(str, rule.atoms(AppliedUndef) | rule.atoms(sp.Indexed)))
            if timed:
                raise InputError(
                    f"update rule {variable} = {rule} uses {timed[0]}; a rule is causal and reads the present theta, gradient g, state "
                    "and step t only (keep an earlier gradient in a state variable)"
                )
            check_schedule(rule, f"update rule {variable}")
        check_flag("continuous", continuous)
        if continuous and (len(rules) > 1 or rules["theta"].has(t, noise, symbols.eta, Norm)):
            raise InputError(
                f"update = {rules}: a flow is the velocity of theta alone, in theta, g and parameters; it has no state, no noise, no "
                "norm, no step eta and no counter t"
            )
        ordered = ["theta", *(v for v in rules if v != "theta")]
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "update", tuple((symbols.symbol(v), rules[v]) for v in ordered))
        object.__setattr__(self, "continuous", continuous)

    @cached_property
    def state(self) -> tuple[sp.Symbol, ...]:
        """Auxiliary state variables, in order."""
        return tuple(variable for variable, _ in self.update[1:])

    @cached_property
    def parameters(self) -> frozenset[sp.Symbol]:
        """Symbols that need a number."""
        own = {theta, g, t, noise, *self.state}
        return frozenset(s for _, rule in self.update for s in rule.free_symbols) - own

    def check_of(self, name: str | None) -> None:
        """Raises InputError unless there is a state variable of that name to report, or no name."""
        if name is not None and name not in [x.name for x in self.state]:
            known = ", ".join(x.name for x in self.state) or "none"
            raise InputError(f"of = {name!r}: a state variable of the optimizer {self.name!r} is needed; it has {known}")

    @cached_property
    def composed(self) -> tuple[sp.Expr, ...]:
        """New (theta, *state) as functions of the old ones and g: the rules with the new state put into theta's; a flow's velocity."""
        (_, rule), *states = self.update
        return (rule.xreplace(dict(states)), *(r for _, r in states))

    @cached_property
    def jacobian(self) -> sp.ImmutableDenseMatrix:
        """d(new theta, new state)/d(theta, state, g), (1 + S, 2 + S); of a flow, of the velocity."""
        arguments = (theta, *self.state, g)
        return sp.ImmutableDenseMatrix([[sp.expand(sp.diff(rule, a)) for a in arguments] for rule in self.composed])

    @cached_property
    def is_noisy(self) -> bool:
        """Whether a rule has noise of its own."""
        return any(rule.has(noise) for _, rule in self.update)

    @cached_property
    def has_norm(self) -> bool:
        """Whether a rule reads the norm of all coordinates."""
        return any(rule.has(Norm) for _, rule in self.update)

    @cached_property
    def noise_slope(self) -> sp.ImmutableDenseMatrix:
        """d(new theta, new state)/d noise, (1 + S, 1)."""
        return sp.ImmutableDenseMatrix([sp.expand(sp.diff(rule, noise)) for rule in self.composed])

    @cached_property
    def is_linear(self) -> bool:
        """Whether each step is a linear map of (theta, state, g, noise), decided by SymPy from the Jacobian and the rule at 0."""
        arguments = (theta, *self.state, g, noise)
        constant = not any(slopes.has(a) for a in arguments for slopes in (self.jacobian, self.noise_slope))
        homogeneous = all(sp.expand(rule.subs({a: 0 for a in arguments})) == 0 for rule in self.composed) if constant else False
        return constant and homogeneous

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {aligned(optimizer_lines(self))}$"
