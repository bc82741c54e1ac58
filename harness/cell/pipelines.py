"""The second API: ``pipeline(task, model=folder)``, as a user calls it, with processors of the type's own class.

What the model computes inside the pipeline is held against a direct call of the reference model, on the very
inputs that the pipeline prepared.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.cell import compare, measure, outputs, pipeline_output
from harness.cell.answers import check_answer
from harness.cell.digest import tensors_digest
from harness.cell.draft import Draft
from harness.cell.executors import Loaded, executor_for
from harness.cell.outputs import MismatchError
from harness.cell.recording import Recording, recorded
from harness.cell.sabotage import Sabotage
from harness.cell.seeding import seed
from harness.cell.source import Source
from harness.cell.synthesis.calls import Call, call_for, with_arguments
from harness.cell.synthesis.checkpoint import Checkpoint
from harness.cell.synthesis.processors import Processors
from harness.cell.task_table import Task
from harness.cell.versions import same_class
from harness.records import Execution, Throughput

_SUMMARY_LENGTH = 300


def run(draft: Draft, execution: Execution, source: Source, folder: Path, sabotage: Sabotage) -> None:
    """Take the cell through its stages; it has passed when this returns."""
    draft.enter("synthesise")
    task = source.pipeline_task(draft.planned)
    draft.task = task.name
    with measure.timed() as watch:
        checkpoint, processors = source.prepare_pipeline(draft.planned, task, folder)
    draft.measured(
        synthesise_seconds=watch.seconds,
        parameters=checkpoint.parameters,
        checkpoint_bytes=checkpoint.size,
    )
    sabotage.after_saving(checkpoint)

    pipe, loaded = executor_for(execution).pipeline(draft, checkpoint, task, processors)
    check_loaded(pipe, loaded, checkpoint, processors)
    call = with_arguments(call_for(task.name, pipe, processors), draft.planned.recipe)

    draft.enter("first inference")
    sabotage.before_inference()
    with recorded(pipe.model) as inside, measure.timed(loaded.synchronise) as watch:
        output = _called(pipe, call)
    draft.measured(first_inference_seconds=watch.seconds)
    alike = loaded.same_draws()
    if alike is not None:
        with recorded(pipe.model) as inside, alike:
            output = _called(pipe, call)
    if not inside.outputs:
        msg = "the pipeline gave an output without calling its model"
        raise MismatchError(msg)
    draft.output_summary = str(output)[:_SUMMARY_LENGTH]
    draft.proved(
        pipeline_class=type(pipe).__name__,
        processors=processors.classes,
        stand_ins=processors.stand_ins,
        synthesis=checkpoint.style,
        inputs_sha256=tensors_digest(outputs.flatten(inside.asked)),
        outputs_sha256=tensors_digest(inside.outputs),
        output_devices=outputs.devices(inside.outputs),
        **loaded.proof(),
    )
    pipeline_output.check_structure(task.name, output)

    draft.enter("repeat")
    with alike or contextlib.nullcontext():
        again = _called(pipe, call)
    reference = f"{source.reference}, called directly on what the pipeline prepared"
    tolerance, why = compare.tolerance_of(draft, execution)
    draft.compared(reference=reference, tolerance=tolerance, tolerance_reason=why, repeat_equal=equal(again, output))
    if not equal(again, output, tolerance):
        msg = "the same call twice gave two different outputs"
        raise MismatchError(msg)

    draft.enter("compare")
    direct = _compared(draft, inside, checkpoint, loaded, (tolerance, reference))
    draft.compared(answer_equal=check_answer(task.name, pipe, direct, output, tolerance))
    with alike or contextlib.nullcontext():
        draft.compared(effects=(effects := _effects(pipe, call, inside, task)))
    compare.all_matter(effects, draft.planned.recipe.unchanged_by if draft.planned.recipe else {})

    draft.enter("measure")
    steady = measure.latency(lambda: _called(pipe, call), loaded.synchronise, source.rule)
    draft.measured(latency=steady, throughput=(Throughput(value=1 / steady.p50, unit="items/s"),))
    draft.measured(**measure.memory(), **loaded.figures())
    draft.proved(**loaded.executed())


def _compared(
    draft: Draft, inside: Recording, checkpoint: Checkpoint, loaded: Loaded, held_to: tuple[float, str]
) -> Recording:
    """What the model computed in the pipeline, held against the reference asked the same directly."""
    tolerance, reference = held_to
    direct = inside.asked_of(checkpoint.model)
    found = compare.differences(*loaded.comparable(direct.outputs, inside.outputs))
    draft.compared(outputs=found, max_relative=max(one.max_relative for one in found))
    compare.within(found, tolerance, reference)
    if direct.tokens is not None and inside.tokens is not None:
        if not direct.tokens.is_floating_point():
            draft.compared(tokens_equal=torch.equal(direct.tokens, inside.tokens.cpu()))
        compare.check_generated(direct.tokens, inside.tokens, tolerance, reference)
    return direct


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
    seed(outputs.SEED)
    return call.put_to(pipe, modality)


def check_loaded(pipe: Any, loaded: Loaded, checkpoint: Checkpoint, processors: Processors) -> None:
    """The pipeline took the weights that were saved, and processors of the classes that were saved."""
    if loaded.proof()["weights_sha256"] != tensors_digest(checkpoint.model.state_dict()):
        msg = f"the pipeline's {type(pipe.model).__name__} does not hold the weights that were saved"
        raise MismatchError(msg)
    for role, saved in processors.classes.items():
        held = getattr(pipe, role, None)
        if held is not None and not same_class(type(held).__name__, saved):
            msg = f"the pipeline loaded {type(held).__name__} as its {role}, where {saved} was saved"
            raise MismatchError(msg)


def _effects(pipe: Any, call: Call, inside: Recording, task: Task) -> dict[str, float]:
    """By modality: how much a second, different value changed what the model computes inside the pipeline.

    The pipeline's own answer would prove less: it echoes its input, and rounds what the model says to words.
    """
    effects = {}
    for modality in call.alternatives:
        with recorded(pipe.model) as other:
            _called(pipe, call, modality)
        # Of a type that generates through the forward passes of its parts only, there are its tokens …
        names = [name for name in outputs.main_outputs(inside.outputs, task) if name in inside.outputs]
        effects[modality] = compare.effect(inside.outputs, other.outputs, names or [*inside.outputs])
        if not names and inside.of_part:  # … and the numbers that they were chosen by.
            names = [*outputs.main_outputs(inside.of_part, replace(task, outputs={}))]
            effects[modality] = max(effects[modality], compare.effect(inside.of_part, other.of_part, names))
    return effects
