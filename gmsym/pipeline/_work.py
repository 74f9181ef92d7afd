"""A computation that was estimated: refused if it does not fit, announced if it is long, its lack of memory named.

What fits is the memory of the machine or of the process's control group, whichever is less, and a day. `GMSYM_MEMORY` (GB) and
`GMSYM_DAYS` in the environment set other limits.
"""

import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gmsym.errors import ComputationError, InputError
from gmsym.pipeline._cost import Cost
from gmsym.progress import progress_bar

_LONG = 600.0  # seconds from which a computation says how long it takes, wherever stderr goes
_CGROUPS = Path("/sys/fs/cgroup")
_UNLIMITED = 2**60  # a control group without a limit says a number of about this size


@contextmanager
def working(description: str, cost: Cost, less: str, wanted: bool | None) -> Iterator[Callable[[float], None]]:
    """Refuse what does not fit, then show progress; yields what takes the completed fraction.

    Args:
        description: what is computed.
        cost: what it needs.
        less: what the caller may change, such as "fewer replicates".
        wanted: whether progress is shown; None: on a terminal, and one line anywhere if it takes more than ten minutes.

    Raises:
        InputError: it needs more memory than is here, or more than a day.
        ComputationError: memory ran out nevertheless.
    """
    check(description, cost, less)
    title = f"{description}, about {duration(cost.seconds)}" if cost.seconds > 60 else description
    if wanted is None and cost.seconds > _LONG and not sys.stderr.isatty():
        print(f"gmsym: {title}", file=sys.stderr)
    with memory_named(description, less), progress_bar(title, wanted) as report:
        yield report


def check(description: str, cost: Cost, less: str) -> None:
    """InputError unless it fits memory and time."""
    here, longest = memory_here(), 86400 * _limit("GMSYM_DAYS", 1.0)
    if not cost.memory <= here:
        raise InputError(f"{description} needs {size(cost.memory)} of memory; {size(here)} are here: {less} (GMSYM_MEMORY sets the GB)")
    if not cost.seconds <= longest:
        allowed = duration(longest)
        raise InputError(f"{description} takes about {duration(cost.seconds)}; {allowed} is allowed: {less} (GMSYM_DAYS sets the days)")


@contextmanager
def memory_named(description: str, less: str) -> Iterator[None]:
    """Memory that ran out, on either side of the compiler, as a ComputationError."""
    try:
        yield
    except MemoryError as error:
        raise ComputationError(f"{description} ran out of memory: {less}") from error
    except RuntimeError as error:
        if type(error).__name__ in ("JaxRuntimeError", "XlaRuntimeError") and "memory" in str(error).lower():
            raise ComputationError(f"{description} ran out of memory: {less}") from error
        raise


def memory_here() -> float:
    """Bytes that this process may use: of the machine, its control group and its own limit, the least; or GMSYM_MEMORY."""
    machine = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    own = resource.getrlimit(resource.RLIMIT_AS)[0]
    limits = [machine, *_cgroup_limits(), *([float(own)] if own != resource.RLIM_INFINITY else [])]
    return 1e9 * _limit("GMSYM_MEMORY", min(limits) / 1e9)


def _cgroup_limits() -> Iterator[float]:
    """Limits of the process's control group and of those above it, of either version."""
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory") and "memory" not in controllers.split(","):
            continue
        root, name = (_CGROUPS, "memory.max") if not controllers else (_CGROUPS / "memory", "memory.limit_in_bytes")
        group = root / path.strip("/")
        for folder in (group, *group.parents):  # inside a container the path may not exist, the root always does
            try:
                limit = int((folder / name).read_text())
            except (OSError, ValueError):  # no such group, or "max"
                limit = _UNLIMITED
            if limit < _UNLIMITED:
                yield float(limit)
            if folder == root:
                break


def _limit(variable: str, default: float) -> float:
    text = os.environ.get(variable)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not value > 0:
        raise InputError(f"{variable} = {text[:40]!r} in the environment: a positive number is needed")
    return value


def size(memory: float) -> str:
    """Bytes in words."""
    for unit, factor in (("GB", 1e9), ("TB", 1e12), ("PB", 1e15)):
        if memory < 1000 * factor:
            return f"{memory / factor:.3g} {unit}"
    return f"{memory / 1e18:.3g} EB"


def duration(seconds: float) -> str:
    """A time in words."""
    for unit, length, most in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 2 * 86400), ("days", 86400, 1000 * 86400)):
        if seconds < most:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds / (365.25 * 86400):.3g} years"
