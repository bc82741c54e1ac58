"""Merged cells held against the expectations, and against an earlier matrix."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.expectations import Expectation, Expectations, suggested_row
from harness.records import Cell, Domain
from harness.report.merge import Merged
from harness.report.model import (
    SKIPS,
    BaselineComparison,
    Change,
    Expected,
    Judgement,
    MatrixCell,
    MatrixReport,
)
from harness.reproduce import reproduce_line

_ORDER = ("passed", "mismatch", "failed", "unsupported", "not-applicable")
"""Of outcomes, the more telling first; the others come after."""


@dataclass(frozen=True)
class Judged:
    """All cells with their judgement, and the rows to change in data/expectations/."""

    cells: tuple[MatrixCell, ...]
    suggestions: tuple[str, ...]


def judge(merged: Merged, expectations: Expectations, domains: dict[str, Domain]) -> Judged:
    """Judge every cell, those that are missing included, in the order of type, backend, API and stack."""
    void: set[str | None] = {shard for shard, one in merged.shards.items() if one.void}
    void |= {None for one in merged.stray if one.void}
    judged: list[MatrixCell] = []
    suggestions: list[str] = []
    tiny = all(plan.scale == "tiny" for plan in merged.plans)
    if not tiny:
        expectations = Expectations()  # the rows are about tiny models
    for key, (cell, shard) in merged.cells.items():
        row = expectations.expected(key)
        judgement = _judgement(cell, row, is_void=shard in void)
        if not tiny and judgement == "unexpected failure" and cell.outcome in SKIPS:
            judgement = "skipped"  # over the cap, or without a pipeline: nobody lists what has no row
        judged.append(_judged_cell(cell, shard, row, judgement))
        suggestions += _suggestions(cell, row, judgement) if tiny else []
    known = {cell.model_type: cell.domain for cell, _ in merged.cells.values()}
    judged += [_missing_cell(key, shard, merged, domains | known) for key, shard in merged.missing.items()]
    stacks = _stack_order(merged)
    judged.sort(key=lambda cell: (cell.model_type, cell.backend, cell.api, stacks.get(cell.stack, 0), cell.stack))
    return Judged(_with_best(judged, stacks), tuple(suggestions))


def _judgement(cell: Cell, row: Expectation | None, *, is_void: bool) -> Judgement:
    if is_void:
        return "void"
    if cell.outcome == "passed":
        return "unexpected pass" if row else "as expected"
    if row is not None and row.outcome == cell.outcome:
        return "as expected"
    if cell.outcome == "no-device":
        return "skipped"  # run itself refuses to go on without a device unless that was allowed
    return "another outcome" if row else "unexpected failure"


def _suggestions(cell: Cell, row: Expectation | None, judgement: Judgement) -> list[str]:
    """What to write in data/expectations/, where the cell's outcome is right and its expectation is not."""
    named = f"{cell.model_type} {cell.api} on {cell.backend}/{cell.stack}"
    if cell.outcome == "environment":
        return []  # the machine is to be mended, not the expectation
    match judgement:
        case "unexpected failure":
            return [f"# {named}: not expected to fail. Add, once it is understood:\n{suggested_row(cell)}"]
        case "unexpected pass" if row is not None:
            old = suggested_row(cell.model_copy(update={"outcome": row.outcome, "reason": row.reason}))
            if row.stack is None:  # the row as it stands in the file
                old = "".join(line for line in old.splitlines(keepends=True) if not line.startswith("stack = "))
            return [f"# {named}: passes. Remove:\n{old}"]
        case "another outcome" if row is not None:
            return [f"# {named}: expected {row.outcome}, and it is {cell.outcome}. Change to:\n{suggested_row(cell)}"]
        case _:
            return []


def _judged_cell(cell: Cell, shard: str | None, row: Expectation | None, judgement: Judgement) -> MatrixCell:
    fields = {name: getattr(cell, name) for name in type(cell).model_fields if name != "kind"}
    expected = Expected(outcome=row.outcome, reason=row.reason) if row else None
    return MatrixCell(**fields, shard=shard, expected=expected, judgement=judgement, best=False)


def _missing_cell(key: tuple[str, str, str, str], shard: str, merged: Merged, domains: dict[str, Domain]) -> MatrixCell:
    model_type, backend, stack, api = key
    if shard in merged.shards:
        why = f"planned in {shard}, whose results do not mention it"
    else:
        why = f"planned in {shard}, of which there are no results"
    return MatrixCell.model_validate(
        {
            "model_type": model_type,
            "domain": domains.get(model_type),
            "backend": backend,
            "stack": stack,
            "api": api,
            "outcome": "missing",
            "stage": None,
            "reason": why,
            "reproduce": reproduce_line(model_type, backend, stack),
            "shard": shard,
            "judgement": "missing",
            "best": False,
        }
    )


def _stack_order(merged: Merged) -> dict[str, int]:
    """Stacks in the order of the plans, which is that of matrix.toml: the newest first."""
    names = [shard.split("/")[1] for plan in merged.plans for shard in plan.shards if "/" in shard]
    return {name: place for place, name in enumerate(dict.fromkeys(names))}


def _with_best(cells: Sequence[MatrixCell], stacks: dict[str, int]) -> tuple[MatrixCell, ...]:
    """Mark, for every type, backend and API, the cell of the best outcome; of equal ones that of the newest stack."""
    best: dict[tuple[str, str, str], MatrixCell] = {}
    for cell in cells:
        place = (cell.model_type, cell.backend, cell.api)
        if place not in best or _rank(cell, stacks) < _rank(best[place], stacks):
            best[place] = cell
    chosen = {id(cell) for cell in best.values()}
    return tuple(cell.model_copy(update={"best": True}) if id(cell) in chosen else cell for cell in cells)


def _rank(cell: MatrixCell, stacks: dict[str, int]) -> tuple[int, bool, int]:
    outcome = _ORDER.index(cell.outcome) if cell.outcome in _ORDER else len(_ORDER)
    return (outcome + 100 * (cell.outcome == "missing"), bool(cell.repairs), stacks.get(cell.stack, len(stacks)))


# --- against a baseline -------------------------------------------------------------------------------


def compare(cells: Sequence[MatrixCell], baseline: MatrixReport) -> BaselineComparison:
    """What changed since the baseline, cell by cell; where a stack is gone, best cell by best cell."""
    now = {cell.key: cell for cell in cells}
    best_now = {(cell.model_type, cell.backend, cell.api): cell for cell in cells if cell.best}
    regressed, passing, other = [], [], []
    compared: set[tuple[str, str, str, str]] = set()
    gone = skips_before = skips_after = 0
    for before in baseline.cells:
        place = (before.model_type, before.backend, before.api)
        after = now.get(before.key) or (best_now.get(place) if before.best else None)
        if after is None:
            gone += 1
            continue
        compared.add(after.key)
        skips_before += before.outcome in SKIPS
        skips_after += after.outcome in SKIPS
        if before.verdict == after.verdict:
            continue
        change = Change(
            model_type=after.model_type,
            backend=after.backend,
            stack=after.stack,
            api=after.api,
            before=before.verdict,
            after=after.verdict,
        )
        if before.outcome == "passed" and (after.outcome != "passed" or not before.repairs):
            regressed.append(change)  # a pass that now needs a repair is a change for the worse too
        elif after.outcome == "passed" and (before.outcome != "passed" or not after.repairs):
            passing.append(change)  # one that needs no repair any more among them
        else:
            other.append(change)
    return BaselineComparison(
        baseline=", ".join(plan.digest for plan in baseline.plans),
        compared=len(compared),
        regressed=tuple(regressed),
        newly_passing=tuple(passing),
        otherwise_changed=tuple(other),
        new_cells=len(now.keys() - compared),
        gone_cells=gone,
        skips_before=skips_before,
        skips_after=skips_after,
    )
