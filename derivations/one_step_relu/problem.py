"""ReLU network after one gradient step on two spiked clusters: the paper's setting, at an aligned target where spikes carry it."""

from gmsym import OneStep, parse

PROBLEM = OneStep(
    activation=parse("max(z, 0)"),
    target=parse("max(t0, 0)"),
    direction="aligned",
    name="one_step_relu",
)
THEORY = "one-step"
VALUES = {"n": 400, "samples": 400, "width": 400, "ridge": 0.1, "beta": 0.74, "alpha": 0.5}
SIMULATION = {"replicates": 12, "degree": 3, "seed": 5}
