"""What stands in the way of a runtime that converts models: the operators and errors, and the types that each stops."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from harness.records import Attempt, Record
from harness.text import first_line

if TYPE_CHECKING:
    from harness.report.model import MatrixCell

_NOT_ASKED: Final = frozenset({"NotExportedError"})
"""An exporter that does not know the type was stopped by nothing in the model."""


class Obstacle(Record):
    """An operator that a converter has no working rule for, or an error, by the routes that met it."""

    backend: str
    what: str
    """The operator's name, or the error with its place."""
    operator: bool
    routes: tuple[str, ...]
    stops: tuple[str, ...]
    """Types with a cell that met it and that no other route took through."""
    passed_otherwise: tuple[str, ...]
    """Types that met it and passed by another route, or with a repair."""
    example: str
    """The message of one of them."""


def obstacles(cells: Sequence["MatrixCell"]) -> tuple[Obstacle, ...]:
    """By what stops the most types."""
    met: dict[tuple[str, str, bool], list[tuple[MatrixCell, Attempt]]] = defaultdict(list)
    for cell in cells:
        for attempt in cell.attempts:
            for what, operator in _causes(attempt):
                met[cell.backend, what, operator].append((cell, attempt))
    return tuple(sorted((_obstacle(*key, meetings) for key, meetings in met.items()), key=_rank))


def _causes(attempt: Attempt) -> Iterator[tuple[str, bool]]:
    if attempt.error_class in _NOT_ASKED:
        return
    for operator in attempt.operators:
        yield operator, True
    if not attempt.operators:
        yield f"{attempt.error_class}{f' at {attempt.frame}' if attempt.frame else ''}", False


def _obstacle(backend: str, what: str, operator: bool, meetings: Sequence[tuple["MatrixCell", Attempt]]) -> Obstacle:
    stopped = dict.fromkeys(cell.model_type for cell, _ in meetings if cell.outcome != "passed")
    passed = dict.fromkeys(cell.model_type for cell, _ in meetings if cell.outcome == "passed")
    return Obstacle(
        backend=backend,
        what=what,
        operator=operator,
        routes=tuple(sorted({attempt.route for _, attempt in meetings})),
        stops=tuple(stopped),
        passed_otherwise=tuple(name for name in passed if name not in stopped),
        example=first_line(meetings[0][1].message),
    )


def _rank(one: Obstacle) -> tuple[int, int, str, str]:
    return (-len(one.stops), -len(one.passed_otherwise), one.backend, one.what)
