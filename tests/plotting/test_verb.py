"""`plot` goes by the kind of a result: what is drawn is what is in the data, and what has no picture is refused."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import gmsym as gm
from tests.comparison.test_verb import fluctuations
from tests.plotting.test_spectrum import along as along  # a fixture


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_a_theory_alone_beside_runs_and_a_comparison(made_up):
    theory, runs = made_up(times=6)
    alone = gm.plot(theory, quantities=["m", "train_loss"])
    assert len(alone) == 2 and len(alone[0].lines) == 2
    np.testing.assert_array_equal(alone[1].lines[0].get_ydata(), theory["train_loss"])
    assert len(gm.plot(theory)) == 5  # m, Q, both losses and the error
    beside = gm.plot(theory, runs, quantities=["test_loss"])
    assert len(beside) == 1 and any(np.array_equal(line.get_ydata(), theory["test_loss"]) for line in beside[0].lines)
    assert isinstance(np.ravel(gm.plot(gm.compare(theory, runs)))[0], plt.Axes)


def test_a_result_over_values_is_drawn_at_its_last_time(made_up):
    theory = made_up(times=6)[0]
    swept = xr.concat([theory, 2 * theory], xr.DataArray([0.5, 1.5], dims="eta", name="eta")).assign_attrs(theory.attrs | {"swept": "eta"})
    for name in theory:
        swept[name] = swept[name].assign_attrs(theory[name].attrs)
    (ax,) = gm.plot(swept, quantities=["test_loss"])
    assert ax.get_xlabel() == r"step size $\eta$" and ax.lines[0].get_xdata().tolist() == [0.5, 1.5]
    assert ax.lines[0].get_ydata() == pytest.approx([float(theory["test_loss"][-1]), 2 * float(theory["test_loss"][-1])])


def test_spectra_along_a_path_are_a_film_or_a_diagram(along):
    along = along.assign_attrs(kind="spectrum along")
    assert len(gm.plot(along)) == len(gm.plot(along, view="film")) == 3
    (ax,) = gm.plot(along, view="transitions")
    assert [line.get_xdata()[0] for line in ax.lines] == [1.5]
    (one,) = gm.plot(along.isel(time=0).assign_attrs(kind="spectrum"))
    assert np.allclose(one.lines[0].get_ydata(), along["density"].isel(time=0))
    with pytest.raises(gm.InputError, match="view = 'cube'; allowed are film, transitions"):
        gm.plot(along, view="cube")


def test_variances_of_fluctuations_are_lines_and_bars():
    law, runs = fluctuations()
    (ax,) = gm.plot(law, runs)
    assert ax.lines[0].get_ydata().tolist() == law["covariance"].sel(statistic="Q", statistic_b="Q").values.tolist()
    assert len(ax.containers) == 2 and len(gm.plot(law)[0].containers) == 0


@pytest.mark.parametrize("result", [None, 3, xr.Dataset(), xr.Dataset(attrs={"kind": "spectrum simulation"})])
def test_what_has_no_picture_is_refused(result):
    with pytest.raises(gm.InputError, match="^result (= |is of kind ).*: a result of gmsym.solve or gmsym.simulate, or a comp"):
        gm.plot(result)


def test_a_quantity_that_there_is_not_is_named(made_up):
    with pytest.raises(gm.InputError, match="quantity = 'M': this result has m, Q"):
        gm.plot(made_up(times=5)[0], quantities=["M"])


def test_several_results_share_axes_with_a_colour_and_a_label_each(made_up):
    first, runs = made_up()
    axes = gm.plot({"one": first, "of $rule_2": first, "runs": runs}, quantities=["m", "test_error"])
    colours = [line.get_color() for line in axes[1].get_lines()]
    assert len(axes) == 2 and len(set(colours)) == 3
    (key,) = axes[0].figure.legends
    assert [text.get_text() for text in key.get_texts()] == ["one", r"of \$rule_2", "runs"]
    axes[0].figure.savefig(io.BytesIO(), format="svg")  # a label is a text, no formula
    with pytest.raises(gm.InputError, match="share"):
        gm.plot({"one": first, "runs": runs}, quantities=["M"])
    with pytest.raises(gm.InputError, match="result 'two'"):
        gm.plot({"one": first, "two": 3})


def test_many_curves_are_named_by_what_colours_and_dashes_mean_and_panels_keep_their_height(made_up):
    few, many = made_up()[0], made_up(clusters=4, fields=4)[0]
    small, large = (gm.plot(x, quantities=["m", "Q"]) for x in (few, many))
    names = [text.get_text() for text in large[0].get_legend().get_texts()]
    assert names == ["$m_{0}$", "$m_{1}$", "$m_{2}$", "$m_{3}$", "$(0)$", "$(1)$", "$(2)$", "$(3)$"]
    looks = {(line.get_color(), line.get_linestyle()) for line in large[0].get_lines()}
    assert len(looks) == 16 == len(large[0].get_lines())
    heights = []
    for axes in (small, large):
        axes[0].figure.draw_without_rendering()
        heights.append(axes[0].get_window_extent().height)
    assert heights[1] > 0.85 * heights[0]


def test_a_parameter_that_spans_decades_is_logarithmic(made_up):
    swept = xr.concat([made_up()[0] for _ in range(3)], dim="alpha").assign_coords(alpha=[0.1, 1.0, 10.0])
    swept.attrs["swept"] = "alpha"
    (ax,) = gm.plot(swept, quantities=["Q"])
    assert ax.get_xscale() == "log" and "n/d" in ax.get_xlabel()
    (ax,) = gm.plot(swept.assign_coords(alpha=[1.0, 2.0, 3.0]), quantities=["Q"])
    assert ax.get_xscale() == "linear"
