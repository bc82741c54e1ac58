"""The first API: load a checkpoint with ``from_pretrained``, run it, and hold its outputs against the reference.

The reference is a model in memory: the one from which the checkpoint was saved, or a real one loaded by itself.
"""

from pathlib import Path

import torch

from harness.cell import compare, measure, outputs
from harness.cell.digest import tensors_digest
from harness.cell.draft import Draft
from harness.cell.executors import Loaded, executor_for
from harness.cell.outputs import Outputs
from harness.cell.sabotage import Sabotage
from harness.cell.source import Source
from harness.cell.speed import measure_forward
from harness.cell.synthesis.checkpoint import Checkpoint
from harness.cell.synthesis.inputs import Inputs
from harness.cell.synthesis.ladder import Prepared
from harness.cell.task_table import Task
from harness.records import Execution, Variant


def run(draft: Draft, execution: Execution, source: Source, folder: Path, sabotage: Sabotage) -> None:
    """Take the cell through its stages; it has passed when this returns."""
    recipe = draft.planned.recipe
    draft.enter("synthesise")
    task = source.task(draft.planned)
    method = recipe.method if recipe else None
    draft.task = task.name
    with measure.timed() as watch:
        prepared = source.prepare(draft.planned, task, folder)
        checkpoint, inputs, reference = prepared.checkpoint, prepared.inputs, prepared.reference
        if sabotage.after_saving(checkpoint):
            reference = outputs.call(checkpoint.model, inputs.values, method)
    draft.measured(
        synthesise_seconds=watch.seconds,
        parameters=checkpoint.parameters,
        checkpoint_bytes=checkpoint.size,
    )

    loaded = executor_for(execution).load(draft, checkpoint, inputs, task, method)
    sabotage.after_loading(loaded, checkpoint)
    draft.proved(inputs_sha256=inputs.digest, synthesis=prepared.way, not_fed=inputs.not_fed, **loaded.proof())

    draft.enter("first inference")
    sabotage.before_inference()
    with measure.timed(loaded.synchronise) as watch:
        first = loaded.call(inputs.values)
    draft.measured(first_inference_seconds=watch.seconds)
    draft.proved(output_devices=outputs.devices(first), outputs_sha256=tensors_digest(first))
    draft.output_summary = summary(first, task)
    infinite = recipe.infinite_outputs if recipe else ()
    outputs.check_outputs(first, task, checkpoint.config, inputs.values, inputs.batch, infinite)

    draft.enter("repeat")
    repeat_equal = tensors_digest(again := loaded.call(inputs.values)) == tensors_digest(first)
    tolerance, why = compare.tolerance_of(draft, execution)
    draft.compared(reference=source.reference, tolerance=tolerance, tolerance_reason=why, repeat_equal=repeat_equal)
    if not repeat_equal:
        # To the bit where the backend must be exact; elsewhere parallel sums may be added in any order.
        compare.within(compare.differences(first, again), tolerance, "itself, given the same input twice,")

    draft.enter("compare")
    found = compare.differences(*loaded.comparable(reference, first))
    effects = {name: _effect(loaded, inputs, name, first, task) for name in inputs.alternatives}
    for name, other in inputs.apart.items():
        said = loaded.call(other.values)
        outputs.check_outputs(said, task, checkpoint.config, other.values, other.batch, infinite)
        expected = outputs.call(checkpoint.model, other.values, method)
        found += compare.differences(*loaded.comparable(expected, said))
        effects[name] = _effect(loaded, other, name, said, task)
    draft.compared(outputs=found, max_relative=max(one.max_relative for one in found), effects=effects)
    compare.within(found, tolerance, source.reference)
    compare.all_matter(effects, recipe.unchanged_by if recipe else {})
    if task.generates:
        check_generating(draft, source, checkpoint, loaded, inputs, tolerance)

    draft.enter("measure")
    measure_forward(draft, source, prepared, loaded, task)
    draft.measured(**measure.memory(), **loaded.figures())
    draft.proved(**loaded.executed())
    if execution.variants:
        _measure_variants(draft, execution, loaded, prepared)


def _measure_variants(draft: Draft, execution: Execution, loaded: Loaded, prepared: Prepared) -> None:
    """The ways to run it that were asked for besides; the cell has passed already."""
    from harness.cell.executors.variants import measure_variants

    assert draft.latency is not None  # noqa: S101 -- the stage before has measured it
    told: list[Variant] = []
    checkpoint, values, reference = prepared.checkpoint, prepared.inputs.values, prepared.reference
    try:
        for variant in measure_variants(execution, loaded, checkpoint, values, reference, draft.latency):
            told.append(variant)  # noqa: PERF402 -- what was told before an error counts
    except Exception:  # noqa: BLE001 -- the device failed, as the last variant says
        draft.device_failed = True
    draft.measured(variants=tuple(told))


def _effect(loaded: Loaded, inputs: Inputs, modality: str, first: Outputs, task: Task) -> float:
    """How much a second, different value of the modality changes the task's outputs."""
    return compare.effect(first, loaded.call(inputs.with_alternative(modality)), outputs.main_outputs(first, task))


def check_generating(
    draft: Draft, source: Source, checkpoint: Checkpoint, loaded: Loaded, inputs: Inputs, tolerance: float
) -> None:
    """The loaded model generates what the reference does."""
    values = inputs.generation_values(checkpoint.model)
    expected = outputs.generate(checkpoint.model, values, cache=loaded.caches)
    tokens = loaded.generate(values)
    if not expected.is_floating_point():
        draft.compared(tokens_equal=torch.equal(expected, tokens.cpu()))
    compare.check_generated(expected, tokens, tolerance, source.reference)


def summary(found: outputs.Outputs, task: Task) -> str:
    """The task's outputs with their shapes, for people."""
    told = [f"{name} {list(found[name].shape)}" for name in outputs.main_outputs(found, task) if name in found]
    return ", ".join(told) or f"only {', '.join(found)}"
