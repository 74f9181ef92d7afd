"""Causal linear algebra on indexed kernels: functions of integer times, and sums over the past.

A kernel's value may be a number, a vector of C fields or a C x C matrix, so products keep their order (kernels are
non-commutative unless they are numbers). Everything here is an exact identity of finite sums.
"""

import copyreg
import functools
from typing import Any, ClassVar

import sympy as sp


class KernelClass(type(sp.Function)):
    """Class of the kernel classes: those that `kernel` made are pickled by what they were made of, since no module has their name."""


class Kernel(sp.Function, metaclass=KernelClass):
    """Base of the kernels: leading arguments are indices printed as subscripts, the others are times."""

    symbol: ClassVar[str] = ""  # LaTeX of the letter
    subscripts: ClassVar[int] = 0  # how many leading arguments are subscripts; -1: all but the last one, however many there are
    value: ClassVar[str] = ""  # axes of the value: "" number, "c" vector of fields, "cd" matrix, further letters for populations

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        parts = [printer._print(a) for a in self.args]
        indices, times = parts[: self.subscripts], parts[self.subscripts :]
        text = self.symbol
        if indices:
            text = f"{{{text}}}_{{{','.join(indices)}}}" if "_" in text else f"{text}_{{{''.join(indices)}}}"
        if times:
            text += f"({','.join(times)})"
        return text if exp is None else f"{{{text}}}^{{{exp}}}"


class Transposed(sp.Function):
    """Transposed of a matrix or vector-valued expression; numbers come out, products are turned round."""

    is_commutative = False

    @classmethod
    def eval(cls, x: sp.Expr) -> sp.Expr | None:
        if x.is_commutative:
            return x
        if isinstance(x, cls):
            return x.args[0]
        if x.is_Add:
            return sp.Add(*map(cls, x.args))
        if x.is_Mul:
            return sp.Mul(*(cls(factor) for factor in reversed(x.args)))
        if isinstance(x, sp.Sum):
            return sp.Sum(cls(x.function), *x.limits)
        return None

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        return rf"{{{printer._print(self.args[0])}}}^{{\top}}"


def kernel(name: str, symbol: str, *, subscripts: int = 0, value: str = "") -> type[Kernel]:
    """The kernel class of that name, one for equal arguments; it commutes when its value is a number."""
    return _kernel(name, symbol, subscripts, value)


@functools.cache
def _kernel(name: str, symbol: str, subscripts: int, value: str) -> type[Kernel]:
    body = {"symbol": symbol, "subscripts": subscripts, "value": value, "is_commutative": not {"c", "d"} & set(value)}
    return KernelClass(name, (Kernel,), {**body, "__module__": __name__})


def _reduced(cls: type[Kernel]) -> Any:
    if cls is Kernel:
        return cls.__qualname__
    return _kernel, (cls.__name__, cls.symbol, cls.subscripts, cls.value)


copyreg.pickle(KernelClass, _reduced)


def distribute(expr: sp.Expr) -> sp.Expr:
    """Products expanded, and sums of sums written as sums of single terms with their prefactors inside."""
    expr = sp.expand(expr)
    if expr.is_Add:
        return sp.Add(*map(distribute, expr.args))
    if expr.is_Mul:
        sums = [i for i, f in enumerate(expr.args) if isinstance(f, sp.Sum)]
        if sums:
            i = sums[0]
            inner = sp.Mul(*expr.args[:i], expr.args[i].function, *expr.args[i + 1 :])
            return _sum(distribute(inner), *expr.args[i].limits)
    if isinstance(expr, sp.Sum):
        return _sum(distribute(expr.function), *expr.limits)
    return expr


def _sum(term: sp.Expr, *limits: tuple) -> sp.Expr:
    if term.is_Add:
        return sp.Add(*(_sum(a, *limits) for a in term.args))
    if term == 0:
        return sp.S.Zero
    if isinstance(term, sp.Sum):
        return sp.Sum(term.function, *term.limits, *limits)
    return sp.Sum(term, *limits)


def inside(term: sp.Expr) -> sp.Expr:
    """A multiple of a sum as the sum of multiples."""
    factors = sp.Mul.make_args(term)
    at = next((x for x, factor in enumerate(factors) if isinstance(factor, sp.Sum)), None)
    if at is None or len(factors) == 1:
        return term
    return sp.Sum(sp.Mul(*factors[:at], factors[at].function, *factors[at + 1 :]), *factors[at].limits)


def outermost(total: sp.Sum, index: sp.Symbol) -> sp.Sum:
    """The same sum with the index `index` summed last; limits of triangles (0 <= s <= t - 1, 0 <= j <= s, ...) are turned round.

    SymPy keeps the innermost limit first. Raises ValueError when the limits are not those of a triangle or a rectangle.
    """
    limits = list(total.limits)
    while limits[-1][0] != index:
        at = next(i for i, limit in enumerate(limits) if limit[0] == index)
        limits[at], limits[at + 1] = _turned(limits[at], limits[at + 1])
    return sp.Sum(total.function, *limits)


def innermost(total: sp.Sum, index: sp.Symbol) -> sp.Sum:
    """The same sum with the index `index` summed first, past indices that its limits do not involve.

    Raises:
        ValueError: the limits depend on each other.
    """
    limits = list(total.limits)
    while limits[0][0] != index:
        at = next(i for i, limit in enumerate(limits) if limit[0] == index)
        before, here = limits[at - 1], limits[at]
        if any(bound.has(before[0]) for bound in here[1:]) or any(bound.has(index) for bound in before[1:]):
            raise ValueError(f"the limits {here} and {before} depend on each other")
        limits[at - 1], limits[at] = here, before
    return sp.Sum(total.function, *limits)


def split(expr: sp.Expr, atom: type[Kernel]) -> tuple[sp.Expr, sp.Expr]:
    """(terms of the sum `expr` without a kernel, terms with it)."""
    terms = sp.Add.make_args(expr)
    return sp.Add(*(x for x in terms if not x.has(atom))), sp.Add(*(x for x in terms if x.has(atom)))


def _turned(inner: Any, outer: Any) -> tuple[sp.Tuple, sp.Tuple]:
    """(new inner, new outer) limits for summing `inner`'s index last."""
    (i, low, high), (o, first, last) = inner, outer
    if not low.has(o) and not high.has(o):
        return sp.Tuple(*outer), sp.Tuple(*inner)
    if high.has(o) and not low.has(o):  # low <= i <= o + shift
        shift = sp.expand(high - o)
        if not shift.has(o) and sp.expand(low - shift - first).is_nonnegative:
            return sp.Tuple(o, i - shift, last), sp.Tuple(i, low, sp.expand(last + shift))
    if low.has(o) and not high.has(o):  # o + shift <= i <= high
        shift = sp.expand(low - o)
        if not shift.has(o) and sp.expand(last - high + shift).is_nonnegative:
            return sp.Tuple(o, first, i - shift), sp.Tuple(i, sp.expand(first + shift), high)
    raise ValueError(f"cannot turn round the limits {inner} inside {outer}: they are not those of a triangle")


def fold(expr: sp.Expr, definition: sp.Sum, name: sp.Expr) -> sp.Expr:
    """`expr` with the sum `definition` over one index replaced by its `name`, wherever it is a factor of the innermost sums.

    The definition's summand may be any contiguous product inside a longer one, e.g. sum_j M(s,j) p(j) inside
    sum_{j,s} W(t,s) M(s,j) p(j).
    """
    (index, low, high), pattern = definition.limits[0], sp.Mul.make_args(definition.function)

    def replaced(total: sp.Sum) -> sp.Expr:
        limits = list(total.limits)
        if sp.Tuple(index, low, high) not in limits:
            return total
        factors = list(sp.Mul.make_args(total.function))
        rest = list(factors)
        for factor in pattern:
            if factor not in rest:
                return total
            rest.remove(factor)
        if any(f.has(index) for f in rest):
            return total
        limits.remove(sp.Tuple(index, low, high))
        # The name stands where the last factor of the pattern stood, so that the order of matrices is kept.
        last = max(i for i, f in enumerate(factors) if f in pattern)
        product = sp.Mul(*(name if i == last else f for i, f in enumerate(factors) if i == last or f not in pattern))
        return sp.Sum(product, *limits) if limits else product

    return expr.replace(lambda e: isinstance(e, sp.Sum), replaced)


def coefficient(expr: sp.Expr, atom: Kernel) -> sp.Expr:
    """Coefficient of `atom` = x(i, ...) in an expression linear in the kernels x: sum_k c(k) x(k) has the coefficient c(i)."""
    total = sp.S.Zero
    for term in sp.Add.make_args(distribute(expr)):
        inner, limits = (term.function, list(term.limits)) if isinstance(term, sp.Sum) else (term, [])
        for found in inner.atoms(type(atom)):
            bound = [limit for limit in limits if limit[0] in found.args]
            renamed = {x: y for x, y in zip(found.args, atom.args, strict=True) if any(x == limit[0] for limit in bound)}
            if any(x != y and x not in renamed for x, y in zip(found.args, atom.args, strict=True)):
                continue
            kept = [limit for limit in limits if limit not in bound]
            picked = sp.Mul(*(f for f in sp.Mul.make_args(inner) if f != found)).xreplace(renamed)
            total += sp.Sum(picked, *kept) if kept else picked
    return total
