"""What was covered: the tasks of ``pipeline()`` with the types that ran them, and what cannot be run, by reason."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.records import Api, Record

if TYPE_CHECKING:
    from harness.report.model import MatrixCell, MatrixEnvironment


class TaskRow(Record):
    """A task that the installed transformers has a pipeline for, and the types that it was run with."""

    task: str
    backend: str
    stack: str
    passed: tuple[str, ...]
    """With processors of their own."""
    passed_with_stand_in: tuple[str, ...]
    """With another type's processor, or a generic one, in place of one of theirs."""
    not_passed: dict[str, str]
    """By type: the outcome."""
    why: str = ""
    """Where no type passed."""

    @property
    def run(self) -> bool:
        """Whether a type ran it."""
        return bool(self.passed or self.passed_with_stand_in)


class Absence(Record):
    """What is not applicable for one reason."""

    api: Api
    reason: str
    types: tuple[str, ...]


def task_rows(cells: Sequence["MatrixCell"], environments: Sequence["MatrixEnvironment"]) -> tuple[TaskRow, ...]:
    """A row for each task of each stack's transformers, those that nothing was run with included."""
    found: dict[tuple[str, str, str], list[MatrixCell]] = defaultdict(list)
    for cell in cells:
        if cell.api == "pipeline" and cell.task is not None:
            found[cell.task, cell.backend, cell.stack].append(cell)
    places = {(one.backend, one.stack): one.environment.tasks for one in environments}
    return tuple(
        _row(task, backend, stack, found[task, backend, stack])
        for (backend, stack), tasks in places.items()
        for task in tasks
    )


def _row(task: str, backend: str, stack: str, cells: Sequence["MatrixCell"]) -> TaskRow:
    passed = [cell for cell in cells if cell.outcome == "passed"]
    stand_ins = [cell.model_type for cell in passed if cell.proof and cell.proof.stand_ins]
    others = [cell for cell in cells if cell.outcome != "passed"]
    why = ""
    if not passed:
        first = next((cell for cell in others if cell.reason), None)
        why = f"{first.model_type}: {first.reason}" if first else "no type of this plan is run with it"
    return TaskRow(
        task=task,
        backend=backend,
        stack=stack,
        passed=tuple(cell.model_type for cell in passed if cell.model_type not in stand_ins),
        passed_with_stand_in=tuple(stand_ins),
        not_passed={cell.model_type: cell.outcome for cell in others},
        why=why,
    )


def absences(cells: Sequence["MatrixCell"]) -> tuple[Absence, ...]:
    """The reasons for which cells are not applicable, those of the most types first."""
    found: dict[tuple[Api, str], dict[str, None]] = defaultdict(dict)
    for cell in cells:
        if cell.outcome == "not-applicable" and cell.best:
            found[cell.api, cell.reason][cell.model_type] = None
    rows = [Absence(api=api, reason=reason, types=tuple(types)) for (api, reason), types in found.items()]
    return tuple(sorted(rows, key=lambda one: (one.api, -len(one.types), one.reason)))
