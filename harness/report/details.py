"""What a cell of index.html opens to: figures, comparison, proof and error, in words that the page lays out."""

from typing import Any, Final

from harness.records import Attempt, Comparison, Environment, Failure, Latency, Metrics, Proof
from harness.report.model import MatrixCell
from harness.report.words import API_TITLES, SYMBOLS, seconds, size
from harness.text import bounded

_TRACEBACK_LIMIT: Final = 6_000
_LOG_LIMIT: Final = 4_000
_OUTPUTS_LISTED: Final = 12

Facts = list[tuple[str, str]]
"""Labels and values; one without a value is left out."""


def details(cell: MatrixCell, environment: Environment | None, verified: str = "") -> dict[str, Any]:
    """The cell's data for the page; keys without content are left out, for there are thousands of cells.

    ``verified`` says what came of it in another run, where this one had no device.
    """
    metrics, comparison = cell.metrics, cell.comparison
    told = {
        "model_type": cell.model_type,
        "backend": cell.backend,
        "stack": cell.stack,
        "api": cell.api,
        "title": f"{cell.backend} / {cell.stack} · {API_TITLES[cell.api]}",
        "outcome": cell.outcome,
        "symbol": SYMBOLS[cell.outcome],
        "verdict": cell.verdict,
        "judgement": cell.judgement,
        "reason": cell.reason,
        "expected": f"{cell.expected.outcome}: {cell.expected.reason}" if cell.expected else "",
        "about": _present([*_about(cell), ("last verified", verified)]),
        "error": _present(_error(cell)) if cell.failure else [],
        "signature": cell.failure.signature if cell.failure else "",
        "traceback": _cut(cell.failure.traceback, _TRACEBACK_LIMIT) if cell.failure else "",
        "log": _cut(cell.failure.log, _LOG_LIMIT) if cell.failure else "",
        "figures": _present(_figures(metrics)),
        "contended": bool(metrics.contended),
        "samples": [float(f"{value:.3g}") for value in metrics.latency.raw] if metrics.latency else [],
        "comparison": _present(_comparison(comparison)) if comparison else [],
        "outputs": _outputs(comparison) if comparison else [],
        "proof": _present(_proof(cell.proof, environment)) if cell.proof else [],
        "output": cell.output_summary,
        "reproduce": cell.reproduce,
    }
    return {key: value for key, value in told.items() if value not in (None, "", [], False)}


def _present(facts: Facts) -> Facts:
    return [(label, value) for label, value in facts if value]


def _cut(text: str | None, limit: int) -> str:
    return bounded(text, limit) if text else ""


def _about(cell: MatrixCell) -> Facts:
    return [
        ("names", ", ".join(cell.families)),
        ("domain", cell.domain or ""),
        ("task", cell.task or ""),
        ("last stage entered", cell.stage or ""),
        ("route", cell.route or ""),
        ("repairs", ", ".join(cell.repairs)),
        *((_attempted(one), f"{one.outcome}: {one.error_class}: {one.message}") for one in cell.attempts),
        ("shard", cell.shard or ""),
        ("whole cell took", seconds(cell.seconds)),
    ]


def _attempted(attempt: Attempt) -> str:
    repaired = f" with {', '.join(attempt.repairs)}" if attempt.repairs else ""
    return f"tried before: {attempt.route}{repaired}, {attempt.stage}"


def _error(cell: MatrixCell) -> Facts:
    failure: Failure | None = cell.failure
    if failure is None:
        return []
    return [
        ("stage", cell.stage or ""),
        ("error class", failure.error_class),
        ("message", failure.message),
        ("frame", failure.frame or ""),
        ("category", failure.category),
        ("hint", failure.hint),
        ("signature", failure.signature),
    ]


def _figures(metrics: Metrics) -> Facts:
    generation = f"generating {metrics.generated_tokens} tokens" if metrics.generated_tokens else "generation"
    return [
        ("median latency", _latency(metrics.latency)),
        (generation, _latency(metrics.generation)),
        *((f"throughput, {one.unit}", f"{one.value:,.4g}") for one in metrics.throughput),
        ("first inference", seconds(metrics.first_inference_seconds)),
        ("load", seconds(metrics.load_seconds)),
        ("conversion", seconds(metrics.export_seconds)),
        ("compilation", seconds(metrics.compile_seconds)),
        ("converted model", size(metrics.converted_bytes)),
        ("eager PyTorch in the same process", _latency(metrics.eager_latency)),
        ("faster than eager PyTorch", f"{metrics.speedup:.3g} times" if metrics.speedup is not None else ""),
        ("synthesise", seconds(metrics.synthesise_seconds)),
        ("peak memory, with what the parent shares", size(metrics.peak_rss_bytes)),
        ("memory of its own", size(metrics.private_bytes)),
        ("parameters", f"{metrics.parameters:,}" if metrics.parameters is not None else ""),
        ("checkpoint", size(metrics.checkpoint_bytes)),
    ]


def _latency(latency: Latency | None) -> str:
    if latency is None:
        return ""
    others = [f"p90 {seconds(latency.p90)}"] + ([f"p99 {seconds(latency.p99)}"] if latency.p99 is not None else [])
    return (
        f"{seconds(latency.p50)} ({', '.join(others)}; "
        f"{latency.iterations} iterations after {latency.warmup} to warm up)"
    )


def _comparison(comparison: Comparison) -> Facts:
    return [
        ("held against", comparison.reference),
        ("not comparable", comparison.not_comparable or ""),
        ("largest difference / max|reference|", f"{comparison.max_relative:.3g}"),
        ("tolerance", "exactly equal" if comparison.tolerance == 0 else f"{comparison.tolerance:g}"),
        ("second run equal", _yes(comparison.repeat_equal)),
        ("greedy tokens equal", _yes(comparison.tokens_equal)),
        ("answer equal", _yes(comparison.answer_equal)),
        *((f"largest difference with {name}", f"{value:.3g}") for name, value in comparison.other_shapes.items()),
        ("fixed shape", comparison.fixed_shape or ""),
        *((f"a second {name} changes the output by", f"{value:.3g}") for name, value in comparison.effects.items()),
    ]


def _yes(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "NO"


def _outputs(comparison: Comparison) -> list[list[str]]:
    """Rows of a table: name, shape, dtype, largest absolute and relative difference."""
    rows = [
        [one.name, " x ".join(map(str, one.shape)), one.dtype, f"{one.max_abs:.3g}", f"{one.max_relative:.3g}"]
        for one in comparison.outputs[:_OUTPUTS_LISTED]
    ]
    more = len(comparison.outputs) - _OUTPUTS_LISTED
    return [*rows, [f"… and {more} more in matrix.json", "", "", "", ""]] if more > 0 else rows


def _proof(proof: Proof, environment: Environment | None) -> Facts:
    return [
        ("class under test", proof.model_class),
        ("pipeline", proof.pipeline_class or ""),
        ("made by", proof.synthesis or ""),
        ("not fed", ", ".join(proof.not_fed)),
        *proof.processors.items(),
        *((f"{name}: a stand-in", reason) for name, reason in proof.stand_ins.items()),
        ("executed on", proof.execution_device),
        ("executions that the runtime counted", str(proof.executions or "")),
        ("computed by PyTorch beside it", _outside(proof)),
        ("outputs that the runtime's class does not give", ", ".join(proof.not_returned)),
        ("outputs on", ", ".join(proof.output_devices)),
        ("parameters on", ", ".join(proof.parameter_devices)),
        ("weights, SHA-256", proof.weights_sha256),
        ("inputs, SHA-256", proof.inputs_sha256),
        ("outputs, SHA-256", proof.outputs_sha256 or ""),
        ("measured with", _measured_with(environment) if environment else ""),
    ]


def _outside(proof: Proof) -> str:
    if proof.outside is None:
        return ""
    whole = f", of {proof.eager_operations} in eager PyTorch" if proof.eager_operations is not None else ""
    told = ", ".join(f"{times} {name}" for name, times in proof.outside.items())
    return f"{sum(proof.outside.values())} operations{whole}{f': {told}' if told else ''}"


def _measured_with(environment: Environment) -> str:
    versions = [f"{name} {environment.packages[name]}" for name in KEY_PACKAGES if name in environment.packages]
    return ", ".join(
        [
            *versions,
            f"torch build {environment.torch_build}",
            f"Python {environment.python}",
            f"engine {environment.engine}",
            *([f"image {environment.image}"] if environment.image else []),
        ]
    )


KEY_PACKAGES: Final = ("transformers", "torch", "optimum", "optimum-intel", "openvino", "tokenizers", "numpy")
"""The packages that are named beside figures; all others stand in matrix.json."""
