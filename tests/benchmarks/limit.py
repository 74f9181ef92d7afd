"""A limit of CPU time on a part of a benchmark."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_AGAIN = 5.0  # an exception is lost in a callback that ignores them: it comes again


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """TimeoutError in the block after so many CPU seconds of this process; a compiled program is left first."""

    def out_of_time(*_: object) -> None:
        raise TimeoutError(f"the limit of {seconds:g} CPU seconds")

    former = signal.signal(signal.SIGPROF, out_of_time)
    signal.setitimer(signal.ITIMER_PROF, seconds, _AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, former)
