"""data/ways/: how each type was made to run, taken from results, compared, and written."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import get_args

from harness.catalog import Ways
from harness.records import Api, Cell, Style, Way

API_ORDER: tuple[Api, ...] = ("from_pretrained", "pipeline")


def ways_of(cells: Iterable[Cell]) -> dict[str, dict[Api, Way]]:
    """The ways of the cells that passed; a cell that is not of a synthesised checkpoint has none."""
    found: dict[str, dict[Api, Way]] = {}
    for cell in cells:
        if (way := way_of(cell)) is not None:
            found.setdefault(cell.model_type, {})[cell.api] = way
    return found


def way_of(cell: Cell) -> Way | None:
    """How the cell came to pass; None where it did not, or not by the generic ladder."""
    if cell.outcome != "passed" or cell.proof is None or cell.proof.synthesis is None or cell.task is None:
        return None
    style, _, source = cell.proof.synthesis.partition(", ")
    if style not in get_args(Style):  # a recipe wrote the whole type down: there was nothing to find
        return None
    row = {
        "task": cell.task,
        "model_class": cell.proof.model_class,
        "style": style,
        "source": source or None,
        "not_fed": cell.proof.not_fed,
    }
    return Way.model_validate(row)


def merged(before: Ways, found: Ways) -> dict[str, dict[Api, Way]]:
    """What was there with what was found in its place; what was not found again stays."""
    return {name: {**before.get(name, {}), **found.get(name, {})} for name in sorted(before.keys() | found.keys())}


def differences(before: Ways, after: Ways) -> list[str]:
    """A line for every way that came, went or changed."""
    lines = []
    for name in sorted(before.keys() | after.keys()):
        for api in API_ORDER:
            old, new = before.get(name, {}).get(api), after.get(name, {}).get(api)
            if old == new:
                continue
            if old is None or new is None:
                lines.append(f"{'+' if new else '-'} {name} {api}: {told(new or old)}")
            else:
                lines.append(f"~ {name} {api}: {told(old)} -> {told(new)}")
    return lines


def lost(before: Ways, cells: Iterable[Cell]) -> list[str]:
    """A line for every cell that did not pass, and has a way that once made it pass: the way stays."""
    return [
        f"{cell.model_type} {cell.api}: {cell.outcome} now; pinned is {told(way)}"
        for cell in cells
        if cell.outcome != "passed" and (way := before.get(cell.model_type, {}).get(cell.api))
    ]


def told(way: Way | None) -> str:
    """The way in a line."""
    if way is None:
        return "none"
    parts = [way.model_class, f"for {way.task}", way.style, way.source or ""]
    unfed = f" without {' and '.join(way.not_fed)}" if way.not_fed else ""
    return ", ".join(part for part in parts if part) + unfed


def write_ways(path: Path, ways: Mapping[str, Mapping[Api, Way]]) -> None:
    """The file, a type a line, so that a change of one is a change of its line."""
    rows = []
    for name in sorted(ways):
        row = {api: ways[name][api].model_dump(exclude_defaults=True) for api in API_ORDER if api in ways[name]}
        rows.append(f" {json.dumps(name)}: {json.dumps(row)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
    partial.replace(path)
