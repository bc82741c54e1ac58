"""Model types that transformers does not have: how another library makes, saves and loads them.

What is checked and how is the same as for every other type. A library is a module here with a class that keeps to
``Library``; what a type of it is made of stands in its recipe, under ``elsewhere``.
"""

import importlib
import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from harness.cell import outputs
from harness.cell.measure import TINY
from harness.cell.seeding import seed
from harness.cell.synthesis.checkpoint import SEED, Checkpoint, NotSelectedError
from harness.cell.synthesis.inputs import Inputs
from harness.cell.synthesis.ladder import Prepared
from harness.cell.synthesis.processors import Processors
from harness.cell.synthesis.weights import spread
from harness.cell.synthesis.written import draw_all
from harness.cell.task_table import Task
from harness.cell.tasks import NoSuchTaskError
from harness.records import Component, Elsewhere, LibraryName, PlannedType, Recipe, Scale

_MODULES: Mapping[LibraryName, str] = {"diffusers": "on_diffusers", "torch-geometric": "on_torch_geometric"}


class Library(Protocol):
    """How one library's types are made and saved."""

    def save(self, elsewhere: Elsewhere, folder: Path) -> Checkpoint:
        """The model that is the type itself, with seeded weights, saved for its class's own ``from_pretrained``."""

    def save_pipeline(self, elsewhere: Elsewhere, folder: Path) -> tuple[Checkpoint, Processors]:
        """A whole pipeline of the library, likewise, with all its parts by role."""


class OfLibrary:
    """The source of cells of a type that its recipe says is another library's: tiny, and as written down there."""

    reference = "the model in memory that was saved"
    rule = TINY

    def __init__(self, recipe: Recipe, elsewhere: Elsewhere, scale: Scale) -> None:
        self.recipe, self.elsewhere, self.scale = recipe, elsewhere, scale

    def task(self, planned: PlannedType) -> Task:  # noqa: ARG002 -- the recipe says it
        """The direct call; ``NoSuchTaskError`` where the stack lacks the library."""
        self._check_runs()
        of = self.elsewhere.components[self.elsewhere.model]
        return Task(self.recipe.task or "features", of.made_by, "", self.recipe.outputs or {})

    def pipeline_task(self, planned: PlannedType) -> Task:  # noqa: ARG002 -- likewise
        """The library's own pipeline; ``NoSuchTaskError`` where it has none."""
        self._check_runs()
        if self.elsewhere.pipeline is None:
            raise NoSuchTaskError(self.elsewhere.no_pipeline)
        return Task(self.recipe.pipeline_task or "", self.elsewhere.pipeline, "")

    def prepare(self, planned: PlannedType, task: Task, folder: Path) -> Prepared:  # noqa: ARG002 -- likewise
        """A checkpoint of the model alone, the inputs that the recipe writes down, and what it makes of them."""
        checkpoint = _library(self.elsewhere).save(self.elsewhere, folder)
        inputs = written_inputs(self.recipe)
        return Prepared(checkpoint, inputs, outputs.call(checkpoint.model, inputs.values, self.recipe.method))

    def prepare_pipeline(self, planned: PlannedType, task: Task, folder: Path) -> tuple[Checkpoint, Processors]:  # noqa: ARG002 -- likewise
        """A checkpoint of the library's whole pipeline."""
        return _library(self.elsewhere).save_pipeline(self.elsewhere, folder)

    def batch(self, prepared: Prepared, planned: PlannedType) -> Inputs | None:  # noqa: ARG002 -- one is enough here
        """None: what the recipe writes down is what is measured."""
        return None

    def _check_runs(self) -> None:
        _library(self.elsewhere)
        if self.scale != "tiny":
            msg = f"at full scale types of transformers alone are measured: this one is {self.elsewhere.library}'s"
            raise NotSelectedError(msg)


def import_libraries(types: Iterable[PlannedType]) -> None:
    """Import all that the types of other libraries are made of, as far as the stack has it: no child does it again."""
    for elsewhere in (one.recipe.elsewhere for one in types if one.recipe and one.recipe.elsewhere):
        if not _is_installed(elsewhere):
            continue
        _library(elsewhere)
        for component in elsewhere.components.values():
            if component.made_by:
                class_of(component)
        if elsewhere.pipeline:
            class_of(Component(made_by=f"{elsewhere.library}.{elsewhere.pipeline}"))


def _is_installed(elsewhere: Elsewhere) -> bool:
    return importlib.util.find_spec(elsewhere.library.replace("-", "_")) is not None


def _library(elsewhere: Elsewhere) -> Library:
    if not _is_installed(elsewhere):
        msg = f"it is a model of {elsewhere.library}, which this stack does not have"
        raise NoSuchTaskError(msg)
    module: Any = importlib.import_module(f"{__name__}.{_MODULES[elsewhere.library]}")
    found: Library = module.Library()
    return found


def written_inputs(recipe: Recipe) -> Inputs:
    """The recipe's inputs, and a second value of each that must change the output."""
    specs = {name: spec for name, spec in recipe.inputs.items() if spec != "leave out"}
    first, second = (torch.Generator().manual_seed(seed) for seed in (3, 4))
    values, others = draw_all(specs, first, second)
    return Inputs(values, {name: {name: value} for name, value in others.items()})


def class_of(component: Component) -> Any:
    """The class that a recipe names: ``diffusers.VQModel``."""
    package, _, name = component.made_by.rpartition(".")
    return getattr(importlib.import_module(package), name)


def made(component: Component) -> Any:
    """What the class makes of the recipe's config, its weights drawn from the one seed."""
    seed(SEED)
    own = class_of(component)
    if hasattr(own, "config_class"):  # transformers' models take a config, everything else its values
        return own(own.config_class(**component.config))
    return own(**component.config)


def ready(model: Any) -> Any:
    """The model with weights that let every input through, for inference."""
    model.eval()
    spread(model, SEED)
    return model
