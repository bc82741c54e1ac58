"""What a report says on the terminal."""

from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.report.model import UNEXPECTED, Change, MatrixReport
from harness.report.words import SYMBOLS, evidence_from, families_passed, headline, passed
from harness.text import clean, first_line

_MOST_LISTED: Final = 20


def show(report: MatrixReport, page: Path, console: Console | None = None) -> None:
    """Print counts, problems, what is unexpected, causes, and the path to open."""
    console = console or Console(highlight=False, soft_wrap=True)
    console.print()
    console.print(_totals(report))
    console.print(f"{passed(report.totals)} ({report.note}).")
    for total in report.family_totals:
        console.print(Text(f"Families, {families_passed(total)}."))
    if report.backends_not_planned:
        console.print(f"Not planned: {', '.join(report.backends_not_planned)}.")
    for source in report.evidence:
        console.print(Text(clean(f"Not in this run: {evidence_from(source)}.")))
    _list(console, "Notes", [Text(clean(one)) for one in report.notes])
    _list(console, "Problems", [Text(clean(f"{one.kind}: {one.message}")) for one in report.problems], most=100)
    _unexpected(console, report)
    _changes(console, report)
    _clusters(console, report)
    console.print()
    style = "bold green" if report.exit_code == 0 else "bold red"
    console.print(Text(headline(report), style=style))
    console.print(Text(f"open {page}"))


def _totals(report: MatrixReport) -> Table:
    others = [name for name in SYMBOLS if name in report.totals.outcomes and name != "passed"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("backend/stack")
    table.add_column("API")
    for title in (
        f"{SYMBOLS['passed']} as shipped",
        f"{SYMBOLS['passed']} with repair",
        *(f"{SYMBOLS[name]} {name}" for name in others),
    ):
        table.add_column(title, justify="right")
    for group in report.totals.groups:
        figures = [group.passed_as_shipped, group.passed_with_repair, *(group.outcomes.get(one, 0) for one in others)]
        shown = [str(figure) if figure else "." for figure in figures]
        table.add_row(Text(f"{group.backend}/{group.stack}"), group.api, *shown)
    return table


def _unexpected(console: Console, report: MatrixReport) -> None:
    lines = [
        Text(clean(f"{cell.model_type} {cell.api} on {cell.backend}/{cell.stack}: {cell.judgement}: {cell.verdict}"))
        + Text(clean(f" ({first_line(cell.reason)})" if cell.reason else ""))
        for cell in report.cells
        if cell.judgement in UNEXPECTED
    ]
    _list(console, "Unexpected", lines, most=_MOST_LISTED)
    if report.suggestions:
        console.print(
            "\ndata/expectations/, where this is right as it is (all at once: nox -s report -- --accept):", style="bold"
        )
        for one in report.suggestions[:_MOST_LISTED]:
            console.print(Text(clean(one)))
        if len(report.suggestions) > _MOST_LISTED:
            console.print(f"… and {len(report.suggestions) - _MOST_LISTED} more in matrix.md")


def _changes(console: Console, report: MatrixReport) -> None:
    if report.baseline is None:
        return
    changes = report.baseline
    console.print(
        f"\nSince the baseline: {changes.compared} cells compared, {changes.new_cells} new, {changes.gone_cells} gone; "
        f"skips {changes.skips_before} before, {changes.skips_after} now"
    )
    _list(console, "Regressed", [_change(one) for one in changes.regressed])
    _list(console, "Newly passing", [_change(one) for one in changes.newly_passing])
    _list(console, "Otherwise changed", [_change(one) for one in changes.otherwise_changed])


def _change(one: Change) -> Text:
    return Text(clean(f"{one.model_type} {one.api} on {one.backend}/{one.stack}: {one.before} → {one.after}"))


def _clusters(console: Console, report: MatrixReport) -> None:
    lines = [
        Text(clean(f"{len(one.types)} types, {one.cells} cells: {one.category}: {one.signature}\n    hint: {one.hint}"))
        for one in report.clusters[:8]
    ]
    _list(console, "Failures by cause", lines)


def _list(console: Console, title: str, lines: list[Text], most: int = _MOST_LISTED) -> None:
    if not lines:
        return
    console.print(f"\n{title} ({len(lines)})", style="bold")
    for line in lines[:most]:
        console.print(Text("  - ") + line)
    if len(lines) > most:
        console.print(f"  … and {len(lines) - most} more in the report")
