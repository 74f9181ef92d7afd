"""Pictures show the numbers of the results: every curve, its error, its name."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.container import ErrorbarContainer

from gmsym.comparison import compare
from gmsym.errors import InputError
from gmsym.plotting import learning_curve, overlay


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def names(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_theory_is_a_line_with_a_band_of_two_standard_errors(made_up):
    theory, _ = made_up(theory_noise=0.01)
    ax = learning_curve(theory, "test_error")
    (line,) = ax.get_lines()
    np.testing.assert_array_equal(line.get_ydata(), theory["test_error"])
    (band,) = [c for c in ax.collections if isinstance(c, FillBetweenPolyCollection)]
    low, high = band.get_datalim(ax.transData).intervaly
    error = 2 * theory["test_error_error"]
    assert (low, high) == pytest.approx((float((theory["test_error"] - error).min()), float((theory["test_error"] + error).max())))
    assert ax.get_xlabel() == "time $t$ [steps]"
    assert ax.get_ylabel() == r"test error $\varepsilon_{\mathrm{test}}$"
    assert ax.get_legend() is None  # one curve, named by the axis


def test_simulation_is_markers_with_bars_of_two_standard_errors(made_up):
    _, runs = made_up()
    ax = learning_curve(runs, "m", ax=plt.figure().add_subplot())
    bars = [c for c in ax.containers if isinstance(c, ErrorbarContainer)]
    assert names(ax) == ["$m_{0}$", "$m_{1}$"]
    for cluster, container in enumerate(bars):
        markers, _, (segments,) = container
        shown = markers.get_xdata()
        assert shown[0] == 0
        assert shown[-1] == 40
        curve = runs["m"].isel(cluster=cluster, field=0)
        np.testing.assert_array_equal(markers.get_ydata(), curve[shown])
        lengths = [s[1, 1] - s[0, 1] for s in segments.get_segments()]
        np.testing.assert_allclose(lengths, 4 * runs["m_error"].isel(cluster=cluster, field=0)[shown], atol=1e-12)
    assert len(bars) == 2
    assert len({b.lines[0].get_color() for b in bars}) == 2


def test_curves_of_several_clusters_and_fields_are_all_drawn_and_told_apart(made_up):
    theory, _ = made_up(clusters=3, fields=2)
    for quantity, count in (("m", 6), ("Q", 3), ("Q_k", 9)):
        ax = learning_curve(theory, quantity)
        looks = {(line.get_color(), line.get_linestyle()) for line in ax.get_lines()}
        assert len(ax.get_lines()) == len(looks) == count
        assert len(names(ax)) == (count if count < 9 else 3 + 3)  # clusters by colour, pairs of fields by dashes
    assert names(ax) == ["$Q_{0}$", "$Q_{1}$", "$Q_{2}$", "$(0,0)$", "$(0,1)$", "$(1,1)$"]


@pytest.mark.parametrize(
    ("times", "choice", "scale"), [(200, None, "linear"), (201, None, "symlog"), (50, True, "symlog"), (300, False, "linear")]
)
def test_scale_of_time(made_up, times, choice, scale):
    theory, runs = made_up(times=times)
    for dataset in (theory, runs):
        ax = learning_curve(dataset, "Q", log_time=choice)
        assert ax.get_xscale() == scale
    marked = ax.containers[0].lines[0].get_xdata()
    assert len(marked) <= 21
    assert {0, times - 1} <= set(marked)
    assert (1 in marked) == (scale == "symlog")


def test_overlay_shows_both_and_their_scores(made_up):
    theory, runs = made_up()
    axes = overlay(theory, runs)
    figure = axes[0].figure
    assert [ax.get_ylabel().split(" $")[0] for ax in axes] == [theory[q].attrs["long_name"] for q in ("m", "Q", "train_loss", "test_error")]
    assert all(ax.containers and ax.collections for ax in axes)
    below = [ax for ax in figure.axes if ax.get_ylabel() == "$z$"]
    assert len(below) == 4
    comparison = compare(theory, runs)
    np.testing.assert_array_equal(below[1].get_lines()[0].get_ydata(), comparison.z["Q"].squeeze())
    assert below[0].get_lines()[-1].get_ydata()[0] == comparison.threshold()
    (key,) = figure.legends
    assert [t.get_text() for t in key.get_texts()] == ["theory", r"simulation, $n = 3000$, $d = 2000$, 8 runs, $\pm 2$ s.e."]


def test_overlay_of_a_single_run_without_test_error_or_scores(made_up, tmp_path):
    theory, runs = (d.drop_vars([v for v in d if v.startswith("test_error")]) for d in made_up(replicates=1))
    with pytest.raises(InputError, match="no standard errors"):
        overlay(theory, runs)
    axes = overlay(theory, runs, scores=False)
    assert len(axes) == len(axes[0].figure.axes) == 3
    axes[0].figure.savefig(tmp_path / "overlay.pdf")
    assert (tmp_path / "overlay.pdf").stat().st_size > 5000


def test_overlay_of_a_wrong_exact_value_leaves_the_infinite_score_out(made_up, tmp_path):
    theory, runs = made_up()
    runs["Q"][0] += 0.1
    (ax,) = overlay(theory, runs, ["Q"])
    assert np.isfinite(ax.figure.axes[1].get_ylim()).all()
    ax.figure.savefig(tmp_path / "overlay.png")


def test_overlay_in_given_axes(made_up):
    theory, runs = made_up()
    figure, axes = plt.subplots(1, 2)
    returned = overlay(theory, runs, ["m", "test_loss"], axes)
    assert list(returned) == list(axes)
    assert figure.axes == list(axes)
    assert names(axes[0]) == ["$m_{0}$", "$m_{1}$", "theory", "simulation"]


def test_many_panels_wrap_into_rows_of_three(made_up):
    axes = overlay(*made_up(), ["m", "Q", "Q_k", "train_loss", "test_loss"])
    assert len(axes[0].figure.axes) == 10
    assert axes[0].get_gridspec().ncols == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantities": ["q"]}, "quantity = 'q': this result has m, Q"),
        ({"quantities": []}, "quantities is empty"),
        ({"quantities": ["m", "Q"], "axes": [None]}, "axes holds 1 Axes for 2 quantities"),
    ],
)
def test_refuses(made_up, options, message):
    before = plt.get_fignums()
    with pytest.raises(InputError, match=message):
        overlay(*made_up(), **options)
    assert plt.get_fignums() == before
