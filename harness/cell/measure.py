"""Time and memory of a child. How each figure is got stands in docs/measuring.md."""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from harness.records import Latency

SAMPLES_FOR_P99 = 100


@dataclass(frozen=True)
class Rule:
    """When enough calls were measured: ``iterations`` of them, or ``seconds`` with at least ``least``.

    Before that ``warmup`` calls, or fewer where they take ``seconds`` too: what is slow has little to warm up.
    """

    warmup: int
    iterations: int
    seconds: float = float("inf")
    least: int = 1

    def warm(self, done: int, seconds: float) -> bool:
        """Whether to begin measuring."""
        return done >= self.warmup or seconds >= self.seconds

    def enough(self, done: int, seconds: float) -> bool:
        """Whether to stop."""
        return done >= self.iterations or (done >= self.least and seconds >= self.seconds)


TINY = Rule(warmup=1, iterations=20, seconds=0.05, least=5)
"""For calls of milliseconds, of which there are many: most of a tiny cell's time would be 20 calls of a pipeline."""
LONG = Rule(warmup=2, iterations=20, seconds=2, least=3)
"""For calls that may take seconds each: 20 of those would tell no more than 3, which lie close together."""


class Stopwatch:
    """The seconds that a block took."""

    seconds: float = 0.0


def _nothing_to_wait_for() -> None:
    pass


@contextmanager
def timed(synchronise: Callable[[], None] = _nothing_to_wait_for) -> Iterator[Stopwatch]:
    """Time a block on the monotonic clock, the device's work in it included.

    ``synchronise`` waits until the device has done all that it was asked: before, so that earlier work is not
    counted here, and after, so that this block's is.
    """
    watch = Stopwatch()
    synchronise()
    started = time.perf_counter()
    yield watch
    synchronise()
    watch.seconds = time.perf_counter() - started


def latency(
    call: Callable[[], Any],
    synchronise: Callable[[], None],
    rule: Rule = TINY,
) -> Latency:
    """Call it unmeasured to warm up, then measured until the rule has enough."""

    def once() -> float:
        with timed(synchronise) as watch:
            call()
        return watch.seconds

    warming: list[float] = []
    while not rule.warm(len(warming), sum(warming)):
        warming.append(once())
    raw: list[float] = []
    while not rule.enough(len(raw), sum(raw)):
        raw.append(once())
    return summary(raw, len(warming))


def summary(raw: list[float], warmup: int) -> Latency:
    """Percentiles of the samples; p99 only where there are enough of them to have one."""
    cuts = statistics.quantiles(raw, n=100, method="inclusive")
    return Latency(
        warmup=warmup,
        iterations=len(raw),
        p50=statistics.median(raw),
        p90=cuts[89],
        p99=cuts[98] if len(raw) >= SAMPLES_FOR_P99 else None,
        raw=tuple(raw),
    )


def forget_peak() -> None:
    """Let the kernel count this process's peak of resident memory from now on (Linux; else it is not measured)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def memory() -> dict[str, int]:
    """This process's peak resident size since ``forget_peak`` and its private size now, in bytes."""
    figures = {"private_bytes": psutil.Process(os.getpid()).memory_full_info().uss}
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines() if ":" in line)
        figures["peak_rss_bytes"] = int(lines["VmHWM"].split()[0]) * 1024
    return figures
