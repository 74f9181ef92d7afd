"""Hessian and information matrix of logistic regression on two clusters whose variances differ between two blocks of coordinates."""

from gmsym import GaussianMixture, Problem, losses, optimizers

PROBLEM = Problem(
    data=GaussianMixture(
        probabilities=[0.4, 0.6],
        labels=[1, -1],
        means_gram=[[2.0, -1.0], [-1.0, 1.5]],
        variance=[[0.3, 1.5], [1.2, 0.5]],
        fractions=[0.25, 0.75],
    ),
    loss=losses.logistic(),
    optimizer=optimizers.gd(),
    norm2=1.5,
    overlap=[0.8, -0.4],
)
THEORY = "spectrum"
MATRICES = ("hessian", "information")
VALUES = {"alpha": 4.0}
SIMULATION = {"d": 400, "replicates": 12, "seed": 4}
