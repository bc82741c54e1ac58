"""A MatrixReport from what was merged and judged: counts, clusters, environments, shards, the verdict."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from harness.catalog import Family
from harness.errors import EXIT_ENVIRONMENT, EXIT_FINE, EXIT_JUDGED_BAD
from harness.records import Environment
from harness.report.coverage import absences, task_rows
from harness.report.families import family_rows, family_totals
from harness.report.judge import Judged, compare
from harness.report.merge import Merged, Planned, place_of
from harness.report.model import (
    UNEXPECTED,
    Cluster,
    Counts,
    Group,
    MatrixCanary,
    MatrixCell,
    MatrixEnvironment,
    MatrixReport,
    MatrixShard,
    Totals,
)
from harness.report.obstacles import obstacles
from harness.report.verified import EvidenceSource, LastVerified
from harness.weights import note


def assemble(
    merged: Merged,
    judged: Judged,
    backends: Iterable[str],
    families: Mapping[str, Family],
    verified: tuple[tuple[EvidenceSource, ...], tuple[LastVerified, ...]] = ((), ()),
    baseline: MatrixReport | None = None,
) -> MatrixReport:
    """The whole of matrix.json. ``backends`` and ``families`` are those that matrix.toml and data/ know.

    ``verified`` is what data/evidence/ knows of what this run did not measure.
    """
    rows = family_rows(judged.cells, families)
    environments = _environments(merged)
    planned = {place_of(shard)[0] for plan in merged.plans for shard in plan.shards}
    started = sorted(one.header.started_at for one in merged.shards.values() if one.header)
    changes = compare(judged.cells, baseline) if baseline else None
    voids = any(one.void for one in (*merged.shards.values(), *merged.stray))
    bad = (
        bool(merged.problems)
        or any(cell.judgement in UNEXPECTED or cell.judgement == "missing" for cell in judged.cells)
        or (changes is not None and changes.bad)
    )
    return MatrixReport(
        note="; ".join(dict.fromkeys(plan.note for plan in merged.plans)) or note("tiny", None),
        exit_code=EXIT_ENVIRONMENT if voids else EXIT_JUDGED_BAD if bad else EXIT_FINE,
        plans=tuple(plan.summary for plan in merged.plans),
        backends_not_planned=tuple(name for name in backends if name not in planned),
        measured_from=started[0] if started else None,
        measured_to=started[-1] if started else None,
        totals=_totals(judged.cells),
        problems=tuple(merged.problems),
        notes=tuple(merged.notes),
        suggestions=judged.suggestions,
        baseline=changes,
        families=rows,
        family_totals=family_totals(rows),
        tasks=task_rows(judged.cells, environments),
        absences=absences(judged.cells),
        clusters=clusters(judged.cells),
        obstacles=obstacles(judged.cells),
        evidence=verified[0],
        last_verified=verified[1],
        environments=environments,
        shards=tuple(_shard(merged, plan, shard) for plan in merged.plans for shard in plan.shards),
        canaries=tuple(
            MatrixCanary(**canary.model_dump(), shard=shard)
            for shard, one in [*sorted(merged.shards.items()), *((None, one) for one in merged.stray)]
            for canary in one.canaries
        ),
        cells=judged.cells,
    )


def counts(cells: Sequence[MatrixCell]) -> Counts:
    """How the cells came out."""
    passed = [cell for cell in cells if cell.outcome == "passed"]
    repaired = sum(bool(cell.repairs) for cell in passed)
    return Counts(
        cells=len(cells),
        passed_as_shipped=len(passed) - repaired,
        passed_with_repair=repaired,
        outcomes=dict(Counter(cell.outcome for cell in cells)),
        judgements=dict(Counter(cell.judgement for cell in cells)),
    )


def _totals(cells: Sequence[MatrixCell]) -> Totals:
    groups = defaultdict(list)
    for cell in cells:
        groups[cell.backend, cell.stack, cell.api].append(cell)
    return Totals(
        **counts(cells).model_dump(),
        types=len({cell.model_type for cell in cells}),
        groups=tuple(
            Group(**counts(members).model_dump(), backend=backend, stack=stack, api=api)
            for (backend, stack, api), members in sorted(groups.items())
        ),
    )


def clusters(cells: Sequence[MatrixCell]) -> tuple[Cluster, ...]:
    """Failures of one signature together; those that hit the most types first."""
    found: dict[str, list[MatrixCell]] = defaultdict(list)
    for cell in cells:
        if cell.failure is not None:
            found[cell.failure.signature].append(cell)
    made = []
    for signature, members in found.items():
        failure = members[0].failure
        assert failure is not None  # noqa: S101 -- that is how they were found
        made.append(
            Cluster(
                signature=signature,
                category=failure.category,
                error_class=failure.error_class,
                hint=failure.hint,
                frame=failure.frame,
                cells=len(members),
                types=tuple(dict.fromkeys(cell.model_type for cell in members)),
                backends=tuple(sorted({cell.backend for cell in members})),
            )
        )
    return tuple(sorted(made, key=lambda one: (-len(one.types), -one.cells, one.signature)))


def _environments(merged: Merged) -> tuple[MatrixEnvironment, ...]:
    found: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    environments: dict[tuple[str, str, str], Environment] = {}
    for shard, one in sorted(merged.shards.items()):
        if one.header is not None:
            environment = one.header.environment
            key = (*place_of(shard), environment.digest)
            found[key].append(shard)
            environments.setdefault(key, environment)
    return tuple(
        MatrixEnvironment(
            backend=key[0], stack=key[1], digest=key[2], shards=tuple(shards), environment=environments[key]
        )
        for key, shards in found.items()
    )


def _shard(merged: Merged, plan: Planned, shard: str) -> MatrixShard:
    backend, stack = place_of(shard)
    one = merged.of(plan, shard)
    header = one.header if one else None
    return MatrixShard(
        id=shard,
        backend=backend,
        stack=stack,
        plan_digest=header.plan_digest if header else None,
        folder=str(one.path.parent.relative_to(merged.root)) if one else None,
        planned_cells=len(plan.shards[shard]) * len(plan.apis),
        reported_cells=len(one.cells) if one else 0,
        complete=one is not None
        and one.footer is not None
        and not any(lost == shard for lost in merged.missing.values()),
        void=one.void if one else None,
        environment_digest=header.environment.digest if header else None,
        execution=header.execution if header else None,
        started_at=header.started_at if header else None,
        seconds=one.footer.seconds if one and one.footer else None,
    )
