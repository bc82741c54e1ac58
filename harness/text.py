"""Text of other programs (messages, logs, file names) made fit to be stored and shown."""

import re
from typing import Any, Final

from harness.terminal import plain

_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """``text`` that every file format can hold: no colours, no control characters, no halves of characters."""
    return _SURROGATES.sub("\ufffd", plain(text))


def clean_all(data: Any) -> Any:
    """The same for every string in a tree of dicts and lists, keys included."""
    match data:
        case str():
            return clean(data)
        case dict():
            return {clean_all(key): clean_all(value) for key, value in data.items()}
        case list() | tuple():
            return [clean_all(value) for value in data]
        case _:
            return data


def bounded(text: str, limit: int) -> str:
    """At most about ``limit`` characters: a quarter of the start, the rest of the end, and how much was cut between."""
    if len(text) <= limit:
        return text
    head = limit // 4
    tail = limit - head
    return f"{text[:head]}\n… {len(text) - limit:,} characters cut …\n{text[-tail:]}"


def first_line(text: str, limit: int = 200) -> str:
    """The first line that says something, shortened."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= limit else line[: limit - 1] + "…"
