"""Hessian and information matrix of an erf unit that learns another one: the target is erf of the teacher's field."""

from gmsym import GaussianMixture, Loss, Problem, Teacher, optimizers, parse

PROBLEM = Problem(
    data=GaussianMixture(probabilities=[1], labels=[1], means_gram=[[0]], variance=[1]),
    loss=Loss("student", parse("(erf(h/sqrt(2)) - erf(t0/sqrt(2)))**2/2")),
    optimizer=optimizers.gd(),
    norm2=1.0,
    teacher=Teacher([[2.0]], overlap=[0.7]),
)
THEORY = "spectrum"
MATRICES = ("hessian", "information")
VALUES = {"alpha": 10.0}
SIMULATION = {"d": 400, "replicates": 12, "seed": 4}
