"""What data/evidence/ knows of cells that a report's own run could not measure. None of it counts as that run's."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING

from harness.device import described
from harness.evidence import Evidence, EvidenceCell
from harness.records import Api, Outcome, Record

if TYPE_CHECKING:
    from harness.report.merge import Planned
    from harness.report.model import MatrixCell

_VERSIONS = ("torch", "transformers", "optimum-intel", "openvino")
_APIS: tuple[Api, ...] = ("from_pretrained", "pipeline")


class EvidenceSource(Record):
    """A file of data/evidence/, as far as this report has use for it."""

    file: str
    backend: str
    stack: str
    hardware: str
    versions: str
    measured_on: str
    days_old: int
    """When the report was made."""
    passed: dict[Api, int]
    """Of the cells that this report takes from it."""
    cells: dict[Api, int]


class LastVerified(Record):
    """What came of a cell when it was last measured, in another run."""

    model_type: str
    backend: str
    stack: str
    api: Api
    outcome: Outcome
    verdict: str
    reason: str = ""
    max_relative: float | None = None
    p50_seconds: float | None = None
    contended: bool | None = None
    file: str

    @property
    def place(self) -> tuple[str, str, Api]:
        return (self.model_type, self.backend, self.api)


def last_verified(
    cells: Sequence["MatrixCell"], plans: Sequence["Planned"], evidence: Sequence[Evidence], today: date
) -> tuple[tuple[EvidenceSource, ...], tuple[LastVerified, ...]]:
    """The newest evidence of each cell without a device, and of the report's types on backends that it did not plan.

    Evidence is of synthetic weights at one scale; a report of others gets none.
    """
    scales = {plan.scale for plan in plans}
    if len(scales) != 1 or any(plan.weights for plan in plans):
        return (), ()
    wanted = _wanted(cells, plans, {one.backend for one in evidence})
    found: dict[tuple[str, str, Api], LastVerified] = {}
    for one in evidence:  # the newest first
        if one.scale in scales:
            for cell in one.cells:
                place = (cell.model_type, one.backend, cell.api)
                if place in wanted:
                    found.setdefault(place, _row(one, cell))
    rows = tuple(found[place] for place in sorted(found))
    return tuple(_source(one, rows, today) for one in evidence if any(row.file == one.file for row in rows)), rows


def _wanted(
    cells: Sequence["MatrixCell"], plans: Sequence["Planned"], known: Iterable[str]
) -> set[tuple[str, str, Api]]:
    without = {(cell.model_type, cell.backend, cell.api) for cell in cells if cell.best and cell.outcome == "no-device"}
    apis = {api for plan in plans for api in plan.apis}
    not_planned = set(known) - {cell.backend for cell in cells}
    types = {cell.model_type for cell in cells}
    return without | {(name, backend, api) for name in types for backend in not_planned for api in apis}


def _row(one: Evidence, cell: EvidenceCell) -> LastVerified:
    return LastVerified(
        model_type=cell.model_type,
        backend=one.backend,
        stack=one.stack,
        api=cell.api,
        outcome=cell.outcome,
        verdict=cell.verdict,
        reason=cell.reason,
        max_relative=cell.max_relative,
        p50_seconds=cell.p50_seconds,
        contended=cell.contended,
        file=one.file,
    )


def _source(one: Evidence, rows: Sequence[LastVerified], today: date) -> EvidenceSource:
    taken = {api: [row for row in rows if (row.file, row.api) == (one.file, api)] for api in _APIS}
    environment, packages = one.environment, one.environment.packages
    return EvidenceSource(
        file=one.file,
        backend=one.backend,
        stack=one.stack,
        hardware=described(environment.device) if environment.device else environment.cpu,
        versions=", ".join(f"{name} {packages[name]}" for name in _VERSIONS if name in packages),
        measured_on=one.measured_on.isoformat(),
        days_old=max(0, (today - one.measured_on).days),
        passed={api: sum(row.outcome == "passed" for row in members) for api, members in taken.items() if members},
        cells={api: len(members) for api, members in taken.items() if members},
    )
