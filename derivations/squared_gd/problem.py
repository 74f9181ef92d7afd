"""Least squares by gradient descent from the origin on pure noise with constant label: the spectrum is Marchenko-Pastur."""

from gmsym import GaussianMixture, Problem, losses, optimizers

PROBLEM = Problem(
    data=GaussianMixture(probabilities=[1], labels=[1], means_gram=[[0]], variance=[1]),
    loss=losses.squared(),
    optimizer=optimizers.gd(),
    norm2=0,
)
VALUES = {"alpha": 1.5, "eta": 0.4, "ridge": 0.0}
STEPS = 60
SIMULATION = {"n": 3000, "d": 2000, "replicates": 16, "seed": 2}
