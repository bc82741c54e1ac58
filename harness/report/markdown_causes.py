"""The part of matrix.md that says why: failures by cause, what stands in the way of conversion, what nothing ran."""

from collections.abc import Iterator, Sequence
from typing import Final

from harness.report.markup import code, table, text
from harness.report.model import MatrixReport
from harness.report.words import tasks_run
from harness.text import first_line

_MOST_LISTED: Final = 50


def clusters(report: MatrixReport) -> Iterator[str]:
    """Failures with the same signature, together."""
    if not report.clusters:
        return
    yield "## Failures by cause\n"
    yield table(
        ("types", "cells", "category", "signature", "at", "hint", "first types"),
        [
            (
                str(len(one.types)),
                str(one.cells),
                one.category,
                text(one.signature),
                text(one.frame or ""),
                text(one.hint),
                text(", ".join(one.types[:5])),
            )
            for one in report.clusters[:_MOST_LISTED]
        ],
    )
    if len(report.clusters) > _MOST_LISTED:
        yield f"… and {len(report.clusters) - _MOST_LISTED} more in matrix.json\n"


def obstacles(report: MatrixReport) -> Iterator[str]:
    """Operators and errors that no route of a conversion came past, and whom they stop."""
    if not report.obstacles:
        return
    yield "## What stands in the way of conversion\n"
    yield "By operator or error: the types that it stops, and those that passed by another route or with a repair.\n"
    yield table(
        ("stops", "passed otherwise", "backend", "operator or error", "routes", "message", "stopped types"),
        [
            (
                str(len(one.stops)),
                str(len(one.passed_otherwise)),
                one.backend,
                f"`{code(one.what)}`",
                ", ".join(one.routes),
                text(one.example),
                text(", ".join(one.stops)),
            )
            for one in report.obstacles[:_MOST_LISTED]
        ],
    )
    if len(report.obstacles) > _MOST_LISTED:
        yield f"… and {len(report.obstacles) - _MOST_LISTED} more in matrix.json\n"


def tasks(report: MatrixReport) -> Iterator[str]:
    """The pipelines of the installed transformers, and which types ran them."""
    if not report.tasks:
        return
    yield "## Tasks\n"
    yield f"{tasks_run(report.tasks)}: those that the installed transformers has a pipeline for.\n"
    yield table(
        ("task", "backend/stack", "passed", "with a stand-in", "not passed", "types, or why none"),
        [
            (
                one.task,
                f"{one.backend}/{one.stack}",
                str(len(one.passed)),
                str(len(one.passed_with_stand_in)),
                str(len(one.not_passed)),
                text(first_line(one.why) if one.why else _first_of((*one.passed, *one.passed_with_stand_in))),
            )
            for one in report.tasks
        ],
    )


def absences(report: MatrixReport) -> Iterator[str]:
    """What is not applicable, by its reason."""
    if not report.absences:
        return
    yield "## Not applicable\n"
    yield table(
        ("API", "types", "reason", "which"),
        [
            (f"`{one.api}`", str(len(one.types)), text(one.reason), text(_first_of(one.types)))
            for one in report.absences
        ],
    )


def _first_of(types: Sequence[str], most: int = 8) -> str:
    return ", ".join(types[:most]) + (" …" if len(types) > most else "")
