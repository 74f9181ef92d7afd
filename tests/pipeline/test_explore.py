"""Sliders without a browser: their values are set from Python, and the result and the picture follow."""

import warnings

import pytest

import gmsym as gm
from gmsym.errors import InputError

PROBLEM = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.gd())
VALUES = {"alpha": 2.0, "sigma": 1.0, "mu_norm": 1.0}
OPTIONS = {"steps": 3, "samples": 64}


@pytest.fixture(scope="module")
def explorer():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of ipywidgets outside a kernel
        return gm.explore(
            PROBLEM, {"eta": (0.1, 4.0), "ridge": (0, 0.5, 0.1)}, {**VALUES, "eta": 0.2, "ridge": 0.0}, **OPTIONS, quantities=["Q"]
        )


def test_the_result_and_the_picture_follow_a_slider(explorer):
    before = explorer.picture.value
    assert bytes(before).startswith(b"\x89PNG")
    explorer.sliders["eta"].value = 0.3
    expected = gm.solve(PROBLEM, {**VALUES, "eta": 0.3, "ridge": 0.0}, **OPTIONS)
    assert float(explorer.result["Q"][-1, 0, 0]) == float(expected["Q"][-1, 0, 0])
    assert bytes(explorer.picture.value).startswith(b"\x89PNG") and explorer.picture.value != before


def test_numbers_that_cannot_be_solved_leave_the_picture_and_say_why(explorer, monkeypatch):
    def fail(moved):
        raise gm.ComputationError("diverged at <step> 3")

    kept, compute = explorer.picture.value, explorer._compute
    monkeypatch.setattr(explorer, "_compute", fail)
    explorer.sliders["ridge"].value = 0.2
    assert explorer.picture.value == kept and explorer.message == "diverged at <step> 3"
    assert explorer.widget.children[-2].value == "diverged at &lt;step&gt; 3"
    monkeypatch.setattr(explorer, "_compute", compute)
    explorer.sliders["ridge"].value = 0.1
    assert explorer.message == "" == explorer.widget.children[-2].value and explorer.picture.value != kept


def test_a_wide_range_is_logarithmic_and_a_notebook_shows_the_box(explorer):
    kinds = {name: type(slider).__name__ for name, slider in explorer.sliders.items()}
    assert kinds == {"eta": "FloatLogSlider", "ridge": "FloatSlider"} and explorer.sliders["ridge"].step == 0.1
    assert not any(slider.continuous_update for slider in explorer.sliders.values())
    shown = explorer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in (shown[0] if isinstance(shown, tuple) else shown)


@pytest.mark.parametrize(
    "sliders, values, said",
    [
        ({}, {}, "sliders = {}"),
        ({"eta": (1, 0)}, VALUES, r"sliders eta = \(1, 0\)"),
        ({"eta": (0, 1, 0)}, VALUES, "a positive step"),
        ({"eta": "wide"}, VALUES, "sliders eta = 'wide'"),
        ({"eta": (0.1, 1)}, {**VALUES, "eta": 2}, "values eta = 2: a number between 0.1 and 1"),
        ({"etaa": (0.1, 1)}, {**VALUES, "eta": 2}, "unknown parameter 'etaa'"),
    ],
)
def test_wrong_calls_are_named(sliders, values, said):
    with pytest.raises(InputError, match=said):
        gm.explore(PROBLEM, sliders, values, steps=3)
