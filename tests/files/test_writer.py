"""A problem written as a file reads back to the same problem."""

import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym.files import loads
from gmsym.functions import InverseMills
from gmsym.problem import losses, optimizers

h, y, t = gm.symbols.h, gm.symbols.y, gm.symbols.t
VECTOR = {"softmax", "erf_committee", "relu_committee"}
THREE = gm.GaussianMixture(
    probabilities=[sp.Rational(1, 3)] * 3, labels=sp.eye(3).tolist(), means_gram=sp.eye(3).tolist(), variance=[1, 1, 1]
)


@pytest.mark.parametrize("name", losses.CATALOG)
def test_every_loss_of_the_catalog_reads_back(name):
    data = THREE if name == "softmax" else gm.GaussianMixture.symmetric()
    problem = gm.Problem(data, losses.CATALOG[name](), gm.optimizers.gd())
    assert loads(gm.dumps(problem)).problem == problem


@pytest.mark.parametrize("name", optimizers.CATALOG)
def test_every_optimizer_of_the_catalog_reads_back(name):
    problem = gm.Problem(gm.GaussianMixture.symmetric(), losses.logistic(), optimizers.CATALOG[name]())
    assert loads(gm.dumps(problem)).problem.signature == problem.signature


@pytest.mark.parametrize(
    "text",
    [
        "where(h > -1 and h < 1, h**2, where(h > 3 or h < -3, 6*abs(h) - 13, 2*abs(h) - 1))",
        "max(0, h, 1 - y*h)",
        "abs(h)**(3/2)",
        "softplus(-y*h) + E**h",
    ],
)
def test_what_the_parser_reads_is_written(text):
    problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.Loss("typed", gm.parse(text)), gm.optimizers.gd())
    assert loads(gm.dumps(problem)).problem == problem


def test_all_parts_read_back_with_their_numbers():
    strength, share = sp.Symbol("strength", real=True), sp.Symbol("share", real=True)
    problem = gm.Problem(
        gm.GaussianMixture(
            probabilities=[share, 1 - share],
            labels=[1, -1],
            means_gram=[[strength, -strength], [-strength, strength]],
            variance=[[1, sp.Rational(1, 5)], [2, 3]],
            fractions=[sp.Rational(1, 4), sp.Rational(3, 4)],
        ),
        gm.Loss("taught", gm.parse("softplus(-v*h*sign(t0)) + b*v**2*h**2"), target=gm.parse("t0")),
        gm.optimizers.gd(step=gm.symbols.eta / (1 + t)),
        sampling=gm.sampling.online(),
        norm2=strength / 2,
        overlap=[strength / 10, -strength / 10],
        ridge=0.25,
        teacher=gm.Teacher([[strength]], overlap=[0.1], means_overlap=[[0.25, -0.25]]),
        trained=gm.Trained({"v": strength}, step=0.5, ridge=0.125),
    )
    values = {"share": 0.25, "strength": 1.5, "b": 0.1, "eta": 0.7}
    file = loads(gm.dumps(problem, {**values, "alpha": 3.0}))
    assert file.problem.signature == problem.signature
    assert dict(file.values) == {**values, "alpha": 3.0} and file.is_online
    ours, theirs = problem.at(values), file.instance
    np.testing.assert_array_equal(ours.gram, theirs.gram)
    assert ours.online_step == theirs.online_step == 0.7 and ours.trained_step == theirs.trained_step


def test_values_are_numbers():
    problem = gm.Problem(gm.GaussianMixture.symmetric(), losses.logistic(), gm.optimizers.gd())
    with pytest.raises(gm.InputError, match=r"eta = \[0.1, 0.2\]: a problem file states a number"):
        gm.dumps(problem, {"eta": [0.1, 0.2]})


def test_what_no_text_states_is_refused():
    problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.Loss("mills", InverseMills(h) ** 2 + h**2), gm.optimizers.gd())
    with pytest.raises(gm.InputError):
        gm.dumps(problem)
