"""DMF of update rules that are not linear: coordinates are sampled, as samples are. The linear engine, and training, decide."""

import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym.functions import LogSumExp
from gmsym.symbols import eta, g, symbol, theta
from tests.guards import guards

UNEQUAL = {"probabilities": [0.5, 0.5], "labels": [1, -1], "means_gram": [[1.44, -1.44], [-1.44, 1.44]], "variance": [1, 0.49]}
SPARSE = gm.coordinates.sparse(sp.Rational(1, 10))
ADAM = {"eta": 0.15, "beta1": 0.9, "beta2": 0.99, "ridge": 0.05}
ISTA = {"eta": 0.6, "ridge": 0.05}
# A rule that is in no catalog: the step saturates in the size of the gradient, and weights beyond a size decay.
TYPED = gm.Optimizer("saturating", {"theta": theta - eta * sp.atan(3 * g) - symbol("pull") * theta**3 / (1 + theta**2)})


def problem(optimizer, data=UNEQUAL, law=None, loss=None, **options):
    mixture = gm.GaussianMixture(**data, coordinates=law)
    return gm.Problem(mixture, loss or gm.losses.logistic(), optimizer, **options)


def gap(one, other):
    return max(float(np.abs(one[name].values - other[name].values).max()) for name in ("m", "Q", "Q_k", "train_loss", "test_loss"))


def test_a_linear_rule_gives_the_same_numbers_when_its_coordinates_are_sampled():
    """Two blocks, unequal clusters, momentum, a teacher, mini-batches: whitened points make every mean over coordinates exact."""
    blocks = {
        "probabilities": [0.4, 0.6],
        "labels": [1, -1],
        "means_gram": [[1.0, -0.3], [-0.3, 0.8]],
        "variance": [[0.5, 1.5], [0.8, 1.2]],
        "fractions": [0.3, 0.7],
    }
    loss = gm.Loss("taught", gm.parse("log(1 + exp(-y*h)) + 0.1*(h - t0)**2"))
    teacher = gm.Teacher([[1.2]], overlap=[0.2], means_overlap=[[0.3, -0.1]])
    case = problem(
        gm.optimizers.heavy_ball(), blocks, None, loss, overlap=[0.3, -0.2], teacher=teacher, sampling=gm.sampling.bernoulli(0.6)
    )
    values, options = {"alpha": 1.5, "eta": 0.5, "momentum": 0.5, "ridge": 0.1}, {"steps": 4, "samples": 128, "scrambles": 2}
    linear = gm.solve(gm.derive.dmf(case), values, **options, progress=False)
    sampled = gm.solve(gm.derive.dmf(case, sampled=True), values, **options, progress=False)
    assert gap(linear, sampled) < 1e-10
    assert float(np.abs(linear["M"] - sampled["M"]).max()) < 1e-10


def test_the_law_of_the_coordinates_matters_to_a_threshold_and_not_to_a_linear_rule():
    values, options = {"alpha": 1.5, "l1": 0.4, **ISTA}, {"steps": 6, "samples": 1024, "scrambles": 2, "progress": False}
    gaussian, sparse = (gm.solve(problem(gm.optimizers.ista(), law=law), values, **options) for law in (None, SPARSE))
    assert float(sparse["m"][-1, 0, 0]) > 1.2 * float(gaussian["m"][-1, 0, 0])
    assert float(sparse["nonzero"][-1]) < 0.75 * float(gaussian["nonzero"][-1])
    del values["l1"]
    rule = problem(gm.optimizers.gd(), law=SPARSE)
    assert gap(gm.solve(rule, values, **options), gm.solve(problem(gm.optimizers.gd()), values, **options)) == 0


@pytest.mark.parametrize("law", ["rademacher", SPARSE, gm.coordinates.mixture([0.5, 0.5], [0, 1], [0.3, 0.1])])
def test_generated_means_have_the_law_and_the_exact_gram_matrix(law):
    case = problem(gm.optimizers.sign_descent(), law=law, norm2=0.5, overlap=[0.2, -0.2])
    runs = gm.simulate(case, {"eta": 0.2}, n=40, d=400, steps=1, replicates=2, progress=False)
    assert np.allclose(runs["m"][0, :, 0], [0.2, -0.2], atol=1e-12) and np.isclose(runs["Q"][0, 0, 0], 0.5, atol=1e-12)


def test_bad_laws_are_named():
    for make, message in (
        (lambda: gm.coordinates.sparse(0), "share = 0"),
        (lambda: gm.coordinates.mixture([0.5, 0.6], [1, 2]), "sum to 1"),
        (lambda: gm.coordinates.mixture([1], [0]), "zero everywhere"),
        (lambda: gm.coordinates.mixture([1], [0, 1]), "as many of each"),
        (lambda: problem(gm.optimizers.ista(), law=0.1), "coordinates = 0.1"),
    ):
        with pytest.raises(gm.InputError, match=message):
            make()
    biased = gm.coordinates.mixture([0.5, 0.5], [0, 1])
    with pytest.raises(gm.InputError, match="are not orthogonal"):
        gm.solve(problem(gm.optimizers.ista(), law=biased, coordinates=biased), {"alpha": 1.0, "l1": 0.1, **ISTA}, steps=2, progress=False)


START = {"overlap": [0.1, -0.1]}
CASES = {
    "ista": (gm.optimizers.ista(), {"l1": 0.15, **ISTA}, None, {"overlap": [0.1, -0.1]}),
    "ista, sparse means": (gm.optimizers.ista(), {"l1": 0.4, **ISTA}, SPARSE, {}),
    "adam, large eps": (gm.optimizers.adam(), {"eps": 0.3, **ADAM}, None, {"overlap": [0.1, -0.1]}),
    "adam, small eps": (gm.optimizers.adam(), {"eps": 1e-8, **ADAM}, None, {"overlap": [0.1, -0.1]}),
    "sign with momentum": (
        gm.optimizers.signum(),
        {"eta": 0.1, "momentum": 0.8, "ridge": 0.05},
        "rademacher",
        {"coordinates": "rademacher"},
    ),
    "lion": (gm.optimizers.lion(), {"eta": 0.1, "beta1": 0.9, "beta2": 0.95, "weight_decay": 0.1, "ridge": 0.05}, None, START),
    "adamw": (gm.optimizers.adamw(), {"eps": 0.3, "weight_decay": 0.2, **ADAM}, None, START),
    "clipped": (gm.optimizers.clipped(), {"eta": 0.8, "clip": 0.5, "ridge": 0.05}, None, START),
    "adagrad": (gm.optimizers.adagrad(), {"eta": 0.4, "eps": 0.1, "ridge": 0.05}, None, START),
    "rmsprop": (gm.optimizers.rmsprop(), {"eta": 0.1, "decay": 0.9, "eps": 0.1, "ridge": 0.05}, None, START),
    "fista": (gm.optimizers.fista(), {"l1": 0.15, **ISTA}, None, START),
    "elastic net": (gm.optimizers.elastic_net(), {"l1": 0.15, "l2": 0.1, "eta": 0.6}, None, START),
    "projected": (gm.optimizers.projected(), {"eta": 0.8, "radius": 1.0, "ridge": 0.05}, None, START),
    "normalized": (gm.optimizers.normalized(), {"eta": 0.3, "ridge": 0.05}, None, START),
    "norm clipped": (gm.optimizers.norm_clipped(), {"eta": 1.5, "clip": 0.3, "ridge": 0.05}, None, START),
    "projected on a ball": (gm.optimizers.projected_ball(), {"eta": 1.0, "radius": 1.4}, None, START),
    "typed": (TYPED, {"eta": 0.4, "pull": 0.05, "ridge": 0.05}, SPARSE, {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", guards(CASES, "ista, sparse means", "adam, small eps", "typed"))
def test_theory_agrees_with_training(name):
    optimizer, values, law, options = CASES[name]
    case = problem(optimizer, law=law, **options)
    theory = gm.solve(case, {"alpha": 1.5, **values}, steps=16, samples=4096, progress=False)
    runs = gm.simulate(case, values, n=600, d=400, steps=16, replicates=160, progress=False)
    found = gm.compare(theory, runs)
    print(f"\n{name}: rms z {found.rms_z:.2f}\n{found}")
    assert found.agrees() and found.rms_z < 2, str(found)
    if name == "ista, sparse means":
        wrong = gm.solve(problem(optimizer, **options), {"alpha": 1.5, **values}, steps=16, samples=4096, progress=False)
        z = np.abs(wrong["m"] - runs["m"])[-1, 0, 0] / np.hypot(wrong["m_error"], runs["m_error"])[-1, 0, 0]
        print(f"wrong law: {float(z):.0f} standard errors")
        assert z > 20


@pytest.mark.slow
def test_several_fields_blocks_mini_batches_and_a_bias_under_adam():
    """Softmax of three classes, each cluster with its own covariance in two blocks, Bernoulli batches, a bias a class with its own step."""
    fields, labels, biases = (sp.symbols(f"{letter}0:3", real=True) for letter in "hyb")
    z = [x + bias for x, bias in zip(fields, biases, strict=True)]
    loss = gm.Loss("softmax_bias", LogSumExp(*z) - sum(label * x for label, x in zip(labels, z, strict=True)))
    data = gm.GaussianMixture(
        probabilities=[0.5, 0.25, 0.25],
        labels=sp.eye(3).tolist(),
        means_gram=(sp.eye(3) * 1.44).tolist(),
        variance=[[1, 0.5], [0.8, 1.2], [0.6, 0.6]],
        fractions=[0.5, 0.5],
    )
    trained = gm.Trained({bias.name: 0 for bias in biases}, step=0.05)
    case = gm.Problem(data, loss, gm.optimizers.adam(), sampling=gm.sampling.bernoulli(0.4), trained=trained)
    values = {"eta": 0.15, "beta1": 0.9, "beta2": 0.99, "eps": 0.1, "ridge": 0.02}
    theory = gm.solve(case, {"alpha": 1.5, **values}, steps=7, samples=1024, progress=False)
    found = gm.compare(theory, gm.simulate(case, values, n=600, d=400, steps=7, replicates=64, progress=False))
    print(f"\n{found}")
    assert found.agrees() and found.rms_z < 2, str(found)
