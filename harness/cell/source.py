"""Where a cell's checkpoint and inputs come from: tiny and synthetic, full size with random weights, or real.

What is checked and how is the same for all. A source says which head is tested, makes the checkpoint and what is
fed to it, and how thoroughly speed is measured.
"""

import inspect
import pkgutil
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from transformers.pipelines import SUPPORTED_TASKS

from harness.cell.measure import TINY, Rule
from harness.cell.synthesis.checkpoint import Checkpoint, synthesise
from harness.cell.synthesis.inputs import Inputs
from harness.cell.synthesis.ladder import Prepared, prepare, style_for
from harness.cell.synthesis.processors import Processors, make_codec, make_processors, make_text_side
from harness.cell.task_table import Task
from harness.cell.tasks import NoSuchTaskError, pipeline_task_for, task_for
from harness.records import Execution, Plan, PlannedType, Style


class Source(Protocol):
    """What a cell is given in place of what a user has."""

    reference: str
    """What the outputs are held against, for people."""
    rule: Rule
    """How often a call is measured."""

    def task(self, planned: PlannedType) -> Task:
        """The head for the direct call; ``NoSuchTaskError`` where there is none."""

    def pipeline_task(self, planned: PlannedType) -> Task:
        """The head for ``pipeline()``; likewise, and ``NotSelectedError`` where it is left out."""

    def prepare(self, planned: PlannedType, task: Task, folder: Path) -> Prepared:
        """The checkpoint, inputs for it, and the outputs of the reference."""

    def prepare_pipeline(self, planned: PlannedType, task: Task, folder: Path) -> tuple[Checkpoint, Processors]:
        """The checkpoint with everything beside it that a pipeline loads."""

    def batch(self, prepared: Prepared, planned: PlannedType) -> Inputs | None:
        """Several items in one call, for throughput; None where the inputs are a batch already."""


class Tiny:
    """A shrunk config with seeded weights."""

    reference = "the model in memory that was saved"
    rule = TINY

    def task(self, planned: PlannedType) -> Task:
        """By the recipe, or the first that the type has."""
        return task_for(planned.model_type, planned.recipe, planned.ways.get("from_pretrained"))

    def pipeline_task(self, planned: PlannedType) -> Task:
        """Likewise."""
        return pipeline_task_for(planned.model_type, planned.recipe, planned.ways.get("pipeline"))

    def prepare(self, planned: PlannedType, task: Task, folder: Path) -> Prepared:
        """By the generic ladder."""
        return prepare(planned, task, folder)

    def prepare_pipeline(self, planned: PlannedType, task: Task, folder: Path) -> tuple[Checkpoint, Processors]:
        """With processors of the type's own classes."""
        recipe, way = planned.recipe, planned.ways.get("pipeline")
        if recipe and recipe.style:
            return self._pipeline_in(planned, task, folder, recipe.style)
        if way:
            try:
                return self._pipeline_in(planned, task, folder, way.style)
            except Exception:  # noqa: BLE001 -- it ran once: where it does not now, the ladder is climbed again
                shutil.rmtree(folder, ignore_errors=True)
        return self._pipeline_in(planned, task, folder, style_for(planned, task, folder))

    def _pipeline_in(
        self, planned: PlannedType, task: Task, folder: Path, style: Style
    ) -> tuple[Checkpoint, Processors]:
        recipe = planned.recipe
        domain = "text" if task.name == "feature-extraction" else planned.domain  # that of a part may be the whole's
        alone = _sees_only(task)
        text = None if alone else make_text_side(planned.model_type, domain, recipe, folder / "tokenizer")
        checkpoint = synthesise(planned.model_type, task, recipe, folder, text, style)
        processors = make_processors(planned.model_type, checkpoint.config, text, recipe, folder, joined=not alone)
        if task.name == "image-feature-extraction":
            _check_fed(checkpoint.model, processors)
        processors.save(folder)
        if vocoder := (recipe.processor.get("vocoder") if recipe else None):
            # The pipeline of a spectrogram's type takes the vocoder as an object, and would ask the hub for one.
            options = {"vocoder": make_codec(str(vocoder), folder / "vocoder")}
            checkpoint = replace(checkpoint, options={**checkpoint.options, **options})
        return checkpoint, processors

    def batch(self, prepared: Prepared, planned: PlannedType) -> Inputs | None:  # noqa: ARG002 -- one is enough here
        """None: two items are in every call."""
        return None


def _sees_only(task: Task) -> bool:
    """Whether the task's pipeline loads an image processor and nothing beside it."""
    impl = SUPPORTED_TASKS[task.name]["impl"]
    impl = pkgutil.resolve_name(impl) if isinstance(impl, str) else impl
    loads = {part: getattr(impl, f"_load_{part}", None) for part in ("image_processor", "tokenizer", "processor")}
    # Beside a tokenizer, the pipeline for objects looks for words on a page, and it takes any that is there.
    return task.name == "object-detection" or loads == {"image_processor": True, "tokenizer": False, "processor": False}


def source_for(plan: Plan, execution: Execution, weights: Path | None, planned: PlannedType, *, canary: bool) -> Source:
    """The plan's source. Canaries are tiny whatever is measured: they test the harness."""
    recipe = planned.recipe
    if recipe and recipe.elsewhere:
        from harness.cell.libraries import OfLibrary

        return OfLibrary(recipe, recipe.elsewhere, plan.scale)
    if canary or (plan.weights is None and plan.scale == "tiny"):
        return Tiny()
    if plan.weights is None:
        from harness.cell.full import Full

        return Full(execution)
    from harness.cell.real import Real

    if weights is None:
        msg = f"{plan.weights.name} was not made ready before the children were started"
        raise RuntimeError(msg)
    return Real(weights, plan.weights)


def _check_fed(model: Any, processors: Processors) -> None:
    """``NoSuchTaskError`` for a tower without an image processor, or that needs what its image processor does not make.

    The pipeline hands over what that makes, by the same names; the whole that the tower is a part of renames it.
    """
    if "image_processor" not in processors.made:
        raise NoSuchTaskError("transformers maps neither this type nor a whole of its name to an image processor")
    made = processors.made["image_processor"].model_input_names
    needed = [
        one.name
        for one in inspect.signature(model.forward).parameters.values()
        if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD and one.name != "pixel_values"
    ]
    if missing := [name for name in needed if name not in made]:
        told = f"{type(model).__name__} needs {' and '.join(missing)}, which image-feature-extraction does not feed"
        msg = f"{told}: its image processor makes {', '.join(made)}"
        raise NoSuchTaskError(msg)
