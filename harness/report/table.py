"""matrix.csv: a line per cell, for spreadsheets. Seconds and bytes; empty where nothing was measured."""

import csv
import io
from typing import Final

from harness.report.model import MatrixCell, MatrixReport
from harness.text import clean

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


def render(report: MatrixReport) -> str:
    """The whole file; the note stands in every line, since lines get copied."""
    rows = [_row(cell, report.note) for cell in report.cells]
    file = io.StringIO()
    writer = csv.DictWriter(file, list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _safe(value) for name, value in zip(COLUMNS, row, strict=True)})
    return file.getvalue()


COLUMNS: Final = (
    "model_type", "domain", "families", "backend", "stack", "api", "task", "outcome", "repairs", "judgement",
    "expected", "stage", "reason", "category", "signature", "best",
    "p50_seconds", "p90_seconds", "iterations", "first_inference_seconds", "load_seconds", "generation_p50_seconds",
    "generated_tokens", "throughput", "peak_rss_bytes", "private_bytes", "parameters", "checkpoint_bytes", "contended",
    "max_relative_difference", "tolerance", "reference", "model_class", "weights_sha256", "execution_device", "shard",
    "seconds", "reproduce", "note",
)  # fmt: skip


def _row(cell: MatrixCell, note: str) -> tuple[object, ...]:
    metrics, comparison, proof, failure = cell.metrics, cell.comparison, cell.proof, cell.failure
    return (
        cell.model_type, cell.domain, " ".join(cell.families), cell.backend, cell.stack, cell.api, cell.task,
        cell.outcome, " ".join(cell.repairs), cell.judgement,
        cell.expected.outcome if cell.expected else None, cell.stage, cell.reason,
        failure.category if failure else None, failure.signature if failure else None, cell.best,
        metrics.latency.p50 if metrics.latency else None, metrics.latency.p90 if metrics.latency else None,
        metrics.latency.iterations if metrics.latency else None, metrics.first_inference_seconds,
        metrics.load_seconds, metrics.generation.p50 if metrics.generation else None,
        metrics.generated_tokens, "; ".join(f"{one.value:.6g} {one.unit}" for one in metrics.throughput),
        metrics.peak_rss_bytes, metrics.private_bytes, metrics.parameters, metrics.checkpoint_bytes,
        metrics.contended, comparison.max_relative if comparison else None,
        comparison.tolerance if comparison else None, comparison.reference if comparison else None,
        proof.model_class if proof else None, proof.weights_sha256 if proof else None,
        proof.execution_device if proof else None, cell.shard, cell.seconds, cell.reproduce, note,
    )  # fmt: skip


def _safe(value: object) -> object:
    """Text that a spreadsheet takes for text: one that starts like a formula gets an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = clean(value)
        return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
    return value
