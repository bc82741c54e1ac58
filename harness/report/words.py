"""Figures and outcomes in words and symbols, the same in every export."""

from collections.abc import Mapping
from typing import Final

from harness.records import Outcome
from harness.report.model import Counts, MatrixCell

SYMBOLS: Final[Mapping[Outcome, str]] = {
    "passed": "✓",
    "failed": "✗",
    "mismatch": "≠",
    "crashed": "↯",
    "timeout": "◷",
    "out-of-memory": "▲",
    "unsupported": "∅",
    "missing-dependency": "□",
    "not-applicable": "—",
    "not-selected": "·",
    "no-device": "○",
    "environment": "!",
    "missing": "?",
}
"""Beside its word, never in place of it."""
API_TITLES: Final = {"from_pretrained": "from_pretrained()", "pipeline": "pipeline()"}


def seconds(value: float | None) -> str:
    """``1.2 ms``, ``3.4 s``; nothing where nothing was measured."""
    if value is None:
        return ""
    for factor, unit in ((1.0, "s"), (1e-3, "ms")):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value / 1e-6:.3g} µs"


def size(value: int | None) -> str:
    """``12 MiB``; nothing where nothing was measured."""
    if value is None:
        return ""
    for factor, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value} B"


def passed(counts: Counts) -> str:
    """``10 of 12 cells passed: 9 as shipped, 1 with a repair``."""
    total = counts.passed_as_shipped + counts.passed_with_repair
    return (
        f"{total:,} of {counts.cells:,} cells passed: {counts.passed_as_shipped:,} as shipped, "
        f"{counts.passed_with_repair:,} with a repair"
    )


def headline(exit_code: int) -> str:
    """The verdict in a sentence."""
    match exit_code:
        case 0:
            return "Complete, and everything is as expected."
        case 3:
            return "Void: canaries were not caught, so these results prove nothing."
        case _:
            return "Not as it should be: see the problems, the unexpected cells and the changes below."


def p50(cell: MatrixCell) -> float | None:
    """The cell's median latency in seconds."""
    return cell.metrics.latency.p50 if cell.metrics.latency else None
