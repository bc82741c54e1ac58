"""Pieces of Markdown; whatever comes from outside can be no markup of its own."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from harness.text import clean

_MARKUP: Final = re.compile(r"([\\`*_{}\[\]<>|#~])")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A row a line, below its head."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def bullets(items: Iterable[str]) -> str:
    """An item a line."""
    return "\n".join(f"- {item}" for item in items) + "\n"


def text(foreign: str) -> str:
    """Foreign text on one line, with nothing in it that Markdown or HTML would read."""
    return _MARKUP.sub(r"\\\1", " ".join(clean(foreign).split()))


def code(foreign: str) -> str:
    """Foreign text between backquotes in a table."""
    return " ".join(clean(foreign).replace("`", "'").replace("|", "¦").split())
