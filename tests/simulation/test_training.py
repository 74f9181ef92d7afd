"""Training agrees step by step with an independent NumPy program on the same data, and reports what it promises."""

import json

import jax
import numpy as np
import pytest
import sympy as sp
import xarray as xr

from gmsym import symbols
from gmsym.derive import dmf
from gmsym.errors import ComputationError, InputError
from gmsym.problem import GaussianMixture, Loss, Optimizer, Problem, losses, optimizers
from gmsym.problem.design import design
from gmsym.problem.teacher import Teacher
from gmsym.problem.trained import Trained
from gmsym.runtime import batches
from gmsym.simulation import source, train
from gmsym.simulation.data import generate, numbers_of
from gmsym.symbols import eta, g, h, symbol, t, theta

SYMMETRIC = {"sigma": 0.8, "mu_norm": 1.2}
SIZE = {"n": 60, "d": 40, "steps": 12, "replicates": 2}


def data_of(problem, replicate=0, seed=0, n=60, d=40, **parameters):
    """The training data that `train` uses, in NumPy."""
    plan = design(problem.at(parameters), n, d)
    return plan, [
        np.asarray(a) for a in generate(plan.counts, plan.sizes, numbers_of(plan), jax.random.fold_in(jax.random.key(seed), replicate))
    ]


def history(problem, gradient, update, steps, ridge=0.0, **parameters):
    """(Theta_t, training data): NumPy training with l'(h, y) = gradient(h, y) and a stateful update(theta, g, t)."""
    _, (samples, labels, start, _, _) = data_of(problem, ridge=ridge, **parameters)
    path = [start[:, 0]]
    for time in range(steps - 1):
        slopes = gradient(samples @ path[-1], labels[:, 0])
        path.append(update(path[-1], samples.T @ slopes / len(samples) + ridge * path[-1], time))
    return np.array(path), samples, labels[:, 0]


class HeavyBall:
    def __init__(self, step, momentum):
        self.step, self.momentum, self.velocity = step, momentum, 0.0

    def __call__(self, x, slope, time):
        self.velocity = self.momentum * self.velocity - self.step * slope
        return x + self.velocity


class Nesterov:
    """The textbook form, in the point y where the gradient is taken: x' = y - step g, y' = x' + momentum (x' - x)."""

    def __init__(self, step, momentum):
        self.step, self.momentum, self.x = step, momentum, None

    def __call__(self, y, slope, time):
        previous = y if self.x is None else self.x
        self.x = y - self.step * slope
        return self.x + self.momentum * (self.x - previous)


class AdamsBashforth:
    """Second order, started by an Euler step."""

    def __init__(self, step):
        self.step, self.previous = step, None

    def __call__(self, x, slope, time):
        direction = slope if self.previous is None else 1.5 * slope - 0.5 * self.previous
        self.previous = slope
        return x - self.step * direction


SQUARED = (losses.squared(), lambda h, y: h - y, lambda h, y: (h - y) ** 2 / 2)
HINGE = (losses.hinge(), lambda h, y: -y * (y * h < 1), lambda h, y: np.maximum(0, 1 - y * h))
SCHEDULE = optimizers.gd(step=eta / sp.sqrt(1 + t))


@pytest.mark.parametrize(
    ("loss", "optimizer", "make", "parameters"),
    [
        (SQUARED, optimizers.gd(), lambda: lambda x, s, _: x - 0.3 * s, {"eta": 0.3}),
        (SQUARED, optimizers.heavy_ball(), lambda: HeavyBall(0.3, 0.7), {"eta": 0.3, "momentum": 0.7}),
        (SQUARED, optimizers.nesterov(), lambda: Nesterov(0.3, 0.7), {"eta": 0.3, "momentum": 0.7}),
        (SQUARED, optimizers.adams_bashforth(2), lambda: AdamsBashforth(0.3), {"eta": 0.3}),
        (SQUARED, SCHEDULE, lambda: lambda x, s, time: x - 0.3 / np.sqrt(1 + time) * s, {"eta": 0.3}),
        (HINGE, optimizers.gd(), lambda: lambda x, s, _: x - 0.5 * s, {"eta": 0.5}),
        # The rule reads coordinates of order 1: in those of Theta a step is eta/sqrt(d).
        (
            HINGE,
            Optimizer("sign", {"theta": theta - eta * sp.sign(g)}),
            lambda: lambda x, s, _: x - 0.2 * np.sign(s) / np.sqrt(SIZE["d"]),
            {"eta": 0.2},
        ),
    ],
    ids=["gd", "heavy_ball", "nesterov", "adams_bashforth", "schedule", "hinge", "sign"],
)
def test_against_numpy(loss, optimizer, make, parameters, ridge=0.2):
    loss, gradient, value = loss
    problem = Problem(GaussianMixture.symmetric(), loss, optimizer, norm2=0.5, overlap=[0.1, -0.1])
    parameters = {**SYMMETRIC, **parameters}
    result = train(problem, {"ridge": ridge, **parameters}, **SIZE)
    path, samples, labels = history(problem, gradient, make(), SIZE["steps"], ridge=ridge, **parameters)
    _, (_, _, _, means, _) = data_of(problem, **parameters)
    close = {"rel": 1e-12, "abs": 1e-12}
    assert result.m_runs[0, :, :, 0].values == pytest.approx(path @ means, **close)
    assert result.Q_runs[0, :, 0, 0].values == pytest.approx((path**2).sum(axis=1), **close)
    assert result.Q_k_runs[0, :, 1, 0, 0].values == pytest.approx(0.64 * (path**2).sum(axis=1), **close)
    assert result.train_loss_runs[0].values == pytest.approx(value(path @ samples.T, labels).mean(axis=1), **close)


@pytest.mark.slow
def test_several_fields_blocks_and_labels():
    """Softmax on three classes with two blocks: NumPy's gradient, Q_k by its definition, test error by brute force."""
    mixture = GaussianMixture(
        probabilities=[0.5, 0.25, 0.25],
        labels=np.eye(3),
        means_gram=np.eye(3) * 2,
        variance=[[0.2, 1.0], [0.5, 0.5], [1.0, 0.1]],
        fractions=[0.25, 0.75],
    )
    problem = Problem(mixture, losses.softmax(3), optimizers.gd())
    result = train(problem, {"eta": 1.5, "ridge": 0.1}, **SIZE)
    plan, (samples, labels, x, means, _) = data_of(problem, eta=1.5, ridge=0.1)
    for time in range(SIZE["steps"]):
        fields = samples @ x
        weights = np.exp(fields) / np.exp(fields).sum(axis=1, keepdims=True)
        assert result.m_runs[0, time].values == pytest.approx(means.T @ x, rel=1e-11, abs=1e-12)
        assert result.Q_runs[0, time].values == pytest.approx(x.T @ x, rel=1e-11, abs=1e-12)
        for k in range(3):
            covariance = np.diag(np.repeat(plan.instance.variance[k], plan.sizes))
            assert result.Q_k_runs[0, time, k].values == pytest.approx(x.T @ covariance @ x, rel=1e-11, abs=1e-12)
        assert float(result.train_loss_runs[0, time]) == pytest.approx(-np.log((weights * labels).sum(axis=1)).mean(), rel=1e-12)
        if time == SIZE["steps"] - 1:
            break
        x = x - 1.5 * (samples.T @ (weights - labels) / len(samples) + 0.1 * x)

    generator, wrong, loss = np.random.default_rng(0), 0.0, 0.0
    for k, p in enumerate((0.5, 0.25, 0.25)):
        fresh = means[:, k] + np.sqrt(np.repeat(plan.instance.variance[k], plan.sizes)) * generator.standard_normal((40000, 40))
        fields = fresh @ x
        wrong += p * (fields.argmax(axis=1) != k).mean()
        loss += p * (np.log(np.exp(fields).sum(axis=1)) - fields[:, k]).mean()
    assert float(result.test_error_runs[0, -1]) == pytest.approx(wrong, abs=0.006)
    assert float(result.test_loss_runs[0, -1]) == pytest.approx(loss, abs=0.02)


def test_test_performance_in_closed_form():
    """Squared loss and Phi(-y m/sqrt(Q)) on the replicate's own order parameters."""
    problem = Problem(GaussianMixture.symmetric(), losses.squared(), optimizers.gd())
    result = train(problem, {"eta": 0.5, **SYMMETRIC}, **SIZE)
    m, variance = result.m_runs[0, :, 0, 0], result.Q_k_runs[0, :, 0, 0, 0]
    assert result.test_loss_runs[0].values == pytest.approx((((m - 1) ** 2 + variance) / 2).values, rel=1e-12)  # the points are whitened
    exact = [float(sp.erfc(float(a / np.sqrt(2 * b))) / 2) for a, b in zip(m, variance, strict=True)]
    assert result.test_error_runs[0].values == pytest.approx(exact, abs=3e-3)


def test_committee_readout_and_regression():
    mixture = GaussianMixture.symmetric()
    signs = train(Problem(mixture, losses.relu_committee(), optimizers.gd()), {"eta": 0.1, **SYMMETRIC}, **SIZE)
    assert 0 < float(signs.test_error[-1]) < 1 and signs.sizes["field"] == 2
    h0, h1 = symbols.fields(2)
    silent = Problem(mixture, Loss("silent", (h0**2 + h1**2 - symbols.y) ** 2), optimizers.gd())
    assert "test_error" not in train(silent, {"eta": 0.01, **SYMMETRIC}, **SIZE)


def test_labels_of_0_and_1_have_the_error_of_labels_of_a_sign():
    """The same training and the same predictions, the true class by a target or by the label itself."""
    y = symbols.y
    zero_one = Loss("zero_one", sp.log(1 + sp.exp(-(2 * y - 1) * h)), target=2 * y - 1)
    problems = (
        Problem(GaussianMixture.symmetric(label=(y + 1) / 2), zero_one, optimizers.gd()),
        Problem(GaussianMixture.symmetric(), losses.logistic(), optimizers.gd()),
    )
    one, other = (train(problem, {"eta": 1.0, **SYMMETRIC}, **SIZE).test_error_runs.values for problem in problems)
    np.testing.assert_array_equal(one, other)
    assert dmf(problems[0]).test_error == dmf(problems[1]).test_error


def test_teachers_and_trained_parameters():
    """A student v tanh(h) + c of a two-index target, v and c trained by heavy ball with their own step and ridge."""
    t0, t1, v, c = (symbol(name) for name in ("t0", "t1", "v", "c"))
    loss = Loss("two_index", (v * sp.tanh(h) + c - t0 * t1) ** 2 / 2, readout=h + c, target=t0)
    problem = Problem(
        GaussianMixture(
            probabilities=[0.5, 0.5],
            labels=[1, -1],
            means_gram=[[1, -1], [-1, 1]],
            variance=[[0.5, 2.0], [1.0, 0.2]],
            fractions=[0.5, 0.5],
        ),
        loss,
        optimizers.heavy_ball(),
        overlap=[0.3, -0.3],
        teacher=Teacher([[1.0, 0.3], [0.3, 0.8]], [0.2, 0.4], [[0.1, -0.1], [0.5, -0.5]]),
        trained=Trained({"v": 0.7, "c": -0.2}, step=0.3, ridge=0.1),
        observables={"signed": symbols.y * h * t0 + c, "spread": symbol("kappa") * (h - symbol("m_0")) ** 2 / symbol("Q_0_0")},
    )
    values = {"eta": 1.0, "momentum": 0.4, "ridge": 0.05, "kappa": 2.0}
    result = train(problem, values, **SIZE)
    plan, (samples, labels, start, means, teachers) = data_of(problem, **values)
    first, second = samples @ teachers[:, 0], samples @ teachers[:, 1]
    theta, w, optimizer, of_trained = start[:, 0], np.array([0.7, -0.2]), HeavyBall(1.0, 0.4), HeavyBall(0.3, 0.4)
    for time in range(SIZE["steps"]):
        squashed = np.tanh(samples @ theta)
        rest = w[0] * squashed + w[1] - first * second
        assert result.M_runs[0, time, :, 0].values == pytest.approx(teachers.T @ theta, rel=1e-10, abs=1e-12)
        assert result.trained_runs[0, time].values == pytest.approx(w, rel=1e-10)
        assert float(result.train_loss_runs[0, time]) == pytest.approx((rest**2).mean() / 2, rel=1e-10)
        assert float(result.train_signed_runs[0, time]) == pytest.approx((labels[:, 0] * (samples @ theta) * first + w[1]).mean(), rel=1e-9)
        spreads = []
        for k, sign in enumerate((1, -1)):
            fields = samples[labels[:, 0] == sign] @ theta
            variance = theta**2 @ np.repeat(plan.instance.variance[k], plan.sizes)
            spreads.append(2 * ((fields - means[:, k] @ theta) ** 2 / variance).mean())
        assert float(result.train_spread_runs[0, time]) == pytest.approx(np.mean(spreads), rel=1e-9)
        assert float(result.test_spread_runs[0, time]) == pytest.approx(2, rel=1e-9)
        if time == SIZE["steps"] - 1:
            break
        slopes = samples.T @ (rest * w[0] * (1 - squashed**2)) / len(rest) + 0.05 * theta
        slopes_of_trained = np.array([(rest * squashed).mean(), rest.mean()]) + 0.1 * w
        theta, w = optimizer(theta, slopes, time), of_trained(w, slopes_of_trained, time)

    losses_, wrong, signed = [], [], []
    for k in range(2):
        noise = np.random.default_rng(k).standard_normal((40000, 40)) * np.sqrt(np.repeat(plan.instance.variance[k], plan.sizes))
        h_, (a, b) = (noise + means[:, k]) @ theta, ((noise + means[:, k]) @ teachers).T
        losses_.append((w[0] * np.tanh(h_) + w[1] - a * b) ** 2 / 2)
        wrong.append((h_ + w[1]) * a < 0)
        signed.append((1, -1)[k] * h_ * a + w[1])
    for name, drawn in (
        ("test_loss_runs", np.array(losses_)),
        ("test_error_runs", np.array(wrong)),
        ("test_signed_runs", np.array(signed)),
    ):
        assert float(result[name][0, -1]) == pytest.approx(drawn.mean(), abs=4 * drawn.std() / np.sqrt(drawn.size) + 2e-3)


def test_a_step_of_trained_parameters_stands_for_eta():
    rule = Optimizer("halved", {"theta": theta - g / 2})
    with pytest.raises(InputError, match=r"trained step = 0.3.*stands for eta in the update rule, which the optimizer 'halved'"):
        Problem(
            GaussianMixture.symmetric(),
            Loss("biased", sp.log(1 + sp.exp(-symbols.y * (h + symbol("c"))))),
            rule,
            trained=Trained({"c": 0}, step=0.3),
        )


def test_ties_are_guesses():
    """Theta_0 = 0 predicts nothing: half the binary predictions are wrong, two thirds of those of three classes."""
    binary = train(Problem(GaussianMixture.symmetric(), losses.perceptron(), optimizers.gd(), norm2=0), {"eta": 1.0, **SYMMETRIC}, **SIZE)
    assert float(binary.test_error[0]) == 0.5 and float(binary.Q[0, 0, 0]) == 0 < float(binary.Q[1, 0, 0])
    mixture = GaussianMixture(probabilities=[0.5, 0.3, 0.2], labels=np.eye(3), means_gram=np.eye(3), variance=[1, 1, 1])
    classes = train(Problem(mixture, losses.softmax(3), optimizers.gd(), norm2=0), {"eta": 1.0}, **SIZE)
    assert float(classes.test_error[0]) == pytest.approx(2 / 3, abs=1e-14)


def test_kink_at_the_start():
    """At h = 0 the perceptron's gradient is the average of both sides: the first step is half of what it is beyond the kink."""
    problem = Problem(GaussianMixture.symmetric(), losses.perceptron(), optimizers.gd(), norm2=0)
    result = train(problem, {"eta": 1.0, **SYMMETRIC}, **SIZE)
    _, (samples, labels, _, means, _) = data_of(problem, eta=1.0, **SYMMETRIC)
    assert result.m_runs[0, 1, :, 0].values == pytest.approx(means.T @ (samples.T @ (labels[:, 0] / 2)) / 60, rel=1e-12)


def test_batches_do_not_matter(monkeypatch):
    problem = Problem(GaussianMixture.symmetric(), losses.logistic(), optimizers.heavy_ball())
    numbers, size = {**SYMMETRIC, "eta": 1.0, "momentum": 0.5}, {"n": 60, "d": 40, "steps": 12}
    together, fractions = train(problem, numbers, **size, replicates=2), []
    monkeypatch.setattr(batches, "_HELD", 0)
    apart = train(problem, numbers, **size, replicates=4, report=fractions.append)
    assert fractions == [0.25, 0.5, 0.75, 1.0]
    for name in ("m", "Q", "Q_k", "train_loss", "test_loss", "test_error"):
        assert apart[f"{name}_runs"].values[:2] == pytest.approx(together[f"{name}_runs"].values, rel=1e-12, abs=1e-14)
    assert len(np.unique(apart.m_runs[:, -1, 0, 0])) == 4
    other = train(problem, numbers, **size, replicates=2, seed=1)
    assert abs(other.m_runs - together.m_runs)[:, 1:].min() > 1e-6


def test_dataset(tmp_path):
    problem = Problem(GaussianMixture.symmetric(), losses.logistic(), optimizers.gd())
    result = train(problem, {"eta": 1.0, **SYMMETRIC}, n=90, d=60, steps=4, replicates=6, seed=7)
    assert dict(result.sizes) == {"time": 4, "cluster": 2, "field": 1, "field_b": 1, "replicate": 6}
    for name in ("m", "Q", "Q_k", "train_loss", "test_loss", "test_error"):
        runs = result[f"{name}_runs"]
        assert result[name].values == pytest.approx(runs.mean("replicate").values)
        assert result[f"{name}_error"].values == pytest.approx((runs.std("replicate", ddof=1) / np.sqrt(6)).values)
        assert result[name].attrs["long_name"] and result[name].attrs["latex"]
    expected = {"kind": "simulation", "problem": "logistic / gd", "alpha": 1.5, "seed": 7, "n": 90, "d": 60, "replicates": 6}
    assert expected.items() <= result.attrs.items()
    assert json.loads(result.attrs["parameters"]) == {"eta": 1.0, "ridge": 0.0, **SYMMETRIC}
    result.to_netcdf(tmp_path / "result.nc")
    with xr.open_dataset(tmp_path / "result.nc") as stored:
        xr.testing.assert_identical(stored.load(), result)


def test_divergence_is_an_error():
    problem = Problem(GaussianMixture.symmetric(), losses.squared(), optimizers.gd())
    with pytest.raises(ComputationError, match=r"diverged at step \d+: \|Theta\|\^2 = .* in replicate [01]; a smaller step"):
        train(problem, {"eta": 20.0, **SYMMETRIC}, **{**SIZE, "steps": 60})
    with pytest.raises(ComputationError, match="diverged at step 1: test_loss = inf"):
        train(Problem(GaussianMixture.symmetric(), losses.exponential(), optimizers.gd(), norm2=0), {"eta": 1e5, **SYMMETRIC}, **SIZE)
    blind = Optimizer("blind", {"theta": theta - eta * g / (t - symbol("pole"))})
    with pytest.raises(ComputationError, match="diverged at step 4"):
        train(Problem(GaussianMixture.symmetric(), losses.logistic(), blind), {"eta": 0.1, "pole": 3.0, **SYMMETRIC}, **SIZE)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ({}, {"n": 0}, "n = 0"),
        ({}, {"d": 2.5}, "d = 2.5"),
        ({}, {"steps": True}, "steps = True"),
        ({}, {"replicates": 1}, "replicates = 1: an integer of at least 2"),
        ({}, {"seed": -1}, "seed = -1"),
        ({"eta": -1.0}, {}, "eta = -1.0"),
        ({"banana": 1.0}, {}, "banana"),
        ({}, {"d": 1}, "rank 2"),
        ({}, {"n": 1}, "empty"),
    ],
)
def test_refused(values, options, message):
    problem = Problem(GaussianMixture.symmetric(), losses.logistic(), optimizers.gd())
    with pytest.raises(InputError, match=message):
        train(problem, {**SYMMETRIC, "eta": 1.0, **values}, **{**SIZE, **options})


def test_alpha_is_the_ratio():
    problem = Problem(GaussianMixture.symmetric(), losses.squared(), optimizers.gd(), ridge=symbols.ridge / symbols.alpha)
    result = train(problem, {"eta": 0.3, "ridge": 0.6, **SYMMETRIC}, **SIZE)
    plain = train(Problem(GaussianMixture.symmetric(), losses.squared(), optimizers.gd()), {"eta": 0.3, "ridge": 0.4, **SYMMETRIC}, **SIZE)
    assert result.m.values == pytest.approx(plain.m.values, rel=1e-12)
    with pytest.raises(InputError, match=r"alpha = 2.0, but n = 60 and d = 40 make n/d = 1.5; leave alpha out"):
        train(problem, {"alpha": 2.0, "eta": 0.3, "ridge": 0.6, **SYMMETRIC}, **SIZE)


def test_source_is_readable():
    text = source(Problem(GaussianMixture.symmetric(), losses.logistic(), optimizers.heavy_ball()))
    assert "    return rt.softplus(-h * y)\n" in text and max(map(len, text.splitlines())) < 120
    custom = source(Problem(GaussianMixture.symmetric(), Loss("cube", sp.Abs(h - symbols.y) ** 3), optimizers.gd()))
    assert "    x0 = h - y\n    return x0**2 * rt.absolute(x0)\n" in custom
