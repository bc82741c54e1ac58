"""What the host side says to people while it works: on standard error, for standard output is for results."""

import contextlib
import re
import sys
import threading
import time
from collections.abc import Iterator
from typing import Final

_ANSI: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-Z\\-_]")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def say(text: str) -> None:
    """A line about what is being done."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def say_loudly(text: str) -> None:
    """A line that must not be missed in a long log."""
    say(f"\n*** {text}\n")


@contextlib.contextmanager
def told_while_silent(what: str, every: float = 20.0) -> Iterator[None]:
    """While the block lasts, say every so many seconds that ``what`` still goes on, for what is slow and silent."""
    started = time.monotonic()
    over = threading.Event()

    def tell() -> None:
        while not over.wait(every):
            say(f"{what} ({time.monotonic() - started:.0f} s so far)")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


def plain(text: str) -> str:
    """Text of another program without colours, cursor movements and other control characters."""
    return _CONTROL.sub("", _ANSI.sub("", text))


def size(count: int) -> str:
    """Bytes for people: ``2.8 GB``."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6))} MB"
