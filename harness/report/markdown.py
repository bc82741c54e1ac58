"""matrix.md: the report for a pull request or a job summary."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from harness.report.model import UNEXPECTED, FamilyResult, MatrixCell, MatrixReport, PlanSummary
from harness.report.words import (
    API_TITLES,
    SYMBOLS,
    evidence_from,
    families_passed,
    family_verdict,
    headline,
    p50,
    passed,
    seconds,
    tasks_run,
    verified,
)
from harness.text import clean, first_line

_MOST_LISTED: Final = 50
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]<>|#~])")


def render(report: MatrixReport) -> str:
    """The whole file."""
    parts = [
        "# Model matrix\n",
        f"**{headline(report)}** {passed(report.totals)}. Figures: **{report.note}**.\n",
        *_problems(report),
        *_totals(report),
        *_unexpected(report),
        *_changes(report),
        *_families(report),
        *_matrix(report),
        *_verified(report),
        *_clusters(report),
        *_obstacles(report),
        *_tasks(report),
        *_absences(report),
        *_tested_with(report),
    ]
    return "\n".join(parts)


def _problems(report: MatrixReport) -> Iterator[str]:
    if report.problems:
        yield "## Problems\n"
        yield _list(f"**{one.kind}**: {_text(one.message)}" for one in report.problems)
    if report.notes or report.backends_not_planned:
        notes = [_text(one) for one in report.notes]
        if report.backends_not_planned:
            notes.append(f"Not planned: {', '.join(report.backends_not_planned)}")
        yield "## Notes\n"
        yield _list(notes)


def _totals(report: MatrixReport) -> Iterator[str]:
    yield "## Totals\n"
    rows = [
        (
            f"{group.backend}/{group.stack}",
            f"`{group.api}`",
            str(group.cells),
            str(group.passed_as_shipped),
            str(group.passed_with_repair),
            ", ".join(f"{count} {name}" for name, count in group.outcomes.items() if name != "passed") or "none",
        )
        for group in report.totals.groups
    ]
    yield _table(("backend/stack", "API", "cells", "passed as shipped", "passed with repair", "others"), rows)


def _unexpected(report: MatrixReport) -> Iterator[str]:
    cells = [cell for cell in report.cells if cell.judgement in UNEXPECTED]
    if not cells:
        return
    yield f"## Unexpected ({len(cells)})\n"
    yield _list(
        f"`{_code(cell.model_type)}` {cell.api} on {cell.backend}/{cell.stack}: {cell.judgement} "
        f"({cell.verdict}){': ' if cell.reason else ''}{_text(first_line(cell.reason))}"
        for cell in cells
    )
    rows = "\n".join(clean(one) for one in report.suggestions)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", rows)), default=0))
    yield f"Rows of data/expectations/:\n\n{fence}toml\n{rows}{fence}\n"


def _changes(report: MatrixReport) -> Iterator[str]:
    changes = report.baseline
    if changes is None:
        return
    yield "## Since the baseline\n"
    yield (
        f"{changes.compared} cells compared, {changes.new_cells} new, {changes.gone_cells} gone; "
        f"skips: {changes.skips_before} before, {changes.skips_after} now.\n"
    )
    for title, members in (
        ("Regressed", changes.regressed),
        ("Newly passing", changes.newly_passing),
        ("Otherwise changed", changes.otherwise_changed),
    ):
        if members:
            yield f"{title}:\n"
            yield _list(
                f"`{_code(one.model_type)}` {one.api} on {one.backend}/{one.stack}: {one.before} → {one.after}"
                for one in members
            )


def _families(report: MatrixReport) -> Iterator[str]:
    if not report.families:
        return
    yield f"## Families ({len(report.families)})\n"
    yield "The names that people use; several may be one model type.\n"
    yield _list(families_passed(total) for total in report.family_totals)
    columns = [(one.backend, one.api) for one in report.families[0].results]
    yield _table(
        ("name", "model types", *(f"{backend} {API_TITLES[api]}" for backend, api in columns), "note"),
        [
            (
                _text(row.name),
                ", ".join(f"`{_code(one)}`" for one in row.types),
                *(_text(_family_result(result)) for result in row.results),
                _text(row.note),
            )
            for row in report.families
        ],
    )


def _family_result(result: FamilyResult) -> str:
    reason = f" ({first_line(result.reason)})" if result.reason else ""
    return family_verdict(result) + reason


def _matrix(report: MatrixReport) -> Iterator[str]:
    """A row per type, a column per backend and API: the best cell, and how many other stacks there are."""
    columns = list(dict.fromkeys((cell.backend, cell.api) for cell in sorted(report.cells, key=lambda one: one.key)))
    columns.sort(key=lambda column: (column[0], column[1]))
    rows: dict[str, dict[tuple[str, str], list[MatrixCell]]] = defaultdict(lambda: defaultdict(list))
    for cell in report.cells:
        rows[cell.model_type][cell.backend, cell.api].append(cell)
    yield "## Matrix\n"
    yield f"The best stack of each; median latency beside what passed ({report.note}).\n"
    yield _table(
        ("model type", "domain", *(f"{backend} {API_TITLES[api]}" for backend, api in columns)),
        [
            (
                f"`{_code(name)}`",
                next((cell.domain for group in cells.values() for cell in group if cell.domain), ""),
                *(_shown(cells.get(column, [])) for column in columns),
            )
            for name, cells in rows.items()
        ],
    )


def _shown(cells: Sequence[MatrixCell]) -> str:
    best = next((cell for cell in cells if cell.best), None)
    if best is None:
        return ""
    time = seconds(p50(best)) if best.outcome == "passed" else ""
    more = f"(+{len(cells) - 1})" if len(cells) > 1 else ""
    flag = f"**{best.judgement}**" if best.judgement in UNEXPECTED else ""
    return " ".join(part for part in (SYMBOLS[best.outcome], _text(best.verdict), time, more, flag) if part)


def _verified(report: MatrixReport) -> Iterator[str]:
    if not report.evidence:
        return
    yield "## Last verified, not in this run\n"
    yield "Measured in other runs and kept in data/evidence/; none of it counts in the totals here.\n"
    yield _list(f"{_text(evidence_from(one))} (`{_code(one.file)}`)" for one in report.evidence)
    rows: dict[str, dict[tuple[str, str], str]] = defaultdict(dict)
    for one in report.last_verified:
        rows[one.model_type][one.backend, one.api] = f"{SYMBOLS[one.outcome]} {_text(verified(one))}"
    columns = sorted({(one.backend, one.api) for one in report.last_verified})
    yield _table(
        ("model type", *(f"{backend} {API_TITLES[api]}" for backend, api in columns)),
        [(f"`{_code(name)}`", *(cells.get(column, "") for column in columns)) for name, cells in rows.items()],
    )


def _clusters(report: MatrixReport) -> Iterator[str]:
    if not report.clusters:
        return
    yield "## Failures by cause\n"
    yield _table(
        ("types", "cells", "category", "signature", "at", "hint", "first types"),
        [
            (
                str(len(one.types)),
                str(one.cells),
                one.category,
                _text(one.signature),
                _text(one.frame or ""),
                _text(one.hint),
                _text(", ".join(one.types[:5])),
            )
            for one in report.clusters[:_MOST_LISTED]
        ],
    )
    if len(report.clusters) > _MOST_LISTED:
        yield f"… and {len(report.clusters) - _MOST_LISTED} more in matrix.json\n"


def _obstacles(report: MatrixReport) -> Iterator[str]:
    if not report.obstacles:
        return
    yield "## What stands in the way of conversion\n"
    yield "By operator or error: the types that it stops, and those that passed by another route or with a repair.\n"
    yield _table(
        ("stops", "passed otherwise", "backend", "operator or error", "routes", "message", "stopped types"),
        [
            (
                str(len(one.stops)),
                str(len(one.passed_otherwise)),
                one.backend,
                f"`{_code(one.what)}`",
                ", ".join(one.routes),
                _text(one.example),
                _text(", ".join(one.stops)),
            )
            for one in report.obstacles[:_MOST_LISTED]
        ],
    )
    if len(report.obstacles) > _MOST_LISTED:
        yield f"… and {len(report.obstacles) - _MOST_LISTED} more in matrix.json\n"


def _tasks(report: MatrixReport) -> Iterator[str]:
    if not report.tasks:
        return
    yield "## Tasks\n"
    yield f"{tasks_run(report.tasks)}: those that the installed transformers has a pipeline for.\n"
    yield _table(
        ("task", "backend/stack", "passed", "with a stand-in", "not passed", "types, or why none"),
        [
            (
                one.task,
                f"{one.backend}/{one.stack}",
                str(len(one.passed)),
                str(len(one.passed_with_stand_in)),
                str(len(one.not_passed)),
                _text(first_line(one.why) if one.why else _first_of((*one.passed, *one.passed_with_stand_in))),
            )
            for one in report.tasks
        ],
    )


def _absences(report: MatrixReport) -> Iterator[str]:
    if not report.absences:
        return
    yield "## Not applicable\n"
    yield _table(
        ("API", "types", "reason", "which"),
        [
            (f"`{one.api}`", str(len(one.types)), _text(one.reason), _text(_first_of(one.types)))
            for one in report.absences
        ],
    )


def _first_of(types: Sequence[str], most: int = 8) -> str:
    return ", ".join(types[:most]) + (" …" if len(types) > most else "")


def _tested_with(report: MatrixReport) -> Iterator[str]:
    yield "## Tested with\n"
    rows = []
    for one in report.environments:
        environment, packages = one.environment, one.environment.packages
        versions = [f"{name} {packages[name]}" for name in ("torch", "transformers") if name in packages]
        rows.append(
            (
                f"{one.backend}/{one.stack}",
                f"{environment.engine}{f' ({environment.image[:19]})' if environment.image else ''}",
                ", ".join([f"Python {environment.python}", *versions]),
                environment.torch_build,
                _text(environment.cpu),
                f"{environment.jobs} at a time, {environment.threads_per_child} thread(s) each",
            )
        )
    yield _table(("backend/stack", "engine", "versions", "torch build", "processor", "children"), rows)
    caught = sum(canary.caught for canary in report.canaries)
    yield (
        f"Canaries: {caught} of {len(report.canaries)} caught. Plans: "
        + "; ".join(f"{plan.digest} ({_text(plan.selection)}{_weights(plan)})" for plan in report.plans)
        + "\n"
    )


def _weights(plan: PlanSummary) -> str:
    """What shows that real weights are the same."""
    return f"; weights {plan.weights.source} {plan.weights.digest}" if plan.weights else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items) + "\n"


def _text(text: str) -> str:
    """Foreign text on one line, with nothing in it that Markdown or HTML would read."""
    return _MARKUP.sub(r"\\\1", " ".join(clean(text).split()))


def _code(text: str) -> str:
    """Foreign text between backquotes in a table."""
    return " ".join(clean(text).replace("`", "'").replace("|", "¦").split())
