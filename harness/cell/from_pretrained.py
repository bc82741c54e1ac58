"""The first API: load a checkpoint with ``from_pretrained``, run it, and hold its outputs against the reference.

The reference is the model in memory from which the checkpoint was saved.
"""

from pathlib import Path
from typing import Any

import torch

from harness.cell import compare, measure, outputs
from harness.cell.digest import tensors_digest
from harness.cell.draft import Draft
from harness.cell.outputs import MismatchError
from harness.cell.sabotage import Sabotage
from harness.cell.synthesis.checkpoint import Checkpoint, own_memory
from harness.cell.synthesis.inputs import Inputs
from harness.cell.synthesis.ladder import prepare
from harness.cell.task_table import Task
from harness.cell.tasks import task_for
from harness.records import Execution, Throughput

NEW_TOKENS = 8
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

    draft.enter("load")
    with measure.timed() as watch:
        model, report = _load(checkpoint)
    draft.measured(load_seconds=watch.seconds)
    check_keys(report)
    model.eval().to(execution.device)
    own_memory(model)
    draft.proved(
        model_class=type(model).__name__,
        weights_sha256=tensors_digest(model.state_dict()),
        inputs_sha256=inputs.digest,
        execution_device=execution.device,
        synthesis=prepared.way,
        not_fed=inputs.not_fed,
        parameter_devices=outputs.devices(dict(model.named_parameters())),
    )

    draft.enter("first inference")
    sabotage.before_inference()
    with measure.timed() as watch:
        first = outputs.call(model, inputs.values, method)
    draft.measured(first_inference_seconds=watch.seconds)
    draft.proved(output_devices=outputs.devices(first), outputs_sha256=tensors_digest(first))
    draft.output_summary = summary(first, task)
    outputs.check_outputs(
        first, task, model.config, inputs.values, inputs.batch, recipe.infinite_outputs if recipe else ()
    )

    draft.enter("repeat")
    repeat_equal = tensors_digest(outputs.call(model, inputs.values, method)) == tensors_digest(first)
    draft.compared(reference=REFERENCE, tolerance=execution.tolerance, repeat_equal=repeat_equal)
    if not repeat_equal:
        msg = "the same input twice gave two different outputs"
        raise MismatchError(msg)

    draft.enter("compare")
    found = compare.differences(reference, first)
    draft.compared(outputs=found, max_relative=max(one.max_relative for one in found))
    compare.within(found, execution.tolerance, REFERENCE)
    main = outputs.main_outputs(first, task)
    effects = {
        name: compare.effect(first, outputs.call(model, inputs.with_alternative(name), method), main)
        for name in inputs.alternatives
    }
    draft.compared(effects=effects)
    compare.all_matter(effects, recipe.unchanged_by if recipe else {})
    if task.generates:
        check_tokens(draft, checkpoint, model, inputs)

    draft.enter("measure")
    measure_forward(draft, model, inputs, task, method)
    draft.measured(**measure.memory())


def _load(checkpoint: Checkpoint) -> tuple[Any, Any]:
    """The model and the report of its keys; a report made here, where the class cannot give one."""
    load = checkpoint.loader.from_pretrained
    try:
        model, report = load(checkpoint.folder, output_loading_info=True)
    except AttributeError as error:
        # A class that takes the pair for its model, in an override of from_pretrained: "'tuple' object has no …".
        if "'tuple' object" not in str(error):
            raise
        model = load(checkpoint.folder)
        saved, loaded = checkpoint.model.state_dict(), model.state_dict()
        wrong = [
            name
            for name in saved.keys() | loaded.keys()
            if name not in saved or name not in loaded or not torch.equal(saved[name], loaded[name])
        ]
        report = {"unequal_keys": wrong}
    return model, report


def check_keys(report: Any) -> None:
    """Every key of the checkpoint found its place and none was left to chance; else ``MismatchError``."""
    wrong = {kind: sorted(str(key) for key in report[kind]) for kind in report if report[kind]}
    if wrong:
        told = "; ".join(f"{len(keys)} {kind.replace('_', ' ')}: {', '.join(keys[:3])}" for kind, keys in wrong.items())
        raise MismatchError(told)


def generate(model: Any, inputs: Inputs) -> torch.Tensor:
    """Greedy tokens, always as many: a random model may end its sentence at any token."""
    values = inputs.generation_values(model)
    tokens: torch.Tensor = model.generate(
        **values, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, do_sample=False
    )
    return tokens


def check_tokens(draft: Draft, checkpoint: Checkpoint, model: Any, inputs: Inputs) -> None:
    """The loaded model's greedy tokens equal the reference's."""
    expected, tokens = generate(checkpoint.model, inputs), generate(model, inputs)
    equal = torch.equal(expected, tokens.cpu())
    draft.compared(tokens_equal=equal)
    if not equal:
        msg = f"greedy tokens {tokens.tolist()[0]} differ from those of {REFERENCE}: {expected.tolist()[0]}"
        raise MismatchError(msg)


def measure_forward(draft: Draft, model: Any, inputs: Inputs, task: Task, method: str | None) -> None:
    """Steady latency of one forward pass, and of generating where the type does."""
    steady = measure.latency(lambda: outputs.call(model, inputs.values, method))
    batch = inputs.batch
    throughput = [Throughput(value=batch / steady.p50, unit="items/s")]
    if task.generates:
        generation = measure.latency(lambda: generate(model, inputs), iterations=GENERATIONS, warmup=1)
        draft.measured(generation=generation, generated_tokens=NEW_TOKENS)
        if "input_ids" in inputs.values and not model.config.is_encoder_decoder:
            prompt = inputs.values["input_ids"].numel()
            throughput.append(Throughput(value=prompt / steady.p50, unit="prefill tokens/s"))
        throughput.append(Throughput(value=batch * NEW_TOKENS / generation.p50, unit="decode tokens/s"))
    draft.measured(latency=steady, throughput=tuple(throughput))


def summary(found: outputs.Outputs, task: Task) -> str:
    """The task's outputs with their shapes, for people."""
    told = [f"{name} {list(found[name].shape)}" for name in outputs.main_outputs(found, task) if name in found]
    return ", ".join(told) or f"only {', '.join(found)}"
