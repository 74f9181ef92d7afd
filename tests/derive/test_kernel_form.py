"""The printed kernel form, read literally, is what the solver solves."""

import numpy as np
import sympy as sp

import gmsym as gm
from gmsym import derive, symbols
from gmsym.system.causal_kernels import B, K, alpha, ridge
from tests.kernel_interpreter import Interpreter
from tests.mutation import mutants

P, Y, GRAM = [0.4, 0.6], [1.0, -1.0], np.array([[1.0, -0.3], [-0.3, 0.8]])
VARIANCE, FRACTIONS = np.array([[0.5, 1.5], [0.8, 1.2]]), [0.3, 0.7]
NORM2, OVERLAP = 1.2, [0.3, -0.2]
ALPHA, ETA, BETA, RIDGE, STEPS = 1.5, 0.4, 0.6, 0.1, 9


def problem() -> gm.Problem:
    data = gm.GaussianMixture(probabilities=P, labels=Y, means_gram=GRAM, variance=VARIANCE, fractions=FRACTIONS)
    return gm.Problem(data, gm.losses.squared(), gm.optimizers.heavy_ball(), norm2=NORM2, overlap=OVERLAP)


def literal(equations) -> Interpreter:
    given = {K: 2, B: 2, alpha: ALPHA, ridge: RIDGE, symbols.eta: ETA, symbols.momentum: BETA, ("Q", 0, 0): NORM2}
    for k in (0, 1):
        given |= {("p", k + 1): P[k], ("rho", k + 1): FRACTIONS[k], ("m", k + 1, 0): OVERLAP[k]}
        given |= {("sigma2", k + 1, b + 1): VARIANCE[k, b] for b in (0, 1)} | {("gram", k + 1, l + 1): GRAM[k, l] for l in (0, 1)}  # noqa: E741
    return Interpreter(equations, given, {"y_{k}": Y})


def test_the_kernel_form_read_literally_is_solved():
    """Squared loss, two clusters, two blocks, heavy ball, nine steps: all overlaps and two-time kernels to 1e-12."""
    system = derive.dmf(problem())
    theory = gm.solve(system, {"alpha": ALPHA, "eta": ETA, "momentum": BETA, "ridge": RIDGE}, steps=STEPS, two_time=True)
    read = literal(system.kernel_form)
    for t in range(STEPS):
        for k in (0, 1):
            assert abs(read.kernel("m", k + 1, t).item() - theory.m[t, k, 0]) < 1e-12
            assert abs(read.kernel("Qk", k + 1, t, t).item() - theory.Q_k[t, k, 0, 0]) < 1e-12
        for s in range(t + 1):
            assert abs(read.kernel("Q", t, s).item() - theory["Q_two_time"][t, s, 0, 0]) < 1e-12
            correlation = sum(P[k] * read.kernel("C", k + 1, t, s).item() for k in (0, 1))
            assert abs(correlation - theory["C_two_time"][t, s, 0, 0]) < 1e-12


def test_a_mutant_of_the_kernel_form_reads_otherwise():
    """The noise in Q_k without its sign, and the fluctuation of the closed kernels doubled."""
    from dataclasses import replace

    equations = derive.dmf(problem()).kernel_form
    right = literal(equations).kernel("Qk", 1, 3, 3).item()
    for name, change in (
        ("Qk", lambda rhs: list(mutants(rhs))[-1][1]),
        ("C", lambda rhs: rhs + sp.Add(*(x for x in rhs.args if x.has(sp.Sum)))),
    ):
        wrong = [replace(e, rhs=change(e.rhs)) if type(e.lhs).__name__ == name else e for e in equations]
        assert abs(literal(wrong).kernel("Qk", 1, 3, 3).item() - right) > 1e-4
