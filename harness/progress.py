"""How far a run has come, for whoever shows it: the run tells it between the lines of its output.

Only where ``HARNESS_PROGRESS`` asks for it; elsewhere the plain lines, one for each cell, are all there is.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import pydantic

from harness.records import Cell, Outcome, PlannedType, Record

VARIABLE: Final = "HARNESS_PROGRESS"
_MARK: Final = "\x01"  # what begins with it is a record, not text


class Progress(Record):
    """How far a shard has come."""

    types: int
    types_done: int
    """With all their cells."""
    outcomes: dict[Outcome, int]
    """Of the cells that are done."""
    running: tuple[str, ...]
    """The model types whose children are alive."""
    seconds_left: float | None = None
    """Absent until enough has ended to tell."""


class Teller:
    """Tells the progress of a shard as cells end and children come and go."""

    def __init__(self, types: Iterable[PlannedType], apis: int, environ: Mapping[str, str] = os.environ) -> None:
        self._asked = bool(environ.get(VARIABLE))
        planned = tuple(types)
        self._to_do = {one.model_type: apis for one in planned}
        self._outcomes: Counter[Outcome] = Counter()
        # What is known not to run costs nothing; what the plan expects of the others is spread over their cells.
        self._expected = {one.model_type: one.expected_seconds / apis for one in planned if one.unavailable is None}
        self._left = sum(self._expected.values()) * apis
        self._measured = 0.0
        self._running: tuple[str, ...] = ()
        self._began: float | None = None

    def kept(self, cells: Iterable[Cell]) -> None:
        """These cells were measured before this run."""
        for cell in cells:
            self._count(cell)

    def runs(self, model_types: tuple[str, ...]) -> None:
        """These children are alive now."""
        if self._began is None:
            self._began = time.monotonic()
        self._running = model_types
        self._tell()

    def ended(self, cell: Cell) -> None:
        """This cell is done."""
        self._measured += self._count(cell)
        self._tell()

    def _count(self, cell: Cell) -> float:
        """Take the cell off what is to be done; what the plan expected of it."""
        self._outcomes[cell.outcome] += 1
        self._to_do[cell.model_type] -= 1
        expected = self._expected.get(cell.model_type, 0.0)
        self._left -= expected
        return expected

    def progress(self) -> Progress:
        """The state of things."""
        left = None
        if self._began is not None and self._measured:
            # Durations of the plan are another machine's: their ratios hold, and this run gives the pace.
            left = max(0.0, (time.monotonic() - self._began) * self._left / self._measured)
        return Progress(
            types=len(self._to_do),
            types_done=sum(not left for left in self._to_do.values()),
            outcomes=dict(self._outcomes),
            running=self._running,
            seconds_left=left,
        )

    def _tell(self) -> None:
        if self._asked:
            sys.stdout.write(f"{_MARK}{self.progress().to_json()}\n")
            sys.stdout.flush()


def read(line: str) -> Progress | None:
    """The progress that this line of a run's output tells; None for a line of text."""
    if not line.startswith(_MARK):
        return None
    try:
        return Progress.model_validate_json(line[len(_MARK) :])
    except pydantic.ValidationError:  # another version's run: its progress is not worth an error
        return None
