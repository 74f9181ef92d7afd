"""Ctrl-C that is answered while compiled code runs."""

import threading
from collections.abc import Callable
from typing import Any


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

    threading.Thread(target=run, daemon=True).start()
    done.wait()
    result, error = found[0]
    if error is not None:
        raise error
    return result
