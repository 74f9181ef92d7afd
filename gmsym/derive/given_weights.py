"""Level A of a network after one gradient step: a deterministic equivalent at given first-layer weights, clusters taken apart.

The features of cluster c have second moments S_c (Mehler's series, its diagonal exact) and overlaps r_c with the target, and ridge
regression on a mixture of them has one scalar a cluster. Source: theory.md 8; the equivalent is that of Gaussian features, heuristic here.
"""

import sympy as sp

from gmsym.system import Equation
from gmsym.system.fixed_point import Combined, Computed, Inverted, Over, Times, TraceOf, TraceProduct

_OWN = "own, theory.md 8"
ORDER = 8

k, m, lam = sp.symbols("k m lambda", positive=True)
rho, d, w = sp.symbols("rho_c d_c w_c", real=True)
r, x, y, energy, noise = sp.symbols("r x y E_2 sigma", real=True)
S, Q, P_a, P_b, r_c, t_c, a, B, V, E = sp.symbols("S Q P_a P_b r_c t_c a B V E", real=True)


def _equation(left: sp.Expr, right: sp.Expr, meaning: str) -> Equation:
    return Equation(left, right, meaning, _OWN, "heuristic")


def given_weights() -> tuple[Computed, ...]:
    """Equations of level A, each with the function that computes it."""
    return (*_second_moments(), *_equivalent())


def _second_moments() -> tuple[Computed, ...]:
    first, second, target = (sp.symbols(f"{name}_:{ORDER + 1}", real=True) for name in ("h", "f", "g"))
    orders = range(ORDER + 1)
    pair = sum(sp.factorial(p) * first[p] * second[p] * r**p for p in orders) / k
    with_target = sum(sp.factorial(p) * first[p] * target[p] * r**p for p in orders) / sp.sqrt(k)
    coefficients = tuple(
        _equation(
            sp.Symbol(f"g_{p}"), Over(sp.hermite_prob(p, x) * y) / sp.factorial(p), f"Hermite coefficient {p} of the target in xi . x"
        )
        for p in orders
    )
    mixed = _equation(sp.Symbol("S_ij"), pair, "second moment of two features, coefficients h and f, by Mehler's series; r: correlation")
    own = _equation(sp.Symbol("S_ii"), energy / k, "of one feature")
    overlap = _equation(sp.Symbol("r_i"), with_target, "overlap of a feature with the target; r: correlation of preactivation and xi . x")
    square = _equation(sp.Symbol("t_c"), Over(y**2 + noise**2), "mean square of the target in a cluster")
    return (
        Computed("target_coefficients", (x, y), coefficients),
        Computed("feature_pair", (r, k, *first, *second), (mixed,)),
        Computed("feature_square", (energy, k), (own,)),
        Computed("target_overlap", (r, k, *first, *target), (overlap,)),
        Computed("cluster_square", (y, noise), (square,)),
    )


def _equivalent() -> tuple[Computed, ...]:
    kept = w / (1 + d)
    return (
        Computed("share", (rho, d), (_equation(w, rho / (1 + d), "share of a cluster"),)),
        Computed("resolvent", (lam, w, S), (_equation(Q, Inverted(lam, Combined(w, S)), "resolvent"),)),
        Computed("reduced", (S, Q), (_equation(sp.Symbol("P_c"), Times(S, Q), "second moments reduced"),)),
        Computed("cluster_leverage", (P_a, m), (_equation(d, TraceOf(P_a) / m, "leverage of a cluster's samples: the equation for d_c"),)),
        Computed(
            "second_order", (P_a, P_b, m), (_equation(sp.Symbol("V_ab"), TraceProduct(P_a, P_b) / m, "fluctuations of two clusters"),)
        ),
        Computed("weights_mean", (Q, w, r_c), (_equation(a, Times(Q, Combined(w, r_c)), "mean second layer"),)),
        Computed(
            "bias",
            (t_c, r_c, a, S),
            (_equation(sp.Symbol("B_c"), t_c - 2 * Times(r_c, a) + Times(a, Times(S, a)), "error of the mean layer"),),
        ),
        Computed(
            "cluster_error",
            (B, V, w, d, E),
            (_equation(sp.Symbol("E_c"), B + Times(V, kept * E), "test error of a cluster: a linear equation"),),
        ),
        Computed(
            "given_errors",
            (rho, w, d, t_c, r_c, a, E),
            (
                _equation(sp.Symbol("F"), Combined(w, t_c - Times(r_c, a)), "objective"),
                _equation(sp.Symbol("E_train"), Combined(kept, E), "training error"),
                _equation(sp.Symbol("E_test"), Combined(rho, E), "test error"),
            ),
        ),
    )
