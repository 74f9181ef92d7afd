"""The finite-size surrogate as a program: exact trajectories in law, and the map of its scalars behind refinement. Source: theory.md 1.

Cost of a replicate: time O((n + d) T^2 C^2 K), memory O((n + d) T C), against O(n d T C) and O(n d) for training. The room for
directions grows by a factor of 4, one compilation each, whatever the numbers, the steps and the replicates are. A direction whose
residual is below 1e-10 of its vector (1e-6 where Gram matrices are given from outside) opens nothing.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gmsym.engine.draws import Draws, draws
from gmsym.errors import ComputationError, InputError, check_integers
from gmsym.runtime.arguments import named
from gmsym.runtime.batches import together
from gmsym.runtime.causal_kernels import by_batches, by_observable, cluster_moments, observables, own_noises, teachers, tests, trained
from gmsym.runtime.checkpoint import Checkpoint
from gmsym.runtime.compiling import compiled
from gmsym.runtime.frames import oriented
from gmsym.runtime.interrupt import in_pieces
from gmsym.runtime.nodes import settled
from gmsym.runtime.recursion import Design, RecursionModule

_RANK_TOLERANCE = 1e-20  # of squared norms: a residual below 1e-10 of the vector
_GRAM_TOLERANCE = 1e-12  # the same where Gram matrices are given, whose rounding hides residuals below 1e-8 of the vector
_FIRST = (8, 32)  # steps for whose directions there is room at first; the larger one, unless the smaller one is enough
_GROWTH = 4
_DIVERGED = 1e12
# "Steps" whose draws belong to the teachers' products and to samples' own noises, and from which on to trained parameters' noise.
_TEACHERS, _OWN, _TRAINED = 1 << 28, (1 << 28) + 1, 1 << 27


class Scalars(NamedTuple):
    """What the program's vectors share: with these given, samples and coordinates run independently of each other.

    Rows by time; S = T C slots, one for each direction, by time and field. A slot that is not open yet is zero. The Cholesky factors
    L and M of the Gram matrices give the directions.
    """

    theta_gram: Float[Array, "t k c j"]  # Theta^T Sigma_k Theta
    gradient_gram: Float[Array, "t k c j"]  # a_k^T a_k, a sum over samples
    qz: Float[Array, "t k c j"]  # responses <q, z_j>
    ug: Float[Array, "t k c j"]  # responses <u, g_j>
    phi: Float[Array, "t k c j"]  # fluctuations <u_j, g>
    psi: Float[Array, "t k c j"]  # fluctuations <q_j, z>
    m: Float[Array, "t k c"]  # overlaps with the means
    asum: Float[Array, "t k c"]  # mean gradients


class Weights(NamedTuple):
    """Weights of samples and coordinates in every sum over them; a padded sample has weight 0."""

    samples: Float[Array, "k n"]
    coordinates: Float[Array, " d"]


class Run(NamedTuple):
    """One run of the program."""

    order: dict[str, Float[Array, "t ..."]]  # order parameters and train loss
    L: Float[Array, "t k c j"]  # Cholesky factors that drove the run, of the parameters
    M: Float[Array, "t k c j"]  # and of the gradients
    empirical: Scalars  # as the run's own vectors have them
    used: Scalars  # as the run was driven by them
    trace: "Trace | None" = None  # where it was asked for


class Trace(NamedTuple):
    """Everything that the adjoint of a run needs, by time or by slot."""

    theta: Float[Array, "t c x"]
    state: tuple[Float[Array, "t c x"], ...]
    h: Float[Array, "t k c n"]
    a: Float[Array, "t k c n"]
    gradient: Float[Array, "t c x"]
    L: Float[Array, "t k c j"]
    M: Float[Array, "t k c j"]
    scalars: Scalars
    q: Float[Array, "k j x"]  # directions of the parameters
    z: Float[Array, "k j x"]
    Zu: Float[Array, "k j x"]
    u: Float[Array, "k j n"]  # directions of the gradients
    g: Float[Array, "k j n"]
    Zq: Float[Array, "k j n"]


class _Side(NamedTuple):
    """One side's directions, in the slots of their step and field; slots to come are zero."""

    direction: Float[Array, "k j x"]  # q over coordinates, u over samples
    fresh: Float[Array, "k j x"]  # z, g: Gaussians that stand for the other side's products with the noise
    product: Float[Array, "k j x"]  # Zu, Zq: those products
    factor: Float[Array, "k i j"]  # rows of L, of M
    vectors: Float[Array, "k j x"]  # what the directions were made from; empty unless Gram matrices are given from outside


def sample_recursion(
    module: RecursionModule,
    design: Design,
    *,
    steps: int,
    replicates: int,
    seed: int = 0,
    fluctuations: bool = True,
    checkpoint: Checkpoint | None = None,
    report: Callable[[float], None] | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Draw whole trajectories.

    Args:
        module: a loaded generated module of kind Recursion.
        design: the problem's numbers at finite size.
        steps: T, times 0..T-1.
        replicates: independent trajectories, at least 2.
        seed: of all Gaussians.
        fluctuations: False drops the fluctuation parameters phi and psi, which is no longer exact (to see what they do).
        checkpoint: keeps finished replicates.
        report: called with the completed fraction.

    Returns:
        Order parameters of each replicate: m (R, T, K, C), Q (R, T, C, C), Q_k (R, T, K, C, C), train_loss, test_loss and
        perhaps test_error (R, T); and the Cholesky factors L and M and the other `Scalars` (R, T, K, C, ...), by name.

    Raises:
        InputError: an argument out of range; more steps than samples or dimensions.
        ComputationError: a trajectory diverged; names the step and the quantity.
    """
    check_integers(steps=(steps, 1), replicates=(replicates, 2), seed=(seed, 0))
    check_steps(design, steps)
    segments = _segments(steps)
    usual = max(_GROWTH * _FIRST[-1], segments[-1][1])  # so that shorter runs share a batch
    slots = usual * module.FIELDS * module.CLUSTERS
    batch = together(replicates, slots * (3 * (sum(design.sizes) + max(design.counts)) + 8 * usual * module.FIELDS))
    sizes = [min(batch, replicates - start) for start in range(0, replicates, batch)]

    def compute(index: int) -> dict[str, np.ndarray]:
        start = index * batch
        chosen = np.minimum(np.arange(start, start + batch), replicates - 1)  # one shape for all batches
        keys, carry = _begin(module, design, segments[0][1], np.int64(seed), chosen)
        pieces: list[tuple[dict, dict]] = []
        for first, room in segments:
            times = slice(first, min(room, steps))
            carry, piece = _advance(module, design, room, fluctuations, keys, carry, np.int64(first), np.int64(times.stop))
            pieces.append(jax.tree.map(lambda x, now=times: np.asarray(x)[: sizes[index], now], piece))
            _check_finite(pieces[-1][0], first, steps)
        return {
            f"{i} {name}": value
            for i, part in enumerate(_joined(pieces, teachers(module) + steps * module.FIELDS))
            for name, value in part.items()
        }

    parts = in_pieces(compute, sizes, "replicates", checkpoint=checkpoint, report=report)
    every = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    observed, scalars = ({name[2:]: value for name, value in every.items() if name[0] == i} for i in "01")
    return observed, scalars


def _segments(steps: int) -> list[tuple[int, int]]:
    """(first step, step before which the room ends) of each."""
    room = next((room for room in _FIRST if room >= steps), _FIRST[-1])
    segments = [(0, room)]
    while room < steps:
        segments.append((room, _GROWTH * room))
        room *= _GROWTH
    return segments


def _joined(pieces: list[tuple[dict, dict]], slots: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """One batch's records (R, T, ...), its scalars with as many slots as there are steps and fields."""

    def cut(x: np.ndarray) -> np.ndarray:
        return np.pad(x, [(0, 0)] * 4 + [(0, max(0, slots - x.shape[4]))])[..., :slots] if x.ndim == 5 else x

    observed = {name: np.concatenate([piece[0][name] for piece in pieces], axis=1) for name in pieces[0][0]}
    return observed, {name: np.concatenate([cut(piece[1][name]) for piece in pieces], axis=1) for name in pieces[0][1]}


def check_steps(design: Design, steps: int) -> None:
    """Raise InputError if there are more steps than directions in the data."""
    n, d = sum(design.counts), sum(design.sizes)
    if steps > min(n, d):
        raise InputError(f"steps = {steps} exceeds min(n, d) = {min(n, d)}: the surrogate would run out of directions; train instead")


def replicate_key(seed: int | Array, replicate: int | Array) -> Array:
    """The key of a replicate, whatever their number is."""
    return jax.random.fold_in(jax.random.key(seed), replicate)


@compiled
def _begin(module: RecursionModule, design: Design, room: int, seed: Array, chosen: Array) -> tuple[Array, tuple]:
    """(keys, states before the first step) of the chosen replicates."""
    keys = jax.vmap(replicate_key, in_axes=(None, 0))(seed, chosen)
    return keys, jax.vmap(lambda key: _Program(module, design, room, draws(design, key)).start())(keys)


@compiled
def _advance(
    module: RecursionModule, design: Design, room: int, fluctuations: bool, keys: Array, carry: tuple, first: Array, last: Array
) -> tuple[tuple, tuple[dict, dict]]:
    """States after the steps from `first` to before `last`, and (order parameters, scalars) (R, room, ...) of these steps."""
    slots = teachers(module) + room * module.FIELDS

    def enlarged(side: _Side) -> _Side:
        more = slots - side.factor.shape[1]
        longer = (jnp.pad(x, ((0, 0), (0, more), (0, 0))) for x in side[:3])
        return _Side(*longer, jnp.pad(side.factor, ((0, 0), (0, more), (0, more))), side.vectors)

    def step(key: Array, carry: tuple, t: Array) -> tuple[tuple, tuple[dict, dict]]:
        program = _Program(module, design, room, draws(design, key), fluctuations=fluctuations)
        carry, (run, _) = program.step(carry, (t, None))
        families = run.used._asdict()
        del families["theta_gram"], families["gradient_gram"]
        return carry, (run.order, {"L": run.L, "M": run.M, **families})

    def one(key: Array, carry: tuple) -> tuple[tuple, tuple[dict, dict]]:
        theta, state, coordinates, samples, *own = carry
        carry = (theta, state, enlarged(coordinates), enlarged(samples), *own)
        shapes = jax.eval_shape(step, key, carry, first)[1]
        empty = jax.tree.map(lambda x: jnp.zeros((room, *x.shape), x.dtype), shapes)

        def over_step(t: Array, now: tuple) -> tuple:
            carry, found = step(key, now[0], t)
            return carry, jax.tree.map(lambda kept, new: kept.at[t].set(new), now[1], found)

        carry, (order, scalars) = jax.lax.fori_loop(first, last, over_step, (carry, empty))
        mean, covariance = order.pop("mean", order["m"]), order.pop("covariance", order["Q_k"])
        return carry, (order | test_performance(module, design, mean, covariance, order.get("trained")), scalars)

    return jax.vmap(one)(keys, carry)


def no_offsets(module: RecursionModule, steps: int) -> Scalars:
    """Zeros in the shapes of the program's scalars."""
    rows = steps, module.CLUSTERS, module.FIELDS
    return Scalars(*(jnp.zeros((*rows, steps * module.FIELDS)) for _ in range(6)), jnp.zeros(rows), jnp.zeros(rows))


def unit_weights(design: Design) -> Weights:
    """Every sample and every coordinate counts once."""
    exists = np.arange(max(design.counts)) < np.asarray(design.counts)[:, None]
    return Weights(jnp.asarray(exists, float), jnp.ones(sum(design.sizes)))


class _Driver:
    """The scalars of one step as they come up, by field: as the run's vectors have them, and as they drive the run."""

    def __init__(self, offset: Scalars | None, coupled: bool):
        self.offset, self.coupled = offset, coupled
        self.own: dict[str, list[Array]] = {name: [] for name in Scalars._fields[:6]}
        self.used: dict[str, list[Array]] = {name: [] for name in self.own}

    def drive(self, name: str, value: Array, *c: int) -> Array:
        """What takes the place of a scalar."""
        if self.offset is None:
            return value
        shift = getattr(self.offset, name)[(slice(None), *c)]
        return value + shift if self.coupled else shift

    def record(self, name: str, c: int, value: Array) -> Array:
        """`drive`, kept as field c's entry of a family."""
        self.own[name].append(value)
        self.used[name].append(self.drive(name, value, c))
        return self.used[name][-1]

    def new_direction(self, name: str, side: _Side, vectors: Array, weight: Array, slot: Array, c: int) -> tuple[Array, Array, _Side]:
        """(the direction that one vector a cluster adds, whether it adds one, its side with it in the slot)."""
        if self.offset is None:
            row, new, direction = _orthonormalised(side.direction, vectors, weight, slot)
            self.record(name, c, jnp.einsum("kij,kj->ki", side.factor.at[:, slot].set(row), row))
        else:
            side = side._replace(vectors=side.vectors.at[:, slot].set(vectors))
            gram = self.record(name, c, jnp.einsum("kjx,kx->kj", side.vectors, vectors * weight))
            row, new, direction = _from_gram(gram, side, vectors, slot)
        opened = side._replace(direction=side.direction.at[:, slot].set(direction), factor=side.factor.at[:, slot].set(row))
        return direction, new, opened

    def rows(self, own: tuple[Array, Array], used: tuple[Array, Array]) -> tuple[Scalars, Scalars]:
        """All scalars of the step, with (m, asum) of both kinds."""
        families = ({name: jnp.stack(values, axis=1) for name, values in kept.items()} for kept in (self.own, self.used))
        one, other = (Scalars(**family, m=m, asum=asum) for family, (m, asum) in zip(families, (own, used), strict=True))
        return one, other


class _Products(NamedTuple):
    """The two products with the noise matrix that a step takes, column after column; each adds a direction to its side."""

    module: RecursionModule
    deviation: Float[Array, "k d"]
    weights: Weights
    fluctuations: bool

    def with_columns(
        self, driver: _Driver, theta: Array, fresh: Array, coordinates: _Side, samples: _Side, slots: Sequence[Array]
    ) -> tuple[_Side, _Side]:
        """Z_k Sigma_k^{1/2} Theta_c: (coordinates, samples) with the direction that each column adds, in its slot."""
        for c, slot in enumerate(slots):
            u = samples.direction
            scaled = named(self.module.scaled, {"column": theta[c], "deviation": self.deviation})
            q, new, coordinates = driver.new_direction("theta_gram", coordinates, scaled, self.weights.coordinates, slot, c)
            g = fresh[c] * new[:, None]
            arrays = self.weighted | {"z": coordinates.fresh, "q_new": q, "u": u, "g_new": g}
            chi = driver.record("qz", c, named(self.module.responses_to_gradients, arrays))
            phi = driver.record("phi", c, named(self.module.fluctuations_of_parameters, arrays))
            product = self.module.noise_product(chi=chi, g_new=g, phi_new=self._kept(phi), u=u)
            samples = samples._replace(fresh=samples.fresh.at[:, slot].set(g), product=samples.product.at[:, slot].set(product))
        return coordinates, samples

    def with_gradient(
        self, driver: _Driver, a: Array, fresh: Array, coordinates: _Side, samples: _Side, slots: Sequence[Array]
    ) -> tuple[_Side, _Side]:
        """Z_k^T a_c: (coordinates, samples) with the direction that each gradient adds, in its slot."""
        for c, slot in enumerate(slots):
            q = coordinates.direction
            u, new, samples = driver.new_direction("gradient_gram", samples, a[:, c], self.weights.samples, slot, c)
            z = fresh[c] * new[:, None]
            arrays = self.weighted | {"g": samples.fresh, "u_new": u, "q": q, "z_new": z}
            upsilon = driver.record("ug", c, named(self.module.responses_to_parameters, arrays))
            psi = driver.record("psi", c, named(self.module.fluctuations_of_gradients, arrays))
            product = self.module.transposed_product(psi_new=self._kept(psi), q=q, upsilon=upsilon, z_new=z)
            coordinates = coordinates._replace(
                fresh=coordinates.fresh.at[:, slot].set(z), product=coordinates.product.at[:, slot].set(product)
            )
        return coordinates, samples

    @property
    def weighted(self) -> dict[str, Array]:
        """The weights by their names in generated text."""
        return {"of_sample": self.weights.samples, "of_coordinate": self.weights.coordinates}

    def _kept(self, fluctuation: Array) -> Array:
        return fluctuation if self.fluctuations else jnp.zeros_like(fluctuation)


def run_program(
    module: RecursionModule,
    design: Design,
    steps: int,
    gaussians: Draws,
    *,
    offsets: Scalars | None = None,
    coupled: bool = True,
    weights: Weights | None = None,
    fluctuations: bool = True,
    traced: bool = False,
) -> Run:
    """Run the program on given Gaussians; differentiable in `offsets` and `weights`.

    Args:
        module, design: the program and its numbers.
        steps: T.
        gaussians: all of them, of the design's size.
        offsets: what drives the run: the scalars of its own vectors plus these (default zero, the exact surrogate); or, not
            `coupled`, these alone, and then `empirical` is the map Gamma_n of theory.md 1.3 at `offsets`.
        coupled: see `offsets`.
        weights: of samples and coordinates (default 1).
        fluctuations: False drops phi and psi.
        traced: whether the vectors of the run are kept, O((n + d) T C K) numbers.
    """
    options = {"coupled": coupled, "weights": weights, "fluctuations": fluctuations, "traced": traced}
    program = _Program(module, design, steps, gaussians, offset=offsets is not None, **options)
    carry, (run, vectors) = jax.lax.scan(program.step, program.start(), (jnp.arange(steps), offsets))
    if not traced:
        return run
    sides = [x for side in carry[2:4] for x in (side.direction, side.fresh, side.product)]
    return run._replace(trace=Trace(*vectors, run.L, run.M, run.used, *sides))


class _Program:
    """The program of `run_program` on given Gaussians, with room for the directions of so many steps."""

    def __init__(
        self,
        module: RecursionModule,
        design: Design,
        room: int,
        gaussians: Draws,
        *,
        offset: bool = False,
        coupled: bool = True,
        weights: Weights | None = None,
        fluctuations: bool = True,
        traced: bool = False,
    ):
        self.module, self.design, self.room, self.gaussians = module, design, room, gaussians
        self.offset, self.coupled, self.traced = offset, coupled, traced
        fields, clusters, d = module.FIELDS, module.CLUSTERS, sum(design.sizes)
        self.counts, self.labels = jnp.asarray(design.counts, float), jnp.asarray(design.labels)
        weights = unit_weights(design) if weights is None else weights
        self.exists = unit_weights(design).samples
        deviation = jnp.sqrt(jnp.repeat(jnp.asarray(design.variance), np.asarray(design.sizes), axis=1, total_repeat_length=d))
        vectors = oriented(gaussians.start(len(design.root)), design.sizes, design.root).T
        self.theta, self.means, self.stars = jnp.split(vectors, [fields, fields + clusters])
        self.products = _Products(module, deviation, weights, fluctuations)
        of_all = {"deviation": deviation, "means": self.means, "counts": self.counts, "total": sum(design.counts)}
        self.known = self.products.weighted | of_all

    def start(self) -> tuple:
        """The state before the first step."""
        module, design = self.module, self.design
        widest, known_stars = max(design.counts), teachers(module)
        slots = known_stars + self.room * module.FIELDS
        factor = jnp.zeros((module.CLUSTERS, slots, slots))

        def empty(size: int) -> _Side:
            side = jnp.zeros((module.CLUSTERS, slots, size))
            return _Side(side, side, side, factor, side if self.offset else side[:, :0])

        state = tuple(jnp.zeros_like(self.theta) for _ in module.STATE)
        visit = jnp.zeros((module.CLUSTERS, widest)) if by_batches(module) else None
        coordinates, samples = empty(sum(design.sizes)), empty(widest)
        if known_stars:  # before all else
            fresh, _ = self.gaussians.at(jnp.asarray(_TEACHERS), known_stars)
            opened = (fresh, coordinates, samples, range(known_stars))
            coordinates, samples = self.products.with_columns(_Driver(None, True), self.stars, *opened)
        v = jnp.asarray(design.trained, float)
        return self.theta, state, coordinates, samples, visit, (v, *(jnp.zeros_like(v) for _ in module.STATE))

    def step(self, carry: tuple, now: tuple) -> tuple[tuple, tuple]:
        """(state after a step, (its record, its vectors if they are kept))."""
        theta, state, coordinates, samples, visit, own = carry
        t, offsets = now
        module, fields = self.module, self.module.FIELDS
        driver, (fresh_samples, fresh_coordinates) = _Driver(offsets, self.coupled), self.gaussians.at(t, fields)
        slots = teachers(module) + t * fields + jnp.arange(fields)
        coordinates, samples = self.products.with_columns(driver, theta, fresh_samples, coordinates, samples, slots)
        arrays = self.known | {"theta": theta}
        overlap = named(module.overlap, arrays)
        m = driver.drive("m", overlap)
        L = coordinates.factor[:, slots]
        h = module.field(L=L, Zq=samples.product, m=m)
        tau = self._beside(coordinates, samples)
        a, visit = self._gradients(t, h, tau, own[0], visit)
        coordinates, samples = self.products.with_gradient(driver, a, fresh_coordinates, coordinates, samples, slots)
        mean_gradient = named(module.mean_gradient, arrays | {"a": a})
        asum = driver.drive("asum", mean_gradient)
        M = samples.factor[:, slots]
        gradient = self._risk_gradient(theta, coordinates, M, asum)
        order = self._order(arrays, overlap, h, tau, own[0])
        if trained(module):
            order["trained"] = own[0]
            own = self._trained(t, h, tau, visit, own)
        moved = {"t": t, "theta": theta, "state": state, "gradient": gradient, "parameters": self.design.parameters}
        moved |= {"d": sum(self.design.sizes), "noise": self.gaussians.noise(t, fields)}
        moved["norm"] = lambda x: jnp.sqrt(jnp.sum(x**2) / sum(self.design.sizes))
        new_theta, new_state = named(module.optimizer, moved)
        run = Run(order, L, M, *driver.rows((overlap, mean_gradient), (m, asum)))
        return (new_theta, new_state, coordinates, samples, visit, own), (run, (theta, state, h, a, gradient) if self.traced else ())

    def _local(self, function: Callable[..., Array], h: Array, tau: Array | None, v: Array, visit=None, t=None, moments=None) -> Array:
        """A function of the samples, cluster by cluster."""
        parameters = self.design.parameters

        def of_cluster(h, label, tau, visit, moments):
            given = {"fields": h, "label": label, "teacher": tau, "trained": v, "visit": visit, "t": t, "parameters": parameters}
            return named(function, given | {"moments": moments})

        return jax.vmap(of_cluster, in_axes=(0, 0, 1, 0, 0))(h, self.labels, tau, visit, moments)

    def _beside(self, coordinates: _Side, samples: _Side) -> Float[Array, "e k n"] | None:
        """Fields of the teacher directions, and samples' own noises, (S + W, K, n)."""
        module, fields = self.module, []
        if teachers(module):
            Lz = jnp.moveaxis(coordinates.factor[:, : teachers(module)], 1, 0)
            star_mean = named(module.overlap, self.known | {"theta": self.stars}).T
            fields.append(named(module.teacher_field, {"Lz": Lz, "Zq": samples.product, "star_mean": star_mean}))
        if own_noises(module):
            fields.append(self.gaussians.at(jnp.asarray(_OWN), own_noises(module))[0])
        return jnp.concatenate(fields) if fields else None

    def _gradients(self, t: Array, h: Array, tau: Array | None, v: Array, visit: Array | None) -> tuple[Array, Array | None]:
        """(gradients of the samples as the step sees them, their state under mini-batches)."""
        module = self.module
        if visit is None:
            a = self._local(module.gradient, h, tau, v)
        else:
            uniform = self.gaussians.uniform(t, module.TOGETHER)
            visit = jnp.broadcast_to(module.next_visit(uniform, visit, t, self.design.parameters), visit.shape)
            a = self._local(module.gradient_seen, h, tau, v, visit, t)
        return a * self.exists[:, None], visit

    def _risk_gradient(self, theta: Array, coordinates: _Side, M: Array, asum: Array) -> Float[Array, "c x"]:
        n = sum(self.design.counts)
        return self.module.risk_gradient(
            n=n,
            ridge=self.design.ridge,
            Za=self.module.noise_gradient(M=M, Zu=coordinates.product),
            asum=asum,
            deviation=self.products.deviation,
            means=self.means,
            p=self.counts / n,
            theta=theta,
        )

    def _order(self, arrays: dict[str, Array], overlap: Array, h: Array, tau: Array | None, v: Array) -> dict[str, Array]:
        """Order parameters and means over the training samples; with teachers the moments of all fields, too."""
        module = self.module
        order = {
            "m": overlap,
            "Q": named(module.gram, arrays),
            "Q_k": named(module.cluster_gram, arrays),
            "train_loss": named(module.train_loss, arrays | {"loss": self._local(module.loss, h, tau, v)}),
        }
        if observables(module):
            seen = self._local(module.observed, h, tau, v, moments=cluster_moments(order["m"], order["Q_k"]))
            order |= by_observable(module, named(module.train_observed, arrays | {"seen": seen}))
        if teachers(module):
            every = arrays | {"theta": jnp.concatenate([arrays["theta"], self.stars])}
            order |= {"mean": named(module.overlap, every), "covariance": named(module.cluster_gram, every)}
            order["M"] = named(module.teacher_overlap, arrays | {"star": self.stars})
        return order

    def _trained(self, t: Array, h: Array, tau: Array | None, visit: Array | None, own: tuple[Array, ...]) -> tuple[Array, ...]:
        """Trained parameters and their state of the optimizer after the step."""
        module, design, (v, *state_v) = self.module, self.design, own
        slopes = {"dv": self._local(module.trained_gradient, h, tau, v, visit, t), "trained": v, "trained_ridge": design.trained_ridge}
        gradient = named(module.trained_risk_gradient, self.known | slopes)
        moved = {"t": t, "theta": v, "state": tuple(state_v), "gradient": gradient, "parameters": design.trained_parameters}
        new_v, new_state_v = named(module.trained_optimizer, moved | {"noise": self.gaussians.noise(t + _TRAINED, len(v))[:, 0]})
        return tuple(jnp.broadcast_to(x, v.shape) for x in (new_v, *new_state_v))


def test_performance(module: RecursionModule, design: Design, m: Array, covariance: Array, v: Array | None = None) -> dict[str, Array]:
    """Test loss, test error if there is a prediction, and observables of a fresh sample (T,), from the mean (T, K, C + S) and covariance
    (T, K, C + S, C + S) of the fields, those of teachers last, and trained parameters (T, P)."""
    share = jnp.asarray(design.counts) / sum(design.counts)
    v = jnp.zeros((len(m), 0)) if v is None else v
    nodes = settled(module.TEST_NODES)
    tiny = 1e-30 * jnp.eye(m.shape[-1])  # as in the limit's engine: Theta = 0 has no h/sqrt(Q)
    return {
        name: jax.lax.map(
            lambda x, f=function: (
                share @ named(f, {"m": x[0], "Q": x[1] + tiny, "trained": x[2], "parameters": design.parameters, "nodes": nodes})
            ),
            (m, covariance, v),
        )
        for name, function in tests(module).items()
    }


def _orthonormalised(directions: Array, vectors: Array, weights: Array, slot: Array) -> tuple[Array, Array, Array]:
    """(row of the Cholesky factor, whether a direction opens, the direction) of one vector a cluster; projected twice."""
    coefficients = jnp.zeros(directions.shape[:2])
    rest = vectors
    for _ in range(2):
        projection = jnp.einsum("kjx,kx->kj", directions, rest * weights)
        rest = rest - jnp.einsum("kj,kjx->kx", projection, directions)
        coefficients = coefficients + projection
    left = jnp.sum(rest**2 * weights, axis=1)
    new = left > _RANK_TOLERANCE * jnp.sum(vectors**2 * weights, axis=1)
    size = jnp.where(new, jnp.sqrt(jnp.where(new, left, 1.0)), 0.0)
    return coefficients.at[:, slot].set(size), new, jnp.where(new[:, None], rest / jnp.where(new, size, 1.0)[:, None], 0.0)


def _from_gram(gram: Array, side: _Side, vectors: Array, slot: Array) -> tuple[Array, Array, Array]:
    """As `_orthonormalised` when the row of the Gram matrix is given; NaN where that is not positive semidefinite."""
    diagonal = jnp.diagonal(side.factor, axis1=1, axis2=2)
    opened = diagonal > 0
    factor = side.factor + jax.vmap(jnp.diag)(jnp.where(opened, 0.0, 1.0))
    row = jax.vmap(lambda f, x: jax.scipy.linalg.solve_triangular(f, x, lower=True))(factor, jnp.where(opened, gram, 0.0))
    size2 = gram[:, slot]
    left = size2 - jnp.sum(row**2, axis=1)
    new = left > _GRAM_TOLERANCE * size2
    size = jnp.where(new, jnp.sqrt(jnp.where(new, left, 1.0)), jnp.where(left < -_GRAM_TOLERANCE * size2, jnp.nan, 0.0))
    rest = vectors - jnp.einsum("kj,kjx->kx", row, side.direction)
    return row.at[:, slot].set(size), new, jnp.where(new[:, None], rest / jnp.where(new, size, 1.0)[:, None], 0.0)


def _check_finite(observed: dict[str, np.ndarray], first: int, steps: int) -> None:
    for name, array in observed.items():
        size = np.abs(array).reshape(*array.shape[:2], -1).max(axis=(0, 2))
        bad = np.flatnonzero(~(size < _DIVERGED))
        if bad.size:
            raise ComputationError(f"the surrogate diverged: |{name}| = {size[bad[0]]:.3g} at step {first + bad[0]} of {steps}")
