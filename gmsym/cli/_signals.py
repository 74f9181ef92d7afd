"""Ctrl-C, a polite kill and a closed terminal: answered within two seconds, whatever runs.

The handler raises in the main thread, which cleans up and says what is kept. Where the main thread is inside compiled code (a compilation,
a factorisation), Python calls no handler, and a library may swallow what it raises: a watcher that the system wakes sends the signal once
more, and then ends the process. Files are whole at every moment.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from gmsym import writing

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE = 0.6  # seconds that the main thread has, before and after the second signal
_WRITING = 60.0  # and more if it is writing a file


class Stopped(SystemExit):
    """A signal; notes say what is kept."""

    def __init__(self, number: int):
        super().__init__(128 + number)
        self.number = number


@contextmanager
def stopping() -> Iterator[None]:
    """Raise Stopped in the block when a signal comes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    left, main = threading.Event(), threading.get_ident()

    def stop(number: int, frame: object) -> NoReturn:
        raise Stopped(number)

    def unraisable(seen: Any, shown: Callable[[Any], object] = sys.unraisablehook) -> None:
        """Say nothing of a stop that a callback has swallowed: the watcher sends it again."""
        if not isinstance(seen.exc_value, Stopped):
            shown(seen)

    hook, sys.unraisablehook = sys.unraisablehook, unraisable
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def watch() -> None:
        while received := os.read(reader, 1):
            number = received[0]
            if number in _SIGNALS:
                for again in (True, False):
                    if left.wait(_PATIENCE) or (writing.busy() and left.wait(_WRITING)):
                        break
                    if again:
                        signal.pthread_kill(main, number)
                else:
                    leave(Stopped(number))
        os.close(reader)

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        left.set()
        sys.unraisablehook = hook
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writer)


def leave(stop: Stopped) -> NoReturn:
    """End the process at once, without waiting for what still computes."""
    notes = "; ".join(getattr(stop, "__notes__", [])) or "files are as they were"
    try:
        if threading.current_thread() is threading.main_thread():  # a second signal must not end this before it has spoken
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)
        writing.discard_temporaries()
        print(f"gmsym: stopped by {signal.Signals(stop.number).name}: {notes}", file=sys.stderr, flush=True)
        sys.stdout.flush()
    finally:
        os._exit(128 + stop.number)
