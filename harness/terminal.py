"""What the host side says to people while it works: on standard error, for standard output is for results."""

import re
import sys
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


def plain(text: str) -> str:
    """Text of another program without colours, cursor movements and other control characters."""
    return _CONTROL.sub("", _ANSI.sub("", text))


def size(count: int) -> str:
    """Bytes for people: ``2.8 GB``."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6))} MB"
