"""Fluctuations of online SGD: the predicted covariance is the one measured, at one time and at two, with its full volatility."""

import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym import derive, pipeline
from gmsym.calculus.kernels import Transposed
from gmsym.codegen import signature, source
from gmsym.comparison import measured_fluctuations
from gmsym.engine import sde as engine
from gmsym.pipeline.effective import arrays
from gmsym.runtime import nodes
from gmsym.system import sde as F
from gmsym.system.ode import a, c, h, phi_Q, sigma2, t
from tests.engine.test_ode import LOGISTIC, XOR, binary, xor


def measured(problem, d, replicates, time, points, **setting):
    runs = gm.simulate(problem, setting, d=d, time=time, replicates=replicates, points=points, seed=5, sampler="chain")
    return measured_fluctuations(runs)


def scores(theory, found):
    """Gaps of the variances in standard errors at times after 0, over statistics that fluctuate."""
    predicted = np.diagonal(theory["covariance"].values[1:], axis1=1, axis2=2)
    value = np.diagonal(found["covariance"].values[1:], axis1=1, axis2=2)
    error = np.diagonal(found["covariance_error"].values[1:], axis1=1, axis2=2)
    kept = predicted > 1e-9
    return (value - predicted)[kept] / error[kept], value[kept] / predicted[kept]


def test_the_volatility_holds_the_noise_of_the_corrector():
    system = derive.fluctuations(binary())
    increment = next(e.rhs for e in system.equations() if isinstance(e.lhs, phi_Q))
    assert increment.coeff(c) == sigma2(F_k) * a(t) * Transposed(a(t))
    assert increment.has(h)
    lyapunov = {e.lhs: e.rhs for e in system.fluctuation}[sp.Derivative(F.P(t), t)]
    assert lyapunov == F.DF(t) * F.P(t) + F.P(t) * Transposed(F.DF(t)) + c * F.Sigma(t)
    assert signature(system) != signature(system.ode)
    assert "def covariance_rate(DF, P, Sigma, c):" in source(system)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_variance_and_autocorrelation_are_those_measured():
    """d = 1000, 1500 runs of the exact chain: variances within three standard errors and 5% on average, correlations within 5%."""
    found = measured(binary(), 1000, 1500, 6.0, 4, **LOGISTIC)
    theory = gm.solve(gm.derive.fluctuations(binary()), LOGISTIC, time=found["time"].values)
    assert theory["statistic"].values.tolist() == found["statistic"].values.tolist() == ["Q", "m[0]", "m[1]"]
    z, ratio = scores(theory, found)
    assert np.abs(z).max() < 3.5 and abs(ratio.mean() - 1) < 0.05
    for statistic in ("Q", "m[0]"):
        pair = {"statistic": statistic, "statistic_b": statistic}
        one, other = (
            data["two_time"].sel(pair).values[3, 1] / np.sqrt(data["covariance"].sel(pair).values[[1, 3]].prod())
            for data in (theory, found)
        )
        assert abs(one - other) < 0.05


def test_without_the_noise_of_the_corrector_the_volatility_of_q_is_too_large():
    """c sigma^2 a a^T goes against h a^T + a h^T: left out of the increment of Q it nearly doubles its variance, and no other's."""
    module, (numbers, start) = (
        pipeline.load(derive.fluctuations(binary())),
        arrays(binary().at({"eta": 1.5, "sigma": 1.0, "mu_norm": 1.0})),
    )
    start = start._replace(Q=jnp.array([[2.3]]), m=jnp.array([[1.3], [-1.3]]))
    rule = nodes.rule(1, "smooth", 0)
    full, partial = (
        np.diag(engine.moments(module, jnp.asarray(0.0), start, numbers._replace(corrector=x), rule).volatility) for x in (1.0, 0.0)
    )
    assert partial[0] > 1.5 * full[0]
    assert np.allclose(partial[1:], full[1:])


@pytest.mark.slow
def test_the_volatility_is_the_covariance_of_sampled_increments():
    """XOR network: c Sigma from 2000000 samples of (h, u), no Gaussian conditioning; each entry within five standard errors."""
    problem, step = xor(), 0.5
    module, (numbers, start) = pipeline.load(derive.fluctuations(problem)), arrays(problem.at({"eta": step}))
    found = step * np.asarray(engine.moments(module, jnp.asarray(0.0), start, numbers, nodes.rule(2, "smooth", 1)).volatility)
    rng = np.random.default_rng(2)
    count = 250_000
    gram = np.block([[start.Q, start.m.T], [start.m, numbers.gram]])
    root = np.linalg.svd(gram)[0] * np.sqrt(np.linalg.svd(gram)[1])
    phi = []
    for k in range(4):
        fields = np.concatenate([start.m[k], numbers.gram[k]])[:, None] + 0.5 * root @ rng.standard_normal((6, count))
        hk, u = fields[:2], fields[2:]
        y, v = float(problem.data.labels[k][0]), np.asarray(start.v)
        g = np.asarray(sp.lambdify(sp.Symbol("x"), sp.erf(sp.Symbol("x") / sp.sqrt(2)), "scipy")(hk))
        r = v[0] * g[0] + v[1] * g[1] + v[2] - y
        slope = r * v[:2, None] * np.sqrt(2 / np.pi) * np.exp(-(hk**2) / 2)
        q = [-(hk[i] * slope[j] + hk[j] * slope[i]) + step * 0.25 * slope[i] * slope[j] for i, j in ((0, 0), (0, 1), (1, 1))]
        m = [-u[x] * slope[i] for x in range(4) for i in range(2)]
        phi.append(np.stack([*q, *m, *(-2 * r * part for part in (g[0], g[1], np.ones(count)))]))  # c_v/c = 2
    phi = np.concatenate(phi, axis=1)
    centred = phi - phi.mean(axis=1, keepdims=True)
    expected = step * centred @ centred.T / phi.shape[1]
    assert np.allclose(found, expected, atol=0.01 * np.abs(expected).max())


def taught_blocks():
    """Two blocks, each noisier for one of the clusters; a teacher whose field weighs the sample."""
    data = gm.GaussianMixture(
        probabilities=[0.4, 0.6],
        labels=[1, -1],
        means_gram=[[1.2, -0.5], [-0.5, 1.0]],
        variance=[[2.0, 0.2], [0.1, 1.0]],
        fractions=[0.25, 0.75],
    )
    loss = gm.Loss("weighed", gm.parse("log(1 + exp(-y*h)) + (h - t0)**2/4"))
    teacher = gm.Teacher([[1]], overlap=[0.3], means_overlap=[[0.4, -0.2]])
    return gm.Problem(data, loss, gm.optimizers.gd(), sampling=gm.sampling.online(), overlap=[0.3, -0.2], teacher=teacher)


def test_the_volatility_by_block_is_the_covariance_of_sampled_increments():
    """The fields of both blocks sampled, no Gaussian conditioning; each entry within 1% of the largest."""
    problem, step, rho, count = taught_blocks(), 0.8, np.array([0.25, 0.75]), 500_000
    module, (numbers, start) = pipeline.load(derive.fluctuations(problem)), arrays(problem.at({"eta": step, "ridge": 0.1}))
    start = start._replace(Q=start.Q * jnp.array([0.5, 1.5])[:, None, None], m=start.m * jnp.array([1.3, 0.8])[:, None, None])
    found = step * np.asarray(engine.moments(module, jnp.asarray(0.0), start, numbers, nodes.rule(*module.SAMPLE_NODES, 1)).volatility)
    names = "Q_b[0] Q_b[1] m_b[0;0] m_b[0;1] m_b[1;0] m_b[1;1] M_b[0;0] M_b[1;0]"
    assert engine.labels(module, 2) == names.split()
    gram, means, rng, phi = np.array([[1.2, -0.5], [-0.5, 1.0]]), np.array([[0.4, -0.2]]), np.random.default_rng(2), []
    for k, (y, weight) in enumerate(((1, 0.4), (-1, 0.6))):
        of_block, s2 = [], [float(x) for x in problem.data.variance[k, :]]
        for b in range(2):  # h, tau, u_0, u_1 of a block
            Q, m, M = (np.asarray(x[b]) for x in (start.Q, start.m, start.M))
            whole = np.block([[Q, M.T, m.T], [M, rho[b] * np.eye(1), rho[b] * means], [m, rho[b] * means.T, rho[b] * gram]])
            values, vectors = np.linalg.eigh(whole)
            noise = (vectors * np.sqrt(values.clip(0))) @ rng.standard_normal((4, round(count * weight)))
            of_block.append(whole[:, 2 + k, None] + np.sqrt(s2[b]) * noise)
        h, tau = (sum(x[i] for x in of_block) for i in (0, 1))
        a = -y / (1 + np.exp(y * h)) + (h - tau) / 2
        q = [-2 * of_block[b][0] * a + step * rho[b] * s2[b] * a**2 - 0.2 * float(start.Q[b, 0, 0]) for b in range(2)]
        m = [-of_block[b][2 + x] * a - 0.1 * float(start.m[b, x, 0]) for b in range(2) for x in range(2)]
        phi.append(np.stack([*q, *m, *(-of_block[b][1] * a - 0.1 * float(start.M[b, 0, 0]) for b in range(2))]))
    expected = step * np.cov(np.concatenate(phi, axis=1))
    assert np.allclose(found, expected, atol=0.01 * np.abs(expected).max())


@pytest.mark.exhaustive
@pytest.mark.slow
def test_variances_by_block_are_those_measured():
    """d = 300, 2000 runs of the chain: variances of all overlaps of both blocks, 5% on average and each within its error."""
    problem, setting = taught_blocks(), {"eta": 0.8, "ridge": 0.1}
    found = measured(problem, 300, 2000, 3.0, 4, **setting)
    theory = gm.solve(gm.derive.fluctuations(problem), setting, time=found["time"].values)
    assert theory["statistic"].values.tolist() == found["statistic"].values.tolist()
    z, ratio = scores(theory, found)
    assert len(ratio) == 3 * 8 and np.abs(z).max() < 3.5 and abs(ratio.mean() - 1) < 0.05


@pytest.mark.exhaustive
@pytest.mark.slow
def test_the_critical_diffusion_of_xor():
    """Zero overlap is invariant: sqrt(d) m diffuses by a linear SDE; Lyapunov equation, sampled paths and the chain agree within 5%."""
    network = gm.parse("v0*tanh(h0) + v1*tanh(h1) + bias")
    loss = gm.Loss("xor_bce", gm.parse(f"log(1 + exp({network})) - (1 + y)/2*({network})"), readout=network)
    trained = gm.Trained({"v0": 0.5, "v1": -0.4, "bias": 0.1})
    problem = gm.Problem(XOR, loss, gm.optimizers.gd(), sampling=gm.sampling.online(), norm2=[[0.6, 0.1], [0.1, 0.5]], trained=trained)
    found = measured(problem, 400, 3000, 4.0, 5, eta=1.5)
    theory = gm.solve(gm.derive.fluctuations(problem), {"eta": 1.5}, time=found["time"].values, paths=3000)
    overlaps = [name for name in theory["statistic"].values if name.startswith("m")]
    assert float(abs(theory["mean"].sel(statistic=overlaps)).max()) < 1e-12
    predicted, value = (np.stack([x["covariance"].sel(statistic=n, statistic_b=n).values[1:] for n in overlaps]) for x in (theory, found))
    assert np.abs((value / predicted).mean(axis=0) - 1).max() < 0.05
    paths = theory["paths"].sel(statistic=overlaps).var("path").values[1:].T
    assert np.abs((paths / predicted).mean(axis=0) - 1).max() < 0.05


@pytest.mark.slow
def test_a_stable_fixed_point_has_its_stationary_covariance():
    """DF P + P DF^T + c Sigma = 0 at the end of a long run."""
    setting = LOGISTIC | {"ridge": 0.3}
    theory = gm.solve(gm.derive.fluctuations(binary()), setting, time=[0.0, 30.0, 60.0])
    assert np.allclose(theory["covariance"].values[1], theory["covariance"].values[2], rtol=1e-4)
    module, (numbers, start) = (
        pipeline.load(derive.fluctuations(binary())),
        arrays(binary().at(setting)),
    )
    at = engine.solve_fluctuations(module, numbers, start, [0.0, 60.0])
    residual = at.jacobian[-1] @ at.covariance[-1] + at.covariance[-1] @ at.jacobian[-1].T + at.volatility[-1]
    assert np.abs(residual).max() < 1e-4


def test_bad_arguments_are_named():
    with pytest.raises(gm.InputError, match=r"initial has shape \(2, 2\); \(3, 3\) is needed: Q, m\[0\], m\[1\]"):
        gm.solve(gm.derive.fluctuations(binary()), LOGISTIC, time=1.0, initial=np.eye(2))
    with pytest.raises(gm.InputError, match="a simulation of online SGD with the values of its replicates"):
        measured_fluctuations(gm.solve(binary(), LOGISTIC, time=1.0))


F_k = next(iter(sigma2(sp.Symbol("k", integer=True, positive=True)).args))
