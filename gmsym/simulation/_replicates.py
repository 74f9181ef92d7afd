"""The one runner of replicates: batches that share memory, chunks of a second, a checkpoint after each, and Ctrl-C in between.

A replicate is a state that a program advances over spans of steps, recording after each. R replicates, P spans.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gmsym.runtime.checkpoint import Checkpoint
from gmsym.runtime.interrupt import interruptibly

_CHUNK = 0.5  # seconds of one compiled call, about


class Program(NamedTuple):
    """One replicate."""

    begin: Callable[[jax.Array], tuple[Any, Any]]  # key -> (what does not change: data, test points; state)
    advance: Callable[[Any, Any, jax.Array], tuple[Any, dict[str, jax.Array]]]  # (that, state, (first step, step after the last)) -> both


def run_replicates(
    program: Program,
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
        seed: replicate r is the same for every number of replicates.
        replicates: R.
        spans: (P, 2), the steps of each span: from the first to before the second.
        seconds: of one span of a batch, roughly.
        batch: replicates at a time.
        check: called with a chunk's records (batch, spans, ...), and the numbers of its first replicate and its first span.
        checkpoint: where records and states are kept.
        report: called with the completed fraction.

    Raises:
        KeyboardInterrupt: after at most a second, with a note of what is kept.
    """
    keys = jax.vmap(lambda r: jax.random.fold_in(jax.random.key(seed), r))(jnp.arange(replicates))
    begin = jax.jit(jax.vmap(program.begin))

    def advanced(fixed: Any, state: Any, part: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        return jax.lax.scan(lambda now, span: program.advance(fixed, now, span), state, part)

    advance = jax.jit(jax.vmap(advanced, in_axes=(0, 0, None)))
    chunks = _chunks(spans, seconds)
    length = chunks.shape[1]
    records, leaves = _kept(checkpoint.load())
    starts = range(0, replicates, batch)
    try:
        for index, start in enumerate(starts):
            done = _spans(records[index]) if index < len(records) else 0
            if done == len(spans):
                continue
            fixed, state = interruptibly(_computed, begin, keys[start : start + batch])
            if done:
                state = jax.tree.unflatten(jax.tree.structure(state), [jnp.asarray(leaf) for leaf in leaves])
            else:
                records.append([])
            for first in range(done, len(spans), length):
                state, piece = interruptibly(_computed, advance, fixed, state, jnp.asarray(chunks[first // length]))
                piece = {name: np.asarray(value)[:, : len(spans) - first] for name, value in piece.items()}
                check(piece, start, first)
                # Together, so that an interruption between the two cannot part them.
                records[index], leaves = [*records[index], piece], jax.tree.leaves(state)
                if checkpoint.due():
                    checkpoint.save(_arrays(records, leaves))
                if report is not None:
                    report((start + _spans(records[index]) / len(spans) * min(batch, replicates - start)) / replicates)
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


def _chunks(spans: np.ndarray, seconds: float) -> np.ndarray:
    """The spans in equal chunks (M, L, 2), the last one filled with empty spans at the end."""
    most = int(np.clip(_CHUNK / seconds, 1, len(spans)))
    count = -(-len(spans) // most)
    length = -(-len(spans) // count)
    empty = np.full((count * length - len(spans), 2), spans[-1, 1])
    return np.concatenate([spans, empty]).reshape(count, length, 2)


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
