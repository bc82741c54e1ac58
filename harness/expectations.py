"""data/expectations/: the cells that are known not to pass, and why. Which file a row stands in is only order."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from harness import ROOT
from harness.catalog import Catalog, Unavailable
from harness.documents import Document, check_document, counted, read_data
from harness.errors import UsageError, suggest
from harness.matrix import Matrix
from harness.records import Api, Cell, Failure, Outcome
from harness.text import clean, first_line

FOLDER: Final = ROOT / "data" / "expectations"
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


class _Row(Document):
    """What stands in a file: an expectation for one type, or one and the same for several."""

    model_type: str | None = None
    model_types: tuple[str, ...] = ()
    backend: str
    stack: str | None = None
    api: Api
    outcome: ExpectedOutcome
    reason: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _of_something(self) -> "_Row":
        if (self.model_type is None) == (not self.model_types):
            raise ValueError("give model_type or model_types")
        return self

    @property
    def expectations(self) -> Iterator[Expectation]:
        named = self.model_dump(exclude={"model_type", "model_types"})
        names = self.model_types or (self.model_type,)
        yield from (Expectation.model_validate({**named, "model_type": name}) for name in names)


class _File(Document):
    cell: tuple[_Row, ...] = ()


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
    folder: Path = FOLDER,
    *,
    matrix: Matrix | None = None,
    catalog: Catalog | None = None,
) -> Expectations:
    """The rows of all files, their names held against the matrix and the catalog where they are given.

    ``UsageError`` with all mistakes, each with its file.
    """
    files = sorted(folder.glob("*.toml"))
    rows: list[Expectation] = []
    mistakes: list[str] = []
    first: dict[tuple[Any, ...], str] = {}
    for path in files:
        try:
            data = read_data(path)
            tables = _tables(data)
            also = [*_duplicates(path.name, tables, first), *_unknown_names(tables, matrix, catalog)]
            rows += [one for row in check_document(data, _File, path, also=also).cell for one in row.expectations]
        except UsageError as error:
            mistakes += [f"{path}: {mistake}" for mistake in error.mistakes] or [error.message]
    if mistakes:
        raise UsageError(f"{folder}: {counted(mistakes)}", mistakes=mistakes)
    return Expectations(tuple(rows), catalog.unavailable if catalog else {})


def _tables(data: Any) -> list[dict[str, Any]]:
    """The rows as they stand, so that they can be looked at beside any other mistake."""
    rows = data.get("cell") if isinstance(data, dict) else None
    return [row if isinstance(row, dict) else {} for row in rows] if isinstance(rows, list) else []


def _names(table: dict[str, Any]) -> dict[str, str]:
    """The model types of a row, each by its place in it."""
    several = table.get("model_types")
    named = {f"model_types.{place}": one for place, one in enumerate(several if isinstance(several, list) else [])}
    named |= {"model_type": table["model_type"]} if "model_type" in table else {}
    return {place: one for place, one in named.items() if isinstance(one, str)}


def _duplicates(file: str, tables: list[dict[str, Any]], first: dict[tuple[Any, ...], str]) -> list[str]:
    """Rows that say again, or otherwise, what an earlier one says; ``first`` has the place of each cell so far."""
    mistakes = []
    for index, table in enumerate(tables):
        place = [str(table.get(name)) for name in ("backend", "stack", "api")]
        for name in _names(table).values():
            earlier = first.setdefault((name, *place), f"{file}: cell.{index}")
            if earlier != f"{file}: cell.{index}":
                mistakes.append(f"cell.{index}: {name} stands in {earlier} too, for the same cell")
    return mistakes


def _unknown_names(tables: list[dict[str, Any]], matrix: Matrix | None, catalog: Catalog | None) -> list[str]:
    """Names that the matrix and the catalog do not have: such a row would never be about any cell."""
    mistakes = []
    for index, table in enumerate(tables):
        named: list[tuple[str, str, object, Mapping[str, Any]]] = []
        if catalog:
            named += [(place, "model type", word, catalog.domains) for place, word in _names(table).items()]
        if matrix:
            named.append(("backend", "backend", table.get("backend"), matrix.backends))
            named.append(("stack", "stack", table.get("stack"), matrix.stacks))
        mistakes += [
            f"cell.{index}.{place}: no {what} {word!r}{suggest(word, known)}"
            for place, what, word, known in named
            if isinstance(word, str) and word not in known
        ]
    return mistakes


def reason_in_a_line(reason: str, failure: Failure | None, outcome: Outcome) -> str:
    """Why a cell does not pass, shortened; converters put what others raised into the lines below their own."""
    texts = (reason, failure.message if failure else "", outcome)
    return next(line for text in texts if (line := first_line(" ".join(clean(text).split()))))


def suggested_row(cell: Cell) -> str:
    """The TOML to add to a file of data/expectations/ for a cell that does not pass, once it is understood."""
    reason = reason_in_a_line(cell.reason, cell.failure, cell.outcome)
    values = {key: getattr(cell, key) for key in _KEYS} | {"outcome": cell.outcome, "reason": reason}
    return "\n".join(["[[cell]]", *(f"{key} = {quoted(value)}" for key, value in values.items())]) + "\n"


def quoted(text: str) -> str:
    """A TOML basic string. JSON's is the same where the text holds no control characters and no surrogates."""
    return json.dumps(clean(text), ensure_ascii=False)
