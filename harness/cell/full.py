"""Full size: the type's default config with random weights, for honest speed without a download.

What a recipe says of shrinking does not hold here; what it says of the type (its head, its method) does. A model
over the cap is counted before memory is taken for it, and left out.
"""

import shutil
from pathlib import Path
from typing import Any

import torch
import transformers

from harness.cell import outputs
from harness.cell.measure import LONG
from harness.cell.synthesis.arguments import Amounts
from harness.cell.synthesis.checkpoint import Checkpoint, NotSelectedError, TooLargeError, build, save
from harness.cell.synthesis.config import set_value
from harness.cell.synthesis.inputs import Inputs, make_inputs
from harness.cell.synthesis.ladder import Prepared
from harness.cell.synthesis.processors import Processors
from harness.cell.task_table import Task
from harness.cell.tasks import loader_for, pipeline_task_for, task_for
from harness.records import Execution, PlannedType, Recipe

ONE = Amounts(
    batch=1,
    sequence=128,
    decoder_sequence=32,
    image_side=224,
    audio_samples=3 * 16_000,
    audio_frames=300,
    video_frames=8,
    context=128,
)
MANY = Amounts(**{**vars(ONE), "batch": 8})
COPIES = 2
"""Models in memory at once: the reference, and the one that is loaded."""
_BYTES = 4  # of a parameter, in float32
_GIB = 2**30


class Full:
    """The source of cells at full size."""

    reference = "the model in memory that was saved"
    rule = LONG

    def __init__(self, execution: Execution) -> None:
        self.most, self.memory = execution.most_parameters, execution.child_memory_bytes

    def task(self, planned: PlannedType) -> Task:
        """As at tiny scale."""
        return task_for(planned.model_type, planned.recipe, planned.ways.get("from_pretrained"))

    def pipeline_task(self, planned: PlannedType) -> Task:
        """None is run."""
        # A type that has none says so, as at tiny scale.
        pipeline_task_for(planned.model_type, planned.recipe, planned.ways.get("pipeline"))
        msg = "at full scale from_pretrained alone is measured: synthesised tokenizers and processors are tiny ones"
        raise NotSelectedError(msg)

    def prepare(self, planned: PlannedType, task: Task, folder: Path) -> Prepared:
        """The default config's model, and realistic inputs by the signature of its ``forward``."""
        recipe = planned.recipe
        config = default_config(planned.model_type, planned.recipe)
        loader = loader_for(task, planned.model_type)
        self._check_size(loader, config)
        shutil.rmtree(folder, ignore_errors=True)
        checkpoint = save(config, loader, recipe, folder, self.most)
        inputs = make_inputs(checkpoint.model, _of_the_type(planned.recipe, ONE), amounts=ONE)
        reference = outputs.call(checkpoint.model, inputs.values, recipe.method if recipe else None)
        return Prepared(checkpoint, inputs, reference, "default", "signature")

    def prepare_pipeline(self, planned: PlannedType, task: Task, folder: Path) -> tuple[Checkpoint, Processors]:
        """Never called: ``pipeline_task`` has said why."""
        raise NotImplementedError

    def batch(self, prepared: Prepared, planned: PlannedType) -> Inputs:
        """Eight items of the same sizes."""
        return make_inputs(prepared.checkpoint.model, _of_the_type(planned.recipe, MANY), amounts=MANY)

    def _check_size(self, loader: Any, config: Any) -> None:
        """``TooLargeError`` for what is over the cap, or does not fit in the child's memory."""
        count = parameters_of(loader, config)
        if count is None:
            return  # it is counted as it is built, and stopped at the cap
        told = f"{count:,} parameters ({count * _BYTES / _GIB:.1f} GiB in float32)"
        if self.most is not None and count > self.most:
            raise TooLargeError(f"{told}: the cap at full scale is {self.most:,}")
        if count * _BYTES * COPIES > self.memory:
            raise TooLargeError(f"{told}, {COPIES} times in memory: a child may take {self.memory / _GIB:.1f} GiB")


def parameters_of(loader: Any, config: Any) -> int | None:
    """How many parameters a model of the config has, without taking memory for them; None where it cannot be told."""
    try:
        with torch.device("meta"):
            model = build(loader, config)
    except Exception:  # noqa: BLE001 -- some classes compute with what they have just made, which has no values here
        return None
    return sum(int(one.numel()) for one in model.parameters())


def default_config(model_type: str, recipe: Recipe | None) -> Any:
    """The config as the type's class makes it, with the parts and the values that a recipe gives it at full scale."""
    parts = {
        name: transformers.CONFIG_MAPPING[part]().to_dict() for name, part in (recipe.parts if recipe else {}).items()
    }
    config_class = transformers.CONFIG_MAPPING[model_type]
    changes: dict[str, Any] = {}
    default = config_class(**parts)
    # Which token a decoder starts with is the type's, and nothing of its size.
    tokens = {path: value for path, value in (recipe.config if recipe else {}).items() if path.endswith("_token_id")}
    for path, value in (tokens | (recipe.full if recipe else {})).items():
        head, _, rest = path.partition(".")
        if rest and head not in changes:
            changes[head] = getattr(default, head).to_dict()
        set_value(changes, path.split("."), value)
    return config_class(**(parts | changes)) if changes else default


def _of_the_type(recipe: Recipe | None, amounts: Amounts) -> Recipe | None:
    """The recipe without what is about tiny sizes, and with its inputs of full size."""
    if recipe is None:
        return None
    kept = {name: one for name, one in recipe.inputs.items() if one == "leave out"}
    written = {
        name: one.model_copy(update={"shape": (amounts.batch, *(one.shape or ()))})
        for name, one in recipe.full_inputs.items()
    }
    return recipe.model_copy(update={"sizes": {}, "config": {}, "processor": {}, "inputs": kept | written})
