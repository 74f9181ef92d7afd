"""Influence of one sample or coordinate on the surrogate: its program with weights, and the adjoint. Source: own, theory.md 1.3.

The surrogate couples samples and coordinates in sums over them alone. With a weight in each sum the derivative in a weight at 1 is the
influence. A step of the program is four stages: a new direction of the parameters for each column, the fields, a new direction of the
gradients for each column, the update; what is linear comes from the surrogate's own equations, its indices written out.
"""

import sympy as sp

from gmsym import symbols
from gmsym.calculus.kernels import Kernel
from gmsym.derive.adjoint import SOURCE, adjoint
from gmsym.derive.surrogate import surrogate
from gmsym.errors import InputError
from gmsym.problem import Problem
from gmsym.progress import announced
from gmsym.system import Equation, Equations, Influence, Recursion
from gmsym.system import indexed as X
from gmsym.system import recursion as S
from gmsym.system import size_expansion as V
from gmsym.system.causal_kernels import ridge as ridge_of_program
from gmsym.system.indexed import array, b, bar, c, d, i, j, k, n, over, total, x
from gmsym.system.influence import Stage, fixed, ridge, size

_ORDER = "kbcdijxn"  # of indices, as in the arrays of the surrogate's module
_LETTERS = {"k": k, "b": b, "c": c, "d": d, "i": i, "j": i, "x": x, "n": n}
OWN = {"source": "own; theory.md 1.3", "status": "own"}

_held, _again = array("held", r"\lambda", k, i), array("again", r"\delta", k, i)
_opened = array("opened", "o", k)  # 1, or 0 where a vector adds no direction
_h, _A = array("h", "h", k, c, n), array("A", "A", k, c, d, n)


@announced("deriving the influence functions")
def influence(system: Recursion | Problem) -> Influence:
    """Influences of samples and coordinates on order parameters of the surrogate, and the variance that they add up to.

    Raises:
        InputError: as `surrogate`; an optimizer that is not linear.
    """
    recursion = surrogate(system) if isinstance(system, Problem) else system
    problem = system if isinstance(system, Problem) else system.problem
    problem.check_full_batch("derive.influence")
    check_linear(problem, "derive.influence")
    step = {type(e.lhs): e for e in recursion.step}
    sums = {e.lhs: e for e in recursion.sums}
    stages = tuple(f(step, sums) for f in (_direction_of_parameters, _fields, _direction_of_gradients, _update))
    curvature, at_sample = _sample(recursion)
    return Influence(recursion, stages, curvature, at_sample, _optimizer(recursion), _variance())


def check_linear(problem: Problem, what: str) -> None:
    """Raises InputError unless the update rule is linear: a rule that jumps has no derivative, and a law of coordinates does not move."""
    if not problem.optimizer.is_linear:
        raise InputError(
            f"{what} needs a linear optimizer, and {problem.optimizer.name!r} is not; derive.dmf, derive.surrogate and simulate take it"
        )


def _written_out(equation: Equation) -> Equation:
    """An equation of the surrogate with all indices."""

    def of(kernel: Kernel) -> Kernel:
        name = type(kernel).__name__
        letters = {str(arg) for arg in kernel.args if str(arg) in _LETTERS} | set(type(kernel).value)
        return array(name, type(kernel).symbol, *(_LETTERS[letter] for letter in sorted(letters, key=_ORDER.index)))

    def plain(expr: sp.Expr) -> sp.Expr:
        expr = expr.replace(lambda e: isinstance(e, sp.Sum), lambda e: over(e.function, *(_LETTERS[str(z[0])] for z in e.limits)))
        expr = expr.xreplace({kernel: of(kernel) for kernel in expr.atoms(Kernel)})
        return expr.xreplace({S.samples: total, ridge_of_program: ridge})

    return Equation(plain(equation.lhs), plain(equation.rhs), equation.meaning, equation.source, equation.status)


def _direction(vector: Kernel, old: Kernel, weight: Kernel, index: sp.Symbol, names: tuple[Kernel, ...]) -> list[Equation]:
    """One vector a cluster made orthonormal to the directions before it: (row of the factor, rest, its square, diagonal, direction).

    The row of the run is subtracted as it stands and the products with what is left, zero on the run, are subtracted after it. Whatever
    the first row is, the sum is the products with the vector; but the adjoint stays among vectors orthogonal to the directions, without
    what the constraint of orthonormality makes irrelevant, which grows with every nearly dependent vector.
    """
    row, rest, square, diagonal, new = names
    left = _left(rest)
    return [
        Equation(left, vector - over(_held * old, i), "vector less its projections on earlier directions, as the run has them", **OWN),
        Equation(_again, over(weight * old * left, index), "what is left along them", **OWN),
        Equation(row, _held + _again, "row of the Cholesky factor", **OWN),
        Equation(rest, left - over(_again * old, i), "what is orthogonal to earlier directions", **OWN),
        Equation(square, over(weight * rest**2, index), "its square", **OWN),
        Equation(diagonal, _opened * sp.sqrt(square), "diagonal of the Cholesky factor", **OWN),
        Equation(new, _opened * rest / sp.sqrt(square), "new direction", **OWN),
    ]


def _left(rest: Kernel) -> Kernel:
    return array("left", r"\tilde r", *rest.args)


def _direction_of_parameters(step: dict, sums: dict) -> Stage:
    product = _written_out(step[S.Zq_new])
    names = array("row", "L", k, i), array("rest", "r", k, x), array("square", "s", k), array("diagonal", "L", k), X.q_new
    program = [sums[X.scaled], *_direction(X.scaled, X.q, X.of_coordinate, x, names), sums[X.chi], sums[X.phi_new], product]
    outputs = names[0], names[3], names[4], product.lhs
    inputs = X.column, X.q, X.u, X.of_sample, X.of_coordinate
    return _stage("parameter_direction", program, outputs, inputs, (X.deviation, X.z, X.g_new, _opened, _held), names[1])


def _direction_of_gradients(step: dict, sums: dict) -> Stage:
    product = _written_out(step[S.Zu_new])
    slope = array("slope", "a", k, n)
    names = array("row", "M", k, i), array("rest", "r", k, n), array("square", "s", k), array("diagonal", "M", k), X.u_new
    program = [*_direction(slope, X.u, X.of_sample, n, names), sums[X.upsilon], sums[X.psi_new], product]
    outputs = names[0], names[3], names[4], product.lhs
    inputs = slope, X.q, X.u, X.of_sample, X.of_coordinate
    return _stage("gradient_direction", program, outputs, inputs, (X.g, X.z_new, _opened, _held), names[1])


def _fields(step: dict, sums: dict) -> Stage:
    field = _written_out(next(e for kind, e in step.items() if kind.__name__ == "h"))
    L, Zq = array("L", "L", k, c, i), array("Zq", S.Zq.symbol, k, i, n)
    program = [sums[X.m], sums[X.Q], sums[X.Q_k], field]
    return _stage("fields", program, (X.m, X.Q, X.Q_k, field.lhs), (X.theta, L, Zq, X.of_coordinate), (X.means, X.deviation))


def _update(step: dict, sums: dict) -> Stage:
    product, risk = (_written_out(step[kind]) for kind in (S.Za, S.gradient))
    M, Zu = array("M", "M", k, c, i), array("Zu", S.Zu.symbol, k, i, x)
    inputs = X.theta, X.a, M, Zu, X.loss, X.of_sample
    program = [sums[X.train_loss], sums[X.asum], product, risk]
    return _stage("update", program, (X.train_loss, risk.lhs), inputs, (X.means, X.deviation, X.p, X.counts))


def _stage(name: str, program: list[Equation], outputs, inputs, constants, rest: Kernel | None = None) -> Stage:
    """A stage with its adjoint on the run, where nothing is left along earlier directions."""
    found = adjoint(program, outputs, {type(y) for y in constants})
    on_run = {_again: sp.S.Zero, _left(rest): rest} if rest is not None else {}
    back = [Equation(e.lhs, e.rhs.xreplace(on_run).doit(), e.meaning, e.source, e.status) for e in found] if on_run else found
    return Stage(name, Equations(program), Equations(back), outputs, inputs)


def _sample(system: Recursion) -> tuple[Equation, Equation]:
    """(derivative of gradient c in field d, adjoint of the fields from those of the gradient and of the loss)."""
    hessian = sp.ImmutableDenseMatrix([[sp.diff(slope, field) for field in system.fields] for slope in system.gradient])
    swapped = {c: d, d: c}
    rhs = over(_A.xreplace(swapped) * bar(X.a).xreplace(swapped), d) + X.a * bar(X.loss)
    return Equation(_A, hessian, "Hessian of the loss in the fields", **OWN), Equation(bar(_h), rhs, "adjoint of h", SOURCE, "own")


def _optimizer(system: Recursion) -> Equations:
    """Adjoints of theta, the state and the gradient before a step, from those of theta and the state after it."""
    before = symbols.theta, *system.state, symbols.g
    after = [sp.Symbol(f"{y.name}_after", real=True) for y in before[:-1]]
    return Equations(
        Equation(
            sp.Symbol(f"{y.name}_bar", real=True),
            sp.Add(*(weight * sp.diff(new, y) for weight, new in zip(after, system.update, strict=True))),
            f"adjoint of {y.name}",
            SOURCE,
            "own",
        )
        for y in before
    )


def _variance() -> Equations:
    """n Var of an output: influences are independent in each cluster, and in each block once what the start fixes is projected off."""
    value, exists = array("influence", r"\hat{w}", k, n), array("exists", "e", k, n)
    mean = array("mean", r"\bar{w}", k)
    of_block, known, fit = array("influence_x", r"\hat{w}", x), array("known", "N", x, j), array("fit", r"\beta", j)
    rest, of_samples, of_coordinates = array("left", r"\tilde{w}", x), array("of_samples", "V", k), array("of_coordinates", "V")
    return Equations(
        (
            Equation(mean, over(exists * value, n) / X.counts, "mean influence of a cluster's samples", **OWN),
            Equation(
                of_samples,
                X.counts * over(exists * (value - mean) ** 2, n) / (X.counts - 1),
                "variance from a cluster's samples",
                **OWN,
            ),
            Equation(rest, of_block - over(known * fit, j), "influence in a block less its fit by what the start fixes", **OWN),
            Equation(of_coordinates, size / (size - fixed) * over(rest**2, x), "variance from a block's coordinates", **OWN),
            Equation(
                V.variance,
                total * (over(of_samples, k) + array("of_blocks", r"\textstyle\sum_b V")),
                "variance of an order parameter, times n",
                **OWN,
            ),
        )
    )
