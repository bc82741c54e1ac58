"""``report --accept``: rewrite data/expectations/ so that it says what was measured, and say what that changed.

For when every unexpected cell is understood, or a stack is new. Rows of cells that were not measured stay, and so do
the reasons of rows whose outcome still holds.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from harness.errors import ResultsError
from harness.expectations import Expectation, Expectations, quoted, reason_in_a_line
from harness.report.model import MatrixCell, MatrixReport
from harness.results import write_atomically

_HEAD: Final = """\
# The cells that are known not to pass, each with its reason. `report` exits 1 where a cell does not pass and has no
# row here, and where a cell passes that has one. `nox -s report -- --accept` writes this file: what it keeps of a row
# is its reason. A row without stack holds on every stack that has no row of its own.
"""
_WIDTH: Final = 116


def accept(report: MatrixReport, before: Expectations, folder: Path) -> list[str]:
    """Write a file for each backend of the report to ``folder``; a line for each row that came, went or changed.

    ``ResultsError`` where the report has problems: what is missing or damaged cannot be what is expected.
    """
    if report.problems or any(cell.judgement in ("missing", "void") for cell in report.cells):
        raise ResultsError("nothing was accepted: the results are not complete", hint="the report names what is wrong")
    rows = {(row.model_type, row.backend, row.stack, row.api): row for row in before.rows}
    changes = []
    for cell in report.cells:
        old = before.expected(cell.key)
        place = (cell.model_type, cell.backend, old.stack if old else cell.stack, cell.api)
        told = f"{cell.model_type} {cell.api} on {cell.backend}/{cell.stack}"
        match cell.judgement:
            case "unexpected pass":
                rows.pop(place, None)
                changes.append(f"- {told}: passes")
            case "unexpected failure" | "another outcome" if cell.outcome != "environment":
                rows[place] = _row(cell, place[2])
                changes.append(f"{'~' if old else '+'} {told}: {cell.outcome}: {rows[place].reason}")
            case _:
                continue
    for backend in {cell.backend for cell in report.cells}:
        write_atomically(folder / f"{backend}.toml", text([row for row in rows.values() if row.backend == backend]))
    return changes


def _row(cell: MatrixCell, stack: str | None) -> Expectation:
    reason = reason_in_a_line(cell.reason, cell.failure, cell.outcome)
    values = {"model_type": cell.model_type, "backend": cell.backend, "stack": stack, "api": cell.api}
    return Expectation.model_validate({**values, "outcome": cell.outcome, "reason": reason})


def text(rows: Iterable[Expectation]) -> str:
    """The rows as TOML; those that differ in nothing but the type are one."""
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for row in rows:
        groups[row.backend, row.stack or "", row.api, row.outcome, row.reason].append(row.model_type)
    return "\n".join([_HEAD, *("\n".join(_lines(key, sorted(groups[key]))) + "\n" for key in sorted(groups))])


def _lines(group: tuple[str, ...], model_types: list[str]) -> Iterator[str]:
    yield "[[cell]]"
    if len(model_types) == 1:
        yield f"model_type = {quoted(model_types[0])}"
    else:
        yield "model_types = ["
        line = "   "
        for name in model_types:
            if len(line) + len(name) > _WIDTH:
                yield line
                line = "   "
            line += f" {quoted(name)},"
        yield f"{line}\n]"
    for key, value in zip(("backend", "stack", "api", "outcome", "reason"), group, strict=True):
        if value:
            yield f"{key} = {quoted(value)}"
