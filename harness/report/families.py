"""The names that people use, and what came of them: each name's types together, for every backend and API.

Names and distinct types are counted apart, since several names may be one architecture. A pipeline that was given
another type's processor in place of its own has passed with a stand-in, and is counted apart too.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from harness.catalog import Family
from harness.report.model import FamilyResult, FamilyRow, FamilyTotal, MatrixCell

NOT_PLANNED = "not planned"
Column = tuple[str, str]


def family_rows(cells: Sequence[MatrixCell], families: Mapping[str, Family]) -> tuple[FamilyRow, ...]:
    """A row for each family that has a cell, in the order of data/families.toml."""
    best: dict[str, dict[Column, MatrixCell]] = defaultdict(dict)
    for cell in cells:
        if cell.best:
            best[cell.model_type][cell.backend, cell.api] = cell
    columns = sorted({(cell.backend, cell.api) for cell in cells})
    return tuple(
        FamilyRow(
            name=name,
            types=family.types,
            note=family.note,
            results=tuple(_result(column, family, best) for column in columns),
        )
        for name, family in families.items()
        if any(one in best for one in family.types)
    )


def _result(column: Column, family: Family, best: Mapping[str, Mapping[Column, MatrixCell]]) -> FamilyResult:
    found = {one: best.get(one, {}).get(column) for one in family.types}
    cells = [cell for cell in found.values() if cell is not None]
    passed = len(cells) == len(found) and all(cell.outcome == "passed" for cell in cells)
    worst = next((cell for cell in cells if cell.outcome != "passed"), None)
    stand_ins = {f"{role}: {why}": None for cell in cells if cell.proof for role, why in cell.proof.stand_ins.items()}
    return FamilyResult.model_validate(
        {
            "backend": column[0],
            "api": column[1],
            "passed": passed,
            "stand_ins": tuple(stand_ins) if passed else (),
            "outcomes": {one: cell.verdict if cell else NOT_PLANNED for one, cell in found.items()},
            "reason": worst.reason if worst else "",
        }
    )


def family_totals(rows: Sequence[FamilyRow]) -> tuple[FamilyTotal, ...]:
    """For each backend and API: how many names, and how many distinct types behind them, passed."""
    found: dict[Column, list[FamilyResult]] = defaultdict(list)
    for row in rows:
        for result in row.results:
            found[result.backend, result.api].append(result)
    return tuple(_total(results) for results in found.values())


def _total(results: Sequence[FamilyResult]) -> FamilyTotal:
    outcomes = {name: verdict for result in results for name, verdict in result.outcomes.items()}
    planned = [verdict for verdict in outcomes.values() if verdict != NOT_PLANNED]
    return FamilyTotal(
        backend=results[0].backend,
        api=results[0].api,
        names=len(results),
        names_passed=sum(result.passed and not result.stand_ins for result in results),
        names_passed_with_stand_in=sum(result.passed and bool(result.stand_ins) for result in results),
        types=len(planned),
        types_passed=sum(verdict.startswith("passed") for verdict in planned),
    )
