"""Figures of spectra: what is drawn is what is in the data."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import gmsym as gm
from gmsym.plotting import filmstrip, spectral_density, transition_diagram


@pytest.fixture
def along():
    """Three times of a band that moves, an outlier that ends, and a transition."""
    z = np.linspace(1, 2, 30) + np.arange(3)[:, None]
    return xr.Dataset(
        {
            "density": (("time", "z_index"), np.sqrt(np.maximum(0, 0.25 - (z - z.mean(1, keepdims=True)) ** 2))),
            "edge": (("time", "band", "side"), np.array([[[1.0, 2.0]], [[2.0, 3.0]], [[3.0, 4.0]]])),
            "outlier_z": (("time", "outlier"), [[2.5], [3.2], [np.nan]]),
            "overlap": (("time", "outlier"), [[0.6], [0.2], [np.nan]]),
            "atom": ("time", [0.0, 0.1, 0.0]),
            "transition_time": ("transition", [1.5]),
        },
        {"time": ("time", [0.0, 1.0, 2.0], {"latex": "t"}), "z": (("time", "z_index"), z)},
        {"over": "time"},
    )


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_density_outliers_and_eigenvalues_are_drawn(along):
    runs = xr.Dataset({"eigenvalue": (("replicate", "index"), [[0.0, 1.2, 1.5, 1.8, 2.6]])}, attrs={"zeros": 5})
    ax = spectral_density(along.isel(time=0), runs)
    assert np.allclose(ax.lines[1].get_ydata(), along["density"].isel(time=0))
    assert ax.lines[0].get_xdata().tolist() == [2.6]  # the eigenvalue outside the bulk
    other = ax.figure.axes[1]
    assert other.lines[0].get_xydata().tolist() == [[2.5, 0.6]]
    (bars,) = (p for p in ax.patches if hasattr(p, "get_data"))
    assert (bars.get_data().values * np.diff(bars.get_data().edges)).sum() == pytest.approx(4 / 10)  # ten eigenvalues, six of them zero


def test_the_atom_is_named(along):
    assert "atom 0.1" in spectral_density(along.isel(time=1)).get_ylabel()


def test_a_filmstrip_has_a_panel_a_time(along):
    panels = filmstrip(along)
    assert [ax.get_title(loc="right") for ax in panels] == ["$t = 0$", "$t = 1$, atom 0.1 at 0", "$t = 2$"]
    with pytest.raises(gm.InputError, match="1 Axes for 3 times"):
        filmstrip(along, axes=[plt.subplots()[1]])


def test_transitions_are_dashed(along):
    ax = transition_diagram(along)
    assert [line.get_xdata()[0] for line in ax.lines] == [1.5]
    assert len(ax.collections[1].get_offsets()) == 2  # two of three times have the outlier


def test_an_animation_has_a_frame_a_time(along):
    film = gm.animate(along)
    assert list(film.new_frame_seq()) == [0, 1, 2]
    film._func(2)
    assert film._fig.axes[0].get_title() == "$t = 2$"
    film._draw_was_started = True  # nothing is saved here


@pytest.mark.parametrize("draw", [spectral_density, filmstrip, transition_diagram, gm.animate])
def test_other_data_are_refused(draw):
    with pytest.raises(gm.InputError, match="density|a spectrum along a trajectory, or over values, is needed"):
        draw(xr.Dataset({"m": ("time", [1.0])}))
