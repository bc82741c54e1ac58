"""The files of a shard's folder: taking up its results.jsonl again, and the metrics.json made from it."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

from harness.errors import UsageError
from harness.records import Cell, Environment, Header, Outcome, Record
from harness.stream import ResultsWriter, read_results, to_json_line
from harness.weights import note

__all__ = [
    "METRICS_FILE",
    "RESULTS_FILE",
    "ResultsWriter",
    "read_results",
    "resume",
    "write_atomically",
    "write_metrics",
]

RESULTS_FILE: Final = "results.jsonl"
METRICS_FILE: Final = "metrics.json"
_SLOWEST: Final = 10
# What blames the machine is measured again when a run is taken up, and what its time did not reach.
_MEASURED_AGAIN: Final = frozenset({"environment", "no-device"})
OUT_OF_TIME: Final = "no time was left for it"
"""How the reason of a cell begins that was ``not-selected`` since ``--budget`` was spent."""


def resume(path: Path, header: Header) -> tuple[Cell, ...]:
    """The cells that are measured already; the file is left ready for more lines after them.

    Gone from the file are its footer, a torn or invalid line, and cells that blame the machine or were not come to.
    ``()`` where nothing is to be kept: the file is then to be written anew, with its header. Raises ``UsageError``
    where the file is of another plan, shard or environment, before anything is changed.
    """
    if not path.is_file() or path.stat().st_size == 0:
        return ()
    found = read_results(path)
    if found.header is None:
        if found.cells or any(one.kind in ("unreadable", "foreign version") for one in found.problems):
            raise UsageError(
                f"{path}: cannot be resumed: {found.problems[0].message}",
                hint="move it away, or run without --resume",
            )
        return ()  # the header itself was torn
    _check_same(path, found.header, header)
    kept = tuple(cell for cell in found.cells if not _again(cell) and _belongs(cell, header))
    if found.void or not kept:
        return ()
    lines = "".join(to_json_line(one) + "\n" for one in (found.header, *found.canaries, *kept))
    write_atomically(path, lines)
    return kept


def _again(cell: Cell) -> bool:
    return cell.outcome in _MEASURED_AGAIN or (cell.outcome == "not-selected" and cell.reason.startswith(OUT_OF_TIME))


def _belongs(cell: Cell, header: Header) -> bool:
    return cell.model_type in header.shard.model_types and cell.api in header.apis


def _check_same(path: Path, before: Header, now: Header) -> None:
    mistakes = []
    if before.plan_digest != now.plan_digest:
        mistakes.append(f"of another plan ({before.selection}, {before.plan_digest}), not {now.plan_digest}")
    if before.shard.id != now.shard.id:
        mistakes.append(f"of shard {before.shard.id}, not {now.shard.id}")
    if before.environment.digest != now.environment.digest:
        mistakes.append("of another environment: " + "; ".join(environment_differences(before, now)))
    if mistakes:
        raise UsageError(
            f"{path} cannot be resumed",
            mistakes=mistakes,
            hint="run without --resume to measure everything again",
        )


def registry_difference(environment: Environment) -> str:
    """What the installed transformers knows and its stack's file does not, and the other way round."""
    parts = {"has besides": environment.new_types, "has no longer": environment.gone_types}
    told = "; ".join(f"{what} {', '.join(names)}" for what, names in parts.items() if names)
    return f"the installed transformers {environment.packages.get('transformers', '')} {told}"


def environment_differences(one: Header, other: Header) -> list[str]:
    """What makes two environments unequal: ``torch 2.12.0, not 2.13.0``; at most eight packages."""
    left, right = one.environment, other.environment
    told = [
        f"{name} {getattr(left, name)}, not {getattr(right, name)}"
        for name in ("engine", "image", "torch_build", "python")
        if getattr(left, name) != getattr(right, name)
    ]
    names = sorted(left.packages.keys() | right.packages.keys())
    packages = [
        f"{name} {left.packages.get(name, 'absent')}, not {right.packages.get(name, 'absent')}"
        for name in names
        if left.packages.get(name) != right.packages.get(name)
    ]
    more = [f"and {len(packages) - 8} more packages"] if len(packages) > 8 else []
    return told + packages[:8] + more


def write_atomically(path: Path, text: str) -> None:
    """Put ``text`` at ``path`` so that a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


# --- metrics.json -------------------------------------------------------------------------------------


class Slow(Record):
    """One of the slowest cells."""

    model_type: str
    api: str
    outcome: Outcome
    seconds: float


class Counts(Record):
    """Cells of one API by outcome; those that passed only with a repair are counted apart too."""

    cells: int
    outcomes: dict[Outcome, int]
    passed_as_shipped: int
    passed_with_repair: int


class ShardMetrics(Record):
    """metrics.json: what one shard cost and what came of it, in figures. Seconds and bytes."""

    schema_version: int = 1
    shard: str
    plan_digest: str
    selection: str
    note: str
    complete: bool
    """The footer is there and says nothing of a void run."""
    cells_planned: int
    cells: Counts
    apis: dict[str, Counts]
    canaries: int
    canaries_caught: int
    total_seconds: float | None
    """Of the whole run by the footer; absent where there is none."""
    cell_seconds: float
    median_cell_seconds: float | None
    parent_import_seconds: float | None
    slowest: tuple[Slow, ...]
    peak_child_rss_bytes: int | None
    peak_memory_bytes: int | None
    """Of the whole run, by the footer."""
    environment: Environment


def write_metrics(folder: Path) -> None:
    """Write ``folder``/metrics.json from its results.jsonl; nothing where that has no header."""
    found = read_results(folder / RESULTS_FILE)
    if found.header is None:
        return
    header, footer, cells = found.header, found.footer, found.cells
    seconds = [cell.seconds for cell in cells]
    peaks = [cell.metrics.peak_rss_bytes for cell in cells if cell.metrics.peak_rss_bytes is not None]
    slowest = sorted(cells, key=lambda cell: -cell.seconds)[:_SLOWEST]
    metrics = ShardMetrics(
        shard=header.shard.id,
        plan_digest=header.plan_digest,
        selection=header.selection,
        note=note(header.scale, header.weights),
        complete=footer is not None and found.void is None,
        cells_planned=len(header.shard.types) * len(header.apis),
        cells=count(cells),
        apis={api: count([cell for cell in cells if cell.api == api]) for api in header.apis},
        canaries=len(found.canaries),
        canaries_caught=sum(canary.caught for canary in found.canaries),
        total_seconds=footer.seconds if footer else None,
        cell_seconds=sum(seconds),
        median_cell_seconds=median(seconds) if seconds else None,
        parent_import_seconds=footer.parent_import_seconds if footer else None,
        slowest=tuple(
            Slow(model_type=one.model_type, api=one.api, outcome=one.outcome, seconds=one.seconds) for one in slowest
        ),
        peak_child_rss_bytes=max(peaks, default=None),
        peak_memory_bytes=footer.peak_memory_bytes if footer else None,
        environment=header.environment,
    )
    write_atomically(folder / METRICS_FILE, metrics.model_dump_json(exclude_none=True, indent=2) + "\n")


def count(cells: Sequence[Cell]) -> Counts:
    """The cells by outcome, in the order in which outcomes are first met."""
    passed = [cell for cell in cells if cell.outcome == "passed"]
    repaired = sum(bool(cell.repairs) for cell in passed)
    return Counts(
        cells=len(cells),
        outcomes=dict(Counter(cell.outcome for cell in cells)),
        passed_as_shipped=len(passed) - repaired,
        passed_with_repair=repaired,
    )
