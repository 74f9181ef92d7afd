"""Generated modules: the text computes what the system says, on arrays, under jit, in float32 and float64."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym import derive, pipeline
from gmsym.calculus.kernels import Transposed
from gmsym.codegen import signature, source
from gmsym.codegen._arrays import arguments, array_text, letters
from gmsym.errors import UnprintableError
from gmsym.problem import losses, optimizers
from gmsym.runtime import load
from gmsym.symbols import g as grad
from gmsym.symbols import theta
from gmsym.system.causal_kernels import A, Bk, L, La, Mean, P, Q, Rt, W, Y, a, abar, alpha, b, i, j, k, p, ridge, s, sigma2, t

RNG = np.random.default_rng(3)


def problem_of(name: str) -> gm.Problem:
    loss = losses.CATALOG[name]()
    data = gm.GaussianMixture.symmetric(mu_norm=1, sigma=1)
    if name == "softmax":
        data = gm.GaussianMixture(
            probabilities=[sp.Rational(1, 3)] * 3, labels=sp.eye(3).tolist(), means_gram=sp.eye(3), variance=[1, 1, 1]
        )
    return gm.Problem(data, loss, optimizers.heavy_ball())


@pytest.fixture(scope="module", params=list(losses.CATALOG))
def case(request):
    problem = problem_of(request.param)
    system = derive.dmf(problem)
    return problem, system, load(source(system), request.param)


def test_local_functions_are_the_losses(case):
    """Against SymPy at 30 digits, and the gradient and Hessian against automatic differentiation of the loss."""
    problem, system, module = case
    h = RNG.normal(size=(len(system.fields), 6)) + 0.05
    label = [float(x) for x in problem.data.labels[0]]
    parameters = [0.7] * len(system.parameters)
    value, gradient, hessian = (jax.jit(f)(h, label, parameters) for f in (module.loss, module.gradient, module.hessian))
    assert value.shape == (6,) and gradient.shape == h.shape and hessian.shape == (len(h), *h.shape)
    for n in range(6):
        point = dict(zip((*system.fields, *system.labels), [*map(float, h[:, n]), *label], strict=True))
        assert np.isclose(float(value[n]), float(system.loss.subs(point)), rtol=1e-12)
        single = lambda x: module.loss(x[:, None], label, parameters)[0]  # noqa: E731
        assert np.allclose(jax.grad(single)(h[:, n]), gradient[:, n], rtol=1e-10, atol=1e-12)
        assert np.allclose(jax.hessian(single)(h[:, n]), hessian[:, :, n], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["logistic", "softmax", "probit", "smoothed_hinge", "huber", "hinge"])
def test_extreme_fields_give_finite_values(name, dtype):
    """h = +-1e4: value, gradient and Hessian stay finite and have the limits of the loss."""
    problem = problem_of(name)
    module = load(source(derive.dmf(problem)), name)
    fields = len(problem.loss.fields)
    h = np.zeros((fields, 2), dtype=dtype)
    h[0] = [1e4, -1e4]
    label = np.array([float(x) for x in problem.data.labels[0]], dtype=dtype)
    parameters = np.full(len(problem.local_parameters), 0.5, dtype=dtype)
    value, gradient, hessian = (jax.jit(f)(h, label, parameters) for f in (module.loss, module.gradient, module.hessian))
    for array in (value, gradient, hessian):
        assert array.dtype == dtype and jnp.isfinite(array).all()
    assert value[0] < 1e-6 or name == "huber"  # label of the first cluster is that of a large field
    assert value[1] > 1e3
    if name in ("logistic", "hinge", "smoothed_hinge"):
        assert np.allclose(gradient[0], [0, -1])
    if name == "probit":
        assert np.isclose(gradient[0, 1], -1e4, rtol=1e-6) and np.isclose(hessian[0, 0, 1], 1, rtol=1e-6)


def test_array_functions_are_the_innovation_form():
    """Each generated array function against the equation, written with explicit loops over random arrays."""
    module = load(source(derive.dmf(problem_of("softmax"), response="tangent")), "arrays")
    K, B, C, J, I, N = 3, 2, 3, 4, 5, 7  # noqa: E741
    r = RNG.normal
    p_, rho, s2, alpha_ = r(size=K), r(size=B), r(size=(K, B)), 1.7
    Y_, L_, Rt_, g_, f_, m_ = r(size=(B, C, I)), r(size=(K, C, J)), r(size=(K, C, I)), r(size=(J, N)), r(size=(K, I, N)), r(size=(K, C))
    memory = np.zeros((K, C, I))
    for k_, c, i_, b_ in itertools.product(range(K), range(C), range(I), range(B)):
        memory[k_, c, i_] += rho[b_] * s2[k_, b_] * Y_[b_, c, i_] / alpha_
    assert np.allclose(module.memory(alpha=alpha_, rho=rho, sigma2=s2, Y=Y_), memory)
    field = np.zeros((K, C, N))
    for k_, c, n in itertools.product(range(K), range(C), range(N)):
        field[k_, c, n] = m_[k_, c] + sum(L_[k_, c, x] * g_[x, n] for x in range(J)) + sum(Rt_[k_, c, x] * f_[k_, x, n] for x in range(I))
    assert np.allclose(module.field(m=m_, L=L_, g=g_, Rt=Rt_, f=f_), field)
    A_, Df = r(size=(K, C, C, N)), r(size=(K, I, J, N))
    tangent = np.zeros((K, C, J, N))
    for k_, c, d, x, n in itertools.product(range(K), range(C), range(C), range(J), range(N)):
        tangent[k_, c, x, n] += A_[k_, c, d, n] * (L_[k_, d, x] + sum(Rt_[k_, d, y] * Df[k_, y, x, n] for y in range(I)))
    assert np.allclose(module.tangent(A=A_, L=L_, Rt=Rt_, Df=Df), tangent)
    assert np.allclose(module.response(Da=tangent), tangent.mean(-1))
    correlation = np.array([[[np.mean(f_[k_, x] * f_[k_, y]) for y in range(I)] for x in range(I)] for k_ in range(K)])
    assert np.allclose(module.correlation(f=f_, f_new=f_), correlation)
    Phi_ = np.zeros((B, I, I))
    for b_, k_ in itertools.product(range(B), range(K)):
        Phi_[b_] += p_[k_] * s2[k_, b_] * correlation[k_]
    assert np.allclose(module.noise_covariance(Gamma=correlation, p=p_, sigma2=s2), Phi_)
    P_, P_v, U_, e_P, B_ = r(size=(B, C, C)), r(size=(B, C, C)), r(size=(K, B, C)), r(size=(K, B, C, J)), r(size=(K, C, J))
    change = np.zeros((B, C, C))
    for b_, l_, x in itertools.product(range(B), range(K), range(J)):
        change[b_] += p_[l_] * s2[l_, b_] * np.outer(B_[l_, :, x], e_P[l_, b_, :, x])
    given = dict(t=0, parameters=[0.3, 0.9], ridge=0.2, B=B_, P=P_, P_v=P_v, e_P=e_P, p=p_, sigma2=s2)
    assert np.allclose(module.next_P(**given), P_ + 0.9 * P_v - 0.3 * (0.2 * P_ + change))
    assert np.allclose(module.next_P_v(**given), 0.9 * P_v - 0.3 * (0.2 * P_ + change))
    Q_0, m_0, gram = r(size=(B, C, C)), r(size=(K, B, C)), r(size=(K, K, B))
    P_s, U_s, Y_s = r(size=(B, C, C)), r(size=(K, B, C)), r(size=(B, C, I))
    overlap = np.zeros((C, C))
    for b_ in range(B):
        known = P_[b_] @ Q_0[b_] @ P_s[b_].T + P_[b_] @ m_0[:, b_].T @ U_s[:, b_]
        known += U_[:, b_].T @ m_0[:, b_] @ P_s[b_].T + U_[:, b_].T @ gram[:, :, b_] @ U_s[:, b_]
        overlap += rho[b_] * (known + Y_[b_] @ Phi_[b_] @ Y_s[b_].T / alpha_)
    sides = dict(P=P_, U=U_, Y=Y_, P_s=P_s, U_s=U_s, Y_s=Y_s)
    assert np.allclose(module.overlap(**sides, alpha=alpha_, Phi=Phi_, Q_0=Q_0, m_0=m_0, gram=gram, rho=rho), overlap)


def test_letters_put_axes_in_one_order():
    assert letters(L(k, j, t)) == "kcj" and letters(A(k, t)) == "kcdn" and letters(Y(b, j, t)) == "bcj"
    assert arguments(ridge * abar(k, t) / alpha + La(j, t)) == ["alpha", "ridge", "La", "abar"]


def test_array_text_sums_transposes_and_broadcasts():
    expr = sp.Sum(p(k) * sigma2(k, b) * Bk(k, j, t), (k, 1, 2)) + abar(k, t)
    assert array_text(sp.Sum(p(k) * Bk(k, j, t), (k, 1, 2)), "cj") == 'jnp.einsum("k,kcj->cj", p, B)'
    assert array_text(abar(k, t), "kcj") == "abar[:, :, None]"
    assert array_text(expr, "kbcj").count("einsum") == 1
    with pytest.raises(UnprintableError, match="array algebra"):
        array_text(sp.sin(i) * Rt(k, i, t), "kci")


def test_rationals_are_written_as_such():
    """Also negative ones, and a factor 1/2 beside a mean (a Stein factor)."""
    half = sp.Rational(1, 2)
    assert array_text(-half * sp.Sum(p(k) * abar(k, t), (k, 1, 2)), "c") == '-jnp.einsum("k,kc->c", p, abar) / 2'
    value = RNG.normal(size=(2, 1, 4))
    for factor in (half, -half, sp.Rational(-3, 7), sp.Integer(-2)):
        text = array_text(factor * Mean(a(k, t), k) / alpha, "kc")
        assert np.allclose(eval(text, {"jnp": jnp, "a": value, "alpha": 1.7}), float(factor) * value.mean(-1) / 1.7)


def test_products_of_matrices_keep_their_order():
    """Three factors and a transposed one; a vector to the left of a matrix is refused."""
    expr = P(b, t) * Q(0, 0) * Transposed(P(b, s)) * W(b, t, s)
    given = {name: RNG.normal(size=(2, 3, 3)) for name in ("P", "P_s", "W")} | {"Q_0": RNG.normal(size=(3, 3))}
    found = eval(array_text(expr, "bcd"), {"jnp": jnp, **given})
    assert np.allclose(found, given["P"] @ given["Q_0"] @ given["P_s"].swapaxes(1, 2) @ given["W"])
    assert not np.allclose(found, given["P"] @ given["Q_0"] @ given["P_s"] @ given["W"])
    with pytest.raises(UnprintableError, match="a vector stands to the left"):
        array_text(abar(k, t) * P(b, t), "kbc")
    with pytest.raises(UnprintableError, match="nothing depends on the index"):
        array_text(sp.Sum(p(k) * abar(k, t), (k, 1, 2), (b, 1, 2)), "c")


def test_a_schedule_and_a_parameter_with_the_name_of_an_array_are_printed():
    """The step counter in the coefficients of an update, and a parameter named p."""
    clock, own = gm.symbols.t, gm.symbols.symbol("p")
    optimizer = gm.Optimizer("fading", {"theta": theta - own / (1 + clock / 50) * grad})
    module = load(source(derive.dmf(gm.Problem(gm.GaussianMixture.symmetric(), losses.logistic(), optimizer))), "optimizer")
    given = dict(B=np.zeros((2, 1, 1)), La=RNG.normal(size=(1, 3)), Y=RNG.normal(size=(1, 1, 3)), e_Y=np.zeros((2, 1, 1, 3)))
    new = module.next_Y(t=25, parameters=[0.3], ridge=0.0, p=np.ones(2), sigma2=np.ones((2, 1)), **given)
    assert np.allclose(new, given["Y"] - 0.3 / 1.5 * given["La"])


def test_text_is_the_only_way_to_a_callable_and_is_kept(case):
    problem, system, module = case
    assert source(system) == source(derive.dmf(problem))
    assert pipeline.load(system) is pipeline.load(derive.dmf(problem))  # compiled functions are reused
    assert module.SIGNATURE == signature(system) and module.RESPONSE == system.response
    assert max(map(len, source(system).splitlines())) < 2000
