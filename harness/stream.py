"""results.jsonl: written line by line as things happen, and read back with every problem named.

A reader never raises for what it finds in the file. A torn last line, a line of another version, a doubled cell
or a footer that counts wrongly is a ``Problem`` beside what could be read.
"""

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import pydantic
from pydantic_core import PydanticSerializationError

from harness.documents import counted
from harness.records import LINES, SCHEMA_VERSION, Canary, Cell, Footer, Header, Outcome, Record
from harness.text import bounded, clean, clean_all

ProblemKind = Literal[
    # within one file
    "unreadable",
    "torn line",
    "invalid line",
    "foreign version",
    "no header",
    "doubled header",
    "doubled cell",
    "foreign cell",
    "no canaries",
    "no footer",
    "lines after the footer",
    "footer disagrees",
    "void shard",
    # between files
    "no results",
    "missing shard",
    "missing cell",
    "doubled shard",
    "foreign plan",
    "two plans",
    "two kinds of weights",
    "two environments",
    "another registry",
]


class Problem(Record):
    """Something about results that makes them incomplete or doubtful, for people."""

    kind: ProblemKind
    message: str
    """Says what, where (file and line) and, where it can be said, what to do."""


@dataclass(frozen=True)
class ShardResults:
    """What one results.jsonl holds. Of doubled cells the first counts."""

    path: Path
    header: Header | None
    canaries: tuple[Canary, ...]
    cells: tuple[Cell, ...]
    footer: Footer | None
    problems: tuple[Problem, ...]

    @property
    def void(self) -> str | None:
        """Why these results prove nothing, by the footer's word or by the canaries themselves; else None."""
        if self.footer is not None and self.footer.void:
            return self.footer.void
        missed = [canary for canary in self.canaries if not canary.caught]
        if missed:
            told = ", ".join(f"{one.name} was seen as {one.observed}, not {one.expected}" for one in missed)
            return f"canaries were not caught: {told}"
        return None


class ResultsWriter:
    """Writes records as lines, each on the disk before ``write`` returns: a crash loses what it interrupted only."""

    def __init__(self, path: Path, *, append: bool = False) -> None:
        self._path, self._flags = path, os.O_APPEND if append else os.O_TRUNC

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | self._flags, 0o644)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def write(self, record: Header | Canary | Cell | Footer) -> None:
        """Append one line."""
        line = memoryview(to_json_line(record).encode() + b"\n")
        while line:
            line = line[os.write(self._file, line) :]
        os.fsync(self._file)


def to_json_line(record: Record) -> str:
    """The record as one line of JSON, whatever is in its texts."""
    try:
        return record.to_json()
    except PydanticSerializationError:  # half a character in some message, which JSON cannot hold
        return json.dumps(clean_all(record.model_dump(mode="python", exclude_none=True)))


def read_results(path: Path) -> ShardResults:
    """All that the file holds, and all that is wrong with it."""
    problems: list[Problem] = []
    try:
        content = path.read_bytes()
    except OSError as error:
        problem = Problem(kind="unreadable", message=f"{path}: cannot be read: {error.strerror}")
        return ShardResults(path, None, (), (), None, (problem,))
    records = _records(path, content, problems)
    headers = [(number, one) for number, one in records if isinstance(one, Header)]
    footers = [(number, one) for number, one in records if isinstance(one, Footer)]
    header = headers[0][1] if headers else None
    cells: dict[tuple[str, str, str, str], Cell] = {}
    for number, record in records:
        if isinstance(record, Cell) and record.key in cells:
            told = f"{path}:{number}: a second line for {_named(record)}; the first counts"
            problems.append(Problem(kind="doubled cell", message=told))
        elif isinstance(record, Cell):
            cells[record.key] = record
            problems += _foreign(path, number, record, header)
    canaries = tuple(one for _, one in records if isinstance(one, Canary))
    problems += [
        Problem(kind="doubled header", message=f"{path}:{number}: a second header; the first counts")
        for number, _ in headers[1:]
    ]
    if header is None:
        problems.append(Problem(kind="no header", message=f"{path}: no header: plan and environment unknown"))
    if not canaries:
        told = f"{path}: no canaries, so nothing shows that this run can see a failure"
        problems.append(Problem(kind="no canaries", message=told))
    last = records[-1][0] if records else 0
    if not footers:
        told = f"{path}: no footer: the run ended early, after {len(cells)} cells (--resume takes it up)"
        problems.append(Problem(kind="no footer", message=told))
    elif footers[0][0] != last:
        told = f"{path}:{footers[0][0]}: lines after the footer: another run wrote into the same file"
        problems.append(Problem(kind="lines after the footer", message=told))
    footer = footers[-1][1] if footers else None
    found = ShardResults(path, header, canaries, tuple(cells.values()), footer, ())
    problems += _disagreements(found)
    if found.void:
        problems.append(Problem(kind="void shard", message=f"{path}: void: {found.void}"))
    return ShardResults(path, header, canaries, found.cells, footer, tuple(problems))


def _records(path: Path, content: bytes, problems: list[Problem]) -> list[tuple[int, Record]]:
    """Every line that validates, with its number; the others become problems."""
    records: list[tuple[int, Record]] = []
    *lines, rest = content.split(b"\n")
    if rest:
        told = f"{path}:{len(lines) + 1}: the last line is torn ({len(rest)} bytes without an end)"
        problems.append(Problem(kind="torn line", message=told))
    for number, line in enumerate(lines, 1):
        try:
            records.append((number, LINES.validate_json(line)))
        except pydantic.ValidationError as error:
            version = _version(line)
            if version is not None and version != SCHEMA_VERSION:
                told = f"{path}:{number}: schema version {version!r}; this harness reads {SCHEMA_VERSION}"
                problems.append(Problem(kind="foreign version", message=clean(bounded(told, 400))))
            else:
                told = f"{path}:{number}: {_told(error)}"
                problems.append(Problem(kind="invalid line", message=clean(bounded(told, 600))))
    return records


def _version(line: bytes) -> object:
    try:
        data = json.loads(line)
    except ValueError:
        return None
    return data.get("schema_version") if isinstance(data, dict) else None


def _told(error: pydantic.ValidationError) -> str:
    """The first mistakes in a line, each with its place."""
    told = [
        # The first step of a place is the line's kind, which the message does not need.
        f"{'.'.join(map(str, one['loc'][1:])) or 'the whole line'}: {one['msg']}"
        for one in error.errors(include_url=False, include_input=False)
    ]
    return f"{counted(told)}: {'; '.join(told[:3])}"


def _named(cell: Cell) -> str:
    return f"{cell.model_type} {cell.api} on {cell.backend}/{cell.stack}"


def _foreign(path: Path, number: int, cell: Cell, header: Header | None) -> list[Problem]:
    """Whether the cell is one that the header's shard was to hold."""
    if header is None:
        return []
    shard = header.shard
    planned = (
        (cell.backend, cell.stack) == (shard.backend, shard.stack)
        and cell.model_type in shard.model_types
        and cell.api in header.apis
    )
    told = f"{path}:{number}: {_named(cell)} is not planned in {shard.id}"
    return [] if planned else [Problem(kind="foreign cell", message=told)]


def _disagreements(found: ShardResults) -> list[Problem]:
    """Where the footer's counts are not those of the lines."""
    if found.footer is None:
        return []
    footer, outcomes = found.footer, dict(Counter(cell.outcome for cell in found.cells))
    # A run that was taken up shows its canaries again, and its footer counts its own.
    caught = {canary.name: canary.caught for canary in found.canaries}
    told = []
    if footer.cells != len(found.cells):
        told.append(f"{footer.cells} cells, where there are {len(found.cells)}")
    if {name: count for name, count in footer.outcomes.items() if count} != outcomes:
        told.append(f"outcomes {_counts(footer.outcomes)}, where there are {_counts(outcomes)}")
    if (footer.canaries_caught, footer.canaries) != (sum(caught.values()), len(caught)):
        told.append(
            f"{footer.canaries_caught} of {footer.canaries} canaries caught, "
            f"where the lines show {sum(caught.values())} of {len(caught)}"
        )
    message = f"{found.path}: the footer says {'; '.join(told)}"
    return [Problem(kind="footer disagrees", message=message)] if told else []


def _counts(outcomes: Mapping[Outcome, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items())) or "none"
