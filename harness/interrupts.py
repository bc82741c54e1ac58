"""Ctrl-C and a polite kill, so that none is lost.

Python drops an exception that is raised inside a callback which nobody waits for: an at-fork hook, a finaliser, a
weak reference's. An interrupt that comes just then would be gone, and the run would go on to its end. So it is
also kept, and whoever waits in a loop asks.
"""

import signal
from typing import Any, NoReturn

_interrupted = False


def listen() -> None:
    """From here on SIGINT and SIGTERM (what a stopped container gets) raise ``KeyboardInterrupt``, and are kept."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def raise_if_interrupted() -> None:
    """Raise what came, should it have been dropped."""
    if _interrupted:
        raise KeyboardInterrupt


def _interrupt(_number: int, _frame: Any) -> NoReturn:
    global _interrupted  # noqa: PLW0603 -- a signal's handler has nobody else to tell
    _interrupted = True
    raise KeyboardInterrupt
