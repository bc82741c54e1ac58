"""matrix.json: everything a report says. All other files of a report are made from it alone."""

import json
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import ValidationError

from harness.errors import UsageError
from harness.records import (
    Api,
    Attempt,
    Canary,
    Comparison,
    Domain,
    Environment,
    Execution,
    Failure,
    Metrics,
    Outcome,
    Proof,
    Record,
    Scale,
    Stage,
    Weights,
)
from harness.report.coverage import Absence, TaskRow
from harness.report.obstacles import Obstacle
from harness.report.verified import EvidenceSource, LastVerified
from harness.stream import Problem
from harness.text import clean_all

MATRIX_SCHEMA_VERSION: Final = 1

Judgement = Literal[
    "as expected",
    "unexpected failure",  # no row in data/expectations/ says so
    "unexpected pass",  # a row says that it fails
    "another outcome",  # a row says that it fails, but otherwise
    "skipped",  # no device there, and that was allowed
    "missing",
    "void",  # its shard proves nothing
]
UNEXPECTED: Final = frozenset({"unexpected failure", "unexpected pass", "another outcome"})
SKIPS: Final = frozenset({"not-applicable", "not-selected", "no-device"})


class Expected(Record):
    """What data/expectations/ says of a cell."""

    outcome: Outcome
    reason: str


class MatrixCell(Record):
    """A planned cell with what was measured and what that is held to be."""

    model_type: str
    domain: Domain | None
    """Absent where the type is missing and nothing else names its domain."""
    families: tuple[str, ...] = ()
    backend: str
    stack: str
    api: Api
    task: str | None = None
    outcome: Outcome
    stage: Stage | None
    """Absent where it was never entered: a missing cell."""
    reason: str = ""
    repairs: tuple[str, ...] = ()
    route: str | None = None
    attempts: tuple[Attempt, ...] = ()
    metrics: Metrics = Metrics()
    comparison: Comparison | None = None
    proof: Proof | None = None
    failure: Failure | None = None
    output_summary: str | None = None
    reproduce: str
    seconds: float | None = None
    shard: str | None
    """Absent where its file has no header."""
    expected: Expected | None = None
    judgement: Judgement
    best: bool
    """Of the stacks that have this type, backend and API, the one to show first."""

    @property
    def key(self) -> tuple[str, str, str, str]:
        return (self.model_type, self.backend, self.stack, self.api)

    @property
    def verdict(self) -> str:
        """The outcome with its repairs: ``passed with repair NAME``."""
        return f"{self.outcome} with repair {', '.join(self.repairs)}" if self.repairs else self.outcome


class PlanSummary(Record):
    """A plan that results are of."""

    digest: str
    selection: str
    scale: Scale
    weights: Weights | None = None
    apis: tuple[Api, ...]
    shards: tuple[str, ...]
    cells: int


class MatrixShard(Record):
    """A planned shard, and what is there of it."""

    id: str
    backend: str
    stack: str
    plan_digest: str | None = None
    folder: str | None = None
    """Relative to the results; absent: the shard is missing."""
    planned_cells: int
    reported_cells: int
    complete: bool
    void: str | None = None
    environment_digest: str | None = None
    execution: Execution | None = None
    started_at: str | None = None
    seconds: float | None = None


class MatrixEnvironment(Record):
    """An environment, and the shards that were measured in it."""

    backend: str
    stack: str
    digest: str
    shards: tuple[str, ...]
    environment: Environment


class MatrixCanary(Canary):
    """A canary, and its shard."""

    shard: str | None = None


class Cluster(Record):
    """Failures of one signature."""

    signature: str
    category: str
    error_class: str
    hint: str
    frame: str | None = None
    cells: int
    types: tuple[str, ...]
    backends: tuple[str, ...]


class Counts(Record):
    """How many cells came out how; those that passed as shipped and with a repair apart."""

    cells: int
    passed_as_shipped: int
    passed_with_repair: int
    outcomes: dict[Outcome, int]
    judgements: dict[Judgement, int]


class Group(Counts):
    """The counts of one backend, stack and API."""

    backend: str
    stack: str
    api: Api


class Totals(Counts):
    """The counts of everything, and of each group."""

    types: int
    groups: tuple[Group, ...]


class FamilyResult(Record):
    """What came of a family on one backend through one API: the best stack of each of its types."""

    backend: str
    api: Api
    passed: bool
    """All its types were planned, and passed."""
    stand_ins: tuple[str, ...] = ()
    """Where it passed: processors that are not the type's own, each with the reason."""
    outcomes: dict[str, str]
    """By type: the verdict, or ``not planned``."""
    reason: str = ""
    """Of the first type that did not pass."""


class FamilyRow(Record):
    """A name that people use."""

    name: str
    types: tuple[str, ...]
    note: str
    results: tuple[FamilyResult, ...]


class FamilyTotal(Record):
    """How the names, and the distinct types behind them, came out on one backend through one API."""

    backend: str
    api: Api
    names: int
    names_passed: int
    names_passed_with_stand_in: int
    types: int
    types_passed: int


class Change(Record):
    """A cell that is not what it was in the baseline."""

    model_type: str
    backend: str
    stack: str
    api: Api
    before: str
    after: str


class BaselineComparison(Record):
    """What changed since another matrix.json."""

    baseline: str
    """Its plans' digests."""
    compared: int
    """Cells that are in both."""
    regressed: tuple[Change, ...]
    newly_passing: tuple[Change, ...]
    otherwise_changed: tuple[Change, ...]
    new_cells: int
    gone_cells: int
    skips_before: int
    skips_after: int
    """Over the cells that are in both."""

    @property
    def bad(self) -> bool:
        return bool(self.regressed) or self.skips_after > self.skips_before


class MatrixReport(Record):
    """The whole of matrix.json."""

    schema_version: Literal[1] = MATRIX_SCHEMA_VERSION
    note: str
    """What must stand wherever figures are shown: ``tiny, synthetic weights``, ``real weights: NAME`` …"""
    exit_code: int
    plans: tuple[PlanSummary, ...]
    backends_not_planned: tuple[str, ...]
    measured_from: str | None
    measured_to: str | None
    """When the first and the last shard began, ISO 8601."""
    totals: Totals
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    suggestions: tuple[str, ...]
    """For each unexpected cell, the row to add to data/expectations/, to change or to remove."""
    baseline: BaselineComparison | None = None
    families: tuple[FamilyRow, ...]
    family_totals: tuple[FamilyTotal, ...]
    tasks: tuple[TaskRow, ...]
    absences: tuple[Absence, ...]
    clusters: tuple[Cluster, ...]
    obstacles: tuple[Obstacle, ...] = ()
    evidence: tuple[EvidenceSource, ...] = ()
    last_verified: tuple[LastVerified, ...] = ()
    """Of cells that this run did not measure: no part of its counts."""
    environments: tuple[MatrixEnvironment, ...]
    shards: tuple[MatrixShard, ...]
    canaries: tuple[MatrixCanary, ...]
    cells: tuple[MatrixCell, ...]

    def to_document(self) -> str:
        """The file's text. A cell has all its keys, null where there is nothing; below, what is absent is left out."""
        # Python's mode: in JSON's, half a character in some message would be an error. It is cleaned away here.
        data: dict[str, Any] = clean_all(self.model_dump(mode="python", exclude_none=True))
        keys = MatrixCell.model_fields
        data["cells"] = [{key: cell.get(key) for key in keys} for cell in data["cells"]]
        for key in ("measured_from", "measured_to", "baseline"):
            data.setdefault(key, None)
        cells = data.pop("cells")
        head = json.dumps(data, indent=1, ensure_ascii=False).removesuffix("\n}")
        # A cell a line: readable, greppable, and small differences between two runs.
        lines = ",\n".join(f"  {json.dumps(cell, ensure_ascii=False)}" for cell in cells)
        return f'{head},\n "cells": [\n{lines}\n ]\n}}\n'

    @classmethod
    def read(cls, path: Path) -> Self:
        """A matrix.json; ``UsageError`` where it is none, or of another version."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
        except ValidationError as error:
            mistakes = error.errors(include_url=False, include_input=False)[:5]
            told = [f"{'.'.join(map(str, one['loc'])) or 'the whole file'}: {one['msg']}" for one in mistakes]
            raise UsageError(f"{path}: not a matrix.json of version {MATRIX_SCHEMA_VERSION}", mistakes=told) from error
