"""Pictures of networks after one gradient step."""

import numpy as np
import pytest
import xarray as xr

import gmsym as gm
from gmsym.errors import InputError

VALUES = {"n": 300, "samples": 300, "width": 300, "ridge": 0.1, "beta": 0.3, "alpha": 0.5}


def result(**over):
    """A result by hand: errors and E y^2."""
    shape = tuple(len(x) for x in over.values())
    values = {"test_mse": np.full(shape, 0.2), "train_mse": np.full(shape, 0.1)}
    names = {name: (tuple(over), x, {"long_name": name, "latex": "E"}) for name, x in values.items()}
    names |= {f"{name}_error": (tuple(over), np.full(shape, 0.01)) for name in values}
    names["target_square"] = (tuple(over), np.full(shape, 0.5))
    return xr.Dataset(names, over, {"kind": "one-step", "swept": " ".join(over), "parameters": "{}"})


def test_lines_maps_and_points():
    axes = gm.plot(result(width=[100.0, 200.0]), normalised=True)
    assert [ax.get_xlabel() for ax in axes] == ["neurons $k$", "neurons $k$"]
    np.testing.assert_allclose(axes[1].lines[0].get_ydata(), 0.4)
    again = gm.plot(result(width=[100.0, 200.0]), axes=axes, colour=1, label="tanh")
    assert len(again[0].lines) == 2 and len(again[0].figure.legends) == 1
    (ax,) = gm.plot(result(alpha=[0.0, 0.5, 1.0], beta=[0.2, 0.4]))
    assert (ax.get_xlabel(), ax.get_ylabel()) == (r"exponent $\beta$", r"exponent $\alpha$")
    with pytest.raises(InputError, match="quantity"):
        gm.plot(result(width=[100.0, 200.0]), quantities=["loss"])


def test_networks_beside_a_theory():
    problem = gm.OneStep(gm.parse("z + z**2/2"))
    small = VALUES | {"n": 60, "samples": 50, "width": 40}
    runs = gm.simulate(problem, small, replicates=2, degree=1, eigenvalues=4)
    axes = gm.plot(result(width=[30.0, 40.0]), [runs])
    (legend,) = axes[0].figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["theory", "networks", "Hermite model"]
    (x,), (y,) = axes[1].containers[0].lines[0].get_data()
    assert x == 40 and y == float(runs["test_mse"]) and len(axes[1].containers) == 2
    left, right = gm.plot(runs)
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["networks", "Hermite model"]
    assert len(right.containers[0].lines[0].get_data()[0]) == 4 and len(left.containers) == 4
