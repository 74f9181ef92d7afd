"""A mixture is checked when it is made, or when its parameters get numbers; nothing out of range reaches a solver."""

import numpy as np
import pytest
import sympy as sp

from gmsym import symbols
from gmsym.errors import InputError
from gmsym.problem import GaussianMixture

GOOD = {"probabilities": [0.25, 0.75], "labels": [1, -1], "means_gram": [[1.0, -0.5], [-0.5, 2.0]], "variance": [0.5, 0.25]}


def test_shapes_and_numbers():
    data = GaussianMixture(**GOOD)
    arrays = data.check({})
    assert (data.clusters, data.blocks, data.label_size) == (2, 1, 1)
    assert {name: array.shape for name, array in arrays.items()} == {
        "probabilities": (2,),
        "labels": (2, 1),
        "means_gram": (2, 2),
        "variance": (2, 1),
        "fractions": (1,),
    }
    assert all(array.dtype == np.float64 for array in arrays.values())
    np.testing.assert_array_equal(arrays["variance"][:, 0], GOOD["variance"])
    np.testing.assert_array_equal(arrays["means_gram"], GOOD["means_gram"])


def test_blocks_and_vector_labels():
    data = GaussianMixture(**{**GOOD, "variance": [[1, 2], [3, 4]], "labels": np.eye(2)}, fractions=[0.5, 0.5])
    arrays = data.check({})
    assert (data.blocks, data.label_size) == (2, 2)
    np.testing.assert_array_equal(arrays["variance"], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(arrays["labels"], np.eye(2))


def test_symmetric_mixture_is_two_opposite_clusters():
    data = GaussianMixture.symmetric()
    assert data.parameters == {symbols.mu_norm, symbols.sigma}
    arrays = data.check({symbols.mu_norm: 1.2, symbols.sigma: 0.5})
    np.testing.assert_allclose(arrays["means_gram"], 1.44 * np.array([[1, -1], [-1, 1]]), rtol=1e-15)
    np.testing.assert_array_equal(arrays["variance"], [[0.25], [0.25]])
    np.testing.assert_array_equal(arrays["labels"], [[1], [-1]])
    np.testing.assert_array_equal(
        GaussianMixture.symmetric(label=3 * symbols.y + 1).check({symbols.mu_norm: 1, symbols.sigma: 1})["labels"], [[4], [-2]]
    )


def test_whole_numbers_are_integers():
    """They print better, and 1.0 and 1 make the same mixture."""
    floats = GaussianMixture(probabilities=[0.5, 0.5], labels=[1.0, -1.0], means_gram=np.eye(2), variance=[2.0, 1.0])
    assert floats == GaussianMixture(probabilities=[0.5, 0.5], labels=[1, -1], means_gram=[[1, 0], [0, 1]], variance=[2, 1])
    assert floats.variance[0] is sp.Integer(2)


def test_symbols_of_the_caller_become_those_of_the_alphabet():
    data = GaussianMixture.symmetric(sigma=sp.Symbol("sigma"))
    assert data.parameters == {symbols.mu_norm, symbols.sigma}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"probabilities": [0.5, 0.4]}, "sum to 0.9"),
        ({"probabilities": [1.5, -0.5]}, "positive numbers"),
        ({"probabilities": []}, "probabilities is empty"),
        ({"probabilities": 0.5}, "a sequence of numbers"),
        ({"probabilities": ["half", 0.5]}, r"probabilities\[0\] = 'half'"),
        ({"probabilities": [True, 0.5]}, r"probabilities\[0\] = True"),
        ({"probabilities": [float("nan"), 0.5]}, "finite real number"),
        ({"labels": [1]}, "one label"),
        ({"labels": [[1, 0], [1]]}, "all of one length"),
        ({"labels": 1}, "labels = 1"),
        ({"labels": [symbols.sigma, 1]}, "labels must be numbers"),
        ({"means_gram": [[1]]}, r"\(2, 2\) is needed"),
        ({"means_gram": [[1, 0], [0]]}, "rectangular"),
        ({"means_gram": [[1, 0.5], [0.4, 1]]}, "not symmetric"),
        ({"means_gram": [[1, 2], [2, 1]]}, "negative eigenvalue -1"),
        ({"means_gram": 3}, "a list of rows"),
        ({"variance": [1, -1]}, "must not be negative"),
        ({"variance": 1.0}, "variance = 1.0"),
        ({"variance": [[1, 1], [1, 1]]}, "clusters, blocks"),
        ({"variance": [1, 1], "fractions": [0.5, 0.5]}, "clusters, blocks"),
        ({"variance": [[1, 1], [1, 1]], "fractions": [0.5, 0.6]}, "fractions"),
    ],
)
def test_refused(change, says):
    with pytest.raises(InputError, match=says):
        GaussianMixture(**{**GOOD, **change})


def test_parameters_are_checked_when_they_get_numbers():
    p = symbols.symbol("p")
    data = GaussianMixture(**{**GOOD, "probabilities": [p, 1 - p]})
    np.testing.assert_allclose(data.check({p: 0.3})["probabilities"], [0.3, 0.7])
    with pytest.raises(InputError, match="positive numbers"):
        data.check({p: 1.5})
