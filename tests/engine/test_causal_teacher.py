"""DMF of problems with teachers: a student of a linear teacher in closed form, and training."""

from dataclasses import replace

import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym.errors import InputError
from gmsym.system import Equations
from gmsym.system.causal_kernels import V, t

STEPS = 12
CENTRED = gm.GaussianMixture(probabilities=[1], labels=[1], means_gram=[[0]], variance=[1])
h, t0, t1 = gm.symbols.h, gm.symbols.symbol("t0"), gm.symbols.symbol("t1")


def regression(**state):
    """A student of a linear teacher, squared loss."""
    return gm.Problem(CENTRED, gm.Loss("regression", (h - t0) ** 2 / 2), gm.optimizers.gd(), teacher=gm.Teacher([[1]]), **state)


def committee():
    """Two students of two teachers, in two clusters and two blocks, everything overlapping."""
    mixture = gm.GaussianMixture(
        probabilities=[0.6, 0.4],
        labels=[1, -1],
        means_gram=[[0.6, -0.2], [-0.2, 0.5]],
        variance=[[1.2, 0.5], [0.4, 1.0]],
        fractions=[0.5, 0.5],
    )
    students, (h0, h1) = (sp.erf(x / sp.sqrt(2)) for x in gm.symbols.fields(2)), gm.symbols.fields(2)
    target = sp.erf(t0 / sp.sqrt(2)) - sp.erf(t1 / sp.sqrt(2)) / 2 + gm.symbols.y / 5
    teacher = gm.Teacher([[1, 0.3], [0.3, 0.8]], [[0.2, 0], [0.1, 0.3]], [[0.3, 0], [-0.1, 0.2]])
    loss = gm.Loss("committee", (sum(students) - target) ** 2 / 2 + h0 * h1 / 20)
    start = {"norm2": [[0.5, 0.1], [0.1, 0.7]], "overlap": [[0.1, 0], [0, -0.2]]}
    return gm.Problem(mixture, loss, gm.optimizers.heavy_ball(), teacher=teacher, **start)


def spectral_means(alpha, function):
    """Mean of function(eigenvalue) over the law of X^T X/n (Marchenko and Pastur), alpha = n/d > 1."""
    low, high = (1 - alpha**-0.5) ** 2, (1 + alpha**-0.5) ** 2
    angle = (np.arange(4096) + 0.5) * np.pi / 4096
    x = (low + high) / 2 + (high - low) / 2 * np.cos(angle)
    weights = ((high - low) / 2 * np.sin(angle)) ** 2 * alpha / (2 * np.pi * x) * np.pi / 4096
    return np.sum(weights * function(x))


def test_a_linear_teacher_in_closed_form():
    """From Theta = 0 the student is theta* (1 - (1 - eta X^T X/n)^t), whose overlaps are means over the eigenvalues."""
    result = gm.solve(regression(norm2=0), {"alpha": 2.0, "eta": 0.4, "ridge": 0.0}, steps=STEPS, samples=1024)
    for time in range(STEPS):
        M, Q = (spectral_means(2.0, lambda x, t=time, p=power: (1 - (1 - 0.4 * x) ** t) ** p) for power in (1, 2))
        loss = spectral_means(2.0, lambda x, t=time: x * (1 - 0.4 * x) ** (2 * t)) / 2
        for name, expected in (("M", M), ("Q", Q), ("train_loss", loss), ("test_loss", (1 - 2 * M + Q) / 2)):
            found, error = result[name].values[time].item(), result[f"{name}_error"].values[time].item()
            assert abs(found - expected) < 4 * error + 1e-10, (name, time)
            assert error < 0.01


def test_a_student_at_the_teacher_stays():
    """Theta = theta* has no gradient: the teacher's response undoes that of the student's own field."""
    problem = gm.Problem(CENTRED, regression().loss, gm.optimizers.gd(), teacher=gm.Teacher([[1]], [1]))
    result = gm.solve(problem, {"alpha": 2.0, "eta": 0.4, "ridge": 0.0}, steps=4, samples=256)
    assert result.M.values == pytest.approx(np.ones((4, 1, 1)), abs=1e-12)
    assert result.train_loss.values == pytest.approx(np.zeros(4), abs=1e-12)


def test_a_teacher_is_refused_where_it_is_not_treated():
    problem = regression()
    with pytest.raises(InputError, match="'tangent': teacher fields need 'stein'"):
        gm.derive.dmf(problem, response="tangent")
    for verb in (gm.derive.finite_size, gm.derive.refinement):
        with pytest.raises(InputError, match="does not treat teacher fields"):
            verb(problem)
    with pytest.raises(InputError, match="does not treat teacher fields"):
        gm.derive.gradient_flow(gm.derive.dmf(problem))


def scores(theory, runs):
    """Differences in standard errors, at all times but the first, of all entries."""
    names = [name for name in ("M", "m", "Q", "Q_k", "train_loss", "test_loss") if name in theory]
    found = [(runs[name] - theory[name]) / np.hypot(runs[f"{name}_error"], theory[f"{name}_error"]) for name in names]
    return np.concatenate([x.values[1:].ravel() for x in found])


@pytest.mark.exhaustive
@pytest.mark.slow
def test_two_students_of_two_teachers():
    """Theory against training, and without the teachers' response."""
    problem, values = committee(), {"eta": 0.6, "momentum": 0.5, "ridge": 0.02}
    system = gm.derive.dmf(problem)
    runs = gm.simulate(problem, values, n=1500, d=1000, steps=8, replicates=40)
    theory = {"n": 1500, "d": 1000, "steps": 8, "samples": 2048}
    found = scores(gm.solve(system, values, **theory), runs)
    assert np.sqrt(np.mean(found**2)) < 2 and np.abs(found).max() < 4.5

    dropped = lambda x: sp.S.Zero if isinstance(x.lhs, V) and x.lhs.args[-1] == t + 1 else x.rhs  # noqa: E731
    blind = replace(system, innovation_form=Equations(replace(x, rhs=dropped(x)) for x in system.innovation_form))
    found = scores(gm.solve(blind, values, **theory), runs)
    assert np.sqrt(np.mean(found**2)) > 5
