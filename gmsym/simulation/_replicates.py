"""The one runner of replicates: batches that share memory, chunks of a second, a checkpoint after each, and Ctrl-C in between.

A replicate is a state that a program advances over spans of steps, recording after each. R replicates, P spans.

A program is compiled once for its shapes: numbers and counts of spans are traced, batches have one of few sizes, and what is compiled
stays for the next call.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gmsym.runtime.checkpoint import Checkpoint
from gmsym.runtime.compiling import jitted
from gmsym.runtime.interrupt import interruptibly

_CHUNK = 0.5  # seconds of one compiled call, about
_ROOM = 64  # most spans of one compiled call


class Program(NamedTuple):
    """One replicate of a problem in `numbers`, a tree of arrays. Keep the object: what is compiled is found by it."""

    begin: Callable[[Any, jax.Array], tuple[Any, Any]]  # (numbers, key) -> (what does not change: data, test points; state)
    # (numbers, what does not change, state, (first step, step after the last)) -> (state, records)
    advance: Callable[[Any, Any, Any, jax.Array], tuple[Any, dict[str, jax.Array]]]


def run_replicates(
    program: Program,
    numbers: Any,
    *,
    seed: int,
    replicates: int,
    spans: np.ndarray,
    seconds: float,
    batch: int,
    check: Callable[[dict[str, np.ndarray], int, int], None],
    checkpoint: Checkpoint,
    report: Callable[[float], None] | None,
) -> dict[str, np.ndarray]:
    """What each replicate records, (R, P, ...); the same for every chunk and interruption, and to rounding for every batch.

    Args:
        program: one replicate.
        numbers: of the problem.
        seed: replicate r is the same for every number of replicates.
        replicates: R.
        spans: (P, 2), the steps of each span: from the first to before the second.
        seconds: of one span of a batch, roughly.
        batch: replicates at a time, see `runtime.batches`.
        check: called with a chunk's records (batch, spans, ...), and the numbers of its first replicate and its first span.
        checkpoint: where records and states are kept.
        report: called with the completed fraction.

    Raises:
        KeyboardInterrupt: after at most a second, with a note of what is kept.
    """
    begin, advance = _compiled(program)
    numbers = jax.tree.map(np.asarray, numbers)
    length = _length(len(spans), seconds)
    records, leaves = _kept(checkpoint.load())
    starts = range(0, replicates, batch)
    try:
        for index, start in enumerate(starts):
            done = _spans(records[index]) if index < len(records) else 0
            if done == len(spans):
                continue
            present = min(batch, replicates - start)
            chosen = np.minimum(np.arange(start, start + batch), replicates - 1)
            fixed, state = interruptibly(_computed, begin, numbers, np.int64(seed), chosen)
            if done:
                state = jax.tree.unflatten(jax.tree.structure(state), [jnp.asarray(leaf) for leaf in leaves])
            else:
                records.append([])
            for first in range(done, len(spans), length):
                part = spans[first : first + length]
                room = np.resize(part, (_ROOM, 2))
                state, piece = interruptibly(_computed, advance, numbers, fixed, state, room, np.int64(len(part)))
                piece = {name: np.moveaxis(np.asarray(value)[: len(part), :present], 0, 1) for name, value in piece.items()}
                check(piece, start, first)
                # Together, so that an interruption between the two cannot part them.
                records[index], leaves = [*records[index], piece], jax.tree.leaves(state)
                if checkpoint.due():
                    checkpoint.save(_arrays(records, leaves))
                if report is not None:
                    report((start + _spans(records[index]) / len(spans) * present) / replicates)
        checkpoint.save(_arrays(records, leaves))
    except (KeyboardInterrupt, SystemExit) as stop:
        share = sum(_spans(record) / len(spans) * min(batch, replicates - start) for record, start in zip(records, starts, strict=False))
        if share:
            checkpoint.save(_arrays(records, leaves))
        stop.add_note(checkpoint.note(share, f"{replicates} replicates"))
        raise
    parts = [_joined(record) for record in records]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _computed(function: Callable[..., Any], *arguments: Any) -> Any:
    return jax.block_until_ready(function(*arguments))


@lru_cache(maxsize=64)
def _compiled(program: Program) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A batch begun, and advanced over the first `count` of `_ROOM` spans; records are (span, replicate, ...)."""

    @jitted
    def begin(numbers: Any, seed: jax.Array, chosen: jax.Array) -> tuple[Any, Any]:
        keys = jax.vmap(lambda r: jax.random.fold_in(jax.random.key(seed), r))(chosen)
        return jax.vmap(program.begin, in_axes=(None, 0))(numbers, keys)

    @jitted
    def advance(numbers: Any, fixed: Any, state: Any, spans: jax.Array, count: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        batch = jax.vmap(program.advance, in_axes=(None, 0, 0, None))
        records = jax.eval_shape(batch, numbers, fixed, state, spans[0])[1]
        empty = jax.tree.map(lambda x: jnp.zeros((_ROOM, *x.shape), x.dtype), records)

        def over_span(i: jax.Array, now: tuple[Any, Any]) -> tuple[Any, Any]:
            state, found = batch(numbers, fixed, now[0], spans[i])
            return state, jax.tree.map(lambda kept, new: kept.at[i].set(new), now[1], found)

        return jax.lax.fori_loop(0, count, over_span, (state, empty))

    return begin, advance


def _length(spans: int, seconds: float) -> int:
    """Spans of one compiled call, about equally many in each."""
    most = int(np.clip(_CHUNK / seconds, 1, min(_ROOM, spans)))
    return -(-spans // -(-spans // most))


def _spans(record: list[dict[str, np.ndarray]]) -> int:
    """How many spans of a batch are done."""
    return sum(next(iter(piece.values())).shape[1] for piece in record)


def _joined(record: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([piece[name] for piece in record], axis=1) for name in record[0]}


def _arrays(records: list[list[dict[str, np.ndarray]]], leaves: list[Any]) -> dict[str, np.ndarray]:
    """Records by batch and the last batch's state, under names that `_kept` understands."""
    named = {f"record {i} {name}": value for i, record in enumerate(records) if record for name, value in _joined(record).items()}
    return named | {f"state {i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}


def _kept(arrays: dict[str, np.ndarray]) -> tuple[list[list[dict[str, np.ndarray]]], list[np.ndarray]]:
    """(records by batch, leaves of the last batch's state)."""
    records: list[list[dict[str, np.ndarray]]] = []
    leaves = []
    for key, value in arrays.items():  # in the order in which they were written
        kind, number, *name = key.split(" ")
        if kind == "state":
            leaves.append(value)
            continue
        if int(number) == len(records):
            records.append([{}])
        records[int(number)][0][name[0]] = value
    return records, leaves
