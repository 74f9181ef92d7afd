"""Gaps of the bulk where everything is a function of one real number: one column, clusters of one variance profile.

The displayed equations of `derive.functional_inverse`, generated with the module: with s = S'/c, a = c A (c the variance of a sample's
cluster, r_b that of block b divided by it)

    e = alpha E u = sum_b rho_b v_b,   u = s a/(1 + s a),   v_b = r_b/(tau + r_b),   z = -e tau/(alpha s),

and z is outside the bulk exactly where R(s) = alpha E[u^2] sum_b rho_b v_b^2/e^2 < 1. What is done here is numerics: at real s there are as
many real tau as distinct r_b > 0, hence as many branches z(s).

So gaps are the intervals with R < 1 and edges the roots of R = 1. Between two poles -1/a every u is monotone in s, and every v_b in e:
R has bounds on any interval, and halving those whose bounds leave the sign of R - 1 open finds all roots. Nothing is scanned, and all
gaps of the nodes that are given are found, whatever their number: one can escape only where R - 1 changes its sign more than twice
within `_LEAF` of an interval between poles.

s = cosine/sine of an angle runs over a circle: branch 0 passes z = infinity at the right angle, the others pass it like any point.
tau = t/w with w = e on branch 0 and 1 on the others; g = e/(cosine w).
Letters: K points, N distinct values of a, B blocks. Own derivation; for A = 1 it is Silverstein and Choi 1995.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from gmsym.runtime.spectral import SpectralModule

_EQUAL = 1e-12  # values of a that close, relatively, are one
_LEAF, _ROUNDS = 2.0**-20, 24
_TOUCH = 1e-12  # |R - 1| that counts as 0: an extremum, or the bulk's end at z = 0 with as many samples as dimensions
_HALVINGS, _NEAR = 64, 1e-3
_LARGE = 1e100  # 1/distance of a pole from itself
_CHUNK = 2**20  # entries of (K, N) at once


class Gap(NamedTuple):
    """An open interval without bulk; it may hold an atom at 0."""

    low: float
    high: float
    below: float  # mass below `low`, counted
    upto: float  # mass below `high`: an atom at 0 lies between
    s_low: np.ndarray  # S at the ends, (B,); NaN at an end that is no edge
    s_high: np.ndarray


class Scalar(NamedTuple):
    """The law of a and the variance profile."""

    module: SpectralModule  # of one column
    values: np.ndarray  # distinct a != 0, increasing, (N,)
    weights: np.ndarray  # (N,); they add to at most 1
    fractions: np.ndarray  # rho_b, (B,)
    ratios: np.ndarray  # r_b, (B,)
    alpha: float

    @property
    def distinct(self) -> tuple[np.ndarray, np.ndarray]:
        """Distinct r_b > 0 in increasing order, and the fraction of each."""
        seen = self.ratios > 0
        ratios, index = np.unique(self.ratios[seen], return_inverse=True)
        return ratios, np.bincount(index, self.fractions[seen])


def scalar(
    module: SpectralModule,
    values: np.ndarray,
    weights: np.ndarray,
    fractions: np.ndarray,
    ratios: np.ndarray,
    alpha: float,
    tiny: float,
) -> Scalar:
    """The law without values up to `tiny`, equal ones joined."""
    kept = (weights > 0) & (np.abs(values) > tiny)
    order = np.argsort(values[kept])
    values, weights = values[kept][order], weights[kept][order]
    first = np.concatenate([[True], np.diff(values) > _EQUAL * np.abs(values[1:])])
    return Scalar(module, values[first], np.bincount(np.cumsum(first) - 1, weights), fractions, ratios, alpha)


def gaps(law: Scalar, covered: np.ndarray) -> list[Gap]:
    """All gaps in increasing order, but those that belong to 1/s in -`covered`, (I, 2): intervals of a that the nodes stand for.

    Cost: some thousand sums over the nodes.
    """
    found = []
    for branch in range(len(law.distinct[0])):
        boxes = _boxes(law, covered, branch)
        if len(boxes):
            found += _found(law, branch, boxes)
    return _joined(sorted(found, key=lambda gap: (gap.low, gap.high)))


# --- a point of a branch ----------------------------------------------------------------------------------------------


def _tau(law: Scalar, branch: int, eta: np.ndarray) -> np.ndarray:
    """t: e tau on branch 0, the root beyond all poles; tau on the others, between two poles each. The roots of sum_b rho_b v_b = e."""
    ratios, fractions = law.distinct
    weight = ratios * fractions
    eta = np.clip(eta, -1e150, 1e150)
    if branch == 0 and len(ratios) == 1:
        return weight[0] - eta * ratios[0]
    # sum_b rho_b r_b/(y + eta r_b) = 1 has these roots y = eta tau.
    y = np.linalg.eigvalsh(np.sqrt(weight[:, None] * weight) - eta[..., None, None] * np.diag(ratios))
    if branch == 0:
        return y[..., -1]
    last, low, high = len(ratios) - 1, -ratios[branch], -ratios[branch - 1]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        tau = np.where(eta > 0, y[..., last - branch], y[..., branch - 1]) / eta
        v = law.module.line_profile(tau[..., None], 1.0, ratios)
        tau = tau + (v @ fractions - eta) / (v**2 @ (fractions / ratios))
        lost = (np.abs(eta) < _NEAR) | ~((tau > low) & (tau < high))  # the root of y = eta tau loses digits
    if lost.any():
        tau = np.where(lost, _halved(law, eta, low, high), tau)
    return tau


def _halved(law: Scalar, eta: np.ndarray, low: float, high: float) -> np.ndarray:
    """tau between two poles by halving."""
    ratios, fractions = law.distinct
    below, above = np.full(eta.shape, low), np.full(eta.shape, high)
    for _ in range(_HALVINGS):
        middle = (below + above) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            right = law.module.line_profile(middle[..., None], 1.0, ratios) @ fractions > eta
        below, above = np.where(right, middle, below), np.where(right, above, middle)
    return (below + above) / 2


def _at(law: Scalar, branch: int, angle: float) -> tuple[float, float, np.ndarray]:
    """R, z and S, (B,), at one angle."""
    sine, cosine, module = np.sin(angle), np.cos(angle), law.module
    share = module.line_share(sine, cosine, law.values)
    first, second = module.line_total(law.alpha, law.weights @ share), law.weights @ share**2  # the total is cosine first
    t = float(_tau(law, branch, np.array(cosine * first)))
    w, g = (cosine * first, 1 / cosine) if branch == 0 else (1.0, first)
    R = module.line_turning(law.alpha, second, law.fractions @ module.line_profile(t, w, law.ratios) ** 2, g)
    S = module.line_transform(law.alpha, sine, t, w, law.ratios, g) if sine else np.full(len(law.ratios), np.inf)
    return R, module.line_inverse(law.alpha, sine, t, g), S


def _mass_below(law: Scalar, branch: int, angle: float) -> float:
    """Mass below a point of a gap, from signs alone, without that of blocks of variance 0, which is at 0.

    The limit of log det(M - z)/d is sum_b rho_b log(1/S_b) + alpha E log(1 + s a) - alpha s E[a/(1 + s a)], stationary in S_b and S';
    its imaginary part at the real axis is -pi times the mass below, and in a gap each logarithm contributes 0 or +-pi.
    """
    negative = (np.sin(angle) + law.values * np.cos(angle)) * np.sin(angle) < 0  # 1 + s a
    S, seen = _at(law, branch, angle)[2], law.ratios > 0
    return float(law.fractions[seen] @ (S[seen] < 0) - law.alpha * (law.weights * np.sign(law.values)) @ negative)


# --- intervals --------------------------------------------------------------------------------------------------------


def _boxes(law: Scalar, covered: np.ndarray, branch: int) -> np.ndarray:
    """Intervals of the angle between poles, (boxes, 2), split at 0, where z = 0, and at |s| = 1; without what is covered."""
    hidden = np.arctan(-covered[:, ::-1])
    poles = np.arctan(-law.values)
    poles = poles[~((poles[:, None] > hidden[:, 0]) & (poles[:, None] < hidden[:, 1])).any(1)]
    ends = np.unique(np.concatenate([poles, hidden.ravel(), [-np.pi / 2, -np.pi / 4, 0.0, np.pi / 4, np.pi / 2]]))
    middle = (ends[1:] + ends[:-1]) / 2
    free = ~((middle[:, None] > hidden[:, 0]) & (middle[:, None] < hidden[:, 1])).any(1)
    free &= (middle > ends[:-1]) & (middle < ends[1:])  # ends that differ by rounding have nothing between them
    boxes = np.stack([ends[:-1][free], ends[1:][free]], axis=1)
    if branch and len(boxes) > 1 and boxes[0, 0] == -np.pi / 2 and boxes[-1, 1] == np.pi / 2:
        boxes = np.concatenate([boxes[1:-1], [[boxes[-1, 0], boxes[0, 1] + np.pi]]])  # through infinity
    return boxes


def _bounds(law: Scalar, branch: int, low: np.ndarray, high: np.ndarray, sign: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of R on intervals, (K,); `sign`, (K, N), is that of sine + a cosine, which has no zero within."""

    module = law.module

    def shares(angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sine, cosine, pole = np.sin(angle)[:, None], np.cos(angle)[:, None], sign * law.values * _LARGE
        with np.errstate(divide="ignore"):
            share = module.line_share(sine, cosine, law.values)
        share = np.where(share * pole > 0, np.clip(share, -np.abs(pole), np.abs(pole)), pole)  # an end may be a pole, or one rounding off
        return share * cosine, share * sine

    (u_low, far_low), (u_high, far_high) = shares(low), shares(high)
    e_low, e_high = (module.line_total(law.alpha, ends(u_low, u_high) @ law.weights) for ends in (np.minimum, np.maximum))
    far = np.abs(np.tan(((low + high) / 2)[:, None])) > 1  # u/s, which passes s = 0 without a zero, for u
    x, y = (np.where(far & (branch > 0), a, b) for a, b in ((far_low, u_low), (far_high, u_high)))
    smaller, larger = np.minimum(x, y), np.maximum(x, y)
    square_low = np.where(smaller * larger < 0, 0, np.minimum(x**2, y**2)) @ law.weights
    square_high = np.maximum(x**2, y**2) @ law.weights
    total_low, total_high = (module.line_total(law.alpha, ends @ law.weights) for ends in (smaller, larger))
    ratios, fractions = law.distinct
    if branch == 0 and len(ratios) == 1:  # v = e/rho
        return tuple(module.line_turning(law.alpha, square, 1 / fractions[0], 1.0) for square in (square_low, square_high))

    def through(e: np.ndarray) -> np.ndarray:
        t, w = _tau(law, branch, e)[:, None], e[:, None] if branch == 0 else np.ones((len(e), 1))
        return w * module.line_profile(t, w, ratios)

    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        v = through(e_low), through(e_high)
        v_low = np.where(v[0] * v[1] < 0, 0, np.minimum(v[0] ** 2, v[1] ** 2)) @ fractions
        v_high = np.maximum(v[0] ** 2, v[1] ** 2) @ fractions
        most = np.maximum(np.abs(total_low), np.abs(total_high))
        least = np.where(total_low * total_high <= 0, 0, np.minimum(np.abs(total_low), np.abs(total_high)))
        lower = np.nan_to_num(module.line_turning(law.alpha, square_low, v_low, most), nan=0.0)
        upper = module.line_turning(law.alpha, square_high, v_high, least)
        if branch == 0:
            lower = np.maximum(lower, module.line_turning(law.alpha, square_low, 1.0, 1.0))  # Cauchy and Schwarz
    return lower, np.nan_to_num(upper, nan=np.inf, posinf=np.inf)


def _pieces(law: Scalar, branch: int, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(box, low, high, status) of intervals that make up the boxes, in order; the status is 1 in bulk, -1 in a gap, 0 where it is open."""
    middle = boxes.mean(1)[:, None]
    signs = np.sign(np.sin(middle) + law.values * np.cos(middle))
    box, low, high = np.arange(len(boxes)), boxes[:, 0], boxes[:, 1]
    done = []
    for round_ in range(_ROUNDS + 1):
        size = max(1, _CHUNK // len(law.values))
        parts = [slice(i, i + size) for i in range(0, len(box), size)]
        bounds = [_bounds(law, branch, low[part], high[part], signs[box[part]]) for part in parts]
        lower, upper = (np.concatenate([bound[i] for bound in bounds]) for i in (0, 1))
        status = np.where(lower > 1, 1, np.where(upper < 1, -1, 0))
        wide = high - low > _LEAF * (boxes[box, 1] - boxes[box, 0])
        again = (status == 0) & wide & (round_ < _ROUNDS)
        done.append((box[~again], low[~again], high[~again], status[~again]))
        if not again.any():
            break
        centre = (low[again] + high[again]) / 2
        box, low, high = np.tile(box[again], 2), np.concatenate([low[again], centre]), np.concatenate([centre, high[again]])
    box, low, high, status = (np.concatenate(column) for column in zip(*done, strict=True))
    order = np.lexsort((low, box))
    return box[order], low[order], high[order], status[order]


def _found(law: Scalar, branch: int, boxes: np.ndarray) -> list[Gap]:
    box, low, high, status = _pieces(law, branch, boxes)
    result = []
    for index in np.unique(box[status < 1]):
        own = box == index
        result += [_gap(law, branch, *ends) for ends in _intervals(law, branch, low[own], high[own], status[own])]
    return result


def _intervals(law: Scalar, branch: int, low: np.ndarray, high: np.ndarray, status: np.ndarray) -> list[tuple[float, float]]:
    """Where R < 1 in one box, from its pieces in order."""

    def excess(angle: float) -> float:
        return np.inf if _is_pole(law, angle) else _at(law, branch, angle)[0] - 1

    starts = np.flatnonzero(np.concatenate([[True], status[1:] != status[:-1]]))
    stops = np.append(starts[1:], len(status)) - 1
    runs = [(int(status[i]), float(low[i]), float(high[j])) for i, j in zip(starts, stops, strict=True)]
    places, signs = [runs[0][1]], [runs[0][0] or _end_sign(law, branch, runs[0][1])]  # R - 1 changes its sign at places[1:]
    for i, (kind, a, b) in enumerate(runs):
        if not signs[-1]:  # R = 1 at the end of the box
            signs[-1] = kind or (runs[i + 1][0] if i + 1 < len(runs) else _end_sign(law, branch, b))
        if kind:
            if kind != signs[-1]:
                places.append(a)
                signs.append(kind)
            continue
        last = runs[i + 1][0] if i + 1 < len(runs) else _end_sign(law, branch, b)
        if signs[-1] * last < 0:
            places.append(_root(excess, a, b, signs[-1]))
            signs.append(last)
        elif last:
            options = {"xatol": 1e-7 * (b - a)}
            found = minimize_scalar(lambda x, sign=last: sign * excess(x), bounds=(a, b), method="bounded", options=options)
            turn = float(found.x)
            if last * excess(turn) < -_TOUCH:
                places += [_root(excess, a, turn, last), _root(excess, turn, b, -last)]
                signs += [-last, last]
    places.append(runs[-1][2])
    return [(a, b) for a, b, sign in zip(places, places[1:], signs, strict=False) if sign < 0 and b > a]


def _end_sign(law: Scalar, branch: int, angle: float) -> int:
    """Sign of R - 1 at an end of a box: positive at a pole."""
    if _is_pole(law, angle):
        return 1
    excess = _at(law, branch, angle)[0] - 1
    return 0 if abs(excess) < _TOUCH else int(np.sign(excess))


def _is_pole(law: Scalar, angle: float) -> bool:
    return bool(np.abs(np.sin(angle) + law.values * np.cos(angle)).min() < 1e-15)


def _root(excess, low: float, high: float, sign: int) -> float:
    """The change of sign; `sign` is that at `low`, by bounds where rounding hides it."""
    at_low, at_high = excess(low), excess(high)
    if not at_low * sign > 0:
        return low
    if not at_high * sign < 0:
        return high
    for _ in range(_HALVINGS):  # away from a pole
        if np.isfinite(at_low) and np.isfinite(at_high):
            break
        middle = (low + high) / 2
        value = excess(middle)
        low, at_low, high, at_high = (middle, value, high, at_high) if value * sign > 0 else (low, at_low, middle, value)
    return float(brentq(excess, low, high, xtol=1e-300, rtol=8.9e-16, maxiter=200))


def _gap(law: Scalar, branch: int, low: float, high: float) -> Gap:
    """z decreases with the angle in a gap."""
    ends, none = [], np.full(len(law.ratios), np.nan)
    for angle in (high, low):
        R, z, S = _at(law, branch, angle)
        if branch == 0 and abs(abs(angle) - np.pi / 2) < 1e-15:
            z, S = -np.inf if angle > 0 else np.inf, none
        elif angle == 0:
            z, S = 0.0, none
        elif abs(R - 1) > 1e-6:
            S = none  # an end of a box within a gap
        ends.append((float(z), S))
    below = _mass_below(law, branch, (low + high) / 2)
    (z_low, S_low), (z_high, S_high) = ends
    still = law.fractions[law.ratios == 0].sum()
    return Gap(z_low, z_high, below + still * (z_low >= 0), below + still * (z_high > 0), S_low, S_high)


def _joined(found: list[Gap]) -> list[Gap]:
    """Gaps with those that meet at an end of a box, or at 0, in one."""
    result: list[Gap] = []
    for gap in found:
        last = result[-1] if result else None
        touching = last is not None and np.isnan(last.s_high).any() and np.isnan(gap.s_low).any()
        if last is not None and touching and abs(gap.low - last.high) <= 1e-9 * max(1.0, abs(gap.low)):
            result[-1] = Gap(last.low, gap.high, last.below, gap.upto, last.s_low, gap.s_high)
        else:
            result.append(gap)
    return result
