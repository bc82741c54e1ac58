"""data/evidence/: what was measured where this machine cannot measure, kept with its environment and its date.

A file for each run on such a machine: the cells that it measured, a line each, without what only that run's own report
needs. A report shows them where its own run had no device, or did not plan the backend; they are never its passes.
"""

import json
from datetime import date
from pathlib import Path
from typing import Final, Literal

from harness import ROOT
from harness.documents import read_document
from harness.records import Api, Environment, Outcome, Record, Scale
from harness.text import clean_all

FOLDER: Final = ROOT / "data" / "evidence"
EVIDENCE_VERSION: Final = 1
NOT_MEASURED: Final[frozenset[Outcome]] = frozenset({"not-selected", "no-device", "environment", "missing"})
"""Outcomes that are no evidence of anything but of the run."""


class EvidenceCell(Record):
    """What came of a cell: its verdict, its error and its figures."""

    model_type: str
    api: Api
    outcome: Outcome
    repairs: tuple[str, ...] = ()
    reason: str = ""
    """The first line of why it did not pass."""
    model_class: str | None = None
    max_relative: float | None = None
    """Largest difference from the reference / max|reference|."""
    tolerance: float | None = None
    tokens_equal: bool | None = None
    p50_seconds: float | None = None
    generation_p50_seconds: float | None = None
    iterations: int | None = None
    contended: bool | None = None
    """True where others ran beside it: its times compare with nothing."""
    device_peak_allocated_bytes: int | None = None
    weights_sha256: str | None = None

    @property
    def verdict(self) -> str:
        """The outcome with its repairs: ``passed with repair NAME``."""
        return f"{self.outcome} with repair {', '.join(self.repairs)}" if self.repairs else self.outcome


class Evidence(Record):
    """One backend and stack, as it was measured on one day."""

    schema_version: Literal[1] = EVIDENCE_VERSION
    backend: str
    stack: str
    scale: Scale
    selection: str
    measured_on: date
    canaries_caught: int
    canaries: int
    complete: bool
    """False where the run was cut off: what it measured counts."""
    environment: Environment
    cells: tuple[EvidenceCell, ...]

    @property
    def file(self) -> str:
        """The name of its file; a second run of a day takes the place of the first."""
        return f"{self.backend}-{self.stack}-{self.scale}-{self.measured_on.isoformat()}.json"

    def to_document(self) -> str:
        """The file's text: a cell a line."""
        data = clean_all(self.model_dump(mode="json", exclude_none=True, exclude_defaults=True))
        data = {"schema_version": EVIDENCE_VERSION, **data}
        cells = data.pop("cells", [])
        head = json.dumps(data, indent=1, ensure_ascii=False).removesuffix("\n}")
        lines = ",\n".join(f"  {json.dumps(cell, ensure_ascii=False)}" for cell in cells)
        return f'{head},\n "cells": [\n{lines}\n ]\n}}\n'


def load_evidence(folder: Path = FOLDER) -> tuple[Evidence, ...]:
    """All that is kept, the newest first; ``UsageError`` with the place where a file is not as it should be."""
    found = [read_document(path, Evidence) for path in sorted(folder.glob("*.json"))]
    return tuple(sorted(found, key=lambda one: (one.measured_on, one.file), reverse=True))


def kept_environment(environment: Environment) -> Environment:
    """What tells of the software and the hardware, without the accidents of that one run."""
    device = environment.device
    if device is not None:
        device = device.model_copy(update={"id": None, "free_bytes": None, "shared_with": ()})
    return environment.model_copy(update={"device": device, "tasks": (), "new_types": (), "gone_types": ()})
