"""The second API: ``pipeline(task, model=folder)``, as a user calls it, with processors of the type's own class.

What the model computes inside the pipeline is held against a direct call of the reference model, on the very
inputs that the pipeline prepared.
"""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.cell import compare, measure, outputs, pipeline_output
from harness.cell.answers import check_answer
from harness.cell.digest import tensors_digest
from harness.cell.draft import Draft
from harness.cell.executors import executor_for
from harness.cell.outputs import MismatchError, Outputs
from harness.cell.recording import recorded
from harness.cell.sabotage import Sabotage
from harness.cell.synthesis.checkpoint import Checkpoint, synthesise
from harness.cell.synthesis.ladder import style_for
from harness.cell.synthesis.processors import Processors, make_processors, make_text_side
from harness.cell.synthesis.raw import Call, call_for
from harness.cell.task_table import Task
from harness.cell.tasks import NoSuchTaskError, pipeline_task_for
from harness.records import Execution, Throughput

REFERENCE = "the model in memory that was saved, called directly on what the pipeline prepared"
_SUMMARY_LENGTH = 300


def run(draft: Draft, execution: Execution, folder: Path, sabotage: Sabotage) -> None:
    """Take the cell through its stages; it has passed when this returns."""
    draft.enter("synthesise")
    task = pipeline_task_for(draft.planned.model_type, draft.planned.recipe)
    draft.task = task.name
    with measure.timed() as watch:
        checkpoint, processors = _prepare(draft, task, folder)
    draft.measured(
        synthesise_seconds=watch.seconds,
        parameters=sum(one.numel() for one in checkpoint.model.parameters()),
        checkpoint_bytes=checkpoint.size,
    )
    sabotage.after_saving(checkpoint)

    pipe, loaded = executor_for(execution).pipeline(draft, checkpoint, task)
    check_loaded(pipe, checkpoint, processors)
    call = call_for(task.name, pipe, processors)

    draft.enter("first inference")
    sabotage.before_inference()
    with recorded(pipe.model) as inside, measure.timed(loaded.synchronise) as watch:
        output = _called(pipe, call)
    draft.measured(first_inference_seconds=watch.seconds)
    if not inside.outputs:
        msg = "the pipeline gave an output without calling its model"
        raise MismatchError(msg)
    draft.output_summary = str(output)[:_SUMMARY_LENGTH]
    draft.proved(
        pipeline_class=type(pipe).__name__,
        processors=processors.classes,
        stand_ins=processors.stand_ins,
        inputs_sha256=tensors_digest(outputs.flatten(inside.asked)),
        outputs_sha256=tensors_digest(inside.outputs),
        output_devices=outputs.devices(inside.outputs),
        **loaded.proof(),
    )
    pipeline_output.check_structure(task.name, output)

    draft.enter("repeat")
    again = _called(pipe, call)
    tolerance, why = compare.tolerance_of(draft, execution)
    draft.compared(reference=REFERENCE, tolerance=tolerance, tolerance_reason=why, repeat_equal=equal(again, output))
    if not equal(again, output, tolerance):
        msg = "the same call twice gave two different outputs"
        raise MismatchError(msg)

    draft.enter("compare")
    direct = inside.asked_of(checkpoint.model)
    found = compare.differences(direct.outputs, inside.outputs)
    draft.compared(outputs=found, max_relative=max(one.max_relative for one in found))
    compare.within(found, tolerance, REFERENCE)
    if direct.tokens is not None and inside.tokens is not None:
        tokens_equal = torch.equal(direct.tokens, inside.tokens.cpu())
        draft.compared(tokens_equal=tokens_equal)
        if not tokens_equal:
            msg = f"the pipeline's greedy tokens {inside.tokens.tolist()} differ from {direct.tokens.tolist()}"
            raise MismatchError(msg)
    draft.compared(answer_equal=check_answer(task.name, pipe, direct, output, tolerance))
    draft.compared(effects=(effects := _effects(pipe, call, inside.outputs, task)))
    compare.all_matter(effects, draft.planned.recipe.unchanged_by if draft.planned.recipe else {})

    draft.enter("measure")
    steady = measure.latency(lambda: _called(pipe, call), loaded.synchronise)
    draft.measured(latency=steady, throughput=(Throughput(value=1 / steady.p50, unit="items/s"),))
    draft.measured(**measure.memory(), **loaded.figures())
    draft.proved(**loaded.executed())


def _prepare(draft: Draft, task: Task, folder: Path) -> tuple[Checkpoint, Processors]:
    """The checkpoint with everything beside it that a pipeline loads."""
    planned, recipe = draft.planned, draft.planned.recipe
    text = make_text_side(planned.model_type, planned.domain, recipe, folder / "tokenizer")
    style = recipe.style if recipe and recipe.style else style_for(planned, task, folder)
    checkpoint = synthesise(planned.model_type, task, recipe, folder, text, style)
    processors = make_processors(planned.model_type, checkpoint.config, text, recipe)
    if task.name == "image-feature-extraction":
        _check_fed(checkpoint.model, processors)
    processors.save(folder)
    return checkpoint, processors


def _check_fed(model: Any, processors: Processors) -> None:
    """``NoSuchTaskError`` for a tower that cannot do without what its image processor does not make.

    The pipeline hands over what that makes, by the same names; the whole that the tower is a part of renames it.
    """
    made = processors.made["image_processor"].model_input_names if "image_processor" in processors.made else ()
    needed = [
        one.name
        for one in inspect.signature(model.forward).parameters.values()
        if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD and one.name != "pixel_values"
    ]
    if made and (missing := [name for name in needed if name not in made]):
        told = f"{type(model).__name__} needs {' and '.join(missing)}, which image-feature-extraction does not feed"
        msg = f"{told}: its image processor makes {', '.join(made)}"
        raise NoSuchTaskError(msg)


def equal(one: Any, other: Any, tolerance: float = 0.0) -> bool:
    """Whether two outputs of a pipeline are the same; they may hold tensors, arrays and images.

    With a tolerance, numbers may differ by that much of the largest beside them (a number by itself: of itself).
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(equal(one[key], other[key], tolerance) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(
            equal(left, right, tolerance) for left, right in zip(one, other, strict=True)
        )
    if isinstance(one, torch.Tensor | np.ndarray | float):
        left, right = outputs.array(one), outputs.array(other)
        if np.array_equal(left, right) or not tolerance:
            return bool(np.array_equal(left, right))
        scale = float(np.abs(left).max()) if np.issubdtype(left.dtype, np.floating) else 0.0
        return left.shape == right.shape and bool(np.abs(left - right).max() <= tolerance * scale)
    return bool(one == other)


def _called(pipe: Any, call: Call, modality: str | None = None) -> Any:
    """One call of the pipeline; whatever draws random numbers in it draws the same ones every time."""
    torch.manual_seed(outputs.SEED)
    return pipe(**call.fresh(modality))


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
            _called(pipe, call, modality)
        effects[modality] = compare.effect(inside, other.outputs, outputs.main_outputs(inside, task))
    return effects
