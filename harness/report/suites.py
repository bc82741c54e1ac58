"""The report's junit.xml: the judgement, where a shard's own junit.xml is the bare measurement.

A cell that fails as data/expectations/ says is skipped, with the row's reason; one that passes where a row
says otherwise is a failure. So a CI job that gates on the file agrees with the report's exit code.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from harness import junit
from harness.junit import Case, Suite
from harness.report.model import MatrixCell, MatrixReport

_NO_DATE: Final = "1970-01-01T00:00:00"


def render(report: MatrixReport) -> str:
    """The whole file."""
    return junit.to_xml(list(_suites(report)))


def _suites(report: MatrixReport) -> Iterator[Suite]:
    places: dict[str, list[MatrixCell]] = defaultdict(list)
    for cell in report.cells:
        places[f"{cell.backend}/{cell.stack}"].append(cell)
    properties: dict[str, dict[str, str]] = defaultdict(dict)
    for one in report.environments:
        properties[f"{one.backend}/{one.stack}"] |= junit.environment_properties(one.environment)
    started = report.measured_from or _NO_DATE
    for name, cells in places.items():
        told = {"note": report.note, "plans": ", ".join(plan.digest for plan in report.plans)}
        yield Suite(name, [_case(cell) for cell in cells], started, told | properties[name])
    shards = dict.fromkeys(canary.shard for canary in report.canaries)
    for shard in shards:
        canaries = [canary for canary in report.canaries if canary.shard == shard]
        yield junit.canary_suite(f"{shard or 'unknown shard'} canaries", shard or "unknown shard", canaries, started)
    yield Suite("completeness", list(_completeness(report)), started)


def _case(cell: MatrixCell) -> Case:
    verdict, kind, message = junit.VERDICTS[cell.outcome], str(cell.outcome), cell.reason or cell.outcome
    match cell.judgement:
        case "as expected" if cell.expected is not None:
            verdict, message = "skipped", f"expected: {cell.outcome}: {cell.expected.reason}"
        case "unexpected pass":
            verdict, kind = "failure", "unexpected-pass"
            message = "passes, and data/expectations/ says that it does not: remove its row"
        case "void":
            verdict, kind, message = "error", "void", "its shard is void: canaries were not caught"
        case "unexpected failure" | "another outcome" if verdict == "skipped":
            # A skip that nobody expected is how coverage is lost unseen.
            verdict, message = "failure", f"{cell.judgement}: {message}"
    return Case(
        classname=cell.model_type,
        name=cell.api,
        seconds=cell.seconds or 0.0,
        verdict=verdict,
        type=kind,
        message=message,
        text=junit.explain(cell.failure, stage=cell.stage or "none", reproduce=cell.reproduce),
    )


def _completeness(report: MatrixReport) -> Iterator[Case]:
    if not report.problems:
        yield Case("completeness", "every planned shard and cell is there, once", 0.0)
    for number, one in enumerate(report.problems, 1):
        yield Case("completeness", f"{one.kind} {number}", 0.0, "error", one.kind, one.message)
    if report.baseline is not None and report.baseline.bad:
        changes = report.baseline
        told = f"{len(changes.regressed)} regressed; skips {changes.skips_before} before, {changes.skips_after} now"
        listed = "\n".join(f"{one.model_type} {one.api} on {one.backend}/{one.stack}" for one in changes.regressed)
        yield Case("completeness", "no worse than the baseline", 0.0, "failure", "regression", told, listed)
