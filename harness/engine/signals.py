"""Ending in order: a polite kill is treated like Ctrl-C, and what cleans up is not cut off."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Final, NoReturn

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_POLITE: Final = (signal.SIGTERM, signal.SIGHUP)


def treat_termination_as_interrupt() -> None:
    """From here on SIGTERM and SIGHUP raise ``KeyboardInterrupt``, so that ``finally`` blocks run."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for number in _POLITE:
            signal.signal(number, interrupt)


def end_with_nox() -> None:
    """Under Nox: when Nox is killed, be interrupted, so that nothing runs on for somebody who is gone."""
    if "NOX_CURRENT_SESSION" in os.environ:
        parent = os.getppid()
        end_with_parent()
        if os.getppid() != parent:  # it died before we asked to be told
            raise KeyboardInterrupt


def end_with_parent() -> None:
    """Get a SIGTERM when the parent process dies. Only Linux has this; elsewhere it does nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore Ctrl-C and polite kills for the few seconds that cleaning up takes."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals only ever interrupt the main thread
        return
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, *_POLITE)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
