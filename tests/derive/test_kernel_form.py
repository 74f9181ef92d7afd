"""The printed kernel form, read literally, is what the solver solves."""

import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym import derive, symbols
from gmsym.calculus.kernels import Kernel
from gmsym.system.causal_kernels import B, Ce, K, N, Qk, alpha, ridge
from tests.kernel_interpreter import Interpreter
from tests.mutation import mutants

P, Y, GRAM = [0.4, 0.6], [1.0, -1.0], np.array([[1.0, -0.3], [-0.3, 0.8]])
VARIANCE, FRACTIONS = np.array([[0.5, 1.5], [0.8, 1.2]]), [0.3, 0.7]
NORM2, OVERLAP = 1.2, [0.3, -0.2]
ALPHA, ETA, BETA, RIDGE, STEPS = 1.5, 0.4, 0.6, 0.1, 9


VALUES = {"alpha": ALPHA, "eta": ETA, "momentum": BETA, "ridge": RIDGE}
_velocity = symbols.symbol("v")
NOISY = gm.Optimizer(
    "noisy_ball",
    {"theta": symbols.theta + _velocity, "v": symbols.momentum * _velocity - symbols.eta * symbols.g + symbols.noise / 3},
)


def problem(optimizer: gm.Optimizer | None = None) -> gm.Problem:
    data = gm.GaussianMixture(probabilities=P, labels=Y, means_gram=GRAM, variance=VARIANCE, fractions=FRACTIONS)
    return gm.Problem(data, gm.losses.squared(), optimizer or gm.optimizers.heavy_ball(), norm2=NORM2, overlap=OVERLAP)


def literal(equations) -> Interpreter:
    given = {K: 2, B: 2, alpha: ALPHA, ridge: RIDGE, symbols.eta: ETA, symbols.momentum: BETA, ("Q", 0, 0): NORM2}
    given |= {("Q_0", b): NORM2 for b in (1, 2)}  # each block has its share of the whole
    for k in (0, 1):
        given |= {("p", k + 1): P[k], ("rho", k + 1): FRACTIONS[k], ("m", k + 1, 0): OVERLAP[k]}
        given |= {("m_0", k + 1, b): OVERLAP[k] for b in (1, 2)}
        given |= {("sigma2", k + 1, b + 1): VARIANCE[k, b] for b in (0, 1)}
        given |= {("gram", k + 1, l + 1, b): GRAM[k, l] for l in (0, 1) for b in (1, 2)}  # noqa: E741
    return Interpreter(equations, given, {"y_{k}": Y})


@pytest.mark.parametrize("optimizer", [None, NOISY], ids=["heavy ball", "with noise"])
def test_the_kernel_form_read_literally_is_solved(optimizer):
    """Squared loss, two clusters, two blocks, heavy ball, nine steps: all overlaps and two-time kernels to 1e-12."""
    system = derive.dmf(problem(optimizer))
    theory = gm.solve(system, VALUES, steps=STEPS, two_time=True)
    read = literal(system.kernel_form)
    for t in range(STEPS):
        for k in (0, 1):
            assert abs(read.kernel("m", k + 1, t).item() - theory.m[t, k, 0]) < 1e-12
            assert abs(read.kernel("Qk", k + 1, t, t).item() - theory.Q_k[t, k, 0, 0]) < 1e-12
        for s in range(t + 1):
            assert abs(read.kernel("Q", t, s).item() - theory["Q_two_time"][t, s, 0, 0]) < 1e-12
            correlation = sum(P[k] * read.kernel("C", k + 1, t, s).item() for k in (0, 1))
            assert abs(correlation - theory["C_two_time"][t, s, 0, 0]) < 1e-12


def test_no_sign_and_no_term_of_the_optimizers_noise_is_idle():
    """Every mutant of what the noise adds to the kernel form reads otherwise."""
    from dataclasses import replace

    equations = derive.dmf(problem(NOISY)).kernel_form
    right = [literal(equations).kernel("Qk", 1, 4, s).item() for s in (3, 4)]
    own = [index for index, e in enumerate(equations) if e.lhs.has(N, Ce) and isinstance(e.lhs, Kernel)]
    # One step is enough for the coefficient of theta in itself to matter; N(s, s) = 0 has no mutant.
    idle = []
    for index in [*own, *(at for at, e in enumerate(equations) if isinstance(e.lhs, Qk))]:
        for what, changed in mutants(equations[index].rhs):
            wrong = [replace(e, rhs=changed) if at == index else e for at, e in enumerate(equations)]
            found = [literal(wrong).kernel("Qk", 1, 4, s).item() for s in (3, 4)]
            if not np.abs(np.subtract(found, right)).max() > 1e-9:
                idle.append(f"{equations[index].lhs}: {what}")
    assert not idle, "\n".join(idle)


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
