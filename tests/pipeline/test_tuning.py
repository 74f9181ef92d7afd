"""Gradients through every theory that has one are those of differences; tuning finds what a scan finds; what has no gradient is refused."""

import jax
import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym.engine import causal_gradient
from gmsym.engine.descent import Range
from gmsym.files.reader import loads
from gmsym.pipeline.tuning import _evaluation
from gmsym.problem.loss import jumps
from gmsym.problem.optimizers import knots_of
from gmsym.symbols import g, theta
from tests.guards import guards

FULL = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.heavy_ball())
VALUES = {"alpha": 1.5, "sigma": 1.0, "mu_norm": 1.2, "eta": 0.3, "momentum": 0.5, "ridge": 0.05}
SCHEDULED = gm.Problem(
    gm.GaussianMixture.symmetric(),
    gm.losses.logistic(),
    gm.Optimizer(
        "scheduled",
        {
            "theta": theta + sp.Symbol("v"),
            "v": gm.optimizers.schedule("beta", 2, every=6) * sp.Symbol("v")
            - gm.optimizers.schedule("eta", 3, every=3) * (g + gm.optimizers.schedule("decay", 2, every=6) * theta),
        },
    ),
)
KNOTS = {"eta_0": 1.0, "eta_1": 1.4, "eta_2": 0.8, "beta_0": 0.3, "beta_1": 0.6, "decay_0": 0.01, "decay_1": 0.1}
COMMON = {"alpha": 1.5, "sigma": 1.0, "mu_norm": 1.2, "ridge": 0.05}


def difference(system, values, name, **options):
    """Fourth-order central difference of an objective."""
    h = 1e-3 * max(abs(values[name]), 0.1)

    def at(shift):
        return gm.gradient(system, {**values, name: values[name] + shift * h}, [name], **options)[0]

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h)


def agree(system, values, names, checked=None, **options):
    _, slopes = gm.gradient(system, values, names, **options)
    for name in checked or names:
        expected = difference(system, values, name, **options)
        assert slopes[name] == pytest.approx(expected, rel=1e-6, abs=1e-9), (name, options)


@pytest.mark.slow
def test_the_gradient_of_a_closed_case():
    """One step of least squares from an overlap of 0: m_1 = eta |mu|^2, whose error is what a sample's field makes of it."""
    problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.gd())
    value, slopes = gm.gradient(
        problem, {"alpha": 2.0, "sigma": 1.0, "mu_norm": 1.2, "eta": 0.3}, ["eta", "alpha"], objective="m", index=(0, 0), steps=2
    )
    assert value == pytest.approx(0.3 * 1.44, rel=1e-12) and slopes["eta"] == pytest.approx(1.44, rel=1e-12)
    assert slopes["alpha"] == pytest.approx(0.0, abs=1e-12)


def test_a_schedule_is_linear_between_its_knots():
    step = gm.optimizers.schedule("eta", 3, every=2)
    at = {gm.symbols.symbol(f"eta_{i}"): x for i, x in enumerate((1.0, 3.0, 2.0))}
    assert [float(step.subs(gm.symbols.t, t).subs(at)) for t in range(6)] == [1.0, 2.0, 3.0, 2.5, 2.0, 2.0]
    assert knots_of(SCHEDULED.optimizer) == {x: tuple(k for k in KNOTS if k.startswith(x)) for x in ("beta", "decay", "eta")}
    assert loads(gm.dumps(SCHEDULED)).problem.signature == SCHEDULED.signature


@pytest.mark.parametrize("own", [Range(), Range(0.0, None), Range(None, 1.0), Range(-1.0, 3.0)])
def test_a_range_and_the_line_are_one_to_one(own):
    for x in (-0.9, 0.3, 0.9):
        if own.holds(x):
            u = own.to_line(x)
            there, slope = own.from_line(u)
            assert there == pytest.approx(x, rel=1e-12)
            assert slope == pytest.approx((own.from_line(u + 1e-6)[0] - own.from_line(u - 1e-6)[0]) / 2e-6, rel=1e-8)
            assert own.holds(own.from_line(u + 3.0)[0]) and own.holds(own.from_line(u - 3.0)[0])


@pytest.mark.parametrize(
    ("rule", "count"),
    [
        (gm.optimizers.sign_descent(), 1),
        (gm.optimizers.lion(), 1),
        (gm.optimizers.clipped(), 0),
        (gm.optimizers.ista(), 0),
        (gm.optimizers.projected(), 0),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_rules_that_jump_are_told_from_those_with_corners(rule, count):
    assert sum(len(jumps(x, (g, *rule.state))) for x in rule.composed[:1]) == count


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"names": "eta"}, "names = 'eta': a list of names"),
        ({"names": []}, "a list of names is needed"),
        ({"names": ["sigma"]}, "names holds 'sigma', which the data"),
        ({"names": ["etaa"]}, "names holds 'etaa'; parameters here are alpha, eta, momentum, ridge"),
        ({"names": ["eta", "eta"]}, "each parameter once"),
        ({"objective": "loss"}, "objective = 'loss': there are"),
        ({"objective": "Q"}, r"index = \[\]: of Q an entry of its shape \(1, 1\) is needed"),
        ({"objective": "m", "index": (2, 0)}, r"index = \[2, 0\]"),
        ({"index": (0,)}, r"of test_loss no index, it is a number"),
        ({"index": (0.5,)}, "whole numbers are needed"),
        ({"steps": 0}, "steps = 0"),
        ({"step": 4}, "step is no option of differentiating CausalKernels; did you mean 'steps'"),
        ({"at": 4}, "at = 4: a time from 0 to 3, or 'best'"),
        ({"samples": 100}, "a power of two"),
        ({"bounds": {"ridge": (0, 1)}}, "bounds holds 'ridge', which is not among the names"),
        ({"bounds": {"eta": (1, 0)}}, r"bounds of eta = \(1, 0\)"),
        ({"bounds": {"eta": (0.5, 1)}}, "eta = 0.3: a start above 0.5 and below 1.0 is needed"),
        ({"names": ["momentum"], "values": {**VALUES, "momentum": 0.0}}, "momentum = 0.0: a start above 0.0 is needed; bounds"),
        ({"values": {**VALUES, "eta": [0.1, 0.2]}}, r"eta = \[0.1, 0.2\]: one number is needed; a schedule is"),
        ({"maximise": True, "at": "best"}, "does not go with maximise"),
        ({"rounds": 0}, "rounds = 0"),
    ],
)
def test_bad_input_is_named_before_anything_is_computed(change, says):
    given = {"values": VALUES, "names": ["eta"], "steps": 4} | change
    with pytest.raises(gm.InputError, match=says):
        gm.tune(FULL, given.pop("values"), given.pop("names"), **given)


def test_what_has_no_gradient_is_refused():
    data = gm.GaussianMixture.symmetric()
    with pytest.raises(gm.InputError, match="loss hinge: its gradient jumps where"):
        gm.tune(gm.Problem(data, gm.losses.hinge(), gm.optimizers.gd()), VALUES, ["eta"], steps=3)
    with pytest.raises(gm.InputError, match="optimizer sign_descent: it jumps where g = 0"):
        gm.tune(gm.Problem(data, gm.losses.logistic(), gm.optimizers.sign_descent()), VALUES, ["eta"], steps=3)
    batches = gm.Problem(data, gm.losses.logistic(), gm.optimizers.gd(), sampling=gm.sampling.bernoulli(sp.Symbol("rate")))
    with pytest.raises(gm.InputError, match="names holds 'rate', on which it depends which samples a step sees"):
        gm.tune(batches, {**VALUES, "rate": 0.5}, ["rate"], steps=3)
    with pytest.raises(gm.InputError, match="DMF, effective dynamics or a stationary limit"):
        gm.tune(gm.derive.surrogate(FULL), VALUES, ["eta"], steps=3)


@pytest.mark.slow
def test_dmf_is_differentiated_in_hyperparameters_and_whole_schedules():
    values = COMMON | KNOTS
    dmf = gm.derive.dmf(SCHEDULED)
    names, checked = ["eta", "beta", "decay", "ridge", "alpha"], ["eta_1", "decay_0", "alpha"]
    for options in ({"objective": "test_error"}, {"objective": "train_loss", "at": 4}):
        agree(dmf, values, names, checked, steps=7, samples=512, **options)
    # And differences of what `solve` gives, with other points.
    solved = [gm.solve(dmf, {**values, "eta_1": x}, steps=7, samples=4096)["test_loss"].values[-1] for x in (1.35, 1.45)]
    value, slopes = gm.gradient(dmf, values, ["eta"], steps=7, samples=4096)
    assert value == pytest.approx(np.mean(solved), abs=1e-3) and slopes["eta_1"] == pytest.approx(np.diff(solved)[0] / 0.1, rel=0.02)
    assert slopes["eta_2"] == pytest.approx(difference(dmf, values, "eta_2", steps=7, samples=4096), rel=1e-6)


@pytest.mark.slow
def test_steps_in_segments_have_the_same_gradient(monkeypatch):
    """The way back through segments, of which one is shorter, keeps less and changes nothing."""
    problem = gm.Problem(FULL.data, gm.losses.logistic(), FULL.optimizer)
    evaluate = lambda: gm.gradient(problem, VALUES, ["eta", "alpha"], steps=7, samples=64)  # noqa: E731
    value, slopes = evaluate()
    monkeypatch.setattr(causal_gradient, "_KEPT", 0)
    jax.clear_caches()
    assert causal_gradient.segment_of(7) == 2
    again, others = evaluate()
    assert again == pytest.approx(value, rel=1e-12) and others == pytest.approx(slopes, rel=1e-9)


@pytest.mark.slow
def test_the_stationary_limit_and_the_effective_dynamics_are_differentiated():
    rest = gm.derive.stationary(gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.hinge(), gm.optimizers.ista()))
    for options in ({"objective": "m", "index": (1, 0)}, {"objective": "train_error"}):
        agree(rest, COMMON | {"l1": 0.3}, ["ridge", "alpha", "l1"], **options)
    online = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.gd(), sampling=gm.sampling.online())
    values = {"sigma": 1.0, "mu_norm": 1.2, "eta": 0.5, "ridge": 0.05}
    for options in ({"samples": 3.0}, {"time": 2.0, "objective": "Q", "index": (0, 0)}):
        agree(online, values, ["eta", "ridge"], tolerance=1e-9, **options)


@pytest.mark.slow
def test_tuned_numbers_are_those_of_a_scan():
    """Ridge of least test error at rest; step and best time of least squares, in bounds."""
    rest = gm.derive.stationary(gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.gd()))
    found = gm.tune(rest, COMMON, ["ridge"], objective="test_loss")
    best = found.values["ridge"]
    scan = gm.solve(rest, {**COMMON, "ridge": [0.95 * best, best, 1.05 * best]})["test_loss"].values
    assert scan.argmin() == 1 and found.time is None and found.history[-1] == pytest.approx(scan[1], rel=1e-9)
    values = {**VALUES, "ridge": 0.0, "alpha": 0.8}
    found = gm.tune(FULL, values, ["eta", "momentum"], steps=25, at="best", bounds={"momentum": (0.0, 0.9)})
    assert found.history[-1] < found.history[0] and 0 < found.values["momentum"] < 0.9
    course = gm.solve(FULL, {**values, **found.values}, steps=25)["test_loss"].values
    assert course.argmin() == found.time and course.min() == pytest.approx(found.history[-1], rel=1e-6)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_flow_is_differentiated_on_its_grid_of_time():
    """Against differences on the same grid, and against those of what `solve` gives."""
    problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.flow())
    values, names, options = {**COMMON, "alpha": 1.5}, ["ridge", "alpha"], {"time": 3.0, "tolerance": 1e-5}
    evaluate, _ = _evaluation(problem, values, names, "test_loss", (), options)
    at = np.array([values[x] for x in names])
    point = evaluate(at)
    for i, slope in enumerate(point.slopes):
        h = 1e-3 * max(at[i], 0.1)
        far, near, after, beyond = (evaluate(at + shift * h * np.eye(2)[i]).value for shift in (-2, -1, 1, 2))
        assert slope == pytest.approx((8 * (after - near) - (beyond - far)) / (12 * h), rel=1e-6)
    solved = [float(gm.solve(problem, {**values, "ridge": x}, points=2, **options)["test_loss"][-1]) for x in (0.045, 0.05, 0.055)]
    assert point.value == pytest.approx(solved[1], abs=1e-4) and point.time == 3.0
    assert point.slopes[0] == pytest.approx((solved[2] - solved[0]) / 0.01, rel=0.02)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_online_sgd_with_a_velocity_that_lasts_is_differentiated():
    online = gm.Problem(
        gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.lasting_momentum(), sampling=gm.sampling.online()
    )
    values = {"sigma": 1.0, "mu_norm": 1.2, "eta": 0.5, "ridge": 0.05, "friction": 0.7}
    agree(online, values, ["eta", "ridge", "friction"], tolerance=1e-9, time=2.0)


DROPPED = {
    "what a fresh sample sees of Q": ("means_of_law", lambda old: lambda module, n, m, Q, *more: old(module, n, m, fixed(Q), *more)),
    "what a step sees of its number": ("step", lambda old: lambda module, n, *more: old(module, n._replace(ridge=fixed(n.ridge)), *more)),
    "what a step hands on": ("step", lambda old: lambda module, n, p, tol, carry, t: old(module, n, p, tol, fixed(carry), t)),
}
fixed = jax.lax.stop_gradient


@pytest.mark.slow
@pytest.mark.parametrize("dropped", guards(DROPPED, "what a step hands on"))
def test_a_term_dropped_from_the_gradient_is_seen(monkeypatch, dropped):
    name, mutant = DROPPED[dropped]
    options = {"steps": 3 + list(DROPPED).index(dropped), "objective": "test_loss"}
    expected = difference(FULL, VALUES, "ridge", **options)
    jax.clear_caches()
    monkeypatch.setattr(causal_gradient, name, mutant(getattr(causal_gradient, name)))
    _, slopes = gm.gradient(FULL, VALUES, ["ridge"], **options)
    jax.clear_caches()
    assert abs(slopes["ridge"] - expected) > 1e-3 * abs(expected)
