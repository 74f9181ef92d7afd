"""A loss of C local fields and a label; gradient, Hessian and kinks by SymPy. Source: theory.md 0 and 10."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise, product
from typing import Any, final

import mpmath
import sympy as sp
from mpmath.libmp import NoConvergence

from gmsym import budget, functions, symbols
from gmsym.errors import InputError

_RESERVED = {"t", "theta", "g", "alpha", "eta", "ridge"}


@final
@dataclass(frozen=True)
class Kink:
    """A locus where the gradient of a loss jumps.

    At the locus itself the gradient is the average of both sides (Heaviside(0) = 1/2), in the theory and in simulations.
    """

    locus: sp.Expr  # the gradient jumps where this vanishes
    jump: tuple[sp.Expr, ...]  # (C,) what the gradient gains where the locus turns from negative to positive

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {sp.latex(self.locus)} = 0$"


@final
@dataclass(frozen=True, init=False)
class Loss:
    """l(h, y): any real SymPy expression of the fields `h` (or `h0, h1, ...`) and the label `y` (or `y0, y1, ...`).

    A target may also depend on teacher fields `t0, t1, ...` (`Teacher`), and on a sample's own noises `w0, w1, ...`, independent N(0, 1)
    that are drawn once with the sample: `t0 + s*w0` is the label of a noisy teacher.

    Further symbols are parameters of the loss and get their numbers when the problem is solved. Kinks are found from
    Abs, Max, Min, sign, Heaviside and Piecewise in the expression.

    Args:
        name: an identifier, used in titles and file names.
        expr: the loss.
        readout: the classifier's score f(h), which predicts sign(f). Default: h for one field; with several fields the
            prediction is the largest of them if the label is a vector of their number, and there is no test error
            otherwise. It may use the parameters of the loss.
        target: its sign is the true class, which the sign of the readout predicts: an expression of the label, of the teacher
            fields and of parameters of the loss. Default: the label where it is +-1 and there is no teacher.
        positive: numbers or expressions of parameters, by name, that must be positive for the loss to be what it is.

    Raises:
        InputError: `expr` does not depend on a field, is not continuous, uses a reserved name, or has a condition other than
            inequalities joined by and, or, not; `readout` or `target` uses other symbols, or `target` stands without a readout.
    """

    name: str
    expr: sp.Expr
    readout: sp.Expr | None
    target: sp.Expr | None
    positive: tuple[tuple[str, sp.Expr], ...]

    def __init__(
        self,
        name: str,
        expr: sp.Expr,
        readout: sp.Expr | None = None,
        target: sp.Expr | None = None,
        positive: Mapping[str, sp.Expr] | None = None,
    ):
        symbols.check_name(name, advice="; a loss needs an identifier, such as 'my_loss'")
        expr = _fields_from_zero(_of_fields(expr, "loss"))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "expr", expr)
        object.__setattr__(self, "positive", tuple((positive or {}).items()))
        self.check_domain({})
        if readout is None and self.fields == (symbols.h,):
            readout = symbols.h
        if readout is not None:
            readout = _fields_from_zero(_of_fields(readout, "readout")) if readout != symbols.h else readout
            stray = readout.free_symbols - set(self.fields) - self.parameters
            if stray:
                raise InputError(
                    f"readout = {readout}: only the fields {list(map(str, self.fields))} and the parameters of the loss may appear, "
                    f"not {sorted(map(str, stray))}"
                )
        object.__setattr__(self, "readout", readout)
        object.__setattr__(self, "target", None if target is None else self._true_class(target))
        _ = self.gradient  # a discontinuous loss is refused here

    def check_domain(self, values: Mapping[sp.Symbol, float]) -> None:
        """Raises InputError if one of `positive` is not, at the values of parameters; those without a value are left for later."""
        for name, expr in self.positive:
            value = expr.subs(values)
            if value.is_number and not value > 0:
                raise InputError(f"{name} = {float(value):g}: loss {self.name} needs a positive number")

    def _true_class(self, target: sp.Expr) -> sp.Expr:
        """`target`, checked."""
        target = _checked(target, "target")
        target = target if len(self.labels) > 1 else _fields_from_zero(target)
        classes = {s for s in target.free_symbols if symbols.is_label(s.name) or s in self.beside}
        stray = target.free_symbols - classes - self.parameters
        if stray:
            raise InputError(
                f"target = {target}: only the label, the fields {list(map(str, self.beside))} beside it and the parameters of the loss "
                f"may appear, not {sorted(map(str, stray))}"
            )
        if not classes:
            raise InputError(f"target = {target} depends on neither the label nor a teacher field; its sign is a sample's true class")
        if self.readout is None:
            raise InputError(f"target = {target}: a readout is needed beside it; with several fields there is no default")
        return target

    @cached_property
    def fields(self) -> tuple[sp.Symbol, ...]:
        """The C local fields, in order."""
        indices = [int(s.name[1:]) for s in self.expr.free_symbols if symbols.is_field(s.name) and s.name != "h"]
        return symbols.fields(max(indices) + 1 if indices else 1)

    @cached_property
    def labels(self) -> tuple[sp.Symbol, ...]:
        """The label's components that the loss uses, up to the highest; empty when it uses none."""
        names = [s.name for s in self.expr.free_symbols if symbols.is_label(s.name)]
        if not names:
            return ()
        return symbols.labels(1 if names == ["y"] else max(int(n[1:]) for n in names) + 1)

    @cached_property
    def teachers(self) -> tuple[sp.Symbol, ...]:
        """The teacher fields that the loss uses, up to the highest; empty when it uses none."""
        indices = [int(s.name[1:]) for s in self.expr.free_symbols if symbols.is_teacher(s.name)]
        return symbols.teachers(max(indices) + 1 if indices else 0)

    @cached_property
    def own_noises(self) -> tuple[sp.Symbol, ...]:
        """A sample's own noises that the loss uses, up to the highest; empty when it uses none."""
        indices = [int(s.name[1:]) for s in self.expr.free_symbols if symbols.is_own(s.name)]
        return symbols.own_noises(max(indices) + 1 if indices else 0)

    @property
    def beside(self) -> tuple[sp.Symbol, ...]:
        """What the loss reads of a sample beside fields and label: its teacher fields, then its own noises."""
        return (*self.teachers, *self.own_noises)

    @cached_property
    def parameters(self) -> frozenset[sp.Symbol]:
        """Symbols that need a number."""
        return frozenset(s for s in self.expr.free_symbols if not symbols.is_sample(s.name))

    @cached_property
    def value(self) -> sp.Expr:
        """The loss in its numerically stable form."""
        return functions.stable(self.expr)

    @cached_property
    def _stepped(self) -> sp.Expr:
        try:
            return functions.heaviside_form(self.value)
        except ValueError as error:
            raise InputError(f"loss = {self.expr}: {error}") from error

    def _check_size(self, exprs: Sequence[sp.Expr], order: str) -> None:
        """Raises InputError if the derivatives of `exprs` in the fields would be too long."""
        size = sum(budget.derivative_size(x, field) for x in exprs for field in self.fields)
        if size > budget.DERIVATIVES:
            raise InputError(
                f"loss = {self.expr}: its {order} derivatives have about {size} operations, more than {budget.DERIVATIVES}; "
                "fewer factors in a product, fewer kinks or fewer fields are needed"
            )

    @cached_property
    def gradient(self) -> tuple[sp.Expr, ...]:
        """a_c = d l/d h_c, (C,)."""
        self._check_size([self._stepped], "first")
        parts = [_split_deltas(sp.diff(self._stepped, field)) for field in self.fields]
        regular = tuple(_lowered(part) for part, _ in parts)
        self._check_size(regular, "second")
        loci = dict.fromkeys(locus for _, deltas in parts for locus in deltas)
        for locus in loci:
            vanishes = all(_vanishes_on(deltas.get(locus, sp.S.Zero), locus, self.fields) for _, deltas in parts)
            # A step in a step is 1/2 at its place, where it may hide a jump: then both sides are looked at.
            hidden = any(step.args[0].has(sp.Heaviside) for _, deltas in parts for step in deltas.get(locus, sp.S.Zero).atoms(sp.Heaviside))
            if (not vanishes or hidden) and _jumps(self._stepped, locus, self.fields):
                raise InputError(f"loss = {self.expr} jumps where {locus} = 0; a loss must be continuous in its fields")
            if any(_is_infinite(a, locus, self.fields) for a in regular):
                raise InputError(f"loss = {self.expr} has an infinite gradient where {locus} = 0; a finite one is needed")
        if all(a.is_zero for a in regular):
            raise InputError(
                f"loss = {self.expr} has no gradient in its fields {', '.join(map(str, self.fields))}: nothing would be trained"
            )
        return regular

    @cached_property
    def _second(self) -> tuple[tuple[tuple[sp.Expr, dict[sp.Expr, sp.Expr]], ...], ...]:
        return tuple(tuple(_split_deltas(sp.diff(a, field)) for field in self.fields) for a in self.gradient)

    @cached_property
    def hessian(self) -> sp.ImmutableDenseMatrix:
        """A_cd = d a_c/d h_d, (C, C), away from the kinks."""
        return sp.ImmutableDenseMatrix([[_idempotent(regular) for regular, _ in row] for row in self._second])

    @cached_property
    def kinks(self) -> tuple[Kink, ...]:
        """Where the gradient jumps; empty for a loss with a continuous gradient."""
        loci: dict[sp.Expr, list[sp.Expr]] = {}
        for c, row in enumerate(self._second):
            for field, (_, deltas) in zip(self.fields, row, strict=True):
                for locus, coefficient in deltas.items():
                    if not _vanishes_on(coefficient, locus, self.fields) and _jumps(self.gradient[c], locus, self.fields):
                        slope, _ = _split_deltas(sp.diff(locus, field))
                        loci.setdefault(locus, [sp.S.Zero] * len(self.fields))[c] = coefficient / slope
        return tuple(Kink(u, tuple(loci[u])) for u in sorted(loci, key=sp.default_sort_key))

    @cached_property
    def cusps(self) -> tuple[sp.Expr, ...]:
        """Where the Hessian is infinite though the gradient is continuous, as for |h|^(3/2): expressions that vanish there."""
        loci: list[sp.Expr] = []
        for locus in (locus for row in self._second for _, deltas in row for locus in deltas):
            if not {locus, -locus} & {*loci}:
                loci.append(locus)
        return tuple(u for u in loci if any(_is_infinite(entry, u, self.fields) for entry in self.hessian))

    @cached_property
    def is_quadratic(self) -> bool:
        """Whether the loss is a polynomial of degree at most two in the fields, so that its gradient is affine."""
        if not self._stepped.is_polynomial(*self.fields) or budget.expanded_size(self._stepped) > budget.EXPANSION:
            return False
        return sp.Poly(self._stepped, *self.fields).total_degree() <= 2

    def at_label(self, expr: sp.Expr, label: Sequence[sp.Expr]) -> sp.Expr:
        """`expr` with the label's components replaced by the numbers `label`, (L,)."""
        return expr.xreplace(dict(zip(symbols.labels(len(label)), label, strict=True)))

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle \\ell = {sp.latex(self.expr)}$"


def _checked(expr: sp.Expr, name: str) -> sp.Expr:
    if isinstance(expr, (str, bool)) or not isinstance(expr, (sp.Expr, int, float)):
        raise InputError(f"{name} = {expr!r}: a SymPy expression is needed (text goes through gmsym.parse)")
    expr = symbols.canonical(sp.sympify(expr))
    if expr.has(functions.Norm):
        raise InputError(f"{name} = {expr}: a norm of all coordinates belongs to an update rule")
    names = {s.name for s in expr.free_symbols}
    for component in sorted(names):
        symbols.check_component(component)
    reserved = sorted(names & _RESERVED)
    if reserved:
        raise InputError(f"{name} = {expr}: {reserved} are reserved names; call a parameter of the loss something else")
    for letter in "hy":
        if letter in names and any(n[0] == letter and n[1:].isdigit() for n in names):
            raise InputError(f"{name} = {expr} uses both {letter} and {letter}0, {letter}1, ...: use {letter} alone, or numbered ones only")
    return expr


def _of_fields(expr: sp.Expr, name: str) -> sp.Expr:
    expr = _checked(expr, name)
    if not any(symbols.is_field(s.name) for s in expr.free_symbols):
        raise InputError(f"{name} = {expr} is not a function of a field; use h, or h0, h1, ... for several fields")
    return expr


def _fields_from_zero(expr: sp.Expr) -> sp.Expr:
    """A single field named h0 is h; likewise a single label."""
    for letter in "hy":
        numbered = {s for s in expr.free_symbols if s.name[0] == letter and s.name[1:].isdigit()}
        if {s.name for s in numbered} == {letter + "0"}:
            expr = expr.xreplace({numbered.pop(): symbols.symbol(letter)})
    return expr


def _idempotent(expr: sp.Expr) -> sp.Expr:
    """Powers of a step are the step, away from the locus."""
    return expr.replace(lambda e: e.is_Pow and isinstance(e.base, sp.Heaviside) and e.exp.is_positive, lambda e: e.base)


def _lowered(expr: sp.Expr) -> sp.Expr:
    """b^p/c as b^(p-1) (b/c) where c divides b, as in the derivative of (-h)^(3/2), which SymPy leaves as 0/0 at h = 0."""

    def combined(product: sp.Expr) -> sp.Expr:
        powers = [x for x in product.args if x.is_Pow and not x.exp.is_integer and x.base.is_polynomial()]
        divisors = [x for x in product.args if x.is_Pow and x.exp == -1 and x.base.free_symbols]
        for power in powers:
            for divisor in divisors:
                quotient = sp.cancel(power.base / divisor.base)
                if quotient.is_polynomial():
                    return product.func(*(x for x in product.args if x not in (power, divisor)), power.base ** (power.exp - 1), quotient)
        return product

    return expr.replace(lambda e: e.is_Mul, combined)


def jumps(expr: sp.Expr, variables: tuple[sp.Symbol, ...]) -> tuple[sp.Expr, ...]:
    """Where an expression jumps as a function of the variables: expressions that vanish there; decided as the kinks of a loss are, at
    positive values of all else (a threshold, say, which would jump if it were negative).

    Raises:
        InputError: it has too many kinks in one another to tell.
    """
    expr = expr.xreplace({x: sp.Symbol(x.name, positive=True) for x in expr.free_symbols - {*variables} if isinstance(x, sp.Symbol)})
    try:
        stepped = functions.heaviside_form(expr)
    except ValueError as error:
        raise InputError(f"{expr}: {error}") from None
    found = []
    for x in variables:
        for locus, coefficient in _split_deltas(sp.diff(stepped, x))[1].items():
            if not _vanishes_on(coefficient, locus, variables) and _jumps(stepped, locus, variables) and locus not in found:
                found.append(locus)
    return tuple(found)


def _split_deltas(expr: sp.Expr) -> tuple[sp.Expr, dict[sp.Expr, sp.Expr]]:
    """(regular part, {locus: coefficient of delta(locus)}) of an expression linear in delta functions."""
    deltas = sorted(expr.atoms(sp.DiracDelta), key=sp.default_sort_key)
    if not deltas:
        return expr, {}
    dummies = {delta: sp.Dummy(real=True) for delta in deltas}
    linear = expr.xreplace(dummies)
    off = {d: sp.S.Zero for d in dummies.values()}
    return linear.xreplace(off), {delta.args[0]: _coefficient(linear, d).xreplace(off) for delta, d in dummies.items()}


def _coefficient(expr: sp.Expr, x: sp.Symbol) -> sp.Expr:
    """Of x in what is linear in it; only the factors that have x are differentiated."""
    if expr == x:
        return sp.S.One
    if not expr.has(x):
        return sp.S.Zero
    if expr.is_Add:
        return sp.Add(*(_coefficient(term, x) for term in expr.args))
    if expr.is_Mul:
        slopes = [(i, _coefficient(factor, x)) for i, factor in enumerate(expr.args) if factor.has(x)]
        return sp.Add(*(sp.Mul(*expr.args[:i], slope, *expr.args[i + 1 :]) for i, slope in slopes))
    return sp.diff(expr, x)


def _vanishes_on(coefficient: sp.Expr, locus: sp.Expr, fields: tuple[sp.Symbol, ...]) -> bool:
    """Whether `coefficient` is zero wherever `locus` is, decided at 30 digits at rational points on the locus."""
    if coefficient.is_zero:
        return True
    return all(_is_zero_at(jump, field, root) for jump, field, root in _on_locus(coefficient, locus, fields))


def _jumps(expr: sp.Expr, locus: sp.Expr, fields: tuple[sp.Symbol, ...]) -> bool:
    """Whether the values of `expr` on both sides of the locus differ: what decides where a coefficient has no value on it."""
    for value, field, root in _on_locus(expr, locus, fields):
        near, nearer = (_value_at(value, field, root + e) - _value_at(value, field, root - e) for e in _NEAR)
        if not (abs(nearer) < 1e-12 or abs(nearer) < abs(near) / 10):  # nan is a jump, too
            return True
    return False


def _is_infinite(expr: sp.Expr, locus: sp.Expr, fields: tuple[sp.Symbol, ...]) -> bool:
    """Whether `expr` grows like a power of the distance as the locus is approached."""
    for value, field, root in _on_locus(expr, locus, fields):
        for sign in (1, -1):
            near, nearer = (abs(_value_at(value, field, root + sign * e)) for e in _NEAR)
            if nearer > 1 and nearer > 10 * near:
                return True
    return False


_NEAR = (sp.Float("1e-15", 60), sp.Float("1e-30", 60))  # distances to a locus
_DIGITS = 90  # to which the values there are computed, so that 30 are left


def _value_at(expr: sp.Expr, field: sp.Symbol, point: sp.Expr) -> Any:
    """A value to 30 digits, an mpmath number, nan where there is none."""
    with mpmath.workdps(_DIGITS):
        value = _function(expr, field)(point._to_mpmath(mpmath.mp.prec))
        return value if mpmath.isfinite(value) else mpmath.nan


@lru_cache(maxsize=1024)
def _function(expr: sp.Expr, field: sp.Symbol, doubles: bool = False) -> Callable[[Any], Any]:
    """`expr` as a real function of numbers, nan where it has no value."""
    try:
        function = functions.numeric(functions.elementary(expr) if doubles else expr, (field,), doubles)
    except KeyError:  # what has no number: infinity, a function without a numerical form
        return lambda _: mpmath.nan

    def value(u: Any) -> Any:
        try:
            found = function(u)
        except (TypeError, ValueError, ArithmeticError):  # outside the domain
            return mpmath.nan
        if isinstance(found, mpmath.mpc) and found.imag == 0:  # a branch without a real value, times a step that is 0
            found = found.real
        return found if isinstance(found, (mpmath.mpf, float, int)) else mpmath.nan

    return value


def _on_locus(expr: sp.Expr, locus: sp.Expr, fields: tuple[sp.Symbol, ...]) -> Iterator[tuple[sp.Expr, sp.Symbol, sp.Expr]]:
    """Points on the locus: `expr` as a function of one field, that field, and where the locus vanishes."""
    field = next((f for f in fields if locus.has(f)), None)
    if field is None:
        return  # a step in the label or a parameter alone
    others = sorted((expr.free_symbols | locus.free_symbols) - {field}, key=lambda s: s.name)
    for shift in range(1, 5):
        # Both signs of each symbol, and every pair of signs of neighbours.
        point = {s: (-1) ** (shift >> i % 2) * sp.Rational(5 * (i + 1) + 3 * shift, 7 + 2 * i + shift) for i, s in enumerate(others)}
        point = {s: abs(value) if s.is_nonnegative else value for s, value in point.items()}
        try:
            here, value = locus.xreplace(point), expr.xreplace(point)
        except (TypeError, ValueError):  # a step of a complex number: the loss is not defined here
            continue
        yield from ((value, field, root) for root in _roots(here, field))


@lru_cache(maxsize=1024)
def _roots(locus: sp.Expr, field: sp.Symbol) -> tuple[sp.Expr, ...]:
    """Real zeros of an expression of one symbol, to 40 digits; steps in it are tried as 0 and 1, unless they are many."""
    steps = sorted(locus.atoms(sp.Heaviside), key=sp.default_sort_key)
    found = []
    if 2 ** len(steps) > budget.BRANCHES:
        return tuple(root for root in _sign_changes(locus, field) if _is_zero_at(locus, field, root))
    for branch in product((sp.S.Zero, sp.S.One), repeat=len(steps)):
        smooth = locus.xreplace(dict(zip(steps, branch, strict=True)))
        found += _polynomial_zeros(smooth, field) if smooth.is_polynomial(field) else _sign_changes(smooth, field)
    return tuple(root for root in found if _is_zero_at(locus, field, root))


def _is_zero_at(expr: sp.Expr, field: sp.Symbol, root: sp.Expr) -> bool:
    """Whether `expr` vanishes there to 20 digits; no if it has no finite value there."""
    if not root.is_Rational:  # no step in it is exactly at its place
        with mpmath.workdps(50):
            return bool(abs(_function(expr, field)(root._to_mpmath(mpmath.mp.prec))) < mpmath.mpf("1e-20"))
    try:
        return bool(abs(expr.subs(field, root).evalf(40)) < sp.Float("1e-20"))
    except (TypeError, ValueError, KeyError):  # SymPy refuses to compare nan, and to evaluate what is infinite or complex
        return False


def _polynomial_zeros(expr: sp.Expr, field: sp.Symbol) -> list[sp.Expr]:
    polynomial = sp.Poly(expr, field)
    if polynomial.degree() < 1:
        return []
    if polynomial.degree() == 1:
        zero = -polynomial.nth(0) / polynomial.nth(1)
        return [zero if zero.is_Rational and max(abs(zero.p), zero.q) < 10**6 else zero.evalf(40)]
    if polynomial.degree() <= 8:
        try:
            return [sp.re(r) for r in polynomial.nroots(n=40) if abs(sp.im(r)) < sp.Float("1e-20")]
        except NoConvergence:
            pass
    return _sign_changes(expr, field)


_MOST_ROOTS = 8


def _sign_changes(expr: sp.Expr, field: sp.Symbol) -> list[sp.Expr]:
    """Zeros where the sign changes, on a grid that is finer near 0 and ends at 1000; the first ones of many.

    The grid is scanned in doubles; a value that over- or underflows there, and the ends of the brackets, are taken to 40 digits.
    """
    quick, value = _function(expr, field, doubles=True), _function(expr, field)
    with mpmath.workdps(40):
        values = [quick(u) for u in map(float, _GRID)]
        values = [v if v and mpmath.isfinite(v) else value(u) for u, v in zip(_GRID, values, strict=True)]
        changes = [ends for i, ends in enumerate(pairwise(_GRID)) if values[i] * values[i + 1] < 0]
        brackets = [(a, b) for a, b in sorted(changes, key=lambda ends: abs(ends[0])) if value(a) * value(b) < 0][:_MOST_ROOTS]
        return [sp.Float(mpmath.findroot(value, bracket, solver="illinois", verify=False), 40) for bracket in brackets]


with mpmath.workdps(40):
    _GRID = [mpmath.sinh(mpmath.mpf(i) / 25 + mpmath.mpf(1) / 97) for i in range(-190, 190)]
