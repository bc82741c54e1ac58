"""Real weights: a checkpoint as its owner published it, with its own tokenizer and processors.

Nobody built the model in memory here, so the reference is the checkpoint loaded a second time, by itself, in eager
float32 on the CPU. Two loads by one library could err alike: so the tensors are also held against the files, read
without it.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import safe_open
from transformers.pipelines import SUPPORTED_TASKS

from harness.cell import outputs
from harness.cell.measure import LONG
from harness.cell.outputs import MismatchError
from harness.cell.real_processors import load_processors
from harness.cell.synthesis.arguments import Amounts
from harness.cell.synthesis.checkpoint import Checkpoint, own_memory
from harness.cell.synthesis.inputs import Inputs, make_inputs
from harness.cell.synthesis.ladder import Prepared
from harness.cell.synthesis.processors import Processors
from harness.cell.task_table import TASKS, Task
from harness.cell.tasks import OWN_CLASS, NoSuchTaskError, loader_for, mapped_classes, task_named
from harness.records import InputSource, PlannedType, Recipe, Weights

ONE, MANY = Amounts(batch=1, sequence=16), Amounts(batch=8, sequence=16)
# The files may hold what another head needs, as those of a pretrained model do; none of the class's own may be missing.
_SPARE = frozenset({"unexpected_keys"})


class Real:
    """The source of cells with real weights."""

    reference = "the same files loaded a second time, in eager float32 on the CPU"
    rule = LONG

    def __init__(self, folder: Path, weights: Weights) -> None:
        self.folder = folder
        self.trust: dict[str, Any] = {"trust_remote_code": weights.trust_remote_code}
        # float32 whatever the files hold: the numbers of all backends are then held against the same ones.
        dtype = "dtype" if int(transformers.__version__.partition(".")[0]) >= 5 else "torch_dtype"
        self.options = {**self.trust, dtype: torch.float32}

    def task(self, planned: PlannedType) -> Task:  # noqa: ARG002 -- the checkpoint says it
        """The head that the checkpoint's config names as its own."""
        return _task_of(transformers.AutoConfig.from_pretrained(self.folder, **self.trust))

    def pipeline_task(self, planned: PlannedType) -> Task:
        """The same: another head's weights are not in the files."""
        task = self.task(planned)
        if task.name not in SUPPORTED_TASKS:
            told = f"the checkpoint is a {task.auto_class} ({task.name})"
            raise NoSuchTaskError(f"{told}, and transformers {transformers.__version__} has no pipeline for that")
        return task

    def prepare(self, planned: PlannedType, task: Task, folder: Path) -> Prepared:
        """The reference with inputs by the checkpoint's own processors; by its signature where it has none."""
        recipe = _of_the_type(planned.recipe)
        checkpoint = self._checkpoint(planned, task)
        processors = load_processors(self.folder, folder, self.trust)
        source: InputSource = "processor" if processors.made else "signature"
        inputs = make_inputs(checkpoint.model, recipe, source, processors, ONE)
        reference = outputs.call(checkpoint.model, inputs.values, recipe.method if recipe else None)
        return Prepared(checkpoint, inputs, reference, "default", source)

    def prepare_pipeline(self, planned: PlannedType, task: Task, folder: Path) -> tuple[Checkpoint, Processors]:
        """The reference, and the processors that the pipeline must load too."""
        processors = load_processors(self.folder, folder, self.trust)
        if not processors.made:
            raise NoSuchTaskError(
                "the checkpoint has no tokenizer and no processor, without which there is no pipeline"
            )
        return self._checkpoint(planned, task), processors

    def batch(self, prepared: Prepared, planned: PlannedType) -> Inputs:
        """Eight items of the same sizes."""
        recipe = _of_the_type(planned.recipe)
        processors = load_processors(self.folder, self.folder, self.trust)
        return make_inputs(prepared.checkpoint.model, recipe, prepared.source, processors, MANY)

    def _checkpoint(self, planned: PlannedType, task: Task) -> Checkpoint:
        loader = getattr(transformers, task.auto_class, None) or loader_for(task, planned.model_type)
        model = loader.from_pretrained(self.folder, **self.options).eval()
        own_memory(model)
        check_against_files(model, self.folder)
        return Checkpoint(self.folder, model, loader, self.options, spare=_SPARE)


def _task_of(config: Any) -> Task:
    """The task of the class that the config names; with its own code, that of the Auto class that it says it is for."""
    own_code = getattr(config, "auto_map", None) or {}
    for name in getattr(config, "architectures", None) or ():
        for task in TASKS:
            if not task.by_name_only and name in (classes := mapped_classes(config.model_type, task)):
                # The Auto class takes the first of several; a checkpoint of another is loaded by its own name.
                return task if name == classes[0] else replace(task, auto_class=name)
        if hasattr(transformers, name):
            return replace(task_named(OWN_CLASS), auto_class=name)
    for task in TASKS:
        if not task.by_name_only and task.auto_class in own_code:
            return task
    named = ", ".join(getattr(config, "architectures", None) or ()) or "no class"
    raise NoSuchTaskError(
        f"the checkpoint's config names {named}, which transformers {transformers.__version__} has not"
    )


def _of_the_type(recipe: Recipe | None) -> Recipe | None:
    """The recipe without what is about synthesis."""
    about: dict[str, Any] = {
        "sizes": {},
        "config": {},
        "processor": {},
        "inputs": {},
        "generation_config": {},
        "outputs": None,
    }
    return recipe.model_copy(update=about) if recipe else None


def check_against_files(model: Any, folder: Path) -> int:
    """How many of the model's tensors stand in the safetensors files under the same name; each must be equal.

    ``MismatchError`` where one is not. Renamed and merged tensors are not looked for.
    """
    state = model.state_dict()
    prefix = f"{getattr(model, 'base_model_prefix', '')}."
    checked = 0
    for name, tensor in _tensors(folder):
        mine = next((state[one] for one in (name, f"{prefix}{name}", name.removeprefix(prefix)) if one in state), None)
        if mine is None or mine.shape != tensor.shape:
            continue
        if not torch.equal(mine.cpu(), tensor.to(mine.dtype)):
            raise MismatchError(f"{name} is not loaded as it stands in the files")
        checked += 1
    return checked


def _tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 -- it is no mapping
                yield name, file.get_tensor(name)
