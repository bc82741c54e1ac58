"""The first API: load a checkpoint with ``from_pretrained``, run it, and hold its outputs against the reference.

The reference is the model in memory from which the checkpoint was saved.
"""

from pathlib import Path

import torch

from harness.cell import compare, measure, outputs
from harness.cell.digest import tensors_digest
from harness.cell.draft import Draft
from harness.cell.executors import Loaded, executor_for
from harness.cell.outputs import MismatchError
from harness.cell.sabotage import Sabotage
from harness.cell.synthesis.checkpoint import Checkpoint
from harness.cell.synthesis.inputs import Inputs
from harness.cell.synthesis.ladder import prepare
from harness.cell.task_table import Task
from harness.cell.tasks import task_for
from harness.records import Execution, Throughput

GENERATIONS = 5
REFERENCE = "the model in memory that was saved"


def run(draft: Draft, execution: Execution, folder: Path, sabotage: Sabotage) -> None:
    """Take the cell through its stages; it has passed when this returns."""
    recipe = draft.planned.recipe
    draft.enter("synthesise")
    task = task_for(draft.planned.model_type, recipe)
    method = recipe.method if recipe else None
    draft.task = task.name
    with measure.timed() as watch:
        prepared = prepare(draft.planned, task, folder)
        checkpoint, inputs, reference = prepared.checkpoint, prepared.inputs, prepared.reference
        if sabotage.after_saving(checkpoint):
            reference = outputs.call(checkpoint.model, inputs.values, method)
    draft.measured(
        synthesise_seconds=watch.seconds,
        parameters=sum(one.numel() for one in checkpoint.model.parameters()),
        checkpoint_bytes=checkpoint.size,
    )

    loaded = executor_for(execution).load(draft, checkpoint, inputs, method)
    draft.proved(inputs_sha256=inputs.digest, synthesis=prepared.way, not_fed=inputs.not_fed, **loaded.proof())

    draft.enter("first inference")
    sabotage.before_inference()
    with measure.timed(loaded.synchronise) as watch:
        first = loaded.call(inputs.values)
    draft.measured(first_inference_seconds=watch.seconds)
    draft.proved(output_devices=outputs.devices(first), outputs_sha256=tensors_digest(first))
    draft.output_summary = summary(first, task)
    outputs.check_outputs(
        first, task, checkpoint.config, inputs.values, inputs.batch, recipe.infinite_outputs if recipe else ()
    )

    draft.enter("repeat")
    repeat_equal = tensors_digest(again := loaded.call(inputs.values)) == tensors_digest(first)
    tolerance, why = compare.tolerance_of(draft, execution)
    draft.compared(reference=REFERENCE, tolerance=tolerance, tolerance_reason=why, repeat_equal=repeat_equal)
    if not repeat_equal:
        # To the bit where the backend must be exact; elsewhere parallel sums may be added in any order.
        compare.within(compare.differences(first, again), tolerance, "itself, given the same input twice,")

    draft.enter("compare")
    found = compare.differences(reference, first)
    draft.compared(outputs=found, max_relative=max(one.max_relative for one in found))
    compare.within(found, tolerance, REFERENCE)
    main = outputs.main_outputs(first, task)
    effects = {
        name: compare.effect(first, loaded.call(inputs.with_alternative(name)), main) for name in inputs.alternatives
    }
    draft.compared(effects=effects)
    compare.all_matter(effects, recipe.unchanged_by if recipe else {})
    if task.generates:
        check_tokens(draft, checkpoint, loaded, inputs)

    draft.enter("measure")
    measure_forward(draft, checkpoint, loaded, inputs, task)
    draft.measured(**measure.memory(), **loaded.figures())
    draft.proved(**loaded.executed())


def check_tokens(draft: Draft, checkpoint: Checkpoint, loaded: Loaded, inputs: Inputs) -> None:
    """The loaded model's greedy tokens equal the reference's."""
    values = inputs.generation_values(checkpoint.model)
    expected, tokens = outputs.generate(checkpoint.model, values), loaded.generate(values)
    equal = torch.equal(expected, tokens.cpu())
    draft.compared(tokens_equal=equal)
    if not equal:
        msg = f"greedy tokens {tokens.tolist()[0]} differ from those of {REFERENCE}: {expected.tolist()[0]}"
        raise MismatchError(msg)


def measure_forward(draft: Draft, checkpoint: Checkpoint, loaded: Loaded, inputs: Inputs, task: Task) -> None:
    """Steady latency of one forward pass, and of generating where the type does."""
    values = loaded.place(inputs.values)
    steady = measure.latency(lambda: loaded.call(values), loaded.synchronise)
    batch = inputs.batch
    throughput = [Throughput(value=batch / steady.p50, unit="items/s")]
    if task.generates:
        prompts = loaded.place(inputs.generation_values(checkpoint.model))
        generation = measure.latency(lambda: loaded.generate(prompts), loaded.synchronise, GENERATIONS, warmup=1)
        draft.measured(generation=generation, generated_tokens=outputs.NEW_TOKENS)
        if "input_ids" in inputs.values and not checkpoint.config.is_encoder_decoder:
            prompt = inputs.values["input_ids"].numel()
            throughput.append(Throughput(value=prompt / steady.p50, unit="prefill tokens/s"))
        throughput.append(Throughput(value=batch * outputs.NEW_TOKENS / generation.p50, unit="decode tokens/s"))
    draft.measured(latency=steady, throughput=tuple(throughput))


def summary(found: outputs.Outputs, task: Task) -> str:
    """The task's outputs with their shapes, for people."""
    told = [f"{name} {list(found[name].shape)}" for name in outputs.main_outputs(found, task) if name in found]
    return ", ".join(told) or f"only {', '.join(found)}"
