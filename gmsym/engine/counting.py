"""Mass of the spectrum below a point, without integrating a density; outside the bulk it is counted. Source: own derivation.

The limit of log det(M - z)/(m d), stationary in all S_b and S'_k, is

    L(z) = (1/m) ( sum_b rho_b log det S_b^{-1} + alpha sum_k p_k E log det(I + S'_k A) - sum_b rho_b tr S_b (S_b^{-1} + z) ),

and -Im L(x + i0)/pi is the mass below x. Where S is real the last term is, too, and each logarithm contributes a multiple of pi: the
number of negative eigenvalues of S_b, and by how much that of A^{-1} + S'_k, on the range of A, exceeds that of A^{-1}. So the mass of
every band is a sum of shares and weights, exact for the nodes, and no density is integrated.
"""

import numpy as np

from gmsym.engine.nodes import Law
from gmsym.engine.packed import unpacked

_TINY = 1e-12  # eigenvalues of A up to that are 0, in units in which A is of order one
_CHUNK = 2**18  # matrices at once


def masses_below(law: Law, s: np.ndarray, size: int) -> np.ndarray:
    """Mass below each of the points, (P,), from real S there, (B R, P).

    Cost: one set of eigenvalues a node and point.
    """
    blocks = s.reshape(len(law.fractions), -1, s.shape[1])
    full = np.moveaxis(unpacked(np.moveaxis(blocks, 0, -1), size), (0, 1), (-2, -1))  # (P, B, m, m)
    total = (np.linalg.eigvalsh(full) < 0).sum(-1) @ law.fractions
    alpha = float(law.nodes.alpha)
    for group in law.nodes.groups:
        weights, variance = np.asarray(group.weights), np.asarray(group.variance)
        form = np.einsum("b,pbij->pij", law.fractions * np.asarray(group.ratios) / alpha, full)
        A = np.moveaxis(unpacked(variance * np.asarray(group.matrix), size), -1, 0)  # c A, (N, m, m)
        values, vectors = np.linalg.eigh(A)
        signs = np.where(values < -_TINY, -1.0, 1.0)
        root = vectors * np.sqrt(np.where(np.abs(values) > _TINY, np.abs(values), 0))[:, None, :]
        before = (signs < 0).sum(-1)
        step = max(1, _CHUNK // len(weights))
        for i in range(0, len(form), step):
            inner = np.swapaxes(root, 1, 2) @ form[i : i + step, None] @ root  # (P, N, m, m)
            after = (np.linalg.eigvalsh(inner + signs[:, :, None] * np.eye(size)) < 0).sum(-1)
            total[i : i + step] -= alpha * (after - before) @ weights
    return total / size


def masses_upto(law: Law, z: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Mass below each of the points z = x + i0, (P,), from S there, (B, P), with one column: -Im L/pi, inside the bulk, too."""
    alpha = float(law.nodes.alpha)
    total = law.fractions @ (np.angle(1 / s) - (s * (1 / s + z)).imag)
    for group in law.nodes.groups:
        form = (law.fractions * np.asarray(group.ratios) / alpha) @ s
        a, weights = np.asarray(group.variance * group.matrix[0]), np.asarray(group.weights)
        total = total + alpha * weights @ np.angle(1 + a[:, None] * form)
    return -total / np.pi


def torn(law: Law, s: np.ndarray, size: int) -> np.ndarray:
    """Whether only the nodes have the gap in which S is real, (P,), s (B R, P); never where their regions are not known.

    In a gap det(I + S'_k A) has no zero. A is continuous between its kinks and takes all values between those at the nodes there, so
    that the determinant has one sign at all nodes of a cluster in a region.
    """
    found = np.zeros(s.shape[1], dtype=bool)
    if law.pieces is None:
        return found
    blocks = np.moveaxis(s.reshape(len(law.fractions), -1, s.shape[1]), -1, 0)  # (P, B, R)
    for group, piece in zip(law.nodes.groups, law.pieces, strict=True):
        A = np.moveaxis(unpacked(np.asarray(group.variance * group.matrix), size), -1, 0)
        for p, at in enumerate(blocks):
            form = unpacked((law.fractions * np.asarray(group.ratios) / float(law.nodes.alpha)) @ at, size)
            negative = np.linalg.det(np.eye(size) + form @ A) < 0
            count, part = np.bincount(piece[piece >= 0]), np.bincount(piece[piece >= 0], negative[piece >= 0])
            found[p] |= bool(((part > 0) & (part < count)).any())
    return found
