"""Figures and outcomes in words and symbols, the same in every export."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from harness.records import Outcome
from harness.report.coverage import TaskRow
from harness.report.model import UNEXPECTED, Counts, FamilyResult, FamilyTotal, MatrixCell, MatrixReport
from harness.report.verified import EvidenceSource, LastVerified

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
            return f"{_three_digits(value / factor)} {unit}"
    return f"{_three_digits(value / 1e-6)} µs"


def size(value: int | None) -> str:
    """``12 MiB``; nothing where nothing was measured."""
    if value is None:
        return ""
    for factor, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value >= factor:
            return f"{_three_digits(value / factor)} {unit}"
    return f"{value} B"


def _three_digits(value: float) -> str:
    return f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"


def passed(counts: Counts) -> str:
    """``10 of 12 cells passed: 9 as shipped, 1 with a repair``."""
    total = counts.passed_as_shipped + counts.passed_with_repair
    return (
        f"{total:,} of {counts.cells:,} cells passed: {counts.passed_as_shipped:,} as shipped, "
        f"{counts.passed_with_repair:,} with a repair"
    )


def families_passed(total: FamilyTotal) -> str:
    """``cpu pipeline(): 60 of 85 names passed, and 2 with a stand-in; 61 of 85 distinct types``."""
    stand_in = f", and {total.names_passed_with_stand_in} with a stand-in" if total.names_passed_with_stand_in else ""
    return (
        f"{total.backend} {API_TITLES[total.api]}: {total.names_passed} of {total.names} names passed{stand_in}; "
        f"{total.types_passed} of {total.types} distinct types"
    )


def family_verdict(result: FamilyResult) -> str:
    """``passed``, ``passed with a stand-in``, or what became of each type that did not."""
    verdicts = list(dict.fromkeys(result.outcomes.values()))
    if result.passed:
        return f"{', '.join(verdicts)}{' with a stand-in' if result.stand_ins else ''}"
    if len(verdicts) == 1:
        return verdicts[0]
    return ", ".join(f"{name}: {verdict}" for name, verdict in result.outcomes.items())


def tasks_run(tasks: Sequence[TaskRow]) -> str:
    """``25 of 26 tasks of pipeline() are run by a type, 2 of them with stand-in processors only``."""
    run = [one for one in tasks if one.run]
    lent = sum(not one.passed for one in run)
    told = f", {lent} of them with stand-in processors only" if lent else ""
    return f"{len(run)} of {len(tasks)} tasks of pipeline() are run by a type{told}"


def headline(report: MatrixReport) -> str:
    """The verdict in a sentence."""
    match report.exit_code:
        case 0:
            return "Complete, and everything is as expected."
        case 3:
            return "Void: canaries were not caught, so these results prove nothing."
        case _:
            return f"Not as it should be: {', '.join(_what_is_bad(report))}."


def _what_is_bad(report: MatrixReport) -> Iterator[str]:
    unexpected = sum(cell.judgement in UNEXPECTED for cell in report.cells)
    missing = sum(cell.judgement == "missing" for cell in report.cells)
    changes = report.baseline
    for count, one, many in (
        (len(report.problems), "problem", "problems"),
        (missing, "missing cell", "missing cells"),
        (unexpected, "unexpected cell", "unexpected cells"),
        (len(changes.regressed) if changes else 0, "regression", "regressions"),
        (changes.skips_after - changes.skips_before if changes else 0, "skip more", "skips more"),
    ):
        if count > 0:
            yield f"{count:,} {one if count == 1 else many}"


def p50(cell: MatrixCell) -> float | None:
    """The cell's median latency in seconds."""
    return cell.metrics.latency.p50 if cell.metrics.latency else None


def evidence_from(source: EvidenceSource) -> str:
    """``cuda, last verified on NVIDIA H100 …, 2026-11-26, 3 days old: 12 of 12 from_pretrained() cells passed``."""
    counted = " and ".join(
        f"{source.passed[api]:,} of {count:,} {API_TITLES[api]}" for api, count in source.cells.items()
    )
    return (
        f"{source.backend}, last verified on {source.hardware}, {source.measured_on}, {_age(source.days_old)} "
        f"({source.versions}): {counted} cells passed"
    )


def verified(row: LastVerified) -> str:
    """``passed, error 1.2e-06, 3.4 ms``: the verdict, its error, and its time where nothing ran beside it."""
    error = f"error {row.max_relative:.2g}" if row.max_relative is not None else ""
    time = seconds(row.p50_seconds) if row.outcome == "passed" and not row.contended else ""
    return ", ".join(part for part in (row.verdict, error, time) if part)


def verified_in(report: MatrixReport, cell: MatrixCell) -> str:
    """What is known of a cell that had no device; nothing of another."""
    if cell.outcome != "no-device":
        return ""
    row = next((one for one in report.last_verified if one.place == (cell.model_type, cell.backend, cell.api)), None)
    source = next((one for one in report.evidence if row and one.file == row.file), None)
    if row is None or source is None:
        return ""
    return f"{verified(row)} on {source.hardware}, {source.measured_on}, {_age(source.days_old)} ({source.versions})"


def _age(days: int) -> str:
    return "1 day old" if days == 1 else f"{days:,} days old"
