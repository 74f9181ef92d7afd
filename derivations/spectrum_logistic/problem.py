"""Hessian and information matrix of logistic regression on two symmetric clusters, at a state that has begun to learn."""

from gmsym import GaussianMixture, Problem, losses, optimizers

PROBLEM = Problem(
    data=GaussianMixture.symmetric(),
    loss=losses.logistic(),
    optimizer=optimizers.gd(),
    norm2=1,
    overlap=[0.5, -0.5],
)
THEORY = "spectrum"
MATRICES = ("hessian", "information")
VALUES = {"alpha": 4.0, "sigma": 1.0, "mu_norm": 1.0}
SIMULATION = {"d": 500, "replicates": 10, "seed": 4}
