"""Gram matrices of the means and of Theta(0) given block by block, in full-batch and online theory, and problems in coordinates."""

from dataclasses import replace

import numpy as np
import pytest

import gmsym as gm

VALUES = {"alpha": 1.5, "eta": 0.8, "momentum": 0.4, "ridge": 0.05}
FEW = {"steps": 8, "samples": 512, "scrambles": 2}
MEANS = np.array([[[0.9, -0.8], [-0.8, 0.8]], [[0.1, 0.0], [0.0, 0.4]]])
START = {"norm2": np.array([[[0.2]], [[0.9]]]), "overlap": np.array([[[0.2, -0.1]], [[0.1, -0.1]]])}
ORDER = ("m", "Q", "Q_k", "train_loss", "test_loss", "test_error")


def blocks(variance, fractions, gram, sampling=None, **start):
    data = gm.GaussianMixture(probabilities=[0.4, 0.6], labels=[1, -1], means_gram=gram, variance=variance, fractions=fractions)
    online = sampling is not None
    optimizer = gm.optimizers.gd() if online else gm.optimizers.heavy_ball()
    return gm.Problem(data, gm.losses.logistic(), optimizer, sampling=sampling, **start)


def online(problem):
    return gm.Problem(problem.data, problem.loss, gm.optimizers.gd(), sampling=gm.sampling.online(), **START)


def agree(one, other, tolerance, names=ORDER):
    for name in names:
        assert float(abs(one[name] - other[name]).max()) < tolerance, name


@pytest.mark.slow
def test_where_vectors_are_does_not_matter_if_all_blocks_are_alike():
    placed = gm.solve(blocks([[0.5, 0.5], [1.2, 1.2]], [0.3, 0.7], MEANS, **START), VALUES, **FEW)
    whole = {"norm2": 1.1, "overlap": [0.3, -0.2]}
    one = gm.solve(blocks([0.5, 1.2], None, MEANS.sum(axis=0), **whole), VALUES, **FEW)
    agree(placed, one, 1e-6)


def test_where_vectors_are_matters():
    """Means in the noisy block are worse than means in the quiet one; shares lie between, and given as numbers are the shares."""
    variance, fractions = [[0.1, 2.0], [0.1, 2.0]], [0.5, 0.5]
    gram, nothing = np.array([[1.0, -1.0], [-1.0, 1.0]]), np.zeros((2, 2))
    given = [gram, nothing], [nothing, gram], gram, [gram / 2, gram / 2]
    quiet, noisy, shared, spelled = (gm.solve(blocks(variance, fractions, means), VALUES, **FEW) for means in given)
    error = lambda result: float(result["test_error"][-1])  # noqa: E731
    assert error(quiet) < error(shared) < error(noisy)
    agree(shared, spelled, 1e-12)


def test_theory_and_training_agree_block_by_block():
    problem = blocks([[0.5, 1.0], [0.2, 2.0]], [0.3, 0.7], MEANS, **START)
    theory = gm.solve(problem, VALUES, **FEW)
    runs = gm.simulate(problem, VALUES, d=240, steps=8, replicates=30)
    assert gm.compare(theory, runs).agrees()


@pytest.mark.exhaustive
@pytest.mark.slow
def test_online_theory_and_training_agree_block_by_block():
    problem = online(blocks([[0.5, 1.0], [0.2, 2.0]], [0.3, 0.7], MEANS, **START))
    values = {"eta": 1.0}
    theory, runs = gm.solve(problem, values, time=1.0), gm.simulate(problem, values, d=240, time=1.0, replicates=30, points=5)
    assert gm.compare(theory, runs).agrees()


def test_a_problem_file_keeps_the_blocks(tmp_path):
    problem = blocks([[0.5, 1.0], [0.2, 2.0]], [0.3, 0.7], MEANS, **START)
    (tmp_path / "problem.toml").write_text(gm.dumps(problem, VALUES))
    assert gm.read(tmp_path / "problem.toml").problem.signature == problem.signature


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gram": MEANS[:1]}, "means_gram has 1 blocks; a matrix for each of the 2"),
        ({"gram": MEANS[:, :1]}, "means_gram has shape (2, 1, 2); (blocks, 2, 2) is needed"),
        ({"gram": MEANS * np.nan}, "means_gram is nan at index (0, 0, 0)"),
        ({"norm2": np.ones((3, 1, 1))}, "norm2 has 3 blocks; a matrix for each of the 2"),
        ({"overlap": np.array([[[0.6, 0.0]], [[-0.6, 0.0]]])}, "within block 0"),
    ],
)
def test_wrong_blocks_are_refused(change, message):
    given = {"gram": MEANS, **START, **change}
    with pytest.raises(gm.InputError) as error:
        blocks([[0.5, 1.0], [0.2, 2.0]], [0.3, 0.7], given.pop("gram"), **given).at(VALUES)
    assert message in str(error.value)


# --- in coordinates ---------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(3)
D = 12
MU, SPREAD, THETA = RNG.normal(size=(2, D)) / np.sqrt(D), RNG.uniform(0.1, 2.0, size=(2, D)), RNG.normal(size=D) / np.sqrt(D)
TURN = np.linalg.qr(RNG.normal(size=(D, D)))[0]


def coordinates(loss=None, means=MU, start=THETA, **spread):
    data = gm.GaussianMixture(probabilities=[0.4, 0.6], labels=[1, -1], means=means, **spread)
    return gm.Problem(data, loss or gm.losses.logistic(), gm.optimizers.heavy_ball(), start=start)


@pytest.mark.slow
def test_coordinates_are_blocks_of_one_coordinate():
    """Vectors with common innovations against Gram matrices with innovations of each cluster."""
    vectors = gm.solve(coordinates(variance=SPREAD), VALUES, **FEW)
    outer = lambda u, v: np.einsum("kb,lb->bkl", u, v)  # noqa: E731
    start = {"norm2": outer(THETA[None], THETA[None]), "overlap": outer(THETA[None], MU)}
    gram = gm.solve(blocks(SPREAD, [1 / D] * D, outer(MU, MU), **start), VALUES, **FEW)
    agree(vectors, gram, 3e-3)
    assert float(abs(vectors["test_loss"] - gram["test_loss"]).max()) < 6 * float(gram["test_loss_error"].max())


def test_diagonal_matrices_are_variances():
    full = coordinates(covariance=np.array([np.diag(s) for s in SPREAD]))
    agree(gm.solve(coordinates(variance=SPREAD), VALUES, **FEW), gm.solve(full, VALUES, **FEW), 1e-9)


def test_quadratic_losses_close_in_coordinates():
    """Exact means against Stein's lemma on points."""
    loss, options = gm.losses.squared(), {"steps": 8}
    problem = coordinates(loss, variance=SPREAD)
    exact = gm.solve(problem, VALUES, **options)
    points = gm.solve(gm.derive.dmf(problem, response="stein"), VALUES, samples=4096, scrambles=2, **options)
    agree(exact, points, 2e-4, ("m", "train_loss", "test_error"))


def test_the_known_part_turns_with_the_coordinates():
    """Where covariances are multiples of the identity, any orthogonal turn changes nothing, matrices and vectors alike."""
    round_ = np.array([s * np.eye(D) for s in (0.5, 1.3)])
    turned = coordinates(covariance=round_, means=MU @ TURN, start=THETA @ TURN)
    agree(gm.solve(coordinates(covariance=round_), VALUES, **FEW), gm.solve(turned, VALUES, **FEW), 1e-9)


@pytest.mark.slow
def test_training_in_coordinates_agrees_with_the_limit():
    """Covariances that do not commute, in the eigenbasis of their mean; small d moves means by O(1/d)."""
    d, n = 60, 90
    rng = np.random.default_rng(1)
    parts = [np.linalg.qr(rng.normal(size=(d, d)))[0] for _ in range(2)]
    spread = np.array([(q * np.exp(0.8 * rng.normal(size=d))) @ q.T for q in parts])
    basis = np.linalg.eigh(0.4 * spread[0] + 0.6 * spread[1])[1]
    mu = rng.normal(size=(2, d)) / np.sqrt(d)
    problem = coordinates(means=mu, covariance=basis.T @ spread @ basis, start=rng.normal(size=d) / np.sqrt(d))
    values = {name: value for name, value in VALUES.items() if name != "alpha"}
    theory = gm.solve(problem, values, n=n, steps=8, samples=1024)
    runs = gm.simulate(problem, values, n=n, steps=8, replicates=40)
    off = abs(basis.T @ spread[0] @ basis - np.diag(np.diag(basis.T @ spread[0] @ basis))).max()
    assert off > 0.1
    for name, bound in (("test_loss", 0.02), ("test_error", 0.01), ("train_loss", 0.02)):
        assert float(abs(theory[name] - runs[name]).max()) < bound, name


def test_deriving_does_not_depend_on_the_number_of_coordinates():
    small, large = coordinates(variance=SPREAD), coordinates(means=np.tile(MU, 40), start=np.tile(THETA, 40), variance=np.tile(SPREAD, 40))
    assert len(gm.source(gm.derive.dmf(small))) == len(gm.source(gm.derive.dmf(large))) - 2  # 480 for 12, in two places
    assert gm.derive.dmf(small).equations() == gm.derive.dmf(large).equations()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"means": MU[:1], "variance": SPREAD}, "means has shape (1, 12); (2, d) is needed"),
        ({"variance": SPREAD, "covariance": np.eye(D)}, "either variance or covariance"),
        ({"variance": -SPREAD}, "variances must not be negative"),
        ({"covariance": TURN}, "is not symmetric"),
        ({"covariance": -np.eye(D)}, "negative eigenvalue"),
        ({"variance": SPREAD, "start": THETA[:3]}, "start has shape (3,); (12, 1) is needed"),
    ],
)
def test_wrong_coordinates_are_refused(change, message):
    with pytest.raises(gm.InputError) as error:
        coordinates(**change)
    assert message in str(error.value)


def test_a_changed_problem_keeps_where_its_vectors_are():
    by_gram, by_vector = blocks([[0.5, 1.0], [0.2, 2.0]], [0.3, 0.7], MEANS, **START), coordinates(variance=SPREAD)
    for problem in (by_gram, by_vector):
        values = {name: VALUES[name] for name in VALUES if name != "ridge"}
        assert replace(problem, ridge=0).at(values).block_grams.tolist() == problem.at(VALUES).block_grams.tolist()
