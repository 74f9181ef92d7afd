"""The comparison rule's sums: every rearrangement is an identity, and only the stated terms are dropped."""

import pytest
import sympy as sp

from gmsym.calculus.kernels import Transposed, coefficient, distribute, fold, innermost, kernel, outermost, split
from gmsym.derive import comparison
from gmsym.derive.comparison import (
    Inner,
    M,
    limit_of_field,
    limit_of_noise,
    phi,
    psi,
    q,
    surrogate_field,
    surrogate_noise,
    u,
    without_fluctuations,
    z,
)
from gmsym.system.causal_kernels import B, L, R, Ra, Theta, W, a, alpha, b, g, j, k, p, r, rho, s, sigma2, t
from tests.kernel_values import same, value

n = comparison.n


def numbers(expr):
    """Inner products and fluctuations as kernels that the evaluator knows."""
    inner = kernel("inner", "i", subscripts=4)
    return expr.replace(Inner, lambda x, y: inner(*x.args, *y.args[-1:]) if len(x.args) + 1 <= 4 else inner(*x.args))


def test_the_surrogate_is_the_rule_applied_to_each_direction():
    """Z Theta_t = sum_j L_j(t) Z q_j and Z^T a_t = sum_j M_j(t) Z^T u_j, with (1.1) and (1.2) put in by hand."""
    field = sp.Sum(L(k, j, t) * (g(j) + sp.Sum(u(k, s) * (Inner(q(k, j), z(k, s)) - phi(k, j, s)), (s, 0, j - 1))), (j, 0, t))
    noise = sp.Sum(M(k, j, t) * (z(k, j) + sp.Sum(q(k, r) * (Inner(u(k, j), g(r)) - psi(k, r, j)), (r, 0, j))), (j, 0, t))
    assert same(numbers(surrogate_field()), numbers(field))
    assert same(numbers(surrogate_noise()), numbers(noise))


def test_rearranged_sums_have_the_same_value():
    _, memory = split(without_fluctuations(surrogate_field()), u)
    turned = outermost(memory, s)
    assert turned.limits[-1][0] == s and value(numbers(turned)) == value(numbers(memory))
    _, memory = split(without_fluctuations(surrogate_noise()), q)
    turned = outermost(memory, r)
    assert turned.limits[-1][0] == r and value(numbers(turned)) == value(numbers(memory))


def test_only_fluctuation_parameters_are_dropped():
    for surrogate in (surrogate_field(), surrogate_noise()):
        kept = without_fluctuations(surrogate)
        assert not kept.has(phi, psi)
        assert set(sp.Add.make_args(kept)) < set(sp.Add.make_args(surrogate))


def test_the_limits_are_the_memory_terms_of_theory():
    """theory.md (2.1), (2.3), (2.4): sum_s R(t,s) a(s), and n p sigma sum_s Ra(t,s) Theta(s)."""
    fresh, memory, response = limit_of_field()
    assert same(fresh, sp.Sum(L(k, j, t) * g(j), (j, 0, t)))
    assert same(memory, sp.Sum(R(k, t, r) * a(k, r), (r, 0, t - 1)))
    assert same(response, sp.Sum(rho(b) * sigma2(k, b) * W(b, t, r), (b, 1, B)) / alpha)
    fresh, memory = limit_of_noise()
    assert same(fresh, sp.Sum(M(k, j, t) * z(k, j), (j, 0, t)))
    assert memory == sp.Sum(n * p(k) * sp.sqrt(sigma2(k, b)) * Ra(k, t, s) * Theta(b, s), (s, 0, t))


def test_fold_keeps_the_order_of_matrices():
    X = kernel("X", "X", value="cd")
    total = sp.Sum(X(t) * Ra(k, t, s) * L(k, j, s) * g(j), (s, 0, t), (j, 0, 2))
    folded = fold(total, sp.Sum(Ra(k, t, s) * L(k, j, s), (s, 0, t)), kernel("N", "N", value="c")(j))
    assert folded == sp.Sum(X(t) * kernel("N", "N", value="c")(j) * g(j), (j, 0, 2))


def test_coefficient_reads_a_linear_sum():
    total = sp.Sum(p(k) * M(k, j, t) * z(k, j), (j, 0, t), (k, 1, 2)) + 3 * z(1, 2)
    assert coefficient(total, z(k, 1)) == p(k) * M(k, 1, t)
    assert coefficient(3 * z(1, 2), z(1, 2)) == 3 and coefficient(total, g(j)) == 0


def test_transposition_turns_products_round():
    product = Ra(k, t, s) * M(k, j, s)
    assert Transposed(product) == Transposed(M(k, j, s)) * Transposed(Ra(k, t, s))
    assert Transposed(Transposed(product)) == product and Transposed(2 * p(k)) == 2 * p(k)
    assert value(Transposed(product)) == value(product).T


def test_impossible_rearrangements_are_refused():
    with pytest.raises(ValueError, match="not those of a triangle"):
        outermost(sp.Sum(g(j), (j, 0, s**2), (s, 0, t)), j)
    with pytest.raises(ValueError, match="depend on each other"):
        innermost(sp.Sum(g(j), (j, 0, s), (s, 0, t)), s)


def test_distribute_writes_sums_of_single_terms():
    total = 2 * sp.Sum(g(j) * (p(k) + sp.Sum(g(r), (r, 0, j))), (j, 0, t))
    spread = distribute(total)
    assert all(isinstance(x, sp.Sum) and not x.function.has(sp.Sum) for x in sp.Add.make_args(spread))
    assert value(spread) == value(total)
