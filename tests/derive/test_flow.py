"""The displayed gradient flow, read literally on a grid of time, is the DMF of small steps; no sign and no term of it is idle.

Nothing is known here of the derivation: derivatives are forward differences, an integral from s or 0 to t is the sum over the steps
before t (after s, where what happens at s itself stands apart), and a value "just after s" is that of the next step. Read so with a
step eta the equations are those of gradient descent, and both agree to rounding; with other conventions they would to order eta.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym import derive, symbols
from gmsym.calculus.kernels import Kernel, Transposed
from gmsym.system import causal_kernels as S
from gmsym.system.integro_differential import Qb
from tests.kernel_interpreter import Interpreter
from tests.mutation import mutants

P, Y, GRAM = [0.4, 0.6], [1.0, -1.0], np.array([[1.0, -0.3], [-0.3, 0.8]])
VARIANCE, FRACTIONS = np.array([[0.5, 1.5], [0.8, 1.2]]), [0.3, 0.7]
NORM2, OVERLAP, ALPHA, STEP, DECAY, RIDGE, STEPS = 1.2, [0.3, -0.2], 1.5, 0.1, 0.2, 0.1, 5
DATA = gm.GaussianMixture(probabilities=P, labels=Y, means_gram=GRAM, variance=VARIANCE, fractions=FRACTIONS)
PROBLEM = gm.Problem(DATA, gm.losses.squared(), gm.optimizers.weight_decay(), norm2=NORM2, overlap=OVERLAP)
NOISE = S.Mean(S.omega(S.k, S.t) * Transposed(S.omega(S.k, S.s)), S.k)


class Reader:
    """Values of kernels at steps 0, 1, ...: numbers, and for one sample its mean and coefficients of omega(0), omega(1), ..."""

    def __init__(self, equations):
        self.right = {e.lhs: e.rhs for e in equations}
        self.numbers = {S.K: 2, S.B: 2, S.alpha: ALPHA, S.ridge: RIDGE, symbols.symbol("weight_decay"): DECAY}
        self.known = {("Q", 0, 0): NORM2} | {("Q_0", b): NORM2 for b in (1, 2)}
        for k in (1, 2):
            self.known |= {("p", k): P[k - 1], ("rho", k): FRACTIONS[k - 1], ("m", k, 0): OVERLAP[k - 1]}
            self.known |= {("m_0", k, b): OVERLAP[k - 1] for b in (1, 2)}
            self.known |= {("sigma2", k, b): VARIANCE[k - 1, b - 1] for b in (1, 2)}
            self.known |= {("gram", k, l, b): GRAM[k - 1, l - 1] for l in (1, 2) for b in (1, 2)}  # noqa: E741

    def kernel(self, name, *at):
        if (name, *at) not in self.known:
            self.known[name, *at] = self.omega(at[1]) if name == "omega" else self._by_its_equation(name, at)
        return self.known[name, *at]

    def omega(self, time):
        return np.eye(STEPS + 1)[time + 1]

    def _by_its_equation(self, name, at):
        if name == "W":
            b, t, s = at
            return self.value(self.right[S.W(S.b, S.s, S.s)], {S.b: b, S.s: s}) if t == s + 1 else self._stepped(S.W, at)
        if name in ("mb", "Qb"):
            start = at[-1] == 0 if name == "mb" else at[1:] == (0, 0)
            if name == "Qb" and at[1] < at[2]:
                lhs = Qb(S.b, S.s, S.t)
                return self.value(self.right[lhs], dict(zip(lhs.args, at, strict=True)))
            if not start:
                return self._stepped(name, at)
        for lhs, rhs in self.right.items():
            if type(lhs).__name__ == name and all(not x.is_Integer or x == y for x, y in zip(lhs.args, at, strict=True)):
                if name == "Qb" and not lhs.args[1].is_Integer:
                    continue
                return self.value(rhs, {x: y for x, y in zip(lhs.args, at, strict=True) if not x.is_Integer})
        raise LookupError(f"no equation for {name}{at}")

    def _stepped(self, family, at):
        """Forward in the time t, the first of the times."""
        name = family if isinstance(family, str) else family.__name__
        (lhs,) = [x.expr for x in self.right if isinstance(x, sp.Derivative) and type(x.expr).__name__ == name]
        before = {x: y - (x == S.t) for x, y in zip(lhs.args, at, strict=True)}
        return self.value(lhs, before) + STEP * self.value(self.right[sp.Derivative(lhs, S.t)], before)

    def partial(self, cluster, t, s):
        lhs = S.Partial(S.a(S.k, S.t), S.omega(S.k, S.s))
        key = "Partial", cluster, t, s
        if key not in self.known:
            self.known[key] = self.value(self.right[lhs], {S.k: cluster, S.t: t, S.s: s})
        return self.known[key]

    def value(self, expr, at):
        if isinstance(expr, sp.Add):
            values = [self.value(x, at) for x in expr.args]
            if all(map(np.isscalar, values)):
                return sum(values)
            return sum(x * np.eye(STEPS + 1)[0] if np.isscalar(x) else x for x in values)
        if isinstance(expr, sp.Mul):
            values = [self.value(x, at) for x in expr.args]
            vectors = [x for x in values if not np.isscalar(x)]
            assert len(vectors) <= 1, f"{expr} is quadratic in a sample's noise"
            return math.prod(x for x in values if np.isscalar(x)) * (vectors[0] if vectors else 1.0)
        if isinstance(expr, (sp.Sum, sp.Integral)):
            *inner, (index, low, high) = expr.limits
            rest = expr.func(expr.function, *inner) if inner else expr.function
            if isinstance(expr, sp.Sum):
                steps = range(1, int(self.numbers[high]) + 1)
                return sum(self.value(rest, {**at, index: now}) for now in steps)
            steps = range(0 if low == 0 else at[low] + 1, at[high])
            return STEP * sum((self.value(rest, {**at, index: now}) for now in steps), 0.0)
        if isinstance(expr, Transposed):
            return self.value(expr.args[0], at)
        if isinstance(expr, S.Mean):
            return self.mean(expr.args[0], at)
        if isinstance(expr, S.Partial):
            return self.partial(at[S.k], at[expr.args[0].args[1]], at[expr.args[1].args[1]])
        if isinstance(expr, Kernel):
            return self.kernel(type(expr).__name__, *(int(x) if x.is_Integer else at[x] for x in expr.args))
        if isinstance(expr, sp.Pow):
            return self.value(expr.base, at) ** float(expr.exp)
        if expr.is_number:
            return float(expr)
        if expr in self.numbers:
            return float(self.numbers[expr])
        if expr.name == "y_{k}":
            return Y[at[S.k] - 1] * np.eye(STEPS + 1)[0]
        return self.kernel("h", at[S.k], at[S.t])  # h_{k}(t)

    def mean(self, expr, at):
        """Of a function of one sample, or of a product of two."""
        factors = [self.value(x, at) for x in sp.Mul.make_args(expr)] if isinstance(expr, sp.Mul) else [self.value(expr, at)]
        vectors = [x for x in factors if not np.isscalar(x)]
        number = math.prod(x for x in factors if np.isscalar(x))
        if len(vectors) < 2:
            return number * (vectors[0][0] if vectors else 1.0)
        first, second = vectors
        pairs = [(t, s) for t in range(STEPS) for s in range(STEPS) if first[t + 1] * second[s + 1] != 0]
        noise = sum(first[t + 1] * second[s + 1] * self.value(self.right[NOISE], {S.k: at[S.k], S.t: t, S.s: s}) for t, s in pairs)
        return number * (first[0] * second[0] + noise)

    def read(self):
        """m of both clusters and Q at all steps."""
        m = [[self.kernel("m", k, t) for k in (1, 2)] for t in range(STEPS)]
        return np.array(m), np.array([sum(self.kernel("Qb", b, t, t) for b in (1, 2)) for t in range(STEPS)])


@pytest.fixture(scope="module")
def dmf():
    return derive.dmf(PROBLEM)


def test_the_flow_read_literally_is_the_dmf_of_small_steps(dmf):
    """The kernel form of gradient descent, read literally too: that this is what `gm.solve` solves is in test_kernel_form."""
    m, Q = Reader(derive.gradient_flow(dmf).flow).read()
    given = Reader(()).known | {S.K: 2, S.B: 2, S.alpha: ALPHA, S.ridge: RIDGE}
    discrete = Interpreter(dmf.kernel_form, given | {symbols.eta: STEP, symbols.symbol("weight_decay"): DECAY}, {"y_{k}": Y})
    for t in range(STEPS):
        assert [discrete.kernel("m", k, t).item() for k in (1, 2)] == pytest.approx(m[t], abs=1e-13)
        assert discrete.kernel("Q", t, t).item() == pytest.approx(Q[t], abs=1e-13)


def test_no_sign_and_no_term_of_the_flow_is_idle(dmf):
    flow = derive.gradient_flow(dmf).flow
    right = np.concatenate([x.ravel() for x in Reader(flow).read()])
    idle = []
    for index, equation in enumerate(flow):
        for what, changed in mutants(equation.rhs):
            wrong = [replace(e, rhs=changed) if at == index else e for at, e in enumerate(flow)]
            found = np.concatenate([x.ravel() for x in Reader(wrong).read()])
            if not np.abs(found - right).max() > 1e-7:
                idle.append(f"{equation.lhs}: {what}")
    assert idle == ["h(k, t): sign of omega(k, t)"], "\n".join(idle)  # Gaussian noise has the law of its negative
