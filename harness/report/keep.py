"""``report --keep-evidence``: write data/evidence/ from what this report's run measured, for reports of other runs."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from harness.errors import ResultsError, UsageError, suggest
from harness.evidence import NOT_MEASURED, Evidence, EvidenceCell, kept_environment
from harness.report.model import MatrixCell, MatrixReport
from harness.results import write_atomically
from harness.text import first_line


def keep(report: MatrixReport, backends: Sequence[str], folder: Path) -> list[Evidence]:
    """Write a file for each stack of these backends of the report, and return what was written.

    ``UsageError`` where the report has no such backend, ``ResultsError`` where it is no evidence: void shards, real
    weights, several scales, two environments within one stack, or nothing measured.
    """
    measured = {shard.backend for shard in report.shards}
    if mistakes := [f"no backend {one!r}{suggest(one, measured)}" for one in backends if one not in measured]:
        raise UsageError("--keep-evidence: nothing was kept", mistakes=mistakes)
    places = sorted({(one.backend, one.stack) for one in report.shards if one.backend in backends})
    found = [_evidence(report, backend, stack) for backend, stack in places]
    for one in found:
        write_atomically(folder / one.file, one.to_document())
    return found


def _evidence(report: MatrixReport, backend: str, stack: str) -> Evidence:
    shards = [one for one in report.shards if (one.backend, one.stack) == (backend, stack)]
    names = {one.id for one in shards}
    canaries = [one for one in report.canaries if one.shard in names]
    environments = [one for one in report.environments if (one.backend, one.stack) == (backend, stack)]
    cells = [
        cell
        for cell in report.cells
        if (cell.backend, cell.stack) == (backend, stack) and cell.outcome not in NOT_MEASURED
    ]
    scales = {plan.scale for plan in report.plans}
    mistakes = [
        *(f"{one.id}: void: {one.void}" for one in shards if one.void),
        *(["no canary was run"] if not canaries else []),
        *(["real weights: evidence is of synthetic ones"] if any(plan.weights for plan in report.plans) else []),
        *(["tiny and full size in one report: name the plan, --plan FILE"] if len(scales) != 1 else []),
        *(["two environments"] if len(environments) > 1 else []),
        *(["no cell of it was measured"] if not cells else []),
    ]
    if mistakes:
        told = "; ".join(mistakes)
        raise ResultsError(f"nothing was kept: {backend}/{stack} is no evidence: {told}")
    return Evidence(
        backend=backend,
        stack=stack,
        scale=scales.pop(),
        selection="; ".join(dict.fromkeys(plan.selection for plan in report.plans)),
        measured_on=date.fromisoformat(max(one.started_at for one in shards if one.started_at)[:10]),
        canaries_caught=sum(one.caught for one in canaries),
        canaries=len(canaries),
        complete=all(one.complete for one in shards),
        environment=kept_environment(environments[0].environment),
        cells=tuple(_cell(cell) for cell in cells),
    )


def _cell(cell: MatrixCell) -> EvidenceCell:
    metrics, comparison, proof = cell.metrics, cell.comparison, cell.proof
    return EvidenceCell(
        model_type=cell.model_type,
        api=cell.api,
        outcome=cell.outcome,
        repairs=cell.repairs,
        reason=first_line(cell.reason) if cell.outcome != "passed" else "",
        model_class=proof.model_class if proof else None,
        max_relative=_short(comparison.max_relative if comparison else None),
        tolerance=comparison.tolerance if comparison else None,
        tokens_equal=comparison.tokens_equal if comparison else None,
        p50_seconds=_short(metrics.latency.p50 if metrics.latency else None),
        generation_p50_seconds=_short(metrics.generation.p50 if metrics.generation else None),
        iterations=metrics.latency.iterations if metrics.latency else None,
        contended=metrics.contended,
        device_peak_allocated_bytes=metrics.device_peak_allocated_bytes,
        weights_sha256=proof.weights_sha256 if proof else None,
    )


def _short(value: float | None) -> float | None:
    """With as many digits as mean something: there are thousands of these."""
    return None if value is None else float(f"{value:.4g}")
