"""Verb ``show``: all that is known of a model type, or of the types behind a name that people use.

What data/ says of it, what is expected of its cells, and what the last report says of them. Nothing is run.
"""

import argparse
import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from harness import ROOT
from harness.catalog import Catalog
from harness.configuration import Configuration, load_configuration
from harness.errors import EXIT_FINE, UsageError, suggest
from harness.records import Environment, Recipe
from harness.report import MATRIX_FILE
from harness.report.details import Facts, details
from harness.report.model import MatrixCell, MatrixReport
from harness.terminal import say
from harness.text import clean
from harness.ways import told

_WIDTH: Final = 24
_SECTIONS: Final = (("about", ""), ("figures", "figures"), ("comparison", "comparison"), ("proof", "proof"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whom to show, and from which report."""
    parser.add_argument("names", nargs="+", metavar="TYPE", help="a model type, or a family's name")
    parser.add_argument(
        "--report", type=Path, action="append", metavar="DIR",
        help="the folder of a report; may be repeated; default: those of matrix.toml's report folder",
    )  # fmt: skip


def main(options: argparse.Namespace) -> int:
    """Print it on standard output."""
    configuration = load_configuration()
    types = _types(configuration.catalog, options.names)
    reports = _given(options.report) if options.report else list(_found(configuration))
    lines = [line for name in types for line in (*_told(configuration, name), *_cells(reports, name), "")]
    sys.stdout.write("\n".join(lines))
    return EXIT_FINE


def _types(catalog: Catalog, names: list[str]) -> list[str]:
    """The types that are named, each once; of families, all theirs."""
    found: list[str] = []
    mistakes = []
    for name in names:
        if name in catalog.domains:
            found.append(name)
        elif family := catalog.find_family(name):
            found += family.types
        else:
            near = suggest(name, [*catalog.domains, *catalog.families])
            mistakes.append(f"no model type and no family {name!r}{near}")
    if mistakes:
        raise UsageError("nothing to show", mistakes=mistakes)
    return list(dict.fromkeys(found))


def _given(folders: list[Path]) -> list[tuple[Path, MatrixReport]]:
    return [(folder, MatrixReport.read(folder / MATRIX_FILE)) for folder in folders]


def _found(configuration: Configuration) -> Iterator[tuple[Path, MatrixReport]]:
    """All reports that are there, with those of full size and of real weights; an unreadable one is passed over."""
    usual = ROOT / configuration.matrix.defaults.report
    for folder in (usual, *sorted(usual.parent.glob(f"{usual.name}-*"))):
        if (folder / MATRIX_FILE).is_file():
            try:
                yield folder, MatrixReport.read(folder / MATRIX_FILE)
            except UsageError as error:
                say(f"left aside: {error}")


# --- what data/ says ----------------------------------------------------------------------------------


def _told(configuration: Configuration, name: str) -> Iterator[str]:
    catalog = configuration.catalog
    facts: Facts = [("domain", catalog.domains[name])]
    for family in catalog.families_of(name):
        note = catalog.families[family].note
        facts.append(("family", f"{family} ({note})" if note else family))
    facts.append(("lists", ", ".join(one for one, types in catalog.lists.items() if name in types)))
    stacks = [
        f"{stack} (transformers {configuration.matrix.stacks[stack].transformers})"
        for stack, types in catalog.stacks.items()
        if name in types
    ]
    if name in catalog.unavailable:
        facts.append(("cannot be run", catalog.unavailable[name].reason))
    else:
        facts.append(("stacks that have it", ", ".join(stacks) or "none"))
        measured = "" if name in catalog.seconds else " (not measured yet: the default)"
        facts.append(("expected to take", f"{catalog.expected_seconds(name):g} s{measured}"))
    yield name
    yield from _lines(facts)
    recipe = catalog.recipes.get(name)
    if recipe:
        yield f"  recipe ({_file_of(name)})"
        yield from _lines(_recipe(recipe), indent=4)
    elif name not in catalog.unavailable:
        yield "  no recipe: the generic way is all it needs, or all it has"
    if ways := dict(_ways(catalog, name)):
        yield "  pinned ways (data/ways/), tried first"
        yield from _lines(list(ways.items()), indent=4)
    rows = [row for row in configuration.expectations.rows if row.model_type == name]
    if rows:
        yield "  expected not to pass"
        where = [f"{row.backend}{f'/{row.stack}' if row.stack else ''} {row.api}" for row in rows]
        told = [f"{row.outcome}: {row.reason}" for row in rows]
        yield from _lines(list(zip(where, told, strict=True)), indent=4)
    if evidence := _evidence(configuration, name):
        yield "  kept as evidence (data/evidence/)"
        yield from _lines(evidence, indent=4)


def _evidence(configuration: Configuration, name: str) -> Facts:
    """What was measured where there was a device, the newest of each place."""
    found: dict[str, str] = {}
    for one in configuration.evidence:
        hardware = one.environment.device.name if one.environment.device else one.environment.cpu
        for cell in one.cells:
            if cell.model_type == name:
                told = f"{cell.verdict} on {hardware}, {one.measured_on}{f': {cell.reason}' if cell.reason else ''}"
                found.setdefault(f"{one.backend} {cell.api}{' (full size)' if one.scale == 'full' else ''}", told)
    return list(found.items())


def _ways(catalog: Catalog, name: str) -> Iterator[tuple[str, str]]:
    """How it was made to run, by stack and API."""
    for stack, ways in catalog.ways.items():
        for api, way in ways.get(name, {}).items():
            yield f"{stack} {api}", told(way)


def _recipe(recipe: Recipe) -> Facts:
    """Its keys; values within a key on lines of their own."""
    facts: Facts = [("reason", recipe.reason)]
    values = recipe.model_dump(mode="json", exclude_defaults=True, exclude={"reason"})
    for key, value in values.items():
        if isinstance(value, dict):
            facts += [(f"{key}.{name}", json.dumps(one, ensure_ascii=False)) for name, one in value.items()]
        else:
            facts.append((key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
    return facts


def _file_of(name: str) -> str:
    """Where its recipe stands, for whoever wants to change it."""
    for path in sorted((ROOT / "data" / "recipes").glob("*.toml")):
        if name in tomllib.loads(path.read_text(encoding="utf-8")):
            return str(path.relative_to(ROOT))
    return "data/recipes/"


# --- what the last report says ------------------------------------------------------------------------


def _cells(reports: list[tuple[Path, MatrixReport]], name: str) -> Iterator[str]:
    found = 0
    for folder, report in reports:
        environments = {(one.backend, one.stack): one.environment for one in report.environments}
        for cell in report.cells:
            if cell.model_type == name:
                found += 1
                yield from _cell(cell, environments.get((cell.backend, cell.stack)), report.note, folder)
    if not found:
        yield "  no cells: none of the reports here has it" if reports else "  no cells: there is no report yet"


def _cell(cell: MatrixCell, environment: Environment | None, note: str, folder: Path) -> Iterator[str]:
    told = details(cell, environment)
    yield f"  {told['title']}: {cell.verdict} ({cell.judgement}; {note}; {_shown(folder)})"
    if cell.reason:
        yield from _lines([("why", cell.reason)], indent=4)
    for key, title in _SECTIONS:
        if facts := [(label, value) for label, value in told.get(key, []) if label not in ("names", "domain")]:
            yield from [f"    {title}"] if title else []
            yield from _lines(facts, indent=6 if title else 4)
    if facts := [(label, value) for label, value in told.get("error", []) if label not in ("stage", "message")]:
        yield "    error"
        yield from _lines(facts, indent=6)
    yield from _lines([("reproduce", cell.reproduce)], indent=4)


def _shown(folder: Path) -> str:
    return str(folder.relative_to(ROOT)) if folder.is_relative_to(ROOT) else str(folder)


def _lines(facts: Facts, indent: int = 2) -> Iterator[str]:
    """A line each; what has several lines goes on beneath its first."""
    for label, value in facts:
        if not value:
            continue
        first, *more = clean(value).splitlines() or [""]
        start = f"{' ' * indent}{label:{_WIDTH}}"
        yield f"{start}  {first}"
        yield from (f"{' ' * (len(start) + 2)}{line}" for line in more)
