"""index.html: the report for people, one file that needs nothing beside it.

The table is plain HTML; a cell's details are JSON that a small script lays out when the cell is opened. A content
security policy names the one script and the one style by their hashes and allows nothing else, so the page can
load nothing, and text from a log could not run even if it got through the escaping.
"""

import base64
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from harness.records import Api, Domain, Outcome
from harness.report.details import KEY_PACKAGES, details
from harness.report.model import UNEXPECTED, Counts, MatrixCell, MatrixReport
from harness.report.verified import LastVerified
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
    size,
    tasks_run,
    verified,
    verified_in,
)
from harness.text import clean, clean_all, first_line

_TEMPLATES: Final = Path(__file__).parent / "templates"
_SCRIPTS: Final = ("table.js", "detail.js")
_STYLE: Final = "page.css"
Column = tuple[str, Api]


@dataclass(frozen=True)
class Shown:
    """A cell as the table shows it; the rest is in its details."""

    cell: MatrixCell
    link: str
    """Its place in the page: ``#bert/cpu/current/from_pretrained``."""
    symbol: str
    word: str
    time: str
    flag: str
    """What a reader must not miss: an unexpected judgement."""
    cause: str
    """The number of its failure's cluster."""
    p50: float | None


@dataclass(frozen=True)
class Row:
    """A model type: its cells by column, of each column the best stack first."""

    model_type: str
    domain: Domain | None
    families: tuple[str, ...]
    cells: tuple[tuple[Shown, ...], ...]


def render(report: MatrixReport) -> str:
    """The whole file."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters |= {"seconds": seconds, "size": size, "first_line": first_line}
    script = "\n".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    columns = _columns(report.cells)
    style = (_TEMPLATES / _STYLE).read_text(encoding="utf-8") + f":root {{ --columns: {len(columns)}; }}\n"
    return environment.get_template("index.html.j2").render(
        report=report,
        headline=headline(report),
        passed=passed(report.totals),
        columns=columns,
        rows=_rows(report),
        unexpected=[cell for cell in report.cells if cell.judgement in UNEXPECTED],
        domains=sorted({cell.domain for cell in report.cells if cell.domain}),
        family_columns=[(one.backend, one.api) for one in report.families[0].results] if report.families else [],
        families_passed=families_passed,
        family_verdict=family_verdict,
        tasks_run=tasks_run,
        evidence_from=evidence_from,
        verified=verified,
        **_verified(report),
        segments=_segments,
        link=_link,
        symbols=SYMBOLS,
        api_titles=API_TITLES,
        key_packages=KEY_PACKAGES,
        details=_details(report),
        script=Markup(script),  # noqa: S704 -- ours
        style=Markup(style),  # noqa: S704 -- ours
        script_hash=_hash(script),
        style_hash=_hash(style),
    )


def _finalize(value: Any) -> Any:
    """What is shown is clean text; ours that is safe already stays as it is."""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _hash(text: str) -> str:
    """As a content security policy names an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _link(model_type: str, backend: str, stack: str, api: str) -> str:
    return "#" + "/".join(quote(part, safe="") for part in (model_type, backend, stack, api))


def _columns(cells: Iterable[MatrixCell]) -> list[Column]:
    return sorted({(cell.backend, cell.api) for cell in cells})


def _rows(report: MatrixReport) -> list[Row]:
    columns = _columns(report.cells)
    causes = {cluster.signature: str(number) for number, cluster in enumerate(report.clusters)}
    types: dict[str, list[MatrixCell]] = defaultdict(list)
    for cell in report.cells:
        types[cell.model_type].append(cell)
    return [
        Row(
            model_type=model_type,
            domain=next((cell.domain for cell in cells if cell.domain), None),
            families=next((cell.families for cell in cells if cell.families), ()),
            cells=tuple(_shown_in(column, cells, causes) for column in columns),
        )
        for model_type, cells in types.items()
    ]


def _shown_in(column: Column, cells: Sequence[MatrixCell], causes: dict[str, str]) -> tuple[Shown, ...]:
    here = [cell for cell in cells if (cell.backend, cell.api) == column]
    return tuple(_shown(cell, causes) for cell in sorted(here, key=lambda cell: not cell.best))


def _shown(cell: MatrixCell, causes: dict[str, str]) -> Shown:
    median = p50(cell) if cell.outcome == "passed" else None
    return Shown(
        cell=cell,
        link=_link(*cell.key),
        symbol=SYMBOLS[cell.outcome],
        word="with repair" if cell.outcome == "passed" and cell.repairs else cell.outcome,
        time=seconds(median),
        flag=cell.judgement if cell.judgement in UNEXPECTED or cell.judgement == "void" else "",
        cause=causes[cell.failure.signature] if cell.failure else "",
        p50=median,
    )


def _verified(report: MatrixReport) -> dict[str, Any]:
    """What was last verified in other runs: a row per type, a column per backend and API."""
    rows: dict[str, dict[tuple[str, str], LastVerified]] = defaultdict(dict)
    for one in report.last_verified:
        rows[one.model_type][one.backend, one.api] = one
    columns = sorted({place for cells in rows.values() for place in cells})
    return {"verified_columns": columns, "verified_rows": rows}


def _segments(counts: Counts, width: int) -> list[tuple[str, str, int, float, float]]:
    """A bar of the outcomes: for each its name, its words, its count, and where its part starts and how wide it is."""
    parts: list[tuple[Outcome | str, str, int]] = [
        ("passed", "passed as shipped", counts.passed_as_shipped),
        ("repaired", "passed with repair", counts.passed_with_repair),
        *((name, name, counts.outcomes.get(name, 0)) for name in SYMBOLS if name != "passed"),
    ]
    made, start = [], 0.0
    for name, words, count in parts:
        if count:
            part = width * count / counts.cells
            made.append((name, words, count, round(start, 2), round(part, 2)))
            start += part
    return made


def _details(report: MatrixReport) -> list[Any]:
    environments = {shard: one.environment for one in report.environments for shard in one.shards}
    told = [details(cell, environments.get(cell.shard or ""), verified_in(report, cell)) for cell in report.cells]
    cleaned: list[Any] = clean_all(told)
    return cleaned
