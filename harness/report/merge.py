"""Shard folders merged into one set of cells: everything planned is in it, and everything odd is named."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from harness.documents import read_document
from harness.errors import ResultsError, UsageError
from harness.records import Api, Cell, Plan, Scale, Weights
from harness.report.model import PlanSummary
from harness.results import RESULTS_FILE, environment_differences, registry_difference
from harness.stream import Problem, ProblemKind, ShardResults, read_results
from harness.weights import note

PLAN_FILE: Final = "plan.json"
CellKey = tuple[str, str, str, str]


@dataclass(frozen=True)
class Planned:
    """What is known of a plan: all of it, or what a header says."""

    digest: str
    selection: str
    scale: Scale
    weights: Weights | None
    apis: tuple[Api, ...]
    shards: Mapping[str, tuple[str, ...]]
    """The model types of every shard."""

    def keys(self, shard: str) -> list[CellKey]:
        """The cells that the shard is to report."""
        backend, stack = place_of(shard)
        return [(one, backend, stack, api) for one in self.shards[shard] for api in self.apis]

    @property
    def note(self) -> str:
        """What must stand wherever its figures are shown."""
        return note(self.scale, self.weights)

    @property
    def summary(self) -> PlanSummary:
        return PlanSummary(
            digest=self.digest,
            selection=self.selection,
            scale=self.scale,
            weights=self.weights,
            apis=self.apis,
            shards=tuple(self.shards),
            cells=sum(len(types) for types in self.shards.values()) * len(self.apis),
        )


@dataclass
class Merged:
    """All cells that were reported, those that were not, and what is wrong."""

    root: Path
    plans: list[Planned] = field(default_factory=list)
    shards: dict[str, ShardResults] = field(default_factory=dict)
    """By id, those that count."""
    stray: list[ShardResults] = field(default_factory=list)
    """Files without a header: nobody knows their shard."""
    cells: dict[CellKey, tuple[Cell, str | None]] = field(default_factory=dict)
    """Each with the id of its shard."""
    missing: dict[CellKey, str] = field(default_factory=dict)
    """Each with the id of its shard."""
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def of(self, plan: Planned, shard: str) -> ShardResults | None:
        """The results that count for a shard of this plan."""
        one = self.shards.get(shard)
        return one if one is not None and one.header is not None and one.header.plan_digest == plan.digest else None

    def problem(self, kind: ProblemKind, message: str) -> None:
        """Note what is wrong."""
        self.problems.append(Problem(kind=kind, message=message))


def place_of(shard: str) -> tuple[str, str]:
    """Backend and stack of a shard, from its id."""
    backend, _, rest = shard.partition("/")
    return backend, rest.partition("/")[0]


def merge(root: Path, plan: Plan | None = None) -> Merged:
    """Read every results.jsonl below ``root``. The plan is the given one, or those that the results are of.

    Raises ``UsageError`` where ``root`` is no folder, ``ResultsError`` where it holds neither results nor a plan.
    """
    if not root.is_dir():
        raise UsageError(f"--results {root}: no such folder")
    found = [read_results(path) for path in sorted(root.rglob(RESULTS_FILE))]
    merged = Merged(root)
    merged.plans = [_planned(plan)] if plan else _plans(root, found)
    if not merged.plans and not found:
        raise ResultsError(f"no {RESULTS_FILE} and no {PLAN_FILE} below {root}", hint="run a backend: nox -s cpu")
    _place(merged, found)
    for plan_ in merged.plans:
        for shard in plan_.shards:
            _complete(merged, plan_, shard)
    _check_two_plans(merged)
    _check_two_weights(merged)
    _check_environments(merged)
    return merged


def _planned(plan: Plan) -> Planned:
    return Planned(plan.digest, plan.selection, plan.scale, plan.weights, plan.apis, plan.planned_shards)


def _plans(root: Path, found: Iterable[ShardResults]) -> list[Planned]:
    """The plans that headers and plan.json files name, each once, in the order of their shards."""
    plans: dict[str, Planned] = {}
    for one in found:
        if one.header is not None:
            header = one.header
            plans[header.plan_digest] = Planned(
                header.plan_digest,
                header.selection,
                header.scale,
                header.weights,
                header.apis,
                header.planned_shards,
            )
    for path in sorted(root.rglob(PLAN_FILE)):
        # A shard that died before its first line has left its plan only.
        try:
            plan = _planned(read_document(path, Plan))
        except UsageError:
            continue  # not a plan of ours: results are complete or not without it
        plans.setdefault(plan.digest, plan)
    return sorted(plans.values(), key=lambda plan: next(iter(plan.shards), ""))


def _place(merged: Merged, found: Sequence[ShardResults]) -> None:
    """Give every file its shard, and name those that have none, a second one's, or another plan's."""
    digests = {plan.digest for plan in merged.plans}
    aside: dict[str, list[ShardResults]] = defaultdict(list)
    # The newest first: of two results for one shard it counts.
    for one in sorted(found, key=lambda one: one.header.started_at if one.header else "", reverse=True):
        header = one.header
        told_plan = f"{header.selection}, {header.plan_digest}" if header else _plan_beside(one, digests)
        if told_plan and (header is None or header.plan_digest not in digests):
            aside[told_plan].append(one)
        elif header is None:
            merged.problems += one.problems
            merged.stray.append(one)
        elif header.shard.id in merged.shards:
            _doubled(merged, one, merged.shards[header.shard.id])
        else:
            merged.problems += one.problems
            merged.shards[header.shard.id] = one
    for told_plan, others in aside.items():
        _leave_aside(merged, told_plan, others)
    for shard in sorted(merged.shards):
        _take(merged, merged.shards[shard], shard)
    for one in merged.stray:
        _take(merged, one, None)


def _plan_beside(one: ShardResults, digests: Set[str]) -> str | None:
    """What the plan.json beside a file without a header says, where that is none of the plans in question."""
    try:
        plan = read_document(one.path.with_name(PLAN_FILE), Plan)
    except UsageError:
        return None
    return None if plan.digest in digests else f"{plan.selection}, {plan.digest}"


def _doubled(merged: Merged, one: ShardResults, kept: ShardResults) -> None:
    folder, kept_folder = one.path.parent, kept.path.parent
    told = f"{folder}: {one.header.shard.id if one.header else ''} a second time"
    if kept.header == one.header:
        merged.problem("doubled shard", f"{told}, with the very header of {kept_folder}, which counts")
    else:
        merged.problem("doubled shard", f"{told}; {kept_folder} is newer and counts")


def _leave_aside(merged: Merged, told_plan: str, others: Sequence[ShardResults]) -> None:
    """Name results of a plan that is not in question. They are a problem only where they stand in for a shard."""
    planned = {shard for plan in merged.plans for shard in plan.shards}
    instead = [one for one in others if one.header and one.header.shard.id in planned - merged.shards.keys()]
    for one in instead:
        shard = one.header.shard.id if one.header else ""
        told = f"{one.path.parent}: {shard} of another plan ({told_plan}), which does not count for this one"
        merged.problem("foreign plan", told)
    folders = ", ".join(sorted(str(one.path.parent) for one in others if one not in instead))
    if folders:
        merged.notes.append(f"results of another plan ({told_plan}) are left aside: {folders}")


def _take(merged: Merged, one: ShardResults, shard: str | None) -> None:
    """Add the cells of a file; the first to report a cell counts."""
    for cell in one.cells:
        if cell.key in merged.cells:
            model_type, backend, stack, api = cell.key
            told = f"{one.path}: {model_type} {api} on {backend}/{stack} is reported by another shard too"
            merged.problem("doubled cell", f"{told}; the first counts")
        else:
            merged.cells[cell.key] = (cell, shard)


def _complete(merged: Merged, plan: Planned, shard: str) -> None:
    """Name what the shard was to report and did not."""
    lost = [key for key in plan.keys(shard) if key not in merged.cells]
    merged.missing |= dict.fromkeys(lost, shard)
    if merged.of(plan, shard) is None:
        types = ", ".join(plan.shards[shard][:8]) + (" …" if len(plan.shards[shard]) > 8 else "")
        told = f"{shard}: no results of plan {plan.digest} ({plan.selection}); {len(lost)} cells are missing"
        merged.problem("missing shard", f"{told} ({types})" if lost else told)
    elif lost:
        told = ", ".join(f"{model_type} {api}" for model_type, _, _, api in lost)
        merged.problem("missing cell", f"{shard}: planned and never reported: {told}")


def _check_two_plans(merged: Merged) -> None:
    """Shards of two plans within one backend and stack: which of them was meant?"""
    by_place: dict[tuple[str, str], dict[str, Planned]] = defaultdict(dict)
    for plan in merged.plans:
        for shard in plan.shards:
            by_place[place_of(shard)][plan.digest] = plan
    for (backend, stack), plans in by_place.items():
        if len(plans) > 1:
            told = "; ".join(f"{plan.digest} ({plan.selection})" for plan in plans.values())
            hint = f"name the one that you mean (--plan FILE; a run leaves its {PLAN_FILE} beside its results)"
            message = (
                f"{backend}/{stack} has results of {len(plans)} plans: {told}. Remove the folders of one, or {hint}"
            )
            merged.problem("two plans", message)


def _check_two_weights(merged: Merged) -> None:
    """Tiny, full and real weights on one page: no figure of the one says anything of the other."""
    notes: dict[str, list[str]] = defaultdict(list)
    for plan in merged.plans:
        notes[plan.note].append(plan.digest)
    if len(notes) > 1:
        told = "; ".join(f"{name} ({', '.join(digests)})" for name, digests in notes.items())
        message = f"results of weights that do not belong on one page: {told}. Name the plan that you mean, --plan FILE"
        merged.problem("two kinds of weights", message)


def _check_environments(merged: Merged) -> None:
    """Two environments within one backend and stack: their results do not belong side by side."""
    first: dict[tuple[str, str], ShardResults] = {}
    for shard in sorted(merged.shards):
        one = merged.shards[shard]
        other = first.setdefault(place_of(shard), one)
        if one.header is None or other.header is None:
            continue
        here = one.header.environment
        if here.new_types or here.gone_types:
            told = f"{shard}: {registry_difference(here)}: make data/stacks/{one.header.shard.stack}.json again"
            merged.problem("another registry", told)
        if one.header.environment.digest != other.header.environment.digest:
            differences = "; ".join(environment_differences(one.header, other.header))
            told = f"{shard} was measured in another environment than {other.header.shard.id}: {differences}"
            merged.problem("two environments", told)
