"""Source text of a module of kind `Sde`: that of its `Ode`, and a function for each equation of the fluctuation.

Its contract is runtime/sde.py.
"""

import sympy as sp

from gmsym.calculus.kernels import Transposed, kernel
from gmsym.codegen.ode import array_function, module_text
from gmsym.system import Equation, Sde
from gmsym.system import sde as N
from gmsym.system.causal_kernels import Mean
from gmsym.system.ode import block, nu, t

# Functions by the left side of their equation, with the axes of their value: c and d run over the n statistics here, or over the entries
# of f; b over blocks.
_NAMES = {
    N.Root: ("noise", "cd"),
    N.F: ("mean_increment", "c"),
    N.Sigma: ("volatility", "cd"),
    N.P: ("covariance_rate", "cd"),
    N.C: ("correlation_rate", "cd"),
    N.zeta: ("bias_rate", "c"),
    nu: ("excess", ""),
    N.R: ("square_of_root", "cd"),
    N.shift_f: ("shift", "c"),
    N.variance_f: ("variance", "cd"),
}
_Df_zeta, _Df_R = kernel("Df_zeta", "", value="c")(t), kernel("Df_R", "", value="cd")(t)


def source(system: Sde) -> str:
    """Readable source of the module of a system; the same text for the same system.

    Raises:
        UnprintableError: as codegen.ode.source; an equation of the fluctuation holds what is neither an array nor a number.
    """
    return module_text(system.ode, [text for e in system.fluctuation for text in _functions(e)])


def _functions(equation: Equation) -> list[str]:
    lhs, rhs = equation.lhs, _named(equation.rhs)
    if isinstance(lhs, N.d_xi):
        terms = sp.Add.make_args(sp.expand(rhs))
        drift = sp.Add(*(x / N.dt for x in terms if x.has(N.dt)))
        noise = sp.Add(*(sp.Mul(*x.args[:-1]) for x in terms if x.args[-1:] == (N.dB(t),)))
        return [
            array_function("path_drift", drift, "c", f"drift of the {equation.meaning}"),
            array_function("path_noise", noise, "cd", f"what multiplies the Brownian motion of the {equation.meaning}"),
        ]
    (first,) = {type(x) for x in lhs.atoms(*_NAMES)} & set(_NAMES)
    name, output = _NAMES[first]
    return [array_function(name, rhs, ("b" if lhs.has(block) else "") + output, equation.meaning)]


def _named(expr: sp.Expr) -> sp.Expr:
    """Means, derivatives and their products with a vector or a root as arrays of their own: the engine forms them."""

    def mean(inside: sp.Expr, cluster: sp.Expr) -> sp.Expr:
        factors = [type(x.args[0] if isinstance(x, Transposed) else x).__name__ for x in sp.Mul.make_args(inside)]
        return kernel("_".join(["mean", *factors]), "", subscripts=1, value="cd"[: len(factors)])(cluster)

    expr = expr.replace(Mean, mean)
    expr = expr.replace(N.Contracted, lambda form, matrix: kernel(f"{type(form).__name__}_{type(matrix).__name__}", "", value="c")(t))
    expr = expr.replace(sp.Derivative, lambda value, *_: kernel(f"d{type(value).__name__}", "", value="c")(t))
    expr = expr.xreplace({N.C(t, N.past): N.C(t)})  # a time is no axis
    zeta, root = (N.Df(t) * x for x in (N.zeta(t), N.R(t)))
    return sp.expand(expr).subs(zeta, _Df_zeta).subs(Transposed(root), Transposed(_Df_R)).subs(root, _Df_R)
