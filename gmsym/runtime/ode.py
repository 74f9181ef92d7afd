"""Contract of a generated module of kind `Ode`, and the numbers that go with it. Source: theory.md 6.

Axes: k and l clusters (K), c and d fields (C), s and r teacher directions (T), p trained parameters (P), and b blocks (B) only where there
are several.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from gmsym.runtime.arguments import named
from gmsym.runtime.nodes import Nature, Nodes


class Numbers(NamedTuple):
    """The numbers of an online problem as arrays; everything is O(1)."""

    probabilities: Float[Array, " k"]
    labels: Float[Array, "k l"]
    sigma2: Float[Array, "k ..."]  # (K,), or (K, B) with several blocks
    rho: Float[Array, " b"]  # fractions of the coordinates, (B,)
    gram: Float[Array, "k l *b"]  # with several blocks of the coordinates in each, divided by its fraction
    tau_gram: Float[Array, "s r *b"]
    tau_mean: Float[Array, "s k *b"]
    step: Float[Array, ""]  # c
    ridge: Float[Array, ""]
    trained_step: Float[Array, ""]  # c_v
    trained_ridge: Float[Array, ""]
    parameters: Float[Array, " n"]  # in the order of the module's PARAMETERS
    corrector: Float[Array, ""]  # 1; 0 drops the second moment of the gradient, to see what it does
    # Of a problem in coordinates, of which there are b and q (d); empty otherwise.
    means: Float[Array, "k b"] | tuple = ()
    covariance: Float[Array, "g b q"] | tuple = ()  # the different ones, if they are not diagonal
    groups: Int[Array, " k"] | tuple = ()  # which of them is that of each cluster

    def within(self, gram: Float[Array, "x y *b"]) -> Float[Array, "b x y"]:
        """Of the coordinates in each block."""
        return self.rho[:, None, None] * jnp.moveaxis(gram[..., None] if gram.ndim == 2 else gram, -1, 0)


class State(NamedTuple):
    """Summary statistics; c and d run over the fields, and again over those of each state that lasts."""

    Q: Float[Array, "*b c d"]
    m: Float[Array, "*b k c"]
    M: Float[Array, "*b s c"]
    v: Float[Array, " p"]

    def by_block(self) -> tuple[Float[Array, "b c d"], Float[Array, "b k c"], Float[Array, "b s c"]]:
        """Q, m and M with the axis of blocks, of size 1 if there is one."""
        overlaps = self.Q, self.m, self.M
        return overlaps if self.Q.ndim == 3 else tuple(x[None] for x in overlaps)

    def of(self, fields: int, place: int = 0) -> "State":
        """With the columns of Theta only, or of the state of the update rule that lasts at that place after it."""
        own = slice(place * fields, (place + 1) * fields)
        return State(self.Q[..., own, own], self.m[..., own], self.M[..., own], self.v)

    def with_columns(self, columns: int) -> "State":
        """With columns of zeros up to so many, of states that last."""
        more = [(0, columns - self.Q.shape[-1])]
        widened = (jnp.pad(x, [(0, 0)] * (x.ndim - len(axes)) + axes) for x, axes in ((self.Q, more * 2), (self.m, more), (self.M, more)))
        return State(*widened, self.v)


class Spread(NamedTuple):
    """State of a problem in coordinates: mean and covariance of each coordinate of Theta over the samples before."""

    D: Float[Array, "b c"]
    N: Float[Array, "b c d"]
    v: Float[Array, " p"]

    def of(self, fields: int, place: int = 0) -> "Spread":
        """Itself: rules with states that last are not treated in coordinates."""
        return self


class OdeModule(Protocol):
    """What a generated module of this kind offers, beside the functions `drift_X`, `increment_X` and `second_X` of array
    algebra, and `overlap_X` of a problem in coordinates."""

    SIGNATURE: str
    FIELDS: int
    TEACHERS: int
    CLUSTERS: int
    TRAINED: tuple[str, ...]
    PARAMETERS: tuple[str, ...]
    RESPONSE: str  # "derivative" or "regression"
    NODES: tuple[tuple[int, Nature], ...]
    TEST_NODES: tuple[tuple[int, Nature], ...]
    TESTS: tuple[str, ...]  # what `test` returns of a fresh sample: test_loss, perhaps test_error, the problem's observables
    SAMPLE_NODES: tuple[int, Nature]

    def means(self, mean, V, label, trained, parameters, nodes) -> Float[Array, "k outputs"]:
        """E[a] (C), the response (C, C + T) by rows, the upper triangle of E[a a^T], E[dl/dv] (P), for each cluster."""
        ...

    def test(self, mean, V, label, trained, parameters, nodes) -> Float[Array, "k outputs"]:
        """Loss and, if there is a prediction, misclassification probability of a fresh sample of each cluster."""
        ...

    def gradient(self, fields, teacher, label, trained, parameters) -> Float[Array, "c n"]:
        """Gradient of the loss in the fields."""
        ...

    def trained_gradient(self, fields, teacher, label, trained, parameters) -> Float[Array, "p n"]:
        """Gradient of the loss in the trained parameters."""
        ...

    def rate(self, t, c, parameters) -> Float[Array, ""]:
        """Rate of the schedule at time t."""
        ...

    # Where states last, rule(t, c, beta, parameters): J (n, 1), W (n, n) and Pi (1, n) of theta and these states.


def law(module: OdeModule, state: State | Spread, numbers: Numbers) -> tuple[Float[Array, "k f"], Float[Array, "k f g"]]:
    """Mean and covariance of (h, tau) in each cluster, f = C + T, of a state with the columns of Theta only."""
    if isinstance(state, Spread):
        found = in_coordinates(module, state, numbers)
        return found["m"], found["Q_k"] + 1e-30 * jnp.eye(module.FIELDS)
    Q, m, M = state.by_block()
    mean = jnp.concatenate([m.sum(axis=0), numbers.within(numbers.tau_mean).sum(axis=0).T], axis=1)
    gram = jnp.block([[Q, jnp.swapaxes(M, 1, 2)], [M, numbers.within(numbers.tau_gram)]])
    tiny = 1e-30 * jnp.eye(gram.shape[-1])  # Theta = 0 has no h/sqrt(Q)
    return mean, in_clusters(numbers, gram) + tiny


def in_coordinates(module: OdeModule, state: Spread, numbers: Numbers) -> dict[str, Array]:
    """The overlaps m (K, C), Q (C, C) and Q_k (K, C, C) of a problem in coordinates, and `turned` (K, b, C), what they hold of it."""
    arrays = {**state._asdict(), "sigma2": numbers.sigma2, "mean": numbers.means, "Sigma": numbers.covariance}
    turned = named(module.overlap_turned, arrays)
    arrays["turned"] = turned if isinstance(numbers.covariance, tuple) else turned[numbers.groups]
    found = {name: named(getattr(module, f"overlap_{name}"), arrays) for name in ("m", "Q", "Q_k")}
    return found | {"turned": arrays["turned"]}


def in_clusters(numbers: Numbers, gram: Float[Array, "b f g"]) -> Float[Array, "k f g"]:
    """sum_b sigma_kb^2 Gram_b."""
    return (numbers.sigma2.reshape(-1, len(gram), 1, 1) * gram).sum(axis=1)  # fused, which a product of matrices would not be


def drift(module: OdeModule, t: Float[Array, ""], state: State | Spread, numbers: Numbers, nodes: Sequence[Nodes]) -> State | Spread:
    """d/dt of the state."""
    fields, teachers = module.FIELDS, module.TEACHERS
    mean, V = law(module, state.of(fields), numbers)
    found = module.means(mean, V, numbers.labels, state.v, numbers.parameters, nodes)
    ends = list(accumulate((fields, fields * (fields + teachers), fields * (fields + 1) // 2)))
    abar, response, upper, bbar = jnp.split(found, ends, axis=1)
    response = response.reshape(len(found), fields, fields + teachers)
    if module.RESPONSE == "regression":
        response = jnp.einsum("kcf,kfg->kcg", response, jnp.linalg.pinv(V, hermitian=True))
    rows, columns = np.triu_indices(fields)
    square = jnp.zeros((len(found), fields, fields)).at[:, rows, columns].set(upper).at[:, columns, rows].set(upper)
    arrays = {
        "p": numbers.probabilities,
        "sigma2": numbers.sigma2,
        "rho": numbers.rho,
        "gram": numbers.gram,
        "tau_gram": numbers.tau_gram,
        "tau_mean": numbers.tau_mean,
        "c": numbers.step,
        "c_v": numbers.trained_step,
        "beta": numbers.ridge,
        "beta_v": numbers.trained_ridge,
        "rate": module.rate(t, numbers.step, numbers.parameters),
        "abar": abar,
        "A": response[:, :, :fields],
        "B": jnp.swapaxes(response[:, :, fields:], 1, 2),
        "S": numbers.corrector * square,
        "bbar": bbar,
        **state._asdict(),
        **rule(module, t, numbers),
    }
    if isinstance(state, Spread):
        arrays |= {"mean": numbers.means, "turned": in_coordinates(module, state, numbers)["turned"]}
        arrays |= {} if isinstance(numbers.covariance, tuple) else {"Sigma": numbers.covariance[numbers.groups]}
    return type(state)(*(call(module, "drift", name, arrays, getattr(state, name)) for name in state._fields))


def rule(module: OdeModule, t: Float[Array, ""], numbers: Numbers) -> dict[str, Array]:
    """J, W and Pi of a rule with states that last, in the fields; nothing of gradient descent."""
    if not hasattr(module, "rule"):
        return {}
    J, W, Pi = module.rule(t, numbers.step, numbers.ridge, numbers.parameters)
    return {name: jnp.kron(x, jnp.eye(module.FIELDS)) for name, x in (("J", J), ("W", W), ("Pi", Pi))}


def call(module: OdeModule, kind: str, name: str, arrays: dict, like: Array) -> Array:
    """A generated function of array algebra with the arguments it names; zero where a statistic is absent from the problem."""
    function = getattr(module, f"{kind}_{name}", None)
    if function is None:
        return jnp.zeros_like(like)
    return named(function, arrays)
