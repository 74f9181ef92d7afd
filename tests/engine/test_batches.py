"""Mini-batches: DMF against training at finite size, identities, files, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

import gmsym as gm

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
        (lambda: gm.solve(_problem(gm.sampling.bernoulli(0.2)), VALUES, steps=200, samples=256), "samples = 256: mini-batches open"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(gm.InputError, match=message):
        call()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["reshuffled", "persistent"])
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
@pytest.mark.parametrize("kind", ["bernoulli", "reshuffled", "persistent"])
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
