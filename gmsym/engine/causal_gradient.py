"""The causal solver as one differentiable function: a fixed number of steps, fixed points, room for all innovations. Source: theory.md 2.

The step is that of engine/causal_step.py. Here it runs in scans, which have a reverse mode, over one tile of points. On the way back each
segment of steps is computed again from the state before it, and in it each step from its own: kept are the states between segments and
those of one segment. Innovations that a step opens, and those that it leaves out, stay what they are while the numbers move: the
derivative is that of the solution at these innovations.

Cost: four or five times the same steps forwards; memory 2 sqrt(T) states, or all T where they are small, of O(K N (r + r_a)), or
O(K N r r_a) with tangents, of problems in coordinates O(d r r_a) more.
"""

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gmsym.engine.causal_kernels import (
    EXACT_TOLERANCE,
    TOLERANCE,
    means_of_law,
    moments,
    next_room,
    point_set,
    room_at_first,
    room_for_all,
)
from gmsym.engine.causal_step import LAWS, Carry, Population, Room, lacking, start, step
from gmsym.engine.coordinates import Start
from gmsym.engine.descent import check_entry
from gmsym.errors import InputError
from gmsym.runtime.causal_kernels import CausalKernelsModule, Numbers, in_coordinates, own_noises, sampled_coordinates, teachers
from gmsym.runtime.nodes import settled

Arrays = dict[str, Any]
_KEPT = 2**28  # bytes of states up to which all are kept


class Moved(NamedTuple):
    """The numbers in which the solution is differentiated."""

    parameters: Array  # (P,)
    trained_parameters: Array  # (P,)
    ridge: Array
    alpha: Array


class Scheme(NamedTuple):
    """Of a flow: coefficients that stand among the parameters and change from step to step."""

    places: tuple[int, ...]
    rows: np.ndarray  # (steps, places)
    ends: np.ndarray  # (N,), the steps that end at a time of the grid


class Setting(NamedTuple):
    """What a differentiable solution is made of beside these."""

    module: CausalKernelsModule
    steps: int
    numbers: Numbers
    population: Population | None
    first: Carry  # before the first step, with room for all innovations
    places: tuple[int, ...]  # of a scheme's coefficients
    rows: Array  # of these, (steps, places)
    times: Array  # the steps among which the least is looked for, (N,)


class Course:
    """Order parameters of all times as a differentiable function of the numbers, with as much room as its innovations need."""

    def __init__(
        self,
        module: CausalKernelsModule,
        numbers: Numbers,
        *,
        steps: int,
        samples: int,
        seed: int,
        coordinates: Start | None = None,
        scheme: Scheme | None = None,
    ):
        self._scheme = Scheme((), np.zeros((steps, 0)), np.arange(steps)) if scheme is None else scheme
        self._module, self._steps, self._samples, self._seed = module, steps, samples, seed
        self._numbers = Numbers(*(np.asarray(x, float) for x in numbers))
        self._coordinates = coordinates if sampled_coordinates(module) else None
        beside = teachers(module) + own_noises(module)
        if self._coordinates is not None:
            room = Room(*2 * (room_for_all(module, steps),))
        else:
            room = room_at_first(module, TOLERANCE, steps, module.RESPONSE != "exact")
        self._room = Room(*(min(x, next_room(steps * module.FIELDS + beside)) for x in room))
        self._made: Setting | None = None

    @property
    def setting(self) -> Setting:
        """With the present room."""
        if self._made is None:
            population = self._population()
            tiles, size = (0, 0) if population is None else (1, population.g.shape[2])
            own = None if population is None else population.coordinates
            first = start(self._module, self._numbers, self._room, tiles, size, own)
            arrays = (jax.tree.map(jnp.asarray, x) for x in (self._numbers, first))
            places, rows, ends = self._scheme
            own = places, jnp.asarray(rows), jnp.asarray(ends)
            self._made = Setting(self._module, self._steps, next(arrays), population, next(arrays), *own)
        return self._made

    def enlarge(self, ranks: Any) -> bool:
        """More room where innovations of these ranks may have found none; whether there was too little."""
        lacks = np.asarray(lacking(self._module, *np.asarray(ranks), self._room))
        if (lacks <= 0).all():
            return False
        if not in_coordinates(self._module):
            lacks = np.repeat(lacks.max(), 2)
        sides = zip(self._room, lacks.tolist(), strict=True)
        self._room, self._made = Room(*(next_room(max(x + more, x)) if more > 0 else x for x, more in sides)), None
        return True

    def _population(self) -> Population | None:
        if self._module.RESPONSE == "exact":
            return None
        points = point_set(self._module, self._samples, self._seed, False, self._coordinates)._replace(tiled=False)
        room = self._room.fields
        if room > points.most + self._module.FIELDS + 1:
            least = 1 << (2 * room).bit_length()
            raise InputError(f"samples = {self._samples}: at least {least} are needed for the innovations of this problem")
        return points.population(room)._replace(tiles=1)


def order_parameters(setting: Setting, numbers: Numbers) -> tuple[Arrays, Array]:
    """(order parameters of all times, ranks of both sides at the end); traceable and differentiable in the numbers."""
    tolerance = EXACT_TOLERANCE if setting.population is None else TOLERANCE

    @partial(jax.checkpoint, prevent_cse=False)
    def one(carry: Any, now: tuple[Array, Array]) -> tuple[Any, Arrays]:
        t, coefficients = now
        at, places = numbers, jnp.array(setting.places, int)
        if setting.places:
            own = (jnp.asarray(x).at[places].set(coefficients) for x in (numbers.parameters, numbers.trained_parameters))
            at = numbers._replace(parameters=next(own), trained_parameters=next(own))
        carry, row = step(setting.module, at, setting.population, tolerance, carry, t)
        return carry, {name: x for name, x in row.items() if name not in ("theta", "La")}

    @partial(jax.checkpoint, prevent_cse=False)
    def segment(carry: Any, now: tuple[Array, Array]) -> tuple[Any, Arrays]:
        return jax.lax.scan(one, carry, now)

    now = jnp.arange(setting.steps), setting.rows
    state = sum(x.nbytes for x in jax.tree.leaves(setting.first))
    length = segment_of(setting.steps) if state * setting.steps > _KEPT else setting.steps
    if length == setting.steps:
        last, found = jax.lax.scan(one, setting.first, now)
        return found, jnp.stack([last.rank.max(), last.rank_a])
    whole = setting.steps // length * length
    cut = jax.tree.map(lambda x: x[:whole].reshape(whole // length, length, *x.shape[1:]), now)
    last, found = jax.lax.scan(segment, setting.first, cut)
    found = {name: x.reshape(whole, *x.shape[2:]) for name, x in found.items()}
    if whole < setting.steps:
        last, rest = segment(last, jax.tree.map(lambda x: x[whole:], now))
        found = {name: jnp.concatenate([x, rest[name]]) for name, x in found.items()}
    return found, jnp.stack([last.rank.max(), last.rank_a])


def segment_of(steps: int) -> int:
    """Steps of a segment, for few states to be kept; some left over are compiled by themselves, which is worth a few states."""
    root = int(np.sqrt(steps))
    return min(range(max(1, root // 2), 2 * root + 1), key=lambda x: steps // x + x + (steps % x > 0) * root / 2)


def results(setting: Setting, moved: Moved) -> tuple[Arrays, Array]:
    """(order parameters, and what a fresh sample gives, at all times, ranks)."""
    numbers = setting.numbers._replace(**moved._asdict())
    found, ranks = order_parameters(setting, numbers)
    v = found.get("trained", jnp.zeros((setting.steps, 0)))
    laws = [(*moments(setting.module, numbers, found), False)]
    if LAWS[0] in found:  # where nothing is sampled, observables of the training samples are means over their law
        laws.append((*(found.pop(name) for name in LAWS), True))
    for m, Q, of_training in laws:
        found |= means_of_law(setting.module, numbers, m, Q, v, settled(setting.module.TEST_NODES), of_training)
    return {name: x for name, x in found.items() if name != "M_k"}, ranks


@eqx.filter_jit
def value_and_slopes(setting: Setting, moved: Moved, column: Array, time: Array) -> tuple[Array, Moved, Array, Array]:
    """(one number of the results, its derivatives, its time, ranks): the entry `column` of a time's `flat` results, at a time, or at its
    least over all times where that is negative. One compilation for all of them."""

    def chosen(moved: Moved) -> tuple[Array, tuple[Array, Array]]:
        found, ranks = results(setting, moved)
        values = flat(found)[:, column]
        place = jnp.where(time < 0, setting.times[jnp.argmin(values[setting.times])], time)
        return values[place], (place, ranks)

    (value, (place, ranks)), slopes = jax.value_and_grad(chosen, has_aux=True)(moved)
    return value, slopes, place, ranks


def flat(found: Arrays) -> Array:
    """All results of each time in a row, by name."""
    return jnp.concatenate([found[name].reshape(len(found[name]), -1) for name in sorted(found)], axis=1)


def column_of(setting: Setting, moved: Moved, name: str, index: tuple[int, ...]) -> int:
    """The place of an entry of a variable in `flat` results.

    Raises:
        InputError: there is no such variable, or no such entry of it.
    """
    shapes = {key: x.shape[1:] for key, x in eqx.filter_eval_shape(results, setting, moved)[0].items()}
    if name not in shapes:
        raise InputError(f"objective = {name!r}: there are {', '.join(sorted(shapes))}")
    check_entry(name, shapes[name], index)
    before = sum(int(np.prod(shapes[key])) for key in sorted(shapes) if key < name)
    return before + (int(np.ravel_multi_index(index, shapes[name])) if index else 0)
