"""Scores follow the normal law whatever the number of replicates; a true theory is accepted, a wrong one is not."""

import numpy as np
import pytest
from scipy.special import ndtri, stdtr
from scipy.stats import kstest

import gmsym as gm
from gmsym.comparison import Row, compare
from gmsym.errors import InputError


def test_gap_error_and_score_of_known_numbers(made_up):
    theory, runs = made_up(theory_noise=0.01)
    comparison = compare(theory, runs)
    row = next(r for r in comparison.table([7]) if r.entry == "m[1]")
    at = {"time": 7, "cluster": 1, "field": 0}
    ours, theirs = float(theory["m_error"][at]), float(runs["m_error"][at])
    gap, error = float(runs["m"][at] - theory["m"][at]), np.hypot(ours, theirs)
    freedom = error**4 / (ours**4 / 3 + theirs**4 / 7)  # Welch, 4 scrambles and 8 replicates
    assert 3 < freedom < 10
    expected = np.sign(gap) * -ndtri(stdtr(freedom, -abs(gap) / error))
    np.testing.assert_allclose(row[2:], [theory["m"][at], runs["m"][at], gap, error, expected], rtol=1e-12)
    assert float(comparison.z["m"][at]) == row.z
    assert abs(row.z) < abs(gap) / error  # few repetitions count for less


@pytest.mark.parametrize(("replicates", "theory_noise"), [(2, 0.0), (3, 0.0), (8, 0.0), (4, 0.02)])
def test_scores_of_a_true_theory_are_standard_normal(made_up, replicates, theory_noise):
    comparison = compare(*made_up(times=1501, memory=0.0, replicates=replicates, theory_noise=theory_noise))
    scores = np.concatenate([comparison.z[name].values[1:].ravel() for name in comparison.z])
    # Welch's degrees of freedom are exact for one source of error and approximate for two.
    assert kstest(scores, "norm").pvalue > 0.01 if not theory_noise else kstest(scores, "norm").statistic < 0.03


@pytest.mark.slow
@pytest.mark.parametrize(("memory", "lowest", "highest"), [(0.0, 0.1, 0.3), (0.9999, 0.0, 0.1)])
def test_a_true_theory_is_rejected_at_the_stated_rate_or_less(made_up, memory, lowest, highest):
    # 100 trials at level 0.2: three standard deviations are 0.12. Correlated scores are rejected more rarely.
    rejected = np.mean([not compare(*made_up(times=16, memory=memory, replicates=4)).agrees(level=0.2) for _ in range(100)])
    assert lowest <= rejected <= highest


def test_a_shifted_curve_is_rejected_and_named(made_up):
    error = 0.02 / np.sqrt(8)
    for _ in range(10):
        comparison = compare(*made_up(shift={"Q": 20 * error}))
        assert not comparison.agrees()
        assert comparison.worst.entry == "Q"
        assert comparison.max_abs_z == abs(comparison.worst.z) > comparison.threshold()
        assert comparison.rms_z > 1.3
        assert "DISAGREE" in str(comparison)


def test_exact_values_are_met_to_rounding_or_not_at_all(made_up):
    theory, runs = made_up()
    assert float(abs(compare(theory, runs).z["m"][0]).max()) == 0
    rounded = runs.copy(deep=True)
    rounded["m"][0] += 1e-13
    assert compare(theory, rounded).agrees()
    wrong = runs.copy(deep=True)
    wrong["m"][0, 1] += 1e-7
    comparison = compare(theory, wrong)
    assert comparison.worst[:2] == ("m[1]", 0)
    assert comparison.max_abs_z == np.inf
    assert not comparison.agrees()
    assert comparison.rms_z < 2  # over the values that are not exact


def test_scores_stay_finite_when_the_tail_probability_underflows(made_up):
    comparison = compare(*made_up(replicates=500, noise=1e-4, shift={"m": 0.1}))
    assert 30 < comparison.max_abs_z < 40


def test_threshold_grows_with_the_number_of_scores(made_up):
    few, many = (compare(*made_up(clusters=k, fields=c)) for k, c in ((1, 1), (4, 3)))
    assert 3 < few.threshold() < many.threshold() < 4.5
    assert few.threshold(0.05) < few.threshold(0.01)
    scores = sum(row.z != 0 for row in few.table())
    assert few.threshold(0.05) == pytest.approx(-ndtri((1 - 0.95 ** (1 / scores)) / 2))
    with pytest.raises(InputError, match="level = 1.5"):
        few.agrees(1.5)


def test_table_and_text(made_up):
    comparison = compare(*made_up(times=101))
    assert comparison.times == (0, 1, 3, 10, 32, 100)
    assert all(isinstance(row, Row) for row in comparison.table())
    assert {row.time for row in comparison.table([5, 50])} == {5, 50}
    labels = ["m[0]", "m[1]", "Q", "Q_k[0]", "Q_k[1]", "train_loss", "test_loss", "test_error"]
    assert [row.entry for row in comparison.table([5])] == labels
    lines = str(comparison).split("\n")
    assert [line.split()[0] for line in lines[2:-1]] == labels
    assert len({len(line) for line in lines[1:-1]}) == 1  # aligned
    assert "n = 3000, d = 2000, 8 replicates" in lines[0]
    assert comparison._repr_html_().count("<tr>") == 9


def test_symmetric_matrices_count_once(made_up):
    labels = {row.entry for row in compare(*made_up(fields=2)).table([1])}
    assert {"Q[0,1]", "Q_k[1;0,1]", "m[1;0]"} <= labels
    assert not {"Q[1,0]", "Q_k[1;1,0]"} & labels


def test_common_times_and_chosen_times(made_up):
    theory, runs = made_up(times=41)
    comparison = compare(theory.isel(time=slice(0, 31)), runs.isel(time=slice(None, None, 2)))
    assert comparison.gap["time"].values.tolist() == list(range(0, 31, 2))
    assert comparison.times[-1] == 30
    assert compare(theory, runs, times=[4, 9]).times == (4, 9)
    single = compare(theory.isel(time=[0]), runs.isel(time=[0]))
    assert single.times == (0,)
    assert single.agrees()


def test_alpha_may_differ_by_the_rounding_of_n(made_up):
    theory, runs = made_up(alpha=1.5 * (1 + 0.9 / 3000))
    assert compare(theory, runs).agrees()


def test_plot_draws_the_overlay(made_up):
    import matplotlib.pyplot as plt

    axes = compare(*made_up()).plot(quantities=["m"])
    assert axes.shape == (1,)
    plt.close(axes[0].figure)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, r: (r, t), "theory is of kind 'simulation'"),
        (lambda t, r: (t, {"m": 1}), "runs is of kind 'dict'"),
        (lambda t, r: (t, r.assign_attrs(problem="hinge / gd")), "differ in problem: 'logistic / heavy_ball' and 'hinge / gd'"),
        (lambda t, r: (t, r.assign_attrs(parameters='{"eta": 2.0, "momentum": 0.5}')), "the parameter 'eta': 1.0 and 2.0"),
        (lambda t, r: (t, r.assign_attrs(parameters='{"eta": 1.0}')), "the parameter 'momentum': 0.5 and None"),
        (lambda t, r: (t, r.assign_attrs(alpha=1.51)), "differ in alpha: 1.5 and 1.51"),
        (lambda t, r: (t, r.isel(cluster=[0])), "the size of 'cluster': 2 and 1"),
        (lambda t, r: (t.isel(time=[0]), r.isel(time=[1])), "no time in common"),
        (lambda t, r: (t, r.assign_attrs(replicates=1)), "replicates = 1; at least 2 are needed"),
        (lambda t, r: (t, r.assign(m_error=r["m_error"] * np.nan)), "runs has no standard errors; at least 2 replicates"),
    ],
)
def test_refuses_what_cannot_be_compared(made_up, change, message):
    with pytest.raises(InputError, match=message):
        compare(*change(*made_up(times=5)))


@pytest.mark.parametrize(("times", "message"), [([3, 99], "times holds 99"), ([], "times is empty")])
def test_refuses_times(made_up, times, message):
    theory, runs = made_up(times=5)
    with pytest.raises(InputError, match=message):
        compare(theory, runs, times=times)
    with pytest.raises(InputError, match=message):
        compare(theory, runs).table(times)


def blocks(fraction: float, sampling: str = "full") -> gm.Problem:
    data = gm.GaussianMixture(
        probabilities=[0.37, 0.63],
        labels=[1, -1],
        means_gram=[[1, -1], [-1, 1]],
        variance=[[0.1, 0.5], [0.1, 0.5]],
        fractions=[fraction, 1 - fraction],
    )
    return gm.Problem(data, gm.losses.squared(), gm.optimizers.gd(), sampling=getattr(gm.sampling, sampling)(), ridge=0)


def test_a_theory_beside_a_simulation_has_its_whole_numbers():
    """d_b = 11 of 30 for rho_b = 0.36667: Q_k at time 0 is that of 11/30, exactly, and so is the theory's at n and d."""
    problem = blocks(0.367)
    runs = gm.simulate(problem, {"eta": 0.1}, n=41, d=30, steps=2, replicates=4)
    beside, limit = gm.solve(problem, {"eta": 0.1}, n=41, d=30, steps=2), gm.solve(problem, {"alpha": 41 / 30, "eta": 0.1}, steps=2)
    share = 11 / 30
    assert np.isclose(beside.Q_k[0, 0, 0, 0], 0.1 * share + 0.5 * (1 - share), rtol=1e-14)
    assert np.isclose(limit.Q_k[0, 0, 0, 0], 0.1 * 0.367 + 0.5 * 0.633, rtol=1e-14)
    assert compare(beside, runs, times=[0]).max_abs_z < 4
    # A theory at the shares of the problem differs by what rounding does, which is no disagreement; one at other shares disagrees.
    assert compare(limit, runs, times=[0]).max_abs_z < 4
    wrong = limit.copy(deep=True)
    wrong["Q_k"] += 0.05
    assert compare(wrong, runs, times=[0]).max_abs_z == np.inf


@pytest.mark.slow
def test_online_theory_beside_a_simulation_has_its_whole_numbers():
    problem = blocks(0.367, "online")
    runs = gm.simulate(problem, {"eta": 0.5}, d=30, time=0.1, points=2, replicates=4)
    theory = gm.solve(problem, {"eta": 0.5}, time=runs["time"].values, blocks_at=30)
    assert np.allclose(theory.Q_k[0], runs.Q_k[0], rtol=1e-13)
    assert compare(theory, runs, times=[0.0]).max_abs_z < 4


@pytest.mark.parametrize(("off", "agrees"), [(3.0, True), (6.0, False)])
def test_an_exact_value_is_held_against_the_stated_error_of_the_theory(made_up, off, agrees):
    theory, runs = made_up()
    theory["Q_error"][0] = 1e-4
    theory["Q"][0] += off * 1e-4
    assert (compare(theory, runs, times=[0]).max_abs_z < 4) == agrees
