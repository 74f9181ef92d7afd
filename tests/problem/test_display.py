"""What a reader sees of a problem: letters and numbers of its own, names escaped, nothing that is too large for a cell."""

import re

import numpy as np
import pytest

import gmsym as gm
from gmsym import losses, optimizers, sampling

COMMANDS = re.compile(r"\\begin\{(\w+)\}|\\end\{(\w+)\}|(?<!\\)([{}])")


def balanced(text: str) -> bool:
    """Whether braces and environments close in the order in which they open."""
    open_ = []
    for begins, ends, brace in COMMANDS.findall(text):
        if begins or brace == "{":
            open_.append(begins or "{")
        elif not open_ or open_.pop() != (ends or "{"):
            return False
    return not open_


def classes(count: int, **options) -> gm.GaussianMixture:
    labels = np.eye(count).tolist()
    return gm.GaussianMixture(probabilities=[1 / count] * count, labels=labels, means_gram=1.23456789 * np.eye(count), **options)


PROBLEMS = {
    "two clusters": gm.Problem(gm.GaussianMixture.symmetric(), losses.logistic(), optimizers.heavy_ball()),
    "blocks": gm.Problem(
        classes(3, variance=[[0.1, 0.5]] * 3, fractions=[0.25, 0.75]),
        losses.softmax(3),
        optimizers.adam(),
        sampling=sampling.bernoulli(0.2),
        observables={"my_margin": gm.parse("h0*y0")},
    ),
    "many classes": gm.Problem(classes(20, variance=[1] * 20), losses.softmax(20), optimizers.gd(), ridge=0),
    "coordinates": gm.Problem(
        gm.GaussianMixture(probabilities=[0.5, 0.5], labels=[1, -1], means=np.ones((2, 30)), variance=[1.0, 2.0]),
        losses.squared(),
        optimizers.flow(),
    ),
    "teacher": gm.Problem(
        gm.GaussianMixture.symmetric(),
        gm.Loss("taught", gm.parse("(h - t0)**2")),
        optimizers.gd(),
        sampling=sampling.online(),
        teacher=gm.Teacher([[1]]),
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_is_formulas_that_close(name):
    problem = PROBLEMS[name]
    for shown in (problem, problem.data, problem.optimizer):
        text = shown._repr_latex_()
        assert text.count("$") == 2 and all(map(balanced, text.split("$")))
    assert all(rf"\texttt{{{s.name}}}".replace("_", r"\_") in problem._repr_latex_() for s in problem.parameters)
    assert "Matrix" not in repr(problem) and "Matrix" not in repr(problem.data) and len(repr(problem)) < 1500


def test_a_table_has_a_row_a_cluster():
    assert PROBLEMS["blocks"]._repr_latex_().count(r" \\ ", PROBLEMS["blocks"]._repr_latex_().index(r"\hline")) == 2
    assert r"\sigma_{k,1}^{2}" in PROBLEMS["blocks"]._repr_latex_()


def test_what_differs_from_a_default_is_shown():
    shown = PROBLEMS["blocks"]._repr_latex_()
    assert r"\text{my\_margin}" in shown and r"\text{bernoulli}, \text{rate} = 0.2" in shown and "1.235" in shown
    assert r"\frac{\lambda}{2}" in shown and r"\frac{\lambda}{2}" not in PROBLEMS["many classes"]._repr_latex_()
    assert r"\mathbb{E}" in PROBLEMS["teacher"]._repr_latex_() and r"\dot{\theta}" in PROBLEMS["coordinates"]._repr_latex_()


def test_what_is_large_is_named_by_its_shape():
    many = PROBLEMS["many classes"]
    assert r"\text{numbers, } 20 \times 20" in many._repr_latex_() and "<20 x 20 numbers>" in repr(many)
    assert r"d &= 30" in PROBLEMS["coordinates"]._repr_latex_() and "<2 x 30 numbers>" in repr(PROBLEMS["coordinates"])


def test_plain_text_is_what_is_typed():
    assert repr(PROBLEMS["two clusters"].data) == (
        "GaussianMixture(probabilities=[1/2, 1/2], labels=[1, -1], "
        "means_gram=[[mu_norm**2, -mu_norm**2], [-mu_norm**2, mu_norm**2]], variance=[sigma**2, sigma**2])"
    )
