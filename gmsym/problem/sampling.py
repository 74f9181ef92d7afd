"""Which samples a step of training sees. Source: theory.md 0, 5 and 6.

`full()`: every step sees all n samples. `online()`: every step sees one fresh sample and has the length eta/d; time is steps * eta/d.
Mini-batches are a local program of each sample: a state `visit`, its rule in the state before, a fresh `uniform` number and the step t, and
the weight of the sample's gradient. Samples follow it independently, or together, with the exact counts of a batch. `rule` takes one of
the user's own.

`single(passes)`: one of the n samples at a time, by steps of eta/d; its limit is that of ever smaller batches (theory.md (5.2)).
"""

from abc import ABC
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import sympy as sp

from gmsym import symbols
from gmsym.errors import InputError, check_flag, check_integers
from gmsym.problem import _numbers as numbers
from gmsym.problem.optimizer import check_schedule
from gmsym.symbols import eta, t, uniform, visit

BATCHES = symbols.symbol("batches")  # of a pass: the small batches whose limit a single sample at a time is


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


@final
@dataclass(frozen=True)
class Batches(AbstractSampling):
    """Mini-batches of the n samples; the gradient of a sample has the factor `weight`, the loss that is reported has none."""

    called: str  # the kind, as a problem file calls it
    options: tuple[tuple[str, Any], ...]  # by which it was made
    rule: sp.Expr  # `visit` at step t in its value before, a fresh `uniform` and t; at t = 0 there is none before
    weight: sp.Expr  # in `visit` and t
    rate: sp.Expr  # share of the samples in a step
    together: bool  # whether the uniform numbers of the n samples are the n strata of (0, 1) in random order: exact counts

    @property
    def kind(self) -> str:
        """As a problem file calls it."""
        return self.called

    @property
    def parameters(self) -> frozenset[sp.Symbol]:
        """Symbols that need a number."""
        return numbers.parameters(self.rule, self.weight) - {visit, uniform, t}

    def check(self, bound: dict[sp.Symbol, sp.Float]) -> None:
        """Raises InputError unless the options, at these values, are in their ranges."""
        for name, value in self.options:
            if isinstance(value, bool):
                continue
            number = sp.sympify(value).subs(bound)
            if name == "rate" and not 0 < number <= 1:
                raise InputError(f"rate = {number}: the share of samples in a step is in (0, 1]")
            if name == "persistence" and not number > 0:
                raise InputError(f"persistence = {number}: a positive time is needed, of which a step is eta")

    def check_size(self, n: int, values: Mapping[str, float]) -> None:
        """Raises InputError unless n samples divide into the batches of a pass, or make batches of a whole number."""
        count = dict(self.options).get("batches", 1)
        if n % count:
            raise InputError(f"n = {n}: {count} batches of a pass do not divide the samples; take a multiple of {count}")
        if self.kind == "batches":
            size = float(self.rate.subs(values)) * n
            if abs(size - round(size)) > 1e-9 * n:
                raise InputError(
                    f"n = {n}: batches of the share rate = {size / n:.6g} would have {size:.6g} samples; a whole number is needed"
                )


@final
@dataclass(frozen=True)
class Single(AbstractSampling):
    """One of the n samples at a time, or `size` of them, each with the step c/d, c = eta; time is c/d for each sample seen."""

    kind: ClassVar[str] = "single"
    passes: int  # over the n samples
    replacement: bool  # whether a sample is drawn from all n at every step; otherwise a pass sees each sample once
    reshuffle: bool  # whether every pass has another order
    size: int  # samples of a step

    @property
    def options(self) -> tuple[tuple[str, Any], ...]:
        """By which it was made."""
        return tuple((name, getattr(self, name)) for name in ("passes", "replacement", "reshuffle", "size"))

    @property
    def in_batches(self) -> Batches:
        """So many batches of a pass that their number `batches` is a parameter; infinitely many are the limit."""
        if self.replacement:
            rule, seen, together = sp.Heaviside(1 / BATCHES - uniform), visit, False
        else:
            (rule, seen), together = _pass(BATCHES, self.reshuffle), True
        return Batches("single", self.options, symbols.canonical(rule), symbols.canonical(seen * BATCHES), 1 / BATCHES, together)

    def check_size(self, n: int) -> None:
        """Raises InputError unless the steps of a pass see n samples."""
        if n % self.size:
            raise InputError(f"n = {n}: steps of size = {self.size} samples do not divide them; take a multiple of {self.size}")


def full() -> Full:
    """Full batches: every step sees all n samples."""
    return Full()


def online() -> Online:
    """Online SGD: every step sees one fresh sample and moves by eta/d times its gradient."""
    return Online()


def bernoulli(rate: Any, *, scaled: bool = True) -> Batches:
    """Each sample is seen with the probability `rate`, at every step anew. Source: Mignacco et al. 2020; theory.md 5.

    Args:
        rate: in (0, 1], a number or an expression of parameters.
        scaled: whether the gradient is divided by the rate. The paper's is not.

    Raises:
        InputError: the rate is no number in its range.

    Example:
        >>> bernoulli(0.25).kind
        'bernoulli'
    """
    rate = numbers.scalar(rate, "rate")
    return _made("bernoulli", {"rate": rate, "scaled": scaled}, sp.Heaviside(rate - uniform), visit, rate, False)


def batches(rate: Any, *, scaled: bool = True) -> Batches:
    """Batches of the fixed size rate * n, drawn anew at every step. Arguments and errors: see `bernoulli`."""
    rate = numbers.scalar(rate, "rate")
    return _made("batches", {"rate": rate, "scaled": scaled}, sp.Heaviside(rate - uniform), visit, rate, True)


def epochs(batches: int, *, reshuffle: bool = True, scaled: bool = True) -> Batches:
    """Passes over all samples in so many batches, drawn without replacement: anew at every pass, or once.

    Args:
        batches: of a pass, at least 1; a simulation needs it to divide n.
        reshuffle: whether every pass has another partition.
        scaled: whether the gradient is divided by the share of a batch.

    Raises:
        InputError: the number of batches is no positive integer.
    """
    if isinstance(batches, bool) or not isinstance(batches, (int, sp.Integer)) or batches < 1:
        raise InputError(f"batches = {batches!r}: a positive integer, batches of a pass over all samples, is needed")
    count = sp.Integer(batches)
    check_flag("reshuffle", reshuffle)
    rule, seen = _pass(count, reshuffle)
    return _made("epochs", {"batches": int(batches), "reshuffle": reshuffle, "scaled": scaled}, rule, seen, 1 / count, True)


def _pass(count: sp.Expr, reshuffle: bool) -> tuple[sp.Expr, sp.Expr]:
    """(rule of the batch that sees a sample, whether the step does) where a pass has `count` batches."""
    now = sp.Mod(t, count)
    drawn = sp.Eq(now if reshuffle else t, 0) if count != 1 or not reshuffle else sp.true
    rule = sp.Piecewise((sp.floor(count * uniform), drawn), (visit, True))
    return rule, sp.Piecewise((sp.S.One, sp.Eq(visit, now)), (sp.S.Zero, True))


def persistent(rate: Any, persistence: Any, *, scaled: bool = True) -> Batches:
    """Persistent SGD: each sample is seen or not by a two-state chain, for the time `persistence` on average. Mignacco et al. 2020.

    A step is the time eta. Its probabilities are those of the chain in continuous time, so that they are below 1 for every step.

    Args:
        rate: stationary probability of being seen, in (0, 1], a number or an expression of parameters.
        persistence: mean time for which a sample stays seen, positive, likewise.
        scaled: whether the gradient is divided by the rate.

    Raises:
        InputError: a number out of its range.
    """
    rate, time = numbers.scalar(rate, "rate"), numbers.scalar(persistence, "persistence")
    stays = rate + (visit - rate) * sp.exp(-eta / (rate * time))
    chance = sp.Piecewise((rate, sp.Eq(t, 0)), (stays, True))
    return _made("persistent", {"rate": rate, "persistence": time, "scaled": scaled}, sp.Heaviside(chance - uniform), visit, rate, False)


def rule(update: Any, *, weight: Any = None, rate: Any = 1, together: bool = False) -> Batches:
    """A rule of one's own, the same for every sample. Source: theory.md 5.

    Args:
        update: `visit` at step t, an expression of `visit` before the step (0 before the first), of `uniform`, a fresh number of the
            sample uniform on (0, 1), of the step counter `t`, and of parameters.
        weight: factor of the sample's gradient, an expression of `visit`, t and parameters. Default: visit/rate.
        rate: the mean of `visit`, by which the default weight is divided.
        together: whether the uniform numbers of the n samples are the n strata of (0, 1) in random order, so that counts are exact.

    Raises:
        InputError: an expression of something else, or without a value at some step.

    Example:
        >>> visit, uniform = gmsym.symbols.visit, gmsym.symbols.uniform
        >>> lazy = rule(sp.Heaviside(sp.Rational(1, 2) * (1 - visit) + visit / 4 - uniform), rate=sp.Rational(2, 5))
        >>> lazy.weight
        5*visit/2
    """
    check_flag("together", together)
    share = numbers.scalar(rate, "rate")
    chain = symbols.canonical(numbers.scalar(update, "update"))
    factor = visit / share if weight is None else symbols.canonical(numbers.scalar(weight, "weight"))
    for name, expr, own in (("update", chain, {"visit", "uniform", "t"}), ("weight", factor, {"visit", "t"}), ("rate", share, set())):
        for x in sorted(s.name for s in expr.free_symbols):
            if x not in own and (symbols.is_sample(x) or x in ("visit", "uniform", "t", "theta", "g")):
                raise InputError(f"{name} = {expr} uses {x}; allowed are {', '.join([*sorted(own), 'parameters'])}")
        check_schedule(expr, name)
    given = {"update": chain, "weight": factor, "rate": share, "together": together}
    return Batches("rule", tuple(given.items()), chain, factor, share, together)


def single(passes: int, *, replacement: bool = False, reshuffle: bool = True, size: int = 1) -> Single:
    """One of the n samples at a time, with the step eta/d, in several passes: between online SGD, the first pass, and the flow.

    Momentum that is kept over a fixed number of steps does nothing here but to lengthen the step to eta/(1 - momentum), so that only
    gradient descent is taken. Source: theory.md (5.2).

    Args:
        passes: over the n samples, at least 1.
        replacement: whether each sample is drawn from all n; otherwise a pass sees each of them once.
        reshuffle: whether every pass has another order. Without replacement only.
        size: samples of a step, each with the length eta/d; the limit is the same for every size.

    Raises:
        InputError: a number that is no positive integer.
    """
    check_integers(passes=(passes, 1), size=(size, 1))
    check_flag("replacement", replacement)
    check_flag("reshuffle", reshuffle)
    return Single(int(passes), replacement, reshuffle, int(size))


def _made(kind: str, options: dict[str, Any], rule: sp.Expr, seen: sp.Expr, rate: sp.Expr, together: bool) -> Batches:
    check_flag("scaled", options["scaled"])
    weight = seen / rate if options["scaled"] else seen
    made = Batches(kind, tuple(options.items()), symbols.canonical(rule), symbols.canonical(weight), rate, together)
    numeric = {name: x for name, x in options.items() if isinstance(x, sp.Expr) and x.is_number}
    Batches(kind, tuple(numeric.items()), rule, weight, rate, together).check({})
    return made


CATALOG: dict[str, Callable[..., AbstractSampling]] = {
    f.__name__: f for f in (full, online, bernoulli, batches, epochs, persistent, rule, single)
}
