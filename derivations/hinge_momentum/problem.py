"""Support vector machine (hinge loss) by heavy ball: the gradient jumps, so responses go through Stein's lemma."""

from gmsym import GaussianMixture, Problem, losses, optimizers

PROBLEM = Problem(
    data=GaussianMixture.symmetric(),
    loss=losses.hinge(),
    optimizer=optimizers.heavy_ball(),
)
VALUES = {"alpha": 1.5, "sigma": 1.0, "mu_norm": 1.2, "eta": 0.4, "momentum": 0.5, "ridge": 0.05}
STEPS = 40
SIMULATION = {"n": 3000, "d": 2000, "replicates": 16, "seed": 4}
