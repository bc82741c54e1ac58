"""What a model was asked inside a pipeline, and what it said: its first forward pass, and its ``generate``."""

import copy
import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedModel

from harness.cell import outputs
from harness.cell.outputs import Outputs
from harness.cell.seeding import seed


@dataclass
class Recording:
    """Inputs and outputs by name; ``generate_inputs`` is None where the pipeline did not generate."""

    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: Outputs = field(default_factory=dict)
    generate_inputs: dict[str, Any] | None = None
    tokens: torch.Tensor | None = None
    of_part: Outputs = field(default_factory=dict)
    """Of the first forward pass of a part that generates: of some types the whole has none of its own."""

    @property
    def asked(self) -> dict[str, Any]:
        """What the model was asked from outside: ``generate`` makes the forward pass's inputs out of these."""
        return self.inputs if self.generate_inputs is None else self.generate_inputs

    def asked_of(self, model: Any) -> "Recording":
        """The same question put to another model, directly, on the CPU."""
        with recorded(model) as other, torch.no_grad():
            seed(outputs.SEED)
            if self.generate_inputs is None:
                model(**outputs.moved(self.inputs, "cpu"))
            else:
                model.generate(**outputs.moved(copy.deepcopy(self.generate_inputs), "cpu"))
        return other


@contextmanager
def recorded(model: Any) -> Iterator[Recording]:
    """Record what is asked of the model in this block. Of several forward passes the first is kept."""
    recording = Recording()

    def keep(_model: Any, positional: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        if not recording.outputs:
            if positional:
                named = dict(zip(inspect.signature(model.forward).parameters, positional, strict=False)) | named
            # Copies: what comes after the model may write into both (tapas' clips its logits in place).
            named = {name: value for name, value in named.items() if "past_key_values" not in name}
            recording.inputs = copy.deepcopy(named)
            recording.outputs = {name: one.clone() for name, one in outputs.flatten(output).items()}

    def generate(*positional: Any, **named: Any) -> Any:
        if positional:
            named = {model.main_input_name: positional[0], **named}
        if recording.generate_inputs is None:
            recording.generate_inputs = copy.deepcopy(named)
        result = type(model).generate(model, **named)
        if recording.tokens is None:
            said = outputs.flatten(result)
            recording.tokens = said.get("sequences", next(iter(said.values()), None))
            # Some types generate through the forward passes of their parts only.
            recording.outputs = recording.outputs or said
        return result

    if hasattr(model, "generate"):
        model.generate = generate
    try:
        with _heard(model, keep), _parts_heard(model, recording):
            yield recording
    finally:
        model.__dict__.pop("generate", None)


@contextmanager
def _parts_heard(model: Any, recording: Recording) -> Iterator[None]:
    """Keep what the first forward pass of a part that generates gives."""

    def keep(_part: Any, _positional: tuple[Any, ...], output: Any) -> None:
        if not recording.of_part:
            recording.of_part = {name: one.clone() for name, one in outputs.flatten(output).items()}

    modules = model.modules() if hasattr(model, "_modules") else ()  # a runtime's class may be no torch module
    parts = [one for one in modules if one is not model and isinstance(one, PreTrainedModel) and one.can_generate()]
    hooks = [part.register_forward_hook(keep) for part in parts]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _heard(model: Any, keep: Callable[[Any, tuple[Any, ...], dict[str, Any], Any], None]) -> Iterator[None]:
    """Have ``keep`` told of every forward pass; a runtime's class that is no torch module has no hooks for that."""
    if hasattr(model, "_forward_hooks"):  # optimum-intel's whisper is a module by its class alone
        hook = model.register_forward_hook(keep, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()
        return
    forward = model.forward
    signature = inspect.signature(forward)

    @functools.wraps(forward)  # its signature says which arguments ``generate`` may hand on
    def told(*positional: Any, **named: Any) -> Any:
        output = forward(*positional, **named)
        by_name = dict(zip(signature.parameters, positional, strict=False)) | named
        keep(model, (), by_name, output)
        return output

    model.forward = told
    try:
        yield
    finally:
        del model.forward
