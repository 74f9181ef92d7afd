"""Ctrl-C that is answered while compiled code runs: the one place where a computation waits, is stopped, and says what is kept."""

import atexit
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from gmsym.runtime.checkpoint import Checkpoint

Report = Callable[[float], None]  # takes the completed fraction


_PATIENCE = 1.5  # seconds from the end of a program to the end of its process, if it was interrupted
_beside: set[threading.Thread] = set()  # what computes, or still does though nobody waits for it


class Abandoned(BaseException):
    """Ends a computation that nobody waits for any more."""


def interruptibly(function: Callable[..., Any], *arguments: Any) -> Any:
    """function(*arguments), beside the main thread.

    Python delivers a signal to the main thread between two of its instructions, and compiled code is one instruction. Waiting for another
    thread is interrupted at once; what was being computed there ends by itself and is dropped, so that it should take about a second.
    """
    if threading.current_thread() is not threading.main_thread():
        return function(*arguments)
    done, found = threading.Event(), []

    def run() -> None:
        try:
            found.append((function(*arguments), None))
        except BaseException as error:
            found.append((None, error))
        done.set()

    thread = threading.Thread(target=run, daemon=True)
    _beside.add(thread)
    thread.start()
    done.wait()
    _beside.discard(thread)
    result, error = found[0]
    if error is not None:
        raise error
    return result


@atexit.register
def _end_whole() -> None:
    """A thread inside compiled code when the interpreter ends takes the process down: wait for it, or end without the interpreter."""
    for thread in _beside:
        thread.join(_PATIENCE)
        if thread.is_alive() and getattr(sys, "last_type", None) is KeyboardInterrupt:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(130)
        thread.join()


def reporting(function: Callable[[Report], Any], report: Report | None = None) -> Any:
    """function(report), beside the main thread; after an interruption it ends itself where it reports next, and nothing is kept."""
    given_up, last = threading.Event(), [0.0]

    def heard(fraction: float) -> None:
        if given_up.is_set():
            raise Abandoned
        last[0] = fraction
        if report is not None:
            report(fraction)

    try:
        return interruptibly(function, heard)
    except (KeyboardInterrupt, SystemExit) as stop:
        stop.add_note(f"{last[0]:.0%} was done; nothing is kept")
        raise
    finally:
        given_up.set()


def in_pieces(
    compute: Callable[[int], Any],
    sizes: Sequence[int],
    unit: str,
    *,
    checkpoint: Checkpoint | None = None,
    report: Report | None = None,
    beside: bool = True,
) -> list[Any]:
    """[compute(0), compute(1), ...], independent of each other, one after the other beside the main thread.

    Args:
        compute: of a piece's number; where there is a checkpoint, arrays by name.
        sizes: how many of `unit` each piece holds.
        unit: what is counted, such as "replicates".
        checkpoint: where finished pieces are kept, and found again.
        report: called with the completed fraction.
        beside: whether a piece is computed beside the main thread; not where it is interrupted at once by what it calls.

    Raises:
        KeyboardInterrupt: at once, with a note of what is kept.
    """
    checkpoint = Checkpoint(None) if checkpoint is None else checkpoint
    found = _pieces(checkpoint.load())
    total = sum(sizes)
    try:
        for index in range(len(found), len(sizes)):
            found.append(interruptibly(compute, index) if beside else compute(index))
            if checkpoint.due():
                checkpoint.save(_named(found))
            if report is not None:
                report(sum(sizes[: index + 1]) / total)
        checkpoint.save(_named(found) if checkpoint.path is not None else {})
    except (KeyboardInterrupt, SystemExit) as stop:
        if found and checkpoint.path is not None:
            checkpoint.save(_named(found))
        getattr(stop, "__notes__", []).clear()  # of the unfinished piece
        stop.add_note(checkpoint.note(sum(sizes[: len(found)]), f"{total} {unit}"))
        raise
    return found


def _named(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Arrays under names that `_pieces` understands."""
    return {f"{index} {name}": value for index, piece in enumerate(found) for name, value in piece.items()}


def _pieces(arrays: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for key, value in arrays.items():  # in the order in which they were written
        index, name = key.split(" ", 1)
        if int(index) == len(found):
            found.append({})
        found[int(index)][name] = value
    return found
