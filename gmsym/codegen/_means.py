"""Gaussian means that no closed form is known of, in generated code: those of one law together, on nodes that are an argument.

A function whose means are over one or two variables with kinks on affine lines is integrated between these; over more, or with kinks
elsewhere, on points that do not know them ("rough"). A module lists the (dimension, nature) of the sets of nodes that its functions take.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sympy as sp

from gmsym import printer
from gmsym.calculus import GaussianMean
from gmsym.calculus.polynomials import affine
from gmsym.codegen._common import Group, System, trained_arguments
from gmsym.functions import ROUGH, BivariateNormalCDF, NormalCDF, Sigmoid, kinked_arguments
from gmsym.system import Stationary
from gmsym.system.causal_kernels import Observed

Kind = tuple[int, str]  # dimension and nature of a set of nodes
TEST_NODES = "TEST_NODES = {!r}  # (dimension, nature of the integrand) of each set of nodes that means over a fresh sample take"

IMPORTS = {
    "gaussian_means(": "from gmsym.runtime.nodes import gaussian_means",
    "gaussian_means_between(": "from gmsym.runtime.nodes import gaussian_means_between",
    "gaussian_means_across(": "from gmsym.runtime.nodes import gaussian_means_across",
}


def imports_of(text: str) -> str:
    """Statements that import what the text calls of `runtime/nodes.py`, a line each."""
    return "".join(f"{line}\n" for mark, line in IMPORTS.items() if mark in text)


# Functions whose text is long once compiled: all their values in a module's means are taken in one call.
_BATCHED = {NormalCDF: "rt.normal_cdf", BivariateNormalCDF: "rt.bivariate_normal_cdf"}


def means_function(name: str, given: Mapping[str, Any], outputs: Sequence[sp.Expr], kinds: list[Kind]) -> list[str]:
    """Text of `name(*given, nodes)`, the outputs stacked, and of the functions that it calls; `kinds` grows by what nodes they need."""
    arguments = ", ".join(given)
    laws: dict[tuple, list[GaussianMean]] = {}
    for node in (node for expr in outputs for node in _outer_means(expr)):
        group = laws.setdefault((node.mean, node.cov, node.integrand.has(*ROUGH)), [])
        if node not in group:
            group.append(node)
    texts, calls, values, symbols = [], [], {}, []
    for index, ((mean, cov, rough), nodes) in enumerate(laws.items()):
        variables = nodes[0].variables
        bodies = [node.integrand.xreplace(dict(zip(node.variables, variables, strict=True))) for node in nodes]
        loci = _loci(bodies, variables) if rough and len(mean) <= 2 else None
        kind = (len(mean), "smooth" if not rough else "rough" if loci is None else "kinked")
        if kind not in kinds:
            kinds.append(kind)
        law = [Group(*mean), Group(*(Group(*cov.row(i)) for i in range(cov.rows)))]
        texts.append(printer.function(f"{name}_law_{index}", given, "Mean and covariance of the variables of the integrand.", law))
        texts.append(printer.function(f"{name}_integrand_{index}", {"z": variables, **given}, "Integrands at one node.", bodies))
        own = [sp.Dummy(f"e{index}_{i}", real=True) for i in range(len(nodes))]
        values |= dict(zip(nodes, own, strict=True))
        symbols += own
        integrand, chosen = f"lambda *z: {name}_integrand_{index}(z, *given), *{name}_law_{index}(*given)", f"nodes[{kinds.index(kind)}]"
        if loci is None:
            calls.append(f"*gaussian_means({integrand}, {chosen}{', rough=True' if rough else ''}),")
            continue
        kinks, rule = (_kinks(loci), "between") if len(mean) == 1 else (_meetings(loci), "across")
        texts.append(printer.function(f"{name}_kinks_{index}", given, "Where the integrands have kinks.", Group(*kinks)))
        where = f"{name}_kinks_{index}(*given)"
        if rule == "across":
            lines = Group(*_distinct(-(a * variables[0] + c) / b for (a, b), c in loci if b != 0))
            summary = "Where they have kinks in the second variable, given the first."
            texts.append(printer.function(f"{name}_lines_{index}", {"first": variables[0], **given}, summary, lines))
            where += f", lambda first: {name}_lines_{index}(first, *given)"
        calls.append(f"*gaussian_means_{rule}({integrand}, {where}, {chosen}),")
    closed = [expr.xreplace(values) for expr in outputs]
    for function, text in _BATCHED.items():
        found = sorted({x for expr in closed for x in expr.atoms(function) if _is_flat(x, symbols)}, key=sp.default_sort_key)
        if not found:
            continue
        columns = [Group(*column) for column in zip(*(x.args for x in found), strict=True)]
        label = text.removeprefix("rt.")
        texts.append(printer.function(f"{name}_{label}", given, f"Arguments of {label}, each (count,).", columns))
        own = [sp.Dummy(f"{label}_{i}", real=True) for i in range(len(found))]
        closed = [expr.xreplace(dict(zip(found, own, strict=True))) for expr in closed]
        symbols += own
        calls.append(f"*{text}(*(jnp.array(x) for x in {name}_{label}(*given))),")
    named = [sp.Symbol(f"e{i}", real=True) for i in range(len(symbols))]  # plain names, now that nothing can be captured
    closed = [expr.xreplace(dict(zip(symbols, named, strict=True))) for expr in closed]
    texts.append(printer.function(f"{name}_outputs", {**given, "integrals": named}, "The outputs in terms of the integrals.", closed))
    integrals = f"({' '.join(calls)})"
    texts.append(
        f"def {name}({arguments}, nodes):\n"
        f"    given = ({arguments})\n"
        f"    integrals = {integrals}\n"
        f"    return jnp.stack([jnp.asarray(x, float) for x in {name}_outputs(*given, integrals)])\n"
    )
    return texts


def _is_flat(expr: sp.Expr, integrals: Sequence[sp.Symbol]) -> bool:
    """Whether the arguments are free of integrals and of functions that are evaluated together."""
    return not any(x.has(*integrals, *_BATCHED) for x in expr.args)


def test_functions(system: System | Stationary, kinds: list[Kind], observables: Observed = ()) -> list[str]:
    """Means over a fresh sample; clusters with the same expression share a function. `kinds` grows by what nodes they need."""
    mean, covariance = system.moments
    count = range(len(mean))
    upper = [(c, d) for c in count for d in count if c <= d]
    model = {**trained_arguments(system), "parameters": system.parameters}
    given = {"m": mean, "Q": [covariance[c][d] for c, d in upper], **model}
    last = ", ".join(model)
    texts = []
    for name, meaning, expressions in (
        ("test_loss", "Mean loss of a fresh sample", system.test_loss),
        ("test_error", "Probability that a fresh sample is misclassified", system.test_error),
        *((f"test_{x.name}", f"Mean of {x.name} over a fresh sample", x.test) for x in observables),
    ):
        if expressions is None:
            texts.append(f"{name} = None  # the loss has no readout\n")
            continue
        distinct = list(dict.fromkeys(expressions))
        for index, expr in enumerate(distinct):
            if expr.has(GaussianMean):
                texts += means_function(f"_{name}_{index}", given, [expr], kinds)
            else:
                texts.append(printer.function(f"_{name}_{index}", given, f"{meaning}; m (C,), upper triangle of Q, parameters.", expr))
        calls = []
        for k, expr in enumerate(expressions):
            more, entry = (", nodes", "[0]") if expr.has(GaussianMean) else ("", "")
            calls.append(f"_{name}_{distinct.index(expr)}(m[{k}], upper[{k}], {last}{more}){entry}")
        texts.append(
            f'def {name}(m, Q, {last}, nodes):\n    """{meaning} of each cluster, (K,); m (K, C), Q (K, C, C)."""\n'
            f"    upper = Q[:, {[c for c, _ in upper]}, {[d for _, d in upper]}]\n"
            f"    return jnp.stack([{', '.join(calls)}])\n"
        )
    return texts


# --- kinks on affine lines ---------------------------------------------------------------------------------------------

Affine = tuple[tuple[sp.Expr, ...], sp.Expr]  # (w, c) of w.z + c
_MOST_LOCI = 12  # in two dimensions there are about as many cubed cells between them
_MOST_NESTED = 6  # kinks within the argument of another one, each of which doubles the forms


def _loci(bodies: Sequence[sp.Expr], z: Sequence[sp.Symbol]) -> list[Affine] | None:
    """Affine forms that vanish wherever a body has a kink; None where a kink is on none, or they are many."""
    arguments = {u for body in bodies for u in kinked_arguments(body)}
    if any(len(u.atoms(*ROUGH)) > _MOST_NESTED for u in arguments):
        return None
    found = {form for u in arguments for form in _pieces(u) if form.has_free(*z)}
    forms = [_affine(form, z) for form in sorted(found, key=sp.default_sort_key)]
    return None if None in forms or len(forms) > _MOST_LOCI else forms


_EDGE = sp.Rational(1, 2**52)  # of the values of a sigmoid that are told from 0 and 1


def _affine(form: sp.Expr, z: Sequence[sp.Symbol]) -> Affine | None:
    """An affine form that vanishes where this one does: itself, or of a function of sigmoids of one form, u - log(s/(1 - s)) where it is 0
    at the value s of the sigmoid of u; a value beyond 0 and 1 is moved there, out of the integrand's reach."""
    plain = affine(form, z)
    inner = sorted({x.args[0] for x in form.atoms(Sigmoid) if x.has_free(*z)}, key=sp.default_sort_key)
    if plain is not None or not inner:
        return plain
    u, s = inner[0], sp.Dummy("s", positive=True)
    at = sp.numer(sp.together(form.xreplace({Sigmoid(u): s, Sigmoid(-u): 1 - s})))
    if at.has_free(*z) or not at.is_polynomial(s) or sp.degree(at, s) != 1:
        return None
    root = sp.Max(_EDGE, sp.Min(1 - _EDGE, sp.cancel(-at.coeff(s, 0) / at.coeff(s, 1))))
    return affine(u - sp.log(root / (1 - root)), z)


def _pieces(expr: sp.Expr) -> set[sp.Expr]:
    """The expressions that `expr` is on either side of the kinks inside it."""
    kinked = sorted(expr.atoms(*ROUGH), key=lambda e: (e.count_ops(), sp.default_sort_key(e)))
    if not kinked:
        return {expr}
    inner = kinked[0]
    branches = {sp.Heaviside: (0, 1), sp.sign: (-1, 1), sp.Abs: (inner.args[0], -inner.args[0])}.get(type(inner), inner.args)
    if isinstance(inner, sp.Piecewise):
        branches = [value for value, _ in inner.args]
    return {piece for branch in branches for piece in _pieces(expr.xreplace({inner: sp.sympify(branch)}))}


def _kinks(loci: Sequence[Affine]) -> list[sp.Expr]:
    """Zeros of affine forms of one variable."""
    return _distinct(-c / w for (w,), c in loci)


def _meetings(loci: Sequence[Affine]) -> list[sp.Expr]:
    """Values of the first of two variables where lines cross, or that they hold fixed."""
    fixed = [-c / a for (a, b), c in loci if b == 0]
    slanted = [(a, b, c) for (a, b), c in loci if b != 0]
    pairs = [(p, q, sp.expand(p[0] * q[1] - q[0] * p[1])) for i, p in enumerate(slanted) for q in slanted[:i]]
    return _distinct([*fixed, *((p[1] * q[2] - q[1] * p[2]) / det for p, q, det in pairs if det != 0)])


def _distinct(values: Iterable[sp.Expr]) -> list[sp.Expr]:
    return sorted({sp.cancel(value) for value in values}, key=sp.default_sort_key)


def _outer_means(expr: sp.Expr) -> list[GaussianMean]:
    """Gaussian means that stand in no other one, in a fixed order."""
    if isinstance(expr, GaussianMean):
        return [expr]
    if not expr.has(GaussianMean):
        return []
    return [node for part in sorted(expr.args, key=sp.default_sort_key) for node in _outer_means(part)]
