"""Teacher fields and trained parameters of a problem: what is accepted, and what is refused before anything is computed."""

import numpy as np
import pytest
import sympy as sp

import gmsym as gm

ONE = gm.GaussianMixture(probabilities=[1], labels=[0], means_gram=[[0]], variance=[1])
TAUGHT = gm.Loss("taught", gm.parse("(h - t0 - t1)**2/2"))
NETWORK = gm.Loss("network", gm.parse("(v0*tanh(h0) + v1*tanh(h1) + b - y)**2/2"))


def test_teacher_fields_are_neither_fields_nor_parameters():
    assert [s.name for s in TAUGHT.teachers] == ["t0", "t1"]
    assert TAUGHT.parameters == frozenset() and TAUGHT.fields == (gm.symbols.h,)


def test_numbers_of_a_teacher():
    r = sp.Symbol("r")
    problem = gm.Problem(
        ONE, TAUGHT, gm.optimizers.gd(), teacher=gm.Teacher([[1, r], [r, 2]], overlap=[0.1, 0.2], means_overlap=[[0], [0]])
    )
    instance = problem.at({"eta": 1.0, "r": 0.5})
    assert instance.teacher_gram.tolist() == [[1.0, 0.5], [0.5, 2.0]]
    assert instance.teacher_overlap.tolist() == [[0.1, 0.2]]
    assert instance.gram.shape == (4, 4) and np.allclose(instance.gram, instance.gram.T)
    assert problem.signature != gm.Problem(ONE, TAUGHT, gm.optimizers.gd(), teacher=gm.Teacher(np.eye(2))).signature


def test_numbers_of_trained_parameters():
    problem = gm.Problem(ONE, NETWORK, gm.optimizers.gd(), trained=gm.Trained({"v1": 0.5, "v0": sp.Symbol("scale")}, step=2, ridge=0.1))
    instance = problem.at({"eta": 1.0, "scale": 3.0, "b": 0.25})
    assert instance.trained.tolist() == [0.5, 3.0]  # in the order given
    assert (instance.trained_step, instance.trained_ridge) == (2.0, 0.1)
    assert instance.parameters == {"b": 0.25, "eta": 1.0}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: gm.Problem(ONE, TAUGHT, gm.optimizers.gd()), r"the loss uses 2 teacher field\(s\) \(t0, t1\) but there are 0"),
        (lambda: gm.Problem(ONE, TAUGHT, gm.optimizers.gd(), teacher=gm.Teacher([[1]])), "but there are 1"),
        (lambda: gm.Problem(ONE, TAUGHT, gm.optimizers.gd(), teacher=[[1]]), "a Teacher is needed"),
        (lambda: gm.Teacher([[1, 0]]), "a square matrix is needed"),
        (lambda: gm.Problem(ONE, TAUGHT, gm.optimizers.gd(), teacher=gm.Teacher(np.eye(2), overlap=[1, 2, 3])), r"\(2,\) is needed"),
        (lambda: gm.Problem(ONE, TAUGHT, gm.optimizers.gd(), teacher=gm.Teacher(np.eye(2), means_overlap=[[1]])), r"\(2, 1\) is needed"),
        (
            lambda: gm.Problem(ONE, TAUGHT, gm.optimizers.gd(), teacher=gm.Teacher([[1, 2], [2, 1]])).at({"eta": 1}),
            "teacher gram = .* negative eigenvalue",
        ),
        (
            lambda: gm.Problem(ONE, TAUGHT, gm.optimizers.gd(), teacher=gm.Teacher(np.eye(2), overlap=[2, 0])).at({"eta": 1}),
            r"Gram matrix of \(Theta_0, means, teacher\)",
        ),
        (lambda: gm.Trained({}), "at least one"),
        (lambda: gm.Trained({"t": 1}), "'t' cannot be the name of a trained parameter"),
        (lambda: gm.Trained({"h1": 1}), "'h1' cannot be the name"),
        (lambda: gm.Trained({"v": "1"}), "trained v = '1'"),
        (lambda: gm.Problem(ONE, NETWORK, gm.optimizers.gd(), trained=gm.Trained({"w": 1})), "trained: w is not in the loss"),
        (
            lambda: gm.Problem(ONE, NETWORK, gm.optimizers.gd(), trained=gm.Trained({"b": 1}, step=-1)).at({"eta": 1, "v0": 1, "v1": 1}),
            "trained step = -1.0: a non-negative number",
        ),
    ],
)
def test_what_does_not_fit_is_refused(build, message):
    with pytest.raises(gm.InputError, match=message):
        build()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: gm.Loss("n", gm.parse("(h - t0)**2"), target="t0"), "target = 't0': a SymPy expression"),
        (lambda: gm.Loss("n", gm.parse("(h - t0)**2"), target=gm.parse("t0 - h")), r"target = -h \+ t0: only the label.* not \['h'\]"),
        (lambda: gm.Loss("n", gm.parse("(h - t0)**2"), target=gm.parse("t1")), r"fields \['t0'\] beside it .* not \['t1'\]"),
        (lambda: gm.Loss("n", gm.parse("(h - t0)**2"), target=gm.parse("w*t0")), r"not \['w'\]"),
        (lambda: gm.Loss("n", gm.parse("(w*h - t0)**2"), target=gm.parse("w")), "neither the label nor a teacher field"),
        (lambda: gm.Loss("n", gm.parse("(h0*h1 - t0)**2"), target=gm.parse("t0")), "a readout is needed beside it"),
        (lambda: taught_by("y0"), "target = y uses y; the label here is y0, y1|labels have 2 component"),
        (lambda: gm.Problem(ONE, gm.Loss("n", gm.parse("(h - y)**2"), target=gm.parse("y")), gm.optimizers.gd()), "is 0 for the label 0"),
        (
            lambda: gm.Problem(ONE, gm.Loss("n", gm.parse("(h - y)**2"), target=gm.parse("log(y - 1)")), gm.optimizers.gd()),
            "for the label 0; a non-zero real number",
        ),
        (
            lambda: gm.Problem(
                ONE, gm.Loss("n", gm.parse("(w*h - y)**2"), target=gm.parse("w + y")), gm.optimizers.gd(), trained=gm.Trained({"w": 1})
            ),
            "w is trained",
        ),
    ],
)
def test_what_is_no_true_class_is_refused(build, message):
    with pytest.raises(gm.InputError, match=message):
        build()


def taught_by(target, readout=None, labels=((1, 0),)):
    data = gm.GaussianMixture(probabilities=[1], labels=labels, means_gram=[[0]], variance=[1])
    loss = gm.Loss("n", gm.parse("(h - t0)**2"), readout=readout, target=None if target is None else gm.parse(target))
    return gm.Problem(data, loss, gm.optimizers.gd(), teacher=gm.Teacher([[1]]))


def test_a_teacher_has_no_true_class_unless_the_loss_says_it():
    without, with_one = taught_by(None, labels=[1]), taught_by("t0", labels=[1])
    assert without.decision is None and without.target is None
    assert with_one.decision == "sign" and str(with_one.target) == "t0"
    assert len({p.signature for p in (without, with_one, taught_by("-t0", labels=[1]))}) == 3


def test_a_readout_may_use_parameters_of_the_loss_and_nothing_else():
    network = gm.parse("v0*tanh(h0) + v1*tanh(h1)")
    assert gm.Loss("n", (network - gm.parse("y")) ** 2, readout=network).readout == network
    with pytest.raises(gm.InputError, match="and the parameters of the loss may appear, not"):
        gm.Loss("n", (network - gm.parse("y")) ** 2, readout=network + sp.Symbol("w"))
