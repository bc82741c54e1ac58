"""The second API: ``pipeline(task, model=folder)``, as a user calls it, with processors of the type's own class.

What the model computes inside the pipeline is held against a direct call of the reference model, on the very
inputs that the pipeline prepared.
"""

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.pipelines import SUPPORTED_TASKS

from harness.cell import compare, measure, outputs, pipeline_output
from harness.cell.answers import check_answer
from harness.cell.digest import tensors_digest
from harness.cell.draft import Draft
from harness.cell.outputs import MismatchError, Outputs
from harness.cell.recording import recorded
from harness.cell.sabotage import Sabotage
from harness.cell.synthesis.checkpoint import Checkpoint, own_memory, synthesise
from harness.cell.synthesis.processors import Processors, make_processors, make_text_side
from harness.cell.synthesis.raw import Call, call_for
from harness.cell.tasks import NoSuchTaskError, Task, task_for
from harness.records import Execution, Throughput

REFERENCE = "the model in memory that was saved, called directly on what the pipeline prepared"
_SUMMARY_LENGTH = 300


def run(draft: Draft, execution: Execution, folder: Path, sabotage: Sabotage) -> None:
    """Take the cell through its stages; it has passed when this returns."""
    draft.enter("synthesise")
    task = pipeline_task(draft)
    draft.task = task.name
    with measure.timed() as watch:
        checkpoint, processors, placeholders = _prepare(draft, task, folder)
    draft.measured(
        synthesise_seconds=watch.seconds,
        parameters=sum(one.numel() for one in checkpoint.model.parameters()),
        checkpoint_bytes=checkpoint.size,
    )
    sabotage.after_saving(checkpoint)

    draft.enter("load")
    with measure.timed() as watch:
        pipe = transformers.pipeline(task.name, model=str(folder), device=execution.device)
    draft.measured(load_seconds=watch.seconds)
    own_memory(pipe.model)
    check_loaded(pipe, checkpoint, processors)
    call = call_for(task.name, pipe, placeholders)

    draft.enter("first inference")
    sabotage.before_inference()
    with recorded(pipe.model) as inside, measure.timed() as watch:
        output = pipe(**call.fresh())
    draft.measured(first_inference_seconds=watch.seconds)
    if not inside.outputs:
        msg = "the pipeline gave an output without calling its model"
        raise MismatchError(msg)
    draft.output_summary = str(output)[:_SUMMARY_LENGTH]
    draft.proved(
        model_class=type(pipe.model).__name__,
        pipeline_class=type(pipe).__name__,
        processors=processors.classes,
        stand_ins=processors.stand_ins,
        weights_sha256=tensors_digest(pipe.model.state_dict()),
        inputs_sha256=tensors_digest(outputs.flatten(inside.asked)),
        outputs_sha256=tensors_digest(inside.outputs),
        execution_device=str(pipe.device),
        parameter_devices=outputs.devices(dict(pipe.model.named_parameters())),
        output_devices=outputs.devices(inside.outputs),
    )
    pipeline_output.check_structure(task.name, output)

    draft.enter("repeat")
    repeat_equal = pipe(**call.fresh()) == output
    draft.compared(reference=REFERENCE, tolerance=execution.tolerance, repeat_equal=repeat_equal)
    if not repeat_equal:
        msg = "the same call twice gave two different outputs"
        raise MismatchError(msg)

    draft.enter("compare")
    direct = inside.asked_of(checkpoint.model)
    found = compare.differences(direct.outputs, inside.outputs)
    draft.compared(outputs=found, max_relative=max(one.max_relative for one in found))
    compare.within(found, execution.tolerance, REFERENCE)
    if direct.tokens is not None and inside.tokens is not None:
        draft.compared(tokens_equal=(equal := torch.equal(direct.tokens, inside.tokens.cpu())))
        if not equal:
            msg = f"the pipeline's greedy tokens {inside.tokens.tolist()} differ from {direct.tokens.tolist()}"
            raise MismatchError(msg)
    draft.compared(answer_equal=check_answer(task.name, pipe, direct, output))
    draft.compared(effects=(effects := _effects(pipe, call, inside.outputs, task)))
    compare.all_matter(effects, draft.planned.recipe.unchanged_by if draft.planned.recipe else {})

    draft.enter("measure")
    steady = measure.latency(lambda: pipe(**call.fresh()))
    draft.measured(latency=steady, throughput=(Throughput(value=1 / steady.p50, unit="items/s"),))
    draft.measured(**measure.memory())


def pipeline_task(draft: Draft) -> Task:
    """The type's task, or the one that stands for it by recipe; ``NoSuchTaskError`` where pipeline() has none."""
    recipe = draft.planned.recipe
    if recipe and recipe.pipeline_task:
        recipe = recipe.model_copy(update={"task": recipe.pipeline_task, "model_class": None})
    task = task_for(draft.planned.model_type, recipe)
    if task.name not in SUPPORTED_TASKS:
        msg = f"transformers {transformers.__version__} has no pipeline for {task.name}"
        raise NoSuchTaskError(msg)
    return task


def _prepare(draft: Draft, task: Task, folder: Path) -> tuple[Checkpoint, Processors, dict[str, str]]:
    """The checkpoint with everything beside it that a pipeline loads."""
    planned = draft.planned
    text = make_text_side(planned.model_type, planned.domain, planned.recipe, folder)
    checkpoint = synthesise(planned.model_type, task, planned.recipe, folder, text.token_ids if text else None)
    processors = make_processors(planned.model_type, checkpoint.config, text, planned.recipe)
    processors.save(folder)
    return checkpoint, processors, text.placeholders if text else {}


def check_loaded(pipe: Any, checkpoint: Checkpoint, processors: Processors) -> None:
    """The pipeline took the weights that were saved, and processors of the classes that were saved."""
    if tensors_digest(pipe.model.state_dict()) != tensors_digest(checkpoint.model.state_dict()):
        msg = f"the pipeline's {type(pipe.model).__name__} does not hold the weights that were saved"
        raise MismatchError(msg)
    for role, saved in processors.classes.items():
        loaded = getattr(pipe, role, None)
        if loaded is not None and type(loaded).__name__ != saved:
            msg = f"the pipeline loaded {type(loaded).__name__} as its {role}, where {saved} was saved"
            raise MismatchError(msg)


def _effects(pipe: Any, call: Call, inside: Outputs, task: Task) -> dict[str, float]:
    """By modality: how much a second, different value changed what the model computes inside the pipeline.

    The pipeline's own answer would prove less: it echoes its input, and rounds what the model says to words.
    """
    effects = {}
    for modality in call.alternatives:
        with recorded(pipe.model) as other:
            pipe(**call.fresh(modality))
        effects[modality] = compare.effect(inside, other.outputs, task.outputs)
    return effects
