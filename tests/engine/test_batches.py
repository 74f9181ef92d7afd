"""Mini-batches: DMF against training at finite size, identities, files, and what is refused."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym.files import loads
from gmsym.problem.design import design, instance_of_size
from gmsym.simulation import source
from gmsym.simulation.data import generate, numbers_of
from gmsym.simulation.single import _ORDERS
from tests.guards import guards

VALUES = {"alpha": 1.5, "sigma": 1.0, "mu_norm": 1.2, "eta": 1.0, "momentum": 0.3, "ridge": 0.05}
KINDS = {
    "bernoulli": gm.sampling.bernoulli(0.2),
    "batches": gm.sampling.batches(0.25),
    "reshuffled": gm.sampling.epochs(4),
    "shuffled once": gm.sampling.epochs(4, reshuffle=False),
    "persistent": gm.sampling.persistent(0.3, 2.0),
    "unscaled": gm.sampling.bernoulli(0.5, scaled=False),
}


def _problem(sampling):
    return gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.heavy_ball(), sampling=sampling)


@pytest.mark.slow
def test_a_batch_of_all_samples_is_full_batch():
    full, one = (
        gm.solve(gm.derive.dmf(_problem(x), response="stein"), VALUES, steps=5, samples=512, scrambles=2)
        for x in (gm.sampling.full(), gm.sampling.bernoulli(1))
    )
    for name in ("m", "Q", "train_loss"):
        np.testing.assert_allclose(one[name], full[name], rtol=1e-10, atol=1e-12)


def test_the_surrogate_of_all_samples_is_that_of_full_batches():
    full, one = (
        gm.solve(gm.derive.surrogate(_problem(x)), VALUES, n=30, d=20, steps=4, replicates=2)
        for x in (gm.sampling.full(), gm.sampling.epochs(1))
    )
    for name in ("m_runs", "Q_runs", "train_loss_runs"):
        np.testing.assert_allclose(one[name], full[name], rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_keeps_the_sampling(kind, tmp_path):
    problem = _problem(KINDS[kind])
    path = tmp_path / "problem.toml"
    path.write_text(gm.dumps(problem, VALUES))
    assert gm.read(path).problem.signature == problem.signature


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gm.sampling.bernoulli(0), r"rate = 0: the share of samples in a step is in \(0, 1\]"),
        (lambda: gm.sampling.batches(1.5), r"rate = 1.5"),
        (lambda: gm.sampling.persistent(0.3, -1), r"persistence = -1: a positive time"),
        (lambda: gm.sampling.epochs(2.5), r"batches = 2.5: a positive integer"),
        (lambda: gm.sampling.epochs(4, reshuffle="no"), r"reshuffle = 'no': True or False"),
        (lambda: gm.derive.influence(_problem(gm.sampling.bernoulli(0.2))), "derive.influence does not treat mini-batches"),
        (lambda: gm.derive.finite_size(_problem(gm.sampling.epochs(4))), "derive.finite_size does not treat mini-batches"),
        (lambda: gm.derive.refinement(_problem(gm.sampling.epochs(4))), "derive.refinement does not treat mini-batches"),
        (lambda: gm.solve(gm.derive.surrogate(_problem(gm.sampling.epochs(7))), VALUES, d=20, steps=2), "n = 30: 7 batches"),
        (lambda: gm.derive.dmf(_problem(gm.sampling.bernoulli(0.2)), response="tangent"), "mini-batches need 'stein'"),
        (lambda: gm.simulate(_problem(gm.sampling.epochs(7)), VALUES, d=20, steps=2), "n = 30: 7 batches of a pass do not divide"),
        (lambda: gm.solve(_problem(gm.sampling.bernoulli(0.2)), VALUES, steps=200, samples=256), "samples = 256: mini-batches and noise"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(gm.InputError, match=message):
        call()


@pytest.mark.slow
@pytest.mark.parametrize("kind", guards(["reshuffled", "persistent"], "persistent"))
def test_the_surrogate_has_the_law_of_training(kind):
    """At n = 60, d = 40: means and standard deviations, whether samples are drawn together or alone."""
    replicates, problem = 2000, _problem(KINDS[kind])
    options = {"n": 60, "d": 40, "steps": 8, "replicates": replicates}
    values = {**VALUES, "alpha": 1.5}
    drawn = gm.solve(gm.derive.surrogate(problem), values, seed=1, **options), gm.simulate(problem, values, seed=2, **options)
    for name in ("m", "Q", "train_loss", "test_error"):
        one, other = (np.reshape(x[f"{name}_runs"].values, (replicates, 8, -1))[:, 1:] for x in drawn)
        score = (one.mean(0) - other.mean(0)) / np.sqrt((one.var(0) + other.var(0)) / replicates)
        assert np.abs(score).max() < 4, name
        assert np.abs(np.log(one.std(0) / other.std(0))).max() < 4 / np.sqrt(replicates), name


@pytest.mark.slow
@pytest.mark.parametrize("kind", guards(["bernoulli", "reshuffled", "persistent"], "reshuffled", "persistent"))  # the case sgd_bernoulli
def test_theory_against_training(kind):
    """And the power of it: another kind of batches on the same data is told apart."""
    problem = _problem(KINDS[kind])
    theory = gm.solve(problem, VALUES, steps=11, samples=4096)
    runs = gm.simulate(problem, VALUES, n=600, d=400, steps=11, replicates=40, seed=7)

    def scores(theory):
        gaps = [(theory[x] - runs[x]) / np.hypot(theory[f"{x}_error"], runs[f"{x}_error"]) for x in ("m", "Q", "train_loss")]
        return np.concatenate([np.ravel(gap.isel(time=slice(1, None))) for gap in gaps])

    assert np.sqrt(np.mean(scores(theory) ** 2)) < 1.6
    assert np.abs(scores(theory)).max() < 4
    wrong = gm.solve(replace(problem, sampling=gm.sampling.full()), VALUES, steps=11, samples=4096)
    assert np.sqrt(np.mean(scores(wrong) ** 2)) > 5


BY_ONE = {"alpha": 1.5, "sigma": 1.0, "mu_norm": 1.2, "eta": 1.2, "ridge": 0.05}


def _by_one(**options):
    sampling = gm.sampling.online() if not options else gm.sampling.single(**options)
    start = {"overlap": [0.1, -0.1]}
    return gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.gd(), sampling=sampling, **start)


@pytest.mark.slow
def test_the_first_pass_is_online():
    """Theorem: a sample that is seen for the first time is a fresh one. Batches of 1/32 without extrapolation are told apart."""
    passes = gm.solve(_by_one(passes=1), BY_ONE, samples=2048, parts=32)
    online = gm.solve(_by_one(), {x: v for x, v in BY_ONE.items() if x != "alpha"}, time=passes["time"].values)
    batches = gm.solve(
        replace(_by_one(passes=1), sampling=gm.sampling.epochs(32)), {**BY_ONE, "eta": 1.2 * 1.5 / 32}, steps=33, samples=2048, scrambles=2
    )
    for name, near in (("m", 0.006), ("Q", 0.008)):
        gap = np.abs(passes[name] - online[name])
        assert (gap < 3 * passes[f"{name}_error"] + 1e-9).all() and gap.max() < near
        assert np.abs(batches[name].values[::4] - online[name].values).max() > near


def test_a_single_sample_moves_as_numpy_says():
    """Replayed with NumPy: in the order of the recorded state, by the gradient typed here."""
    problem, n, d = _by_one(passes=2, reshuffle=False, size=2), 12, 8
    instance = instance_of_size(problem, BY_ONE, n, d)
    plan = design(instance, n, d)
    key = jax.random.fold_in(jax.random.key(3), 0)
    data = generate(plan.counts, plan.sizes, numbers_of(plan), key)
    order = np.asarray(jax.random.permutation(jax.random.fold_in(jax.random.fold_in(key, _ORDERS), 0), n)).reshape(-1, 2)
    X, y, theta = np.asarray(data.samples), np.asarray(data.labels)[:, 0], np.asarray(data.theta)[:, 0]
    for step in [*order, *order]:
        a = -y[step] / (1 + np.exp(y[step] * (X[step] @ theta)))
        theta = theta - 1.2 / d * (a @ X[step] + 2 * 0.05 * theta)
    runs = gm.simulate(problem, BY_ONE, n=n, d=d, replicates=2, seed=3, points=1)
    np.testing.assert_allclose(runs["Q_runs"][0, -1, 0, 0], theta @ theta, rtol=1e-12)
    np.testing.assert_allclose(runs["train_loss_runs"][0, -1], np.log1p(np.exp(-y * (X @ theta))).mean(), rtol=1e-12)
    np.testing.assert_allclose(runs["time"], [0, 1.8, 3.6])


def test_a_typed_rule_is_what_it_says():
    """Epochs of 4 and Bernoulli masks, typed: the same text in theory, surrogate and training, and in a file."""
    visit, uniform, t, q = gm.symbols.visit, gm.symbols.uniform, gm.symbols.t, gm.symbols.symbol("q")
    now = sp.Mod(t, 4)
    epochs = gm.sampling.rule(
        sp.Piecewise((sp.floor(4 * uniform), sp.Eq(now, 0)), (visit, True)),
        weight=4 * sp.Piecewise((1, sp.Eq(visit, now)), (0, True)),
        together=True,
    )
    bernoulli = gm.sampling.rule(sp.Heaviside(q - uniform), rate=q)
    for typed, known in ((epochs, gm.sampling.epochs(4)), (bernoulli, gm.sampling.bernoulli(q))):
        ours, theirs = _problem(typed), _problem(known)
        assert loads(gm.dumps(ours)).problem.signature == ours.signature
        assert gm.source(gm.derive.dmf(ours)) == gm.source(gm.derive.dmf(theirs))
        assert gm.source(gm.derive.surrogate(ours)) == gm.source(gm.derive.surrogate(theirs))
        assert source(ours) == source(theirs)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gm.sampling.rule(gm.symbols.h), "update = h uses h; allowed are t, uniform, visit, parameters"),
        (lambda: gm.sampling.rule(gm.symbols.visit, weight=gm.symbols.uniform), "weight = uniform uses uniform; allowed are t, visit"),
        (lambda: gm.sampling.rule(gm.symbols.visit / gm.symbols.t), "update = visit/t is not finite at t = 0"),
        (lambda: gm.sampling.single(0), "passes = 0: an integer of at least 1"),
        (lambda: gm.sampling.single(1, replacement=1), "replacement = 1: True or False"),
        (lambda: _problem(gm.sampling.single(1)), r"heavy_ball.*a step eta/\(1 - momentum\)"),
        (lambda: gm.derive.surrogate(_by_one(passes=1)), "surrogate .* does not treat one sample at a time"),
        (lambda: gm.solve(_by_one(passes=1), BY_ONE, parts=30), "parts = 30: an integer of at least 32"),
        (lambda: gm.solve(_by_one(passes=1), BY_ONE, steps=3), "steps is no option of solving Passes"),
        (lambda: gm.simulate(_by_one(passes=1, size=7), BY_ONE, d=20), "n = 30: steps of size = 7 samples"),
        (lambda: gm.simulate(_problem(gm.sampling.batches(0.3)), VALUES, n=61, d=40, steps=2), "rate = 0.3 would have 18.3 samples"),
    ],
)
def test_what_is_refused_of_single_samples_and_rules(call, message):
    with pytest.raises(gm.InputError, match=message):
        call()


def test_a_file_keeps_single_samples():
    problem = _by_one(passes=2, replacement=True, size=3)
    assert loads(gm.dumps(problem, BY_ONE)).problem.signature == problem.signature
    with pytest.raises(gm.InputError, match="steps: single takes `passes`"):
        loads('[loss]\nname = "logistic"\n[sampling]\nkind = "single"\npasses = 1\n[run]\nsteps = 3')


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, pytest.param({"replacement": True}, marks=pytest.mark.exhaustive)], ids=["passes", "replacement"])
def test_single_samples_against_training(options):
    """And the power of it: the other way to draw them is told apart."""
    problem, other = _by_one(passes=2, **options), _by_one(passes=2, replacement=not options)
    runs = gm.simulate(problem, BY_ONE, n=600, d=400, replicates=40, seed=7)
    right, wrong = (
        gm.compare(gm.solve(x, BY_ONE, samples=2048, parts=32).assign_attrs(runs.attrs | {"kind": "theory"}), runs)
        for x in (problem, other)
    )
    assert right.agrees() and right.rms_z < 1.6, str(right)
    assert not wrong.agrees()
