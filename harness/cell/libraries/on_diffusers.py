"""diffusers: models with a ``from_pretrained`` of their own, and pipelines that are folders of such models."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import torch

from harness.cell.libraries import class_of, made, ready
from harness.cell.synthesis.calls import Call
from harness.cell.synthesis.checkpoint import Checkpoint, own_memory
from harness.cell.synthesis.processors import Processors
from harness.cell.synthesis.raw import TEXTS, picture
from harness.cell.synthesis.tokenizer import make_tokenizer
from harness.records import Component, Elsewhere

_SIDE = 32


class Library:
    """How diffusers' types are made and saved."""

    def save(self, elsewhere: Elsewhere, folder: Path) -> Checkpoint:
        """One model by itself."""
        component = elsewhere.components[elsewhere.model]
        model = ready(made(component))
        model.save_pretrained(folder)
        return Checkpoint(folder, model, class_of(component))

    def save_pipeline(self, elsewhere: Elsewhere, folder: Path) -> tuple[Checkpoint, Processors]:
        """A pipeline of all components; its checkpoint's model is the one whose forward passes are compared."""
        parts = {role: _part(one, folder / role) for role, one in elsewhere.components.items()}
        own: Any = getattr(diffusers, str(elsewhere.pipeline))
        whole = own(**parts)
        whole.set_progress_bar_config(disable=True)
        whole.save_pretrained(folder)

        def opened(_task: str, model: str, device: torch.device) -> Any:
            pipe = own.from_pretrained(model).to(device)
            pipe.set_progress_bar_config(disable=True)
            for module in _modules(pipe):
                own_memory(module.eval())
            # What every pipeline of ours has: the model in it; and what to ask it, and whom to hold it against.
            pipe.model, pipe.example, pipe.reference = _core(pipe, elsewhere), _call(elsewhere), whole
            return pipe

        core = _core(whole, elsewhere)
        checkpoint = Checkpoint(folder, core, own, open_pipeline=opened, others=tuple(_modules(whole)))
        return checkpoint, Processors(made=parts)


def _part(component: Component, scratch: Path) -> Any:
    if component.tokenizer_of is None:
        part = made(component)
        return ready(part) if isinstance(part, torch.nn.Module) else part
    return make_tokenizer(component.tokenizer_of, component.config, scratch).tokenizer


def _modules(pipe: Any) -> Iterator[torch.nn.Module]:
    return (one for one in pipe.components.values() if isinstance(one, torch.nn.Module))


def _core(pipe: Any, elsewhere: Elsewhere) -> torch.nn.Module:
    role, _, path = elsewhere.core.partition(".")
    found: torch.nn.Module = getattr(pipe, role).get_submodule(path)
    return found


def _call(elsewhere: Elsewhere) -> Call:
    """What a user would ask, and the same with another text or picture."""
    first, second = TEXTS if elsewhere.modality == "text" else (picture(1, _SIDE), picture(2, _SIDE))
    name = elsewhere.argument
    return Call({**elsewhere.example, name: first}, {elsewhere.modality: {name: second}})
