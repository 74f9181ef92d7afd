"""The unevaluated Gaussian mean E[f(x)], x ~ N(mean, cov), as a SymPy node (theory.md 9)."""

from collections.abc import Iterable

import sympy as sp
from sympy.core.evalf import prec_to_dps

from gmsym.functions import KINKS, heaviside_form

from .law import Gaussian
from .quadrature import gaussian_quadrature


class GaussianMean(sp.Expr):
    r"""E[f(x_1, ..., x_d)] for x ~ N(mean, cov), kept unevaluated.

    The bound variables are renamed z0, z1, ... (zz0, ... when those names are taken inside f), so that two means equal up
    to the names of their variables are the same expression; substitution never captures them. A body free of x, the
    identity and a zero covariance evaluate at once.

    `diff` follows Price's theorem (theory.md 9.3), `evalf` integrates numerically; `evaluated` finds closed forms. `sp.cse`
    ignores scopes: give it `ignore=bound_symbols(exprs)`.

    Args:
        function: `Lambda((x1, ..., xd), f)`.
        mean: d expressions.
        cov: d x d, symmetric positive semi-definite (assumed), possibly singular.

    Raises:
        TypeError: `function` is not a Lambda.
        ValueError: the shapes of `mean` and `cov` do not fit.
    """

    is_commutative = True

    def __new__(cls, function: sp.Lambda, mean: Iterable[sp.Expr], cov: sp.Matrix) -> sp.Expr:
        if not isinstance(function, sp.Lambda):
            raise TypeError(f"GaussianMean needs a Lambda of the integration variables, got {function!r}")
        mean, cov = sp.Tuple(*mean), sp.ImmutableDenseMatrix(cov)
        variables, body = function.variables, sp.sympify(function.expr)
        Gaussian(variables, mean, cov)  # checks the shapes
        if not body.has_free(*variables):
            return body
        if body in variables:
            return mean[variables.index(body)]
        if cov.is_zero_matrix:
            return body.xreplace(dict(zip(variables, mean, strict=True)))
        return super().__new__(cls, _canonical(variables, body), mean, cov)

    @property
    def variables(self) -> tuple[sp.Symbol, ...]:
        """The bound variables."""
        return tuple(self.args[0].variables)

    @property
    def integrand(self) -> sp.Expr:
        """f, written in `variables`."""
        return self.args[0].expr

    @property
    def mean(self) -> sp.Tuple:
        return self.args[1]

    @property
    def cov(self) -> sp.ImmutableDenseMatrix:
        return self.args[2]

    @property
    def bound_symbols(self) -> list[sp.Symbol]:
        return list(self.variables)

    @property
    def law(self) -> Gaussian:
        return Gaussian(self.variables, self.mean, self.cov)

    def opened(self) -> tuple[tuple[sp.Symbol, ...], sp.Expr]:
        """Fresh variables and the integrand written in them, safe to combine with any other expression."""
        fresh = _fresh(self.variables)
        return fresh, self.integrand.xreplace(dict(zip(self.variables, fresh, strict=True)))

    def _rebuilt(self, transform) -> sp.Expr:
        """The node with `transform` applied to its integrand, mean and covariance, the bound variables out of reach."""
        variables, body = self.opened()
        return self.func(sp.Lambda(variables, transform(body)), transform(self.mean), transform(self.cov))

    def _eval_subs(self, old, new):
        return self._rebuilt(lambda part: part._subs(old, new))

    def _xreplace(self, rule):
        if self in rule:
            return rule[self], True
        new = self._rebuilt(lambda part: part.xreplace(rule))
        return new, new != self

    def _eval_derivative(self, s):
        variables, body = self.opened()
        body = heaviside_form(body) if body.has(*KINKS) else body
        law = Gaussian(variables, self.mean, self.cov)

        def node(f: sp.Expr) -> sp.Expr:
            return mean_of(f, law)

        total = node(body.diff(s))
        for i, x in enumerate(variables):
            total += self.mean[i].diff(s) * node(body.diff(x))
            for j, z in enumerate(variables):
                rate = self.cov[i, j].diff(s)
                if rate != 0:
                    total += rate / 2 * node(body.diff(x, z))
        return total

    def _eval_is_extended_real(self):
        return self.integrand.is_extended_real

    def _eval_evalf(self, prec):
        if self.free_symbols or self.integrand.has(sp.DiracDelta):  # a delta has no quadrature: `evaluated` conditions on it
            return None
        value = gaussian_quadrature(self.law, self.integrand, prec_to_dps(prec))
        return sp.Float(value, prec_to_dps(prec))

    def _jaxcode(self, printer):
        """Source text by the printer's rule for Gaussian means; the printer itself knows nothing of the calculus."""
        function, mean, cov = self.args
        return printer.gaussian_mean(function, mean, cov)

    def _latex(self, printer):
        names = [printer._print(v) for v in self.variables]
        names, mean = (names[0], printer._print(self.mean[0])) if len(names) == 1 else (f"({','.join(names)})", printer._print(self.mean))
        cov = printer._print(self.cov[0, 0] if len(self.mean) == 1 else self.cov)
        return rf"\mathbb{{E}}_{{{names}\sim\mathcal N\left({mean},{cov}\right)}}\left[{printer._print(self.integrand)}\right]"


def mean_of(f: sp.Expr, law: Gaussian) -> sp.Expr:
    """The node E[f] under `law`."""
    return GaussianMean(sp.Lambda(law.variables, f), law.mean, law.cov)


def is_closed(expr: sp.Expr) -> bool:
    """Whether no Gaussian mean is left in `expr`."""
    return not expr.has(GaussianMean)


def reduced_dimension(expr: sp.Expr) -> int:
    """The largest dimension of the Gaussian means left in `expr`, 0 when it is closed."""
    return max((len(node.variables) for node in expr.atoms(GaussianMean)), default=0)


def bound_symbols(exprs: sp.Expr | Iterable[sp.Expr]) -> set[sp.Symbol]:
    """The bound variables of every mean in `exprs`: what `sp.cse` must not hoist (its argument `ignore`)."""
    exprs = [exprs] if isinstance(exprs, sp.Basic) else exprs
    return {v for e in exprs for node in e.atoms(GaussianMean) for v in node.variables}


def _fresh(variables: Iterable[sp.Symbol]) -> tuple[sp.Symbol, ...]:
    return tuple(sp.Dummy(f"_{i}", real=True) for i, _ in enumerate(variables))


def _canonical(variables: tuple[sp.Symbol, ...], body: sp.Expr) -> sp.Lambda:
    """The Lambda with its variables renamed z0, z1, ...; an enclosing mean, or a body that uses these names, takes more z's.

    Names are chosen after the variables are set apart, so that they do not depend on how the node came to be.
    """
    fresh = _fresh(variables)
    body = body.xreplace(dict(zip(variables, fresh, strict=True)))
    taken = {s.name for s in body.free_symbols - set(fresh)}
    depth = 1 + max((node.variables[0].name.count("z") for node in body.atoms(GaussianMean)), default=0)
    while not taken.isdisjoint(names := [f"{'z' * depth}{i}" for i in range(len(variables))]):
        depth += 1
    symbols = tuple(sp.Symbol(name, real=True) for name in names)
    return sp.Lambda(symbols, body.xreplace(dict(zip(fresh, symbols, strict=True))))
