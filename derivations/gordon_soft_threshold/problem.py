"""The surrogate of L1-regularised logistic regression by proximal gradient descent: a nonlinear optimizer."""

import sympy as sp

from gmsym import GaussianMixture, Optimizer, Problem, losses
from gmsym.symbols import eta, g, symbol, theta

_step = theta - eta * g

PROBLEM = Problem(
    data=GaussianMixture(probabilities=[0.5, 0.5], labels=[1, -1], means_gram=[[1.69, -1.69], [-1.69, 1.69]], variance=[1, 0.49]),
    loss=losses.logistic(),
    optimizer=Optimizer("soft_threshold", {"theta": sp.sign(_step) * sp.Max(sp.Abs(_step) - eta * symbol("l1"), 0)}),
    overlap=[0.1, -0.1],
)
THEORY = "surrogate"
VALUES = {"eta": 1.0, "l1": 0.06, "ridge": 0.1}
STEPS = 8
SIMULATION = {"n": 60, "d": 40, "replicates": 10000}
