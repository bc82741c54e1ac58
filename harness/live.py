"""The bar at the foot of a terminal while a shard runs: types done, outcomes, time left, what is running.

What the run says scrolls above it. Without a terminal there is no bar, and what the run says is all.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.progress import Progress, read
from harness.terminal import plain

_REFRESHES: Final = 2  # a second: the bar must not take from what is measured
_BAR_WIDTH: Final = 24


@contextlib.contextmanager
def bar(title: str, console: Console | None = None) -> Iterator[Callable[[str], None] | None]:
    """For the time of a shard: what its output is handed to; None where there is no terminal to draw on."""
    console = console or Console(highlight=False, soft_wrap=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield None
        return
    shown = _Bar(title, console)
    with Live(get_renderable=shown.drawn, console=console, refresh_per_second=_REFRESHES, transient=True):
        yield shown.take
    shown.finish()


class _Bar:
    """The last progress that was heard of, and the lines around it."""

    def __init__(self, title: str, console: Console) -> None:
        self._title, self._console = title, console
        self._progress: Progress | None = None
        self._heard = self._started = time.monotonic()
        self._rest = ""

    def take(self, text: str) -> None:
        """Show what the run said, but what it said for the bar."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if progress := read(line):
                self._progress, self._heard = progress, time.monotonic()
            else:
                self._console.print(Text(plain(line)))

    def finish(self) -> None:
        """Show what was said without an end of line."""
        if self._rest:
            self._console.print(Text(plain(self._rest)))

    def drawn(self) -> RenderableType:
        """Two lines: how far it is, and what is running."""
        progress = self._progress
        row = Table.grid(padding=(0, 1))
        ran = _clock(time.monotonic() - self._started)
        if progress is None:
            row.add_row(self._title, ProgressBar(total=None, width=_BAR_WIDTH), f"starting, {ran}")
            return row
        done = ProgressBar(total=max(1, progress.types), completed=progress.types_done, width=_BAR_WIDTH)
        row.add_row(self._title, done, f"{progress.types_done}/{progress.types} types", f"{ran}, {self._left()}")
        return Group(row, *(_short(text) for text in (_counts(progress), _running(progress))))

    def _left(self) -> str:
        told = self._progress.seconds_left if self._progress else None
        if told is None:
            return "time left unknown"
        return f"about {_clock(max(0.0, told - (time.monotonic() - self._heard)))} left"


def _counts(progress: Progress) -> str:
    return ", ".join(f"{count} {name}" for name, count in progress.outcomes.items()) or "no cell done yet"


def _running(progress: Progress) -> str:
    return f"running: {', '.join(progress.running) or 'nothing'}"


def _short(text: str) -> Text:
    """On one line, however narrow the terminal is."""
    return Text(text, style="dim", overflow="ellipsis", no_wrap=True)


def _clock(seconds: float) -> str:
    """``0:01:05``."""
    return str(timedelta(seconds=round(seconds)))
