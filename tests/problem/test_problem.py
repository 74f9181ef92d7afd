"""A problem: parts that fit together, and its instance in numbers, checked before any computation."""

import numpy as np
import pytest
import sympy as sp

from gmsym import symbols
from gmsym.errors import InputError
from gmsym.problem import GaussianMixture, Loss, Problem, losses, optimizers
from gmsym.symbols import h, y

VALUES = {"sigma": 0.5, "mu_norm": 1.2, "eta": 1.0, "momentum": 0.5}
THREE = GaussianMixture(probabilities=[0.2, 0.3, 0.5], labels=np.eye(3), means_gram=np.eye(3), variance=[1, 1, 1])


@pytest.fixture
def problem():
    return Problem(GaussianMixture.symmetric(), losses.logistic(), optimizers.heavy_ball())


def test_parameters(problem):
    assert [s.name for s in problem.parameters] == ["eta", "momentum", "mu_norm", "ridge", "sigma"]
    assert [s.name for s in problem.local_parameters] == ["eta", "momentum"]


def test_instance(problem):
    instance = problem.at(VALUES)
    assert instance.ridge == 0.0
    assert instance.parameters == {"eta": 1.0, "momentum": 0.5}
    np.testing.assert_allclose(instance.means_gram, 1.44 * np.array([[1, -1], [-1, 1]]))
    np.testing.assert_array_equal(instance.initial_gram, [[1]])
    np.testing.assert_array_equal(instance.initial_overlap, [[0, 0]])
    assert problem.at({**VALUES, "ridge": 0.3}).ridge == 0.3


def test_initial_state():
    a = symbols.symbol("a")
    data = GaussianMixture.symmetric()
    problem = Problem(data, losses.squared(), optimizers.gd(), norm2=2, overlap=[a, -a], ridge=sp.Rational(1, 4))
    instance = problem.at({"sigma": 1.0, "mu_norm": 1.0, "eta": 0.1, "a": 0.5})
    np.testing.assert_array_equal(instance.initial_gram, [[2]])
    np.testing.assert_array_equal(instance.initial_overlap, [[0.5, -0.5]])
    assert instance.ridge == 0.25
    assert "ridge" not in {s.name for s in problem.parameters}


def test_several_fields():
    gram, overlap = [[1, 0.2, 0], [0.2, 1, 0], [0, 0, 1]], 0.1 * np.arange(9).reshape(3, 3) / 8
    problem = Problem(THREE, losses.softmax(3), optimizers.gd(), norm2=gram, overlap=overlap)
    instance = problem.at({"eta": 1.0})
    assert problem.fields == 3
    np.testing.assert_allclose(instance.initial_gram, gram)
    np.testing.assert_allclose(instance.initial_overlap, overlap)
    np.testing.assert_array_equal(Problem(THREE, losses.softmax(3), optimizers.gd(), norm2=2).at({"eta": 1.0}).initial_gram, 2 * np.eye(3))


@pytest.mark.parametrize(
    ("data", "loss", "decision"),
    [
        (GaussianMixture.symmetric(), losses.logistic(), "sign"),
        (GaussianMixture.symmetric(), losses.erf_committee(), "sign"),
        (GaussianMixture.symmetric(label=2 * y), losses.squared(), None),
        (GaussianMixture.symmetric(), Loss("mine", sp.Symbol("h0") * sp.Symbol("h1") * y), None),
        (THREE, losses.softmax(3), "argmax"),
        (GaussianMixture.symmetric(label=2 * y), Loss("mine", (h - y) ** 2, target=y), "sign"),
        (THREE, Loss("mine", h**2, target=sp.Symbol("y1") - sp.Rational(1, 2)), "sign"),
    ],
)
def test_decision(data, loss, decision):
    assert Problem(data, loss, optimizers.gd()).decision == decision


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"etaa": 1.0}, "unknown parameter 'etaa'"),
        ({"eta": None}, "eta = None: a finite number"),
        ({"eta": "1"}, "eta = '1': a finite number"),
        ({"eta": True}, "eta = True"),
        ({"eta": 1j}, "eta = 1j"),
        ({"eta": 10**400}, "a finite number"),
        ({"eta": float("nan")}, "eta = nan"),
        ({"momentum": float("inf")}, "momentum = inf"),
        ({"eta": 0}, "eta = 0: a positive number"),
        ({"sigma": -1.0}, "sigma = -1.0: a positive number"),
        ({"ridge": -0.1}, "ridge = -0.1: a non-negative number"),
        ({"mu_norm": np.array([1.0, 2.0])}, "mu_norm"),
    ],
)
def test_numbers_out_of_range(problem, change, says):
    with pytest.raises(InputError, match=says):
        problem.at({**VALUES, **change})


def test_missing_number(problem):
    with pytest.raises(InputError, match="no value for the parameter 'momentum'; this problem needs eta, momentum"):
        problem.at({"eta": 1.0, "sigma": 1.0, "mu_norm": 1.0})


def test_numpy_numbers_are_numbers(problem):
    assert problem.at({name: np.float64(value) for name, value in VALUES.items()}).parameters["eta"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"data": 3}, "data = 3: a GaussianMixture is needed"),
        ({"loss": h**2}, "a Loss is needed"),
        ({"optimizer": "gd"}, "a Optimizer is needed|an Optimizer is needed"),
        ({"data": THREE}, "labels have 3 component"),
        ({"loss": losses.softmax(2)}, "labels have 1 component"),
        ({"norm2": [[1, 0], [0, 1]]}, r"norm2 has shape \(2, 2\)"),
        ({"norm2": "one"}, "norm2 = 'one'"),
        ({"overlap": [0.1]}, r"overlap has shape \(1, 1\); \(1, 2\)"),
        ({"overlap": 0.1}, "overlap = 0.1"),
        ({"overlap": [[0, 0], [0, 0]]}, r"overlap has shape \(2, 2\)"),
        ({"ridge": "0.1"}, "ridge = '0.1'"),
        ({"ridge": float("nan")}, "ridge = nan"),
    ],
)
def test_parts_that_do_not_fit(arguments, says):
    parts = {"data": GaussianMixture.symmetric(), "loss": losses.logistic(), "optimizer": optimizers.gd()}
    with pytest.raises(InputError, match=says):
        Problem(**{**parts, **arguments})


@pytest.mark.parametrize("initial", [{"norm2": -1}, {"overlap": [2.0, -2.0]}, {"overlap": [0.5, 0.5]}])
def test_initial_states_that_cannot_be(initial):
    """An overlap beyond Cauchy and Schwarz, or with +mu and -mu not opposite."""
    problem = Problem(GaussianMixture.symmetric(), losses.logistic(), optimizers.gd(), **initial)
    with pytest.raises(InputError, match="Gram matrix is positive semidefinite"):
        problem.at({"sigma": 1.0, "mu_norm": 1.0, "eta": 1.0})


@pytest.mark.parametrize("name", ["v", "m_0", "Q_0_1"])
def test_a_parameter_with_the_name_of_something_else_is_refused(name):
    """A state variable or a moment of the derived means: two things of one name give wrong numbers silently."""
    loss = Loss("named", sp.Symbol(name) * sp.log(1 + sp.exp(-symbols.y * symbols.h)))
    with pytest.raises(InputError, match=name):
        Problem(GaussianMixture.symmetric(), loss, optimizers.heavy_ball())


@pytest.mark.parametrize("name", ["n", "seed", "samples"])
def test_a_parameter_may_have_the_name_of_an_option(name):
    """Values are apart from the options of a verb."""
    loss = Loss("named", sp.Symbol(name) * sp.log(1 + sp.exp(-symbols.y * symbols.h)))
    problem = Problem(GaussianMixture.symmetric(), loss, optimizers.heavy_ball())
    assert problem.at({**VALUES, name: 3.0}).parameters[name] == 3.0


def test_a_signature_tells_problems_apart_whatever_they_are_called():
    def signature(loss, **mixture):
        return Problem(GaussianMixture.symmetric(**mixture), Loss("mine", loss), optimizers.gd()).signature

    h, y = symbols.h, symbols.y
    first = signature(sp.log(1 + sp.exp(-y * h)), sigma=1)
    assert first == signature(sp.log(1 + sp.exp(-y * h)), sigma=1)
    assert len({first, signature((h - y) ** 2, sigma=1), signature(sp.log(1 + sp.exp(-y * h)), sigma=2)}) == 3


def test_a_loss_without_a_readout_has_a_signature():
    data = GaussianMixture(probabilities=[0.5, 0.5], labels=[[1, 0], [0, 1]], means_gram=[[1, 0], [0, 1]], variance=[1, 1])
    first, second = (Problem(data, losses.softmax(2), optimizers.gd(), norm2=norm2) for norm2 in (0.5, 1))
    assert first.loss.readout is None and first.signature != second.signature
