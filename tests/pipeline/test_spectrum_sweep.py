"""Static transitions: over n/d and over a parameter, against the closed form of Baik, Ben Arous and Peche for squared loss."""

import pytest

import gmsym as gm
from gmsym import pipeline
from gmsym.plotting import transition_diagram


def squared():
    return gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.gd())


@pytest.mark.parametrize(
    ("over", "values", "given", "expected"),
    [
        ("alpha", [1.5, 2.0, 3.0, 4.0], {"mu_norm": 0.8}, 0.8**-4),
        ("mu_norm", [0.5, 0.6, 0.8, 1.0], {"alpha": 4.0}, 0.5**0.5),
    ],
)
def test_the_transition_of_a_covariance_with_a_spike(over, values, given, expected):
    """The outlier of 1 + |mu|^2 detaches where |mu|^4 = 1/alpha, from the edge (1 + alpha^{-1/2})^2."""
    found = gm.solve(gm.derive.spectrum(squared()), {"sigma": 1.0, **given, over: values}, points=32)
    (place,) = found[f"transition_{over}"].values
    assert place == pytest.approx(expected, abs=1e-5)
    alpha = place if over == "alpha" else given["alpha"]
    assert found["transition_z"].item() == pytest.approx((1 + alpha**-0.5) ** 2, abs=1e-8)
    assert (found["transition_side"].item(), found["transition_kind"].item()) == ("right", "detaches")
    record = pipeline.record(found)
    assert [len(at["outliers"]) for at in record["spectra"]] == [0, 0, 1, 1] and record["transitions"][0][over] == place
    assert "alpha" not in found.attrs or over != "alpha"
    assert [line.get_xdata()[0] for line in transition_diagram(found).lines] == [place]


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ({"speed": [1.0, 2.0], "alpha": 2.0}, {}, "unknown parameter 'speed'; this problem has alpha, eta, mu_norm"),
        ({"mu_norm": [0.7, 0.8]}, {}, "alpha is missing"),
        ({"alpha": [2.0]}, {}, "at least two increasing numbers"),
        ({"alpha": [3.0, 2.0]}, {}, r"alpha = \[3.0, 2.0\]: a number, or increasing numbers, are needed"),
        ({"alpha": ["many"]}, {}, r"alpha = \['many'\]"),
        ({"alpha": "many"}, {}, "alpha = 'many'"),
        ({"alpha": [-1.0, 2.0]}, {}, "alpha = -1.0"),
        ({"alpha": [1.0, 2.0]}, {"times": [0.0, 1.0]}, r"times = \[0.0, 1.0\]: over values of alpha the state is one; leave times out"),
    ],
)
def test_bad_arguments_are_named(values, options, message):
    with pytest.raises(gm.InputError, match=message):
        gm.solve(gm.derive.spectrum(squared()), {"sigma": 1.0, "mu_norm": 0.8, **values}, **options)
