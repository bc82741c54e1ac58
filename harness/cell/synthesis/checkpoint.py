"""A tiny checkpoint on disk: seeded weights of a shrunk config, saved as their owner would save them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import transformers

from harness.cell.seeding import seed
from harness.cell.synthesis.config import tiny_config
from harness.cell.synthesis.tokenizer import Made
from harness.cell.synthesis.weights import spread
from harness.cell.task_table import Task
from harness.cell.tasks import loader_for
from harness.records import Recipe, Style

SEED = 20
TOKEN_IDS = {"pad": 0, "bos": 1, "eos": 2}
MOST_PARAMETERS = 60_000_000


class NotSelectedError(Exception):
    """The cell is left out, and this says why."""


class TooLargeError(NotSelectedError):
    """The model is over the cap."""


@dataclass(frozen=True)
class Checkpoint:
    """A saved model and the one in memory that it was saved from, which is the reference for what is loaded."""

    folder: Path
    model: Any
    loader: Any
    """The class whose ``from_pretrained`` loads it: an Auto class, unless a recipe names another."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What ``from_pretrained`` and ``pipeline`` are told besides."""
    style: Style | None = None
    """How far its config was shrunk."""
    spare: frozenset[str] = frozenset()
    """Kinds of keys, in the loader's words, that the files may have more of than this class: those of other heads."""
    open_pipeline: Callable[..., Any] = transformers.pipeline
    """What makes a pipeline of the folder: ``(task, model=folder, device=device)``."""
    others: tuple[Any, ...] = ()
    """All models of a pipeline, where it has several."""

    @property
    def config(self) -> Any:
        return self.model.config

    @property
    def parameters(self) -> int:
        """Of all models, each counted once."""
        found = {id(one): one.numel() for model in (self.model, *self.others) for one in model.parameters()}
        return sum(found.values())

    @property
    def size(self) -> int:
        """In bytes, of all files."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def synthesise(
    model_type: str,
    task: Task,
    recipe: Recipe | None,
    folder: Path,
    text: Made | None = None,
    style: Style = "constant",
) -> Checkpoint:
    """Make and save a checkpoint of the type with the task's head; equal on every call.

    With a tokenizer, its vocabulary and special tokens are the model's.
    """
    ids, vocabulary = (text.token_ids, text.vocabulary) if text else (TOKEN_IDS, None)
    config = tiny_config(model_type, recipe, ids, style, vocabulary)
    made = save(config, loader_for(task, model_type), recipe, folder, MOST_PARAMETERS)
    return replace(made, style=style)


def save(config: Any, loader: Any, recipe: Recipe | None, folder: Path, most: int | None) -> Checkpoint:
    """Build a model of the config with seeded weights, and save it; ``TooLargeError`` over ``most`` parameters."""
    seed(SEED)
    with _parameter_cap(most):
        model = build(loader, config)
    spread(model, SEED)
    model.eval()  # only now: some types (levit) work out values from their weights as they change over to this mode
    for name, value in (recipe.generation_config if recipe else {}).items():
        setattr(model.generation_config, name, value)
        # Written by its owner: what is derived from the model's config loses on loading whatever is not common.
        model.generation_config._from_model_config = False  # noqa: SLF001
    model.save_pretrained(folder)
    return Checkpoint(folder, model, loader)


def own_memory(model: Any) -> None:
    """Move a loaded model's weights out of the mapped file into memory of their own, values unchanged.

    Where a tensor begins in its file decides its alignment, alignment decides which kernel the BLAS library takes,
    and the kernels differ in the last bit: measured, clip's logits by 4e-7 of their largest. With weights aligned as
    the reference's are, equal weights give equal bits, and anything else is a true difference.
    """
    for tensor in [*model.parameters(), *model.buffers()]:
        tensor.data = tensor.data.clone()


def build(loader: Any, config: Any) -> Any:
    """A model of the config, by an Auto class or a class of its own."""
    # An Auto class that has several classes for the type looks for theirs among these, and trips over None.
    config.architectures = config.architectures or []
    return loader(_its_part(loader, config)) if hasattr(loader, "forward") else loader.from_config(config)


def _its_part(loader: Any, config: Any) -> Any:
    """The part of the config that is the class's own, where a recipe names a class for a part of the whole."""
    own = loader.config_class
    if own is None or isinstance(config, own):
        return config
    return next((part for part in vars(config).values() if isinstance(part, own)), config)


@contextmanager
def _parameter_cap(most: int | None) -> Iterator[None]:
    """Stop building a model as soon as it is over the cap, before it takes the machine's memory."""
    total = 0

    def count(_module: Any, _name: str, parameter: Any) -> None:
        nonlocal total
        total += 0 if parameter is None else parameter.numel()
        if most is not None and total > most:
            msg = f"more than {most:,} parameters"
            raise TooLargeError(msg)

    hook = torch.nn.modules.module.register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
