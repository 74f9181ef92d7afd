"""A two-layer network after one gradient step: from the activation to its errors, in two scalar equations. Source: theory.md 8.

The gradient is a spike w u^T/sqrt(k) and a remainder, so that given the projections kappa of a sample (on spikes, means, target
direction and u) a preactivation is Gaussian; the features are replaced by Gaussians of the same conditional mean and covariance. Their
kernel K0 on the law of kappa and its derivative K1, the part linear in the n - q other dimensions, carry the spectrum; ridge regression
on it is one saddle point. Errors are not typed: the objective is, and ridge regression says that d objective/d lambda = |w|^2, so that the
training error follows by implicit differentiation, and the test error is (lambda*/lambda)^2 times it.
"""

from functools import lru_cache

import sympy as sp

from gmsym import symbols
from gmsym.calculus import expectation
from gmsym.calculus.hermite import hermite_means, kernel_mean, slope_energy
from gmsym.derive.given_weights import ORDER as LAST
from gmsym.derive.given_weights import given_weights
from gmsym.derive.two_sided import remainder, two_sided
from gmsym.errors import InputError
from gmsym.problem import OneStep
from gmsym.problem.one_step import t, z
from gmsym.progress import announced
from gmsym.system import Equation, Equations
from gmsym.system.fixed_point import Computed, FixedPoint, Over, Total

_PAPER = "Demir and Dogan 2025 (arXiv 2503.00856), theory.md 8"
_OWN = "own, theory.md 8"
ORDER = 6


def _positive(names: str) -> tuple[sp.Symbol, ...]:
    return sp.symbols(names, positive=True)


n, m, k, T, q = _positive("n m k T q")
eta, beta_D, beta_G = sp.symbols("eta beta_D beta_G", nonnegative=True)
lam, star, nu, b, v = _positive("lambda lambda_* nu b v")
chi, r, own = sp.symbols("chi r kappa2", real=True)  # kappa2 = kappa^T C kappa
y, fit = sp.symbols("y y_hat", real=True)
t_a, y_a, tau_j = sp.symbols("t_a y_a tau_j", real=True)
tail, square, mse, x = sp.symbols("K_tail y2 E_test x", real=True)
slope, delta, u_i, u_j, kappa_i = sp.symbols("s_1 delta u_i u_j kappa_i", real=True)
energy = sp.Symbol("e_2", real=True)
centre = sp.Symbol("c", real=True)  # mean of a preactivation given kappa and a neuron's weights


def _of(name: str, *arguments: sp.Expr) -> sp.Expr:
    return sp.Function(name)(*arguments)


@announced("deriving the Hermite model")
def one_step(problem: OneStep) -> FixedPoint:
    """The equations of a network after one gradient step, at level B+: errors of ridge regression, spikes of the feature matrix, degrees.

    Args:
        problem: from `gmsym.OneStep`.

    Raises:
        InputError: another kind of problem.

    Source: decomposition and Gaussian equivalence from Demir and Dogan 2025 (arXiv 2503.00856); the equations of the errors are our own and
    heuristic, checked against simulation (theory.md 8).

    Example:
        >>> import gmsym as gm
        >>> system = gm.derive.one_step(gm.OneStep(gm.parse("erf(z)")))
        >>> print(system.moments[1].rhs)
        2*b/(sqrt(pi)*sqrt(2*b**2 + 1))
    """
    if not isinstance(problem, OneStep):
        raise InputError(f"problem = {repr(problem)[:60]}: gmsym.OneStep(...) is needed")
    return _derived(problem)


@lru_cache(maxsize=32)
def _derived(problem: OneStep) -> FixedPoint:
    target = Equation(_of("y", t, symbols.y), problem.target, "target of a sample, before noise", _PAPER, "theorem")
    parts = (
        _gradient(),
        _kernels(),
        _saddle(),
        _errors(),
        _classified(),
        _spikes(),
        _degrees(),
        (remainder(),),
        two_sided(),
        given_weights(),
    )
    computed = tuple(part for group in parts for part in group)
    name, (own_b, own_c) = f"{problem.name}_one_step", _apart(problem, (b, centre))
    plain, centred = _moments(problem, own_b, own_c)
    jumps = slope_energy(problem.activation, z, own_b) is None
    return FixedPoint(name, problem, ORDER, own_b, plain, centred, own_c, _closed(problem), target, computed, jumps)


def _moments(problem: OneStep, b: sp.Symbol, centre: sp.Symbol) -> tuple[Equations, Equations]:
    """Of a preactivation without a mean, and of one with it."""
    s, says, plain_one, shifted = problem.activation, ("theory.md 8.1", "theorem"), f"s({b} z)", f"s({centre} + {b} z)"
    found, given = hermite_means(s, z, b, ORDER), hermite_means(s, z, b, LAST, centre)
    slope = slope_energy(s, z, b)
    plain = [Equation(_of(f"h_{j}", b), h, f"Hermite coefficient {j} of z -> {plain_one}", *says) for j, h in enumerate(found.coefficients)]
    centred = [
        Equation(_of(f"H_{j}", centre, b), h, f"Hermite coefficient {j} of z -> {shifted}", *says) for j, h in enumerate(given.coefficients)
    ]
    plain.append(Equation(_of("e", b), found.energy, f"E {plain_one}^2", *says))
    plain.append(Equation(_of("e_1", b), sp.S.Zero if slope is None else slope, f"E s'({b} z)^2", *says))
    centred.append(Equation(_of("E_2", centre, b), given.energy, f"E {shifted}^2", *says))
    return Equations(plain), Equations(centred)


def _apart(problem: OneStep, letters: tuple[sp.Symbol, ...]) -> tuple[sp.Symbol, ...]:
    """The letters, with a subscript where activation or target has a parameter of that name."""
    taken, found = {s.name for s in problem.own_parameters}, []
    for letter in letters:
        names = (letter.name, *(f"{letter.name}_{i}" for i in range(len(taken) + 1)))
        found.append(sp.Symbol(next(name for name in names if name not in taken), **letter.assumptions0))
    return tuple(found)


def _closed(problem: OneStep) -> Equations:
    """K0 and K1 in closed form, where the calculus finds them: what the series of their factors adds up to."""
    first, covariance = _apart(problem, (v, r))
    second = sp.Symbol(f"{first}'", positive=True)
    kernel = kernel_mean(problem.activation, z, first, second, covariance)
    if kernel is None:
        return Equations()
    at = (first, second, covariance)
    return Equations(
        [
            Equation(_of("K_0", *at), kernel, f"E s(X) s(X'), covariance {covariance}", _OWN, "theorem", role="notation"),
            Equation(_of("K_1", *at), kernel.diff(covariance), f"dK_0/d{covariance}", _OWN, "theorem", role="notation"),
        ]
    )


def _gradient() -> tuple[Computed, ...]:
    """Spike of the gradient, and the law of a preactivation given kappa."""
    h1 = sp.Symbol("h_1", real=True)
    scale = Equation(
        _of("v", own, chi), own + (n - q) / T * (1 + chi), "variance of a preactivation given kappa; chi: |x_perp|^2", _OWN, "own"
    )
    first = Equation(_of("s_1", v), h1 / sp.sqrt(v), "E s'(sqrt(v) z), by Stein's lemma", _OWN, "theorem")
    within = Equation(sp.Symbol("u_i"), Over(y * slope * kappa_i), "gradient spike u along kappa_i", _PAPER, "heuristic")
    beyond = Equation(sp.Symbol("u_q"), sp.sqrt((n - q) / m * Over((y * slope) ** 2)), "and across all of them", _OWN, "heuristic")
    layer = Equation(
        sp.Symbol("C_ij"), delta / T + eta**2 / k**2 * u_i * u_j, "covariance of a neuron's weights on kappa", _PAPER, "heuristic"
    )
    return (
        Computed("variance", (own, chi, n, q, T), (scale,)),
        Computed("mean_slope", (h1, v), (first,)),
        Computed("pull", (y, slope, kappa_i), (within,)),
        Computed("pull_beyond", (y, slope, n, q, m), (beyond,)),
        Computed("neuron", (delta, u_i, u_j, T, eta, k), (layer,)),
    )


def _kernels() -> tuple[Computed, ...]:
    """K0(kappa, kappa') = sum_p a_p(v) a_p(v') r^p, r = kappa^T C kappa', and K1 = dK0/dr."""
    h = sp.symbols(f"h_:{ORDER + 1}", real=True)
    a = [sp.sqrt(sp.factorial(p)) * h[p] / v ** sp.Rational(p, 2) for p in range(ORDER + 1)]
    slopes = [sp.sqrt(sp.diff(r**p, r).subs(r, 1)) for p in range(ORDER + 1)]  # of the two equal factors of each term
    rows = tuple(Equation(_of(f"a_{p}", v), a[p], "factor of K0 = sum_p a_p(v) a_p(v') r^p", _OWN, "heuristic") for p in range(ORDER + 1))
    lowered = tuple(
        Equation(_of(f"d_{p}", v), slopes[p] * a[p], "factor of K1 = dK0/dr = sum_p d_p(v) d_p(v') r^(p-1)", _OWN, "heuristic")
        for p in range(1, ORDER + 1)
    )
    return Computed("kernel", (v, *h), rows, True), Computed("kernel_slope", (v, *h), lowered, True)


def _count(at: sp.Expr) -> sp.Expr:
    """Degrees of freedom beyond the kernel K0, at nu."""
    return (n - q) * Total(tau_j / T / (tau_j / T + at)) + tail / at


def _saddle_parts() -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """(D, lambda*, lambda) as functions of nu."""
    D = Total(t_a / (t_a + nu)) + _count(nu)
    effective = nu * (1 - D / k)
    return D, effective, effective * (1 - D / m)


def _saddle() -> tuple[Computed, ...]:
    D, effective, ridge = _saddle_parts()
    arrays = (nu, t_a, tau_j, tail, n, q, T, k, m)
    rest = Equation(
        sp.Symbol("K_tail"), Over(energy) - Total(t_a) - (n - q) * Total(tau_j / T), "energy of the features beyond K0 and K1", _OWN, "own"
    )
    return (
        Computed("beyond", (energy, t_a, tau_j, n, q, T), (rest,)),
        Computed("freedom", arrays, (Equation(_of("D", nu), D, "degrees of freedom", _OWN, "heuristic"),)),
        Computed("effective_ridge", arrays, (Equation(star, effective, "k (1 - lambda*/nu) = D(nu)", _OWN, "heuristic"),)),
        Computed("ridge", arrays, (Equation(lam, ridge, "m (1 - lambda/lambda*) = D(nu): the equation for nu", _OWN, "heuristic"),)),
    )


def _errors() -> tuple[Computed, ...]:
    """Objective, training and test error at the solution; the errors by differentiating the objective in lambda along the solution."""
    _, effective, ridge = _saddle_parts()
    f = square - Total(y_a**2 * t_a / (t_a + nu))
    objective = ridge / effective * f
    training = objective - ridge * objective.diff(nu) / ridge.diff(nu)
    test = effective**2 / ridge**2 * training
    given = (nu, t_a, tau_j, tail, y_a, square, n, q, T, k, m)
    return (
        Computed(
            "errors",
            given,
            (
                Equation(sp.Symbol("F"), objective, "objective |y - y_hat|^2/m + lambda |w|^2", _OWN, "heuristic"),
                Equation(
                    sp.Symbol("E_train"), training, "training error F - lambda dF/dlambda, by d F/d lambda = |w|^2", _OWN, "heuristic"
                ),
                Equation(mse, test, "test error (lambda*/lambda)^2 E_train", _OWN, "heuristic"),
            ),
        ),
    )


def _classified() -> tuple[Computed, ...]:
    """The mean output on kappa, and the chance that its sign is wrong."""
    part = Equation(sp.Symbol("c_a"), y_a * t_a / (t_a + nu), "coefficient of the mean output on eigenfunction a", _OWN, "heuristic")
    spread, margin, g = sp.Symbol("V", positive=True), sp.Symbol("y_f", real=True), sp.Dummy("g", real=True)
    deviation = Equation(spread, mse - Over((y - fit) ** 2), "variance of the output given kappa", _OWN, "heuristic")
    chance = expectation(sp.Heaviside(-margin - sp.sqrt(spread) * g), (g,), (0,), [[1]])
    wrong = Equation(sp.Symbol("P_error"), Over(chance), "0-1 error of targets +1 and -1; y_f = y y_hat", _OWN, "heuristic")
    return (
        Computed("shrunk", (y_a, t_a, nu), (part,)),
        Computed("output_variance", (mse, y, fit), (deviation,)),
        Computed("misclassified", (margin, spread), (wrong,)),
    )


def _spikes() -> tuple[Computed, ...]:
    """Eigenvalues of the feature matrix: the equation for lambda continued to nu = -x, without the spike's own term."""
    count = _count(nu)
    continued = (-nu * (1 - count / k) * (1 - count / m)).subs(nu, -x)
    row = Equation(_of("X", x), continued, "eigenvalue of features^T features/m at population eigenvalue x = t_a", _OWN, "heuristic")
    edge = Equation(_of("X'", x), continued.diff(x), "visible where positive; its zero gives the bulk's edge", _OWN, "heuristic")
    given = (x, tau_j, tail, n, q, T, k, m)
    return Computed("spike", given, (row,)), Computed("spike_slope", given, (edge,))


def _degrees() -> tuple[Computed, ...]:
    """Largest orders that survive, from theta = n^beta_D, and eta s_u = n^beta_G for the pull of the gradient's spike."""
    paper = sp.Symbol("beta", nonnegative=True)
    rows = (
        Equation(sp.Symbol("l"), sp.ceiling(paper / (1 - paper)), "degree of the paper, (l-1)/l < beta < l/(l+1)", _PAPER, "theorem"),
        Equation(sp.Symbol("l_D"), sp.ceiling(1 / (1 - beta_D)) - 1, "sharp degree of data spikes, beta_D > 1 - 1/p", _OWN, "heuristic"),
        Equation(
            sp.Symbol("l_G"), sp.ceiling(1 / (2 * (1 - beta_G))) - 1, "of the gradient's spike, beta_G > 1 - 1/(2p)", _OWN, "heuristic"
        ),
    )
    return (Computed("degrees", (paper, beta_D, beta_G), rows),)
