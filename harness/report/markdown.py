"""matrix.md: the report for a pull request or a job summary."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from harness.report.markdown_causes import absences, clusters, obstacles, tasks
from harness.report.markup import bullets, code, table, text
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
    verified,
)
from harness.text import clean, first_line


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
        *clusters(report),
        *obstacles(report),
        *tasks(report),
        *absences(report),
        *_tested_with(report),
    ]
    return "\n".join(parts)


def _problems(report: MatrixReport) -> Iterator[str]:
    if report.problems:
        yield "## Problems\n"
        yield bullets(f"**{one.kind}**: {text(one.message)}" for one in report.problems)
    if report.notes or report.backends_not_planned:
        notes = [text(one) for one in report.notes]
        if report.backends_not_planned:
            notes.append(f"Not planned: {', '.join(report.backends_not_planned)}")
        yield "## Notes\n"
        yield bullets(notes)


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
    yield table(("backend/stack", "API", "cells", "passed as shipped", "passed with repair", "others"), rows)


def _unexpected(report: MatrixReport) -> Iterator[str]:
    cells = [cell for cell in report.cells if cell.judgement in UNEXPECTED]
    if not cells:
        return
    yield f"## Unexpected ({len(cells)})\n"
    yield bullets(
        f"`{code(cell.model_type)}` {cell.api} on {cell.backend}/{cell.stack}: {cell.judgement} "
        f"({cell.verdict}){': ' if cell.reason else ''}{text(first_line(cell.reason))}"
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
            yield bullets(
                f"`{code(one.model_type)}` {one.api} on {one.backend}/{one.stack}: {one.before} → {one.after}"
                for one in members
            )


def _families(report: MatrixReport) -> Iterator[str]:
    if not report.families:
        return
    yield f"## Families ({len(report.families)})\n"
    yield "The names that people use; several may be one model type.\n"
    yield bullets(families_passed(total) for total in report.family_totals)
    columns = [(one.backend, one.api) for one in report.families[0].results]
    yield table(
        ("name", "model types", *(f"{backend} {API_TITLES[api]}" for backend, api in columns), "note"),
        [
            (
                text(row.name),
                ", ".join(f"`{code(one)}`" for one in row.types),
                *(text(_family_result(result)) for result in row.results),
                text(row.note),
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
    yield table(
        ("model type", "domain", *(f"{backend} {API_TITLES[api]}" for backend, api in columns)),
        [
            (
                f"`{code(name)}`",
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
    return " ".join(part for part in (SYMBOLS[best.outcome], text(best.verdict), time, more, flag) if part)


def _verified(report: MatrixReport) -> Iterator[str]:
    if not report.evidence:
        return
    yield "## Last verified, not in this run\n"
    yield "Measured in other runs and kept in data/evidence/; none of it counts in the totals here.\n"
    yield bullets(f"{text(evidence_from(one))} (`{code(one.file)}`)" for one in report.evidence)
    rows: dict[str, dict[tuple[str, str], str]] = defaultdict(dict)
    for one in report.last_verified:
        rows[one.model_type][one.backend, one.api] = f"{SYMBOLS[one.outcome]} {text(verified(one))}"
    columns = sorted({(one.backend, one.api) for one in report.last_verified})
    yield table(
        ("model type", *(f"{backend} {API_TITLES[api]}" for backend, api in columns)),
        [(f"`{code(name)}`", *(cells.get(column, "") for column in columns)) for name, cells in rows.items()],
    )


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
                text(environment.cpu),
                f"{environment.jobs} at a time, {environment.threads_per_child} thread(s) each",
            )
        )
    yield table(("backend/stack", "engine", "versions", "torch build", "processor", "children"), rows)
    caught = sum(canary.caught for canary in report.canaries)
    yield (
        f"Canaries: {caught} of {len(report.canaries)} caught. Plans: "
        + "; ".join(f"{plan.digest} ({text(plan.selection)}{_weights(plan)})" for plan in report.plans)
        + "\n"
    )


def _weights(plan: PlanSummary) -> str:
    """What shows that real weights are the same."""
    return f"; weights {plan.weights.source} {plan.weights.digest}" if plan.weights else ""
