"""The stationary limit in numbers: closed forms, the end of the project's own trajectory, other ways to the same numbers, refusals."""

from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import sympy as sp

import gmsym as gm
from gmsym import derive, pipeline
from gmsym.errors import ComputationError, InputError
from tests.guards import guards

h, y = gm.symbols.h, gm.symbols.y
UNEQUAL = gm.GaussianMixture(
    probabilities=[0.7, 0.3],
    labels=[1, -1],
    means_gram=[[1.44, -1.0], [-1.0, 1.44]],
    variance=[[1.0, 0.4], [0.3, 2.0]],
    fractions=[0.6, 0.4],
)


def at_rest(loss, data=UNEQUAL, optimizer=None, **more):
    return derive.stationary(gm.Problem(data, loss, optimizer or gm.optimizers.gd(), **more))


ONE, TWO = gm.Teacher([[1.3]], means_overlap=[[0.4, -0.2]]), gm.Teacher([[1.3, 0.2], [0.2, 0.8]], means_overlap=[[0.4, -0.2], [0.1, 0.3]])
BIASED = gm.Loss("biased", gm.parse("log(1 + exp(-sign(t0 + y/2)*(h + bias)))"), target=gm.parse("t0 + y/2"), readout=gm.parse("h + bias"))
FIELDS = gm.Loss("fields", gm.parse("(h0 - tanh(t0))**2/2 + log(1 + exp(-y*h1)) + (h0 - h1)**2/10"))
TAUGHT = {  # loss, rule, teacher, values, options
    "hinge": (gm.Loss("hinge", gm.parse("max(0, 1 - sign(t0)*h)"), target=gm.parse("t0")), None, ONE, {"ridge": 0.1}, {}),
    "soft threshold": (gm.Loss("squared", gm.parse("(h - t0 - y/3)**2/2")), gm.optimizers.ista(), ONE, {"ridge": 0.02, "l1": 0.2}, {}),
    "intercept": (BIASED, None, ONE, {"ridge": 0.1}, {"trained": gm.Trained({"bias": 0.1})}),
    "products, noise": (gm.Loss("products", gm.parse("log(1 + exp(-sign(t0*t1 + 0.3*w0)*h))")), None, TWO, {"ridge": 0.1}, {}),
    "two fields": (FIELDS, None, ONE, {"ridge": 0.1}, {}),
}


def test_ridge_regression_is_the_closed_form():
    """One cluster around 0 with label 1: a mean mu, Sigma = I. Theta = (1 - m)/(1 + V) / (lambda + 1/(1 + V)) mu, V from a quadratic."""
    data = gm.GaussianMixture(probabilities=[1], labels=[1], means_gram=[[2.0]], variance=[1.0])
    alpha, ridge = 0.7, 0.3
    found = gm.solve(at_rest(gm.losses.squared(), data), {"alpha": alpha, "ridge": ridge})
    # V = (1/alpha) / (lambda + 1/(1 + V)).
    V = max(np.roots([alpha * ridge, alpha * ridge + alpha - 1, -1]).real)
    gain = alpha * V
    m = 2 * gain / (1 + V) / (1 + 2 * gain / (1 + V))
    slope = (1 - m) / (1 + V)
    Q = gain**2 * (2 * slope**2 + (slope**2 + 0 * m) / alpha) / (1 - gain**2 / (alpha * (1 + V) ** 2))
    assert found["V"].item() == pytest.approx(V, rel=1e-9)
    assert found["m"].item() == pytest.approx(m, rel=1e-9)
    assert found["Q"].item() == pytest.approx(Q, rel=1e-9)
    assert found["train_loss"].item() == pytest.approx(((1 - m) ** 2 + Q) / (1 + V) ** 2 / 2, rel=1e-9)


@pytest.mark.parametrize(
    ("loss", "m", "Q", "V", "train_loss"),
    # Another implementation's digits: NumPy, nodes of its own, Newton's method by differences (the project's oracle, n/d 1.2, ridge .05).
    [
        ("logistic", 1.7247663, 3.6780472, 7.2174243, 0.1161088180),
        ("hinge", 1.0023729, 1.73605476, 5.05577811, 8.63265525e-07),
        ("squared", 0.5946002, 0.85946437, 2.11448425, 0.04044992),
    ],
)
def test_another_implementation_agrees(loss, m, Q, V, train_loss):
    data = gm.GaussianMixture(
        probabilities=[0.7, 0.3],
        labels=[1, -1],
        means_gram=[[1.44, -1.44], [-1.44, 1.44]],
        variance=[[1.0, 0.4], [0.3, 2.0]],
        fractions=[0.6, 0.4],
    )
    found = gm.solve(at_rest(getattr(gm.losses, loss)(), data), {"alpha": 1.2, "ridge": 0.05})
    assert found["m"].values[:, 0] == pytest.approx([m, -m], rel=1e-7)
    assert found["Q"].item() == pytest.approx(Q, rel=1e-7)
    assert found["V"].values[0, 0, 0] == pytest.approx(V, rel=1e-7)
    assert found["train_loss"].item() == pytest.approx(train_loss, rel=1e-6)


@pytest.mark.slow
def test_the_closed_proximal_point_is_newtons():
    """The squared loss written so that SymPy sees no polynomial, and a huge Huber width: both are ridge regression."""
    reference = gm.solve(at_rest(gm.losses.squared()), {"alpha": 1.2, "ridge": 0.05})
    other = gm.solve(at_rest(gm.losses.huber(50)), {"alpha": 1.2, "ridge": 0.05})
    for name in ("m", "Q", "V", "train_loss", "train_error", "test_error"):
        assert other[name].values == pytest.approx(reference[name].values, rel=1e-9, abs=1e-12), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("law", "m", "Q", "V", "nonzero", "test_error"),
    # As above, from the oracle's soft thresholds of Gaussian and of sparse coordinates.
    [
        (None, 0.97231562, 1.4664597, 1.93920063, 0.37724562812981627, 0.18758996),
        (gm.coordinates.sparse(0.1), 1.40886486, 1.76768907, 1.1520764, 0.22794819876048208, 0.12112938),
    ],
)
def test_soft_thresholds_of_any_law(law, m, Q, V, nonzero, test_error):
    data = gm.GaussianMixture(
        probabilities=[0.7, 0.3],
        labels=[1, -1],
        means_gram=[[1.44, -1.44], [-1.44, 1.44]],
        variance=[[1.0, 0.4], [0.3, 2.0]],
        fractions=[0.6, 0.4],
        coordinates=law,
    )
    system = derive.stationary(gm.Problem(data, gm.losses.logistic(), gm.optimizers.ista()))
    found = gm.solve(system, {"alpha": 1.2, "ridge": 0.03, "l1": 0.3})
    for name, value in (("Q", Q), ("nonzero", nonzero), ("test_error", test_error)):
        assert found[name].item() == pytest.approx(value, rel=1e-7), name
    assert found["m"].values[:, 0] == pytest.approx([m, -m], rel=1e-7)
    assert found["V"].values[0, 0, 0] == pytest.approx(V, rel=1e-7)


@pytest.mark.slow
def test_the_trajectory_ends_there():
    """Heavy ball on the same problem to convergence: 1e-5 of DMF's own error at 2^15 points."""
    problem = gm.Problem(UNEQUAL, gm.losses.logistic(), gm.optimizers.heavy_ball())
    values = {"alpha": 1.2, "ridge": 0.1, "eta": 2.0, "momentum": 0.7}
    rest = gm.solve(derive.stationary(problem), values)
    end = gm.solve(derive.dmf(problem), values, steps=150, samples=2**15, scrambles=2).isel(time=-1)
    for name in ("m", "Q", "Q_k", "train_loss", "test_loss", "test_error"):
        gap = np.abs(end[name].values - rest[name].values)
        assert (gap < 4 * end[f"{name}_error"].values + 1e-5).all(), (name, gap)
        assert (gap < 1e-4).all(), (name, gap)


def test_a_linear_teacher_is_the_closed_form():
    """Two teachers of one cluster around 0 and noise of its own: ridge regression, V from a quadratic, Theta = G/(1 + V) sum theta*."""
    data = gm.GaussianMixture(probabilities=[1], labels=[0], means_gram=[[0]], variance=[1.0])
    gram, alpha, ridge, noise = np.array([[1.3, 0.2], [0.2, 0.8]]), 0.7, 0.3, 0.6
    loss = gm.Loss("taught", gm.parse(f"(h - t0 - t1/2 - {noise}*w0)**2/2"))
    found = gm.solve(at_rest(loss, data, teacher=gm.Teacher(gram.tolist())), {"alpha": alpha, "ridge": ridge})
    V = max(np.roots([alpha * ridge, alpha * ridge + alpha - 1, -1]).real)
    gain, target = alpha * V, gram @ [1, 0.5]
    M, square = gain / (1 + V) * target, target @ [1, 0.5]
    # E a^2 (1 + V)^2 = Q - 2 Theta . target + |target|^2 + noise^2, and Q = |Theta's part along the teachers|^2 + gain^2 E a^2/alpha.
    along, share = gain / (1 + V), gain**2 / (alpha * (1 + V) ** 2)
    Q = (along**2 * square + share * (square * (1 - 2 * along) + noise**2)) / (1 - share)
    assert found["M"].values[:, 0] == pytest.approx(M, rel=1e-9)
    assert found["Q"].item() == pytest.approx(Q, rel=1e-9)
    assert found["test_loss"].item() == pytest.approx((Q - 2 * along * square + square + noise**2) / 2, rel=1e-9)
    assert found["train_loss"].item() == pytest.approx(found["test_loss"].item() / (1 + V) ** 2, rel=1e-9)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_a_taught_trajectory_ends_there():
    case = pipeline.load_case(Path(__file__).parents[2] / "derivations" / "taught_gd")
    rest = gm.solve(derive.stationary(case.PROBLEM), case.VALUES)
    end = gm.solve(case.PROBLEM, case.VALUES, steps=300, samples=4096, scrambles=2).isel(time=-1)
    for name in ("M", "Q", "train_loss", "test_loss", "test_error"):
        gap = np.abs(end[name].values - rest[name].values)
        assert (gap < 2 * end[f"{name}_error"].values + 1e-5).all() and (gap < 2e-3).all(), (name, gap)


@pytest.mark.slow
@pytest.mark.parametrize("name", guards(TAUGHT, "soft threshold"))
def test_minima_with_teachers_agree(name):
    loss, optimizer, teacher, values, options = TAUGHT[name]
    system = at_rest(loss, optimizer=optimizer, teacher=teacher, **options)
    theory = gm.solve(system, {"alpha": 1.3, **values})
    found = gm.compare(theory, gm.simulate(system, values, n=520, d=400, replicates=8, seed=5))
    print(f"\n{found}")
    assert found.agrees() and found.rms_z < 1.8, str(found)


@pytest.mark.slow
def test_a_vanishing_ridge_leaves_the_largest_margin():
    """Of separable data without means: 1/|Theta| is the kappa at which n/d E max(0, kappa + z)^2 = 1 (Gardner 1988)."""
    data = gm.GaussianMixture(probabilities=[0.5, 0.5], labels=[1, -1], means_gram=[[0, 0], [0, 0]], variance=[1, 1])
    found = gm.solve(at_rest(gm.losses.hinge(), data), {"alpha": 1.0, "ridge": 1e-3})
    kappa = scipy.optimize.brentq(lambda x: (1 + x * x) * scipy.stats.norm.cdf(x) + x * scipy.stats.norm.pdf(x) - 1.0, 0, 2)
    assert found["Q"].item() ** -0.5 == pytest.approx(kappa, rel=1e-9)
    assert found["train_error"].item() == pytest.approx(0, abs=1e-12)


@pytest.mark.slow
def test_the_separability_threshold_is_where_the_width_diverges():
    """Without means and without a ridge logistic regression has a minimum for n/d > 2 (Candes and Sur 2018)."""
    data = gm.GaussianMixture(
        probabilities=[0.5, 0.5], labels=[1, -1], means_gram=[[0, 0], [0, 0]], variance=[[1, 1], [1, 1]], fractions=[0.5, 0.5]
    )
    system = at_rest(gm.losses.logistic(), data)
    alphas = [2.02, 2.05, 2.1]
    vanishing = [gm.solve(system, {"alpha": alpha})["V"].values[0, 0, 0] ** -1.5 for alpha in alphas]
    threshold = np.polyval(np.polyfit(vanishing, alphas, 1), 0.0)  # V grows like (n/d - 2)^(-2/3)
    assert threshold == pytest.approx(2.0, abs=0.002)
    with pytest.raises(ComputationError, match="no minimum without a penalty at alpha = 1.8"):
        gm.solve(system, {"alpha": 1.8})


def test_what_has_no_stationary_limit_is_refused():
    with pytest.raises(InputError, match="not convex.*gradient falls between"):
        gm.solve(at_rest(gm.Loss("double_well", (h**2 - y) ** 2)), {"alpha": 1.0, "ridge": 0.1})
    with pytest.raises(InputError, match="bernoulli.*do not end at the minimum"):
        at_rest(gm.losses.logistic(), sampling=gm.sampling.bernoulli(0.5))
    with pytest.raises(InputError, match="does not rest where"):
        theta, g = gm.symbols.theta, gm.symbols.g
        derive.stationary(gm.Problem(UNEQUAL, gm.losses.logistic(), gm.Optimizer("shrunk", {"theta": sp.tanh(theta) - g})))
    with pytest.raises(InputError, match="alpha is missing"):
        gm.solve(at_rest(gm.losses.logistic()), {"ridge": 0.1})
    with pytest.raises(ComputationError, match="no minimum without a penalty"):
        gm.solve(at_rest(gm.losses.squared()), {"alpha": 0.5})


def test_decoupled_weight_decay_is_a_ridge():
    system = derive.stationary(gm.Problem(UNEQUAL, gm.losses.squared(), gm.optimizers.weight_decay()))
    assert system.decay == gm.symbols.symbol("weight_decay")
    assert derive.stationary(gm.Problem(UNEQUAL, gm.losses.squared(), gm.optimizers.flow())).decay == 0
    assert derive.stationary(gm.Problem(UNEQUAL, gm.losses.squared(), gm.optimizers.elastic_net())).decay == gm.symbols.symbol("l2")
    decayed = gm.solve(system, {"alpha": 1.2, "weight_decay": 0.05})
    reference = gm.solve(at_rest(gm.losses.squared()), {"alpha": 1.2, "ridge": 0.05})
    assert decayed["m"].values == pytest.approx(reference["m"].values, rel=1e-12)


def test_a_curve_is_continued():
    system = at_rest(gm.losses.squared())
    curve = gm.solve(system, {"alpha": [0.5, 1.0, 2.0], "ridge": 0.05})
    single = gm.solve(system, {"alpha": 1.0, "ridge": 0.05})
    assert curve["m"].dims == ("alpha", "cluster", "field")
    assert curve["m"].sel(alpha=1.0).values == pytest.approx(single["m"].values, rel=1e-9)
    grid = gm.solve(system, {"alpha": [0.5, 1.0], "ridge": [0.05, 0.1]})
    assert grid["Q"].sel(alpha=1.0, ridge=0.05).item() == pytest.approx(single["Q"].item(), rel=1e-9)


def test_from_the_command_line(gmsym, tmp_path):
    import json

    file = tmp_path / "p.toml"
    file.write_text(
        "[mixture]\nprobabilities = [0.5, 0.5]\nlabels = [1, -1]\nmeans_gram = [[1, -1], [-1, 1]]\n"
        "blocks = { fractions = [0.5, 0.5], variance = [[1, 1], [1, 1]] }\n"
        '[loss]\nname = "squared"\n[optimizer]\nname = "gd"\nridge = 0.1\n[run]\nalpha = 2.0\n[simulation]\nd = 200\nreplicates = 4\n'
    )
    status, out, _ = gmsym("solve", file, "--theory", "stationary", "--json", "-")
    found = json.loads(out)
    assert status == 0
    assert {"m", "Q", "Q_k", "V", "train_loss", "train_error", "test_loss", "test_error", "error"} <= found.keys()
    assert set(found["error"]) == {"m", "Q", "Q_k", "V", "train_loss", "train_error", "test_loss", "test_error"}
    status, out, _ = gmsym("compare", file, "--theory", "stationary", "--json", "-")
    assert status == 0 and json.loads(out)["agrees"]
    assert pipeline.THEORIES["stationary"].solved


def test_it_can_be_seen():
    system = at_rest(gm.losses.squared())
    point = gm.solve(system, {"alpha": 1.0, "ridge": 0.05})
    left, right = gm.plot(point)
    assert len(left.lines) == 5 and len(right.lines) == 4  # m, Q, Q_k; both losses and errors
    (panel,) = gm.plot(gm.solve(system, {"alpha": [0.5, 1.0, 2.0], "ridge": 0.05}), quantities=["test_error"])
    assert list(panel.lines[0].get_xdata()) == [0.5, 1.0, 2.0]
