"""Binary logistic regression by one-pass SGD in the limit, integrated by SciPy: states for spectra. Source: theory.md (6.1)."""

import numpy as np
import xarray as xr
from scipy.integrate import solve_ivp
from scipy.special import expit


def trajectory(times, *, variance=1.0, norm2=1.0, step=1.0, ridge=0.0, start=0.2):
    """Dataset of m (time, cluster, field) and Q (time, field, field_b); |mu|^2 = norm2, Q(0) = start, m(0) = 0, step delta = c/d."""
    xi = np.linspace(-8.5, 8.5, 1600)
    weights = np.exp(-(xi**2) / 2)
    weights /= weights.sum()

    def drift(_, state):
        Q, m = state
        L = np.sqrt(Q)
        h = m + np.sqrt(variance) * L * xi  # cluster +mu; the other one mirrors it
        a = -expit(-h)
        Ea, Eah, Eaa, Eaxi = (weights @ f for f in (a, a * h, a * a, a * xi))
        return [
            -2 * Eah - 2 * ridge * Q + step * variance * Eaa,
            -(Ea * norm2 + np.sqrt(variance) * Eaxi * m / L) - ridge * m,
        ]

    solution = solve_ivp(drift, (0.0, times[-1]), [start, 0.0], t_eval=times, rtol=1e-10, atol=1e-12)
    Q, m = solution.y
    return xr.Dataset(
        {"m": (("time", "cluster", "field"), np.stack([m, -m], axis=1)[..., None]), "Q": (("time", "field", "field_b"), Q[:, None, None])},
        {"time": np.asarray(times, dtype=float)},
    )
