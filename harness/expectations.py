"""data/expectations.toml: the cells that are known not to pass, and why."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from harness import ROOT
from harness.catalog import Catalog, Unavailable
from harness.documents import Document, check_document, read_data
from harness.errors import suggest
from harness.matrix import Matrix
from harness.records import Api, Cell
from harness.text import clean, first_line

# Outcome without "passed", which needs no row, and "missing", which no row excuses.
ExpectedOutcome = Literal[
    "failed",
    "mismatch",
    "crashed",
    "timeout",
    "out-of-memory",
    "unsupported",
    "missing-dependency",
    "not-applicable",
    "not-selected",
    "no-device",
    "environment",
]
CellKey = tuple[str, str, str, str]
"""Model type, backend, stack, API: ``Cell.key``."""
_KEYS: Final = ("model_type", "backend", "stack", "api")


class Expectation(Document):
    """A row: this cell does not pass, with this outcome, for this reason."""

    model_type: str
    backend: str
    stack: str | None = None
    """Absent: on every stack that has no row of its own."""
    api: Api
    outcome: ExpectedOutcome
    reason: Annotated[str, Field(min_length=1)]


class _File(Document):
    cell: tuple[Expectation, ...] = ()


@dataclass(frozen=True)
class Expectations:
    """All rows, in the file's order, and what needs none."""

    rows: tuple[Expectation, ...] = ()
    unavailable: Mapping[str, Unavailable] = field(default_factory=dict)
    """The types that nobody can run anywhere: data/unavailable.toml says it for all their cells."""

    def expected(self, key: CellKey) -> Expectation | None:
        """The row for this cell: one for its very stack before one for every stack."""
        model_type, backend, stack, api = key
        rows = self._by_cell
        found = rows.get((model_type, backend, stack, api)) or rows.get((model_type, backend, None, api))
        if found is None and (row := self.unavailable.get(model_type)):
            values = {"model_type": model_type, "backend": backend, "api": api}
            return Expectation.model_validate({**values, "outcome": "not-applicable", "reason": row.reason})
        return found

    @cached_property
    def _by_cell(self) -> dict[tuple[str, str, str | None, str], Expectation]:
        return {(row.model_type, row.backend, row.stack, row.api): row for row in self.rows}


def load_expectations(
    path: Path = ROOT / "data" / "expectations.toml",
    *,
    matrix: Matrix | None = None,
    catalog: Catalog | None = None,
) -> Expectations:
    """The file, its names held against the matrix and the catalog where they are given.

    ``UsageError`` with all mistakes.
    """
    data = read_data(path)
    rows = data.get("cell") if isinstance(data, dict) else None
    tables = [row if isinstance(row, dict) else {} for row in rows] if isinstance(rows, list) else []
    also = [*_duplicates(tables), *_unknown_names(tables, matrix, catalog)]
    return Expectations(check_document(data, _File, path, also=also).cell, catalog.unavailable if catalog else {})


def _duplicates(tables: list[dict[str, Any]]) -> list[str]:
    """Rows that say again, or otherwise, what an earlier one says."""
    first: dict[str, int] = {}
    mistakes = []
    for index, table in enumerate(tables):
        if not {"model_type", "backend", "api"} <= table.keys():
            continue  # told as missing keys
        key = json.dumps([table.get(name) for name in _KEYS], default=str)
        if first.setdefault(key, index) != index:
            mistakes.append(f"cell.{index}: the same cell as cell.{first[key]}")
    return mistakes


def _unknown_names(tables: list[dict[str, Any]], matrix: Matrix | None, catalog: Catalog | None) -> list[str]:
    """Names that the matrix and the catalog do not have: such a row would never be about any cell."""
    known: dict[str, tuple[str, Mapping[str, Any]]] = {}
    if catalog:
        known["model_type"] = ("model type", catalog.domains)
    if matrix:
        known |= {"backend": ("backend", matrix.backends), "stack": ("stack", matrix.stacks)}
    return [
        f"cell.{index}.{key}: no {what} {word!r}{suggest(word, names)}"
        for index, table in enumerate(tables)
        for key, (what, names) in known.items()
        if isinstance(word := table.get(key), str) and word not in names
    ]


def suggested_row(cell: Cell) -> str:
    """The TOML to add to data/expectations.toml for a cell that does not pass, once it is understood."""
    texts = (cell.reason, cell.failure.message if cell.failure else "", cell.outcome)
    reason = next(line for text in texts if (line := first_line(clean(text))))
    values = {key: getattr(cell, key) for key in _KEYS} | {"outcome": cell.outcome, "reason": reason}
    return "\n".join(["[[cell]]", *(f"{key} = {_quoted(value)}" for key, value in values.items())]) + "\n"


def _quoted(text: str) -> str:
    """A TOML basic string. JSON's is the same where the text holds no control characters and no surrogates."""
    return json.dumps(clean(text), ensure_ascii=False)
