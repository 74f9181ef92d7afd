"""How far a computation is: a bar on a terminal, or in a notebook once two seconds have passed; of several within each other the outermost.

In a notebook it is HTML under a display of its own, which any front end updates in place; when the computation ends it is empty.
Where nothing is reported the bar only says for how long it has been going.
"""

import html
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import wraps
from time import monotonic
from typing import Any, ParamSpec, TypeVar

_PATIENCE = 2.0  # seconds before a notebook shows a bar
_EVERY = 0.25  # seconds between two updates there
_shown = threading.Lock()  # held while a bar is there
_P, _R = ParamSpec("_P"), TypeVar("_R")


@contextmanager
def waiting(description: str) -> Iterator[None]:
    """Around what cannot say how far it is: a notebook shows for how long it has been going, anything else nothing."""
    with progress_bar(description, None if _notebook() else False):
        yield


def announced(description: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """A function that is `waiting` while it runs."""

    def around(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @wraps(function)
        def call(*args: _P.args, **options: _P.kwargs) -> _R:
            with waiting(description):
                return function(*args, **options)

        return call

    return around


@contextmanager
def progress_bar(description: str, wanted: bool | None) -> Iterator[Callable[[float], None]]:
    """A function that takes the completed fraction, drawn as a bar.

    Args:
        description: what is computed.
        wanted: False: nothing is shown; None: on a terminal and in a notebook; True: in a file of stderr, too.
    """
    display = _notebook()
    visible = wanted is True or (wanted is None and (display is not None or sys.stderr.isatty()))
    if not visible or not _shown.acquire(blocking=False):
        yield lambda fraction: None
        return
    try:
        with _terminal_bar(description) if display is None else _notebook_bar(description, display) as report:
            yield report
    finally:
        _shown.release()


def _notebook() -> Callable[..., Any] | None:
    """IPython's `display` within a kernel."""
    interactive = sys.modules.get("IPython")
    if interactive is None or not hasattr(interactive.get_ipython(), "kernel"):
        return None
    from IPython.display import display

    return display


@contextmanager
def _terminal_bar(description: str) -> Iterator[Callable[[float], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=1.0)
        yield lambda fraction: bar.update(task, completed=fraction)


@contextmanager
def _notebook_bar(description: str, display: Callable[..., Any]) -> Iterator[Callable[[float], None]]:
    started, lock, context = monotonic(), threading.Lock(), copy_context()  # a cell's output is a matter of the context
    state: dict[str, Any] = {"fraction": 0.0, "handle": None, "updated": 0.0, "done": False}

    def show() -> None:
        """The bar, first when patience ends, then where something is reported."""
        with lock:
            if state["done"]:
                return
            if not state["fraction"]:
                later(_PATIENCE)
            state["updated"] = monotonic()
            shown = _shown_as(description, state["fraction"], state["updated"] - started)
            if state["handle"] is None:
                state["handle"] = context.run(display, shown, raw=True, display_id=True)
            else:
                context.run(state["handle"].update, shown, raw=True)

    def report(fraction: float) -> None:
        state["fraction"] = min(1.0, fraction)
        if state["handle"] is not None and monotonic() > state["updated"] + _EVERY:
            show()

    def later(seconds: float) -> None:
        state["timer"] = threading.Timer(seconds, show)
        state["timer"].daemon = True
        state["timer"].start()

    later(_PATIENCE)
    try:
        yield report
    finally:
        state["timer"].cancel()
        with lock:
            state["done"] = True
            if state["handle"] is not None:
                context.run(state["handle"].update, {"text/html": "", "text/plain": ""}, raw=True)


def _shown_as(description: str, fraction: float, elapsed: float) -> dict[str, str]:
    if fraction:
        left = f", about {elapsed * (1 - fraction) / fraction:.0f} s left" if fraction < 1 else ""
        words, value = f"{description}: {fraction:.0%}{left}", f' value="{fraction:.3f}" max="1"'
    else:
        words, value = f"{description}: {elapsed:.0f} s", ""
    return {"text/html": f"<progress{value}></progress> {html.escape(words)}", "text/plain": words}
