"""Hessian of squared loss: the covariance matrix of the data, Marchenko and Pastur's law with one outlier."""

from gmsym import GaussianMixture, Problem, losses, optimizers

PROBLEM = Problem(
    data=GaussianMixture.symmetric(),
    loss=losses.squared(),
    optimizer=optimizers.gd(),
)
THEORY = "spectrum"
MATRICES = ("hessian",)
VALUES = {"alpha": 2.5, "sigma": 0.8, "mu_norm": 1.2}
SIMULATION = {"d": 500, "replicates": 10, "seed": 4}
