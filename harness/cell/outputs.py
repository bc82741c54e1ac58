"""What comes out of a model: flattened to named tensors, and checked for structure."""

import copy
import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from harness.cell.seeding import seed
from harness.cell.task_table import Task

Outputs = dict[str, torch.Tensor]
SEED = 7


class MismatchError(Exception):
    """It ran, and its outputs are wrong: structure, finiteness, repeatability, numbers or indifference to inputs."""


def call(model: Any, inputs: Mapping[str, Any], method: str | None = None) -> Outputs:
    """One forward pass (or one call of the named method), its outputs by dotted name.

    Some types draw random numbers as they compute (masks, noise, dropped tokens): every call draws the same.
    """
    with torch.no_grad():
        seed(SEED)
        return flatten(getattr(model, method)(**inputs) if method else model(**inputs))


NEW_TOKENS = 8
_PLACEHOLDER = re.compile(r"(image|video|audio)_token_(id|index)")


def placeholders(model: Any) -> list[int]:
    """The tokens that stand for an image, a film or a recording in a text."""
    named = vars(model.config).items()  # not to_dict(), which copies all of it: generations are timed
    return sorted({value for name, value in named if _PLACEHOLDER.fullmatch(name) and isinstance(value, int)})


def settings_without_cache(model: Any) -> dict[str, Any]:
    """Settings of a generation without a cache, which reads all of the text again for each token.

    A placeholder in what it has written would be looked up among the images; only a random model writes one.
    """
    barred = placeholders(model)
    return {"use_cache": False} | ({"suppress_tokens": barred} if barred else {})


def generate(model: Any, values: Mapping[str, Any], count: int = NEW_TOKENS, *, cache: bool = True) -> torch.Tensor:
    """Greedy tokens, always as many: a random model may end its sentence at any token.

    Greedy says nothing of what stands before the tokens: some types draw random numbers to encode a sound.
    """
    seed(SEED)
    asked = dict(values) if cache else {**values, **settings_without_cache(model)}
    said = model.generate(**asked, max_new_tokens=count, min_new_tokens=count, do_sample=False)
    tokens: torch.Tensor = getattr(said, "sequences", said)  # some types always tell more than the tokens
    return tokens


_PREFERRED = ("last_hidden_state", "logits")
"""Of a bare model's outputs, before all others."""


def flatten(value: Any) -> Outputs:
    """All tensors of a nested output; caches are state, not output."""
    return dict(_tensors(value, ""))


def _tensors(value: Any, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield name or "output", value
        return
    if dataclasses.is_dataclass(value) and not isinstance(value, Mapping):
        value = vars(value)
    if isinstance(value, Mapping):
        parts = [(str(key), one) for key, one in value.items() if "past_key_values" not in str(key)]
    elif isinstance(value, list | tuple):
        parts = [(str(index), one) for index, one in enumerate(value)]
    else:
        return
    for key, one in parts:
        yield from _tensors(one, f"{name}.{key}" if name else key)


def main_outputs(outputs: Outputs, task: Task) -> tuple[str, ...]:
    """The outputs that a task is about: its fields, or where it names none, the first that the model gives.

    The others may pass an input through (the image features beside a text's states), and would prove nothing.
    """
    if task.outputs:
        return tuple(task.outputs)
    floating = [name for name, one in outputs.items() if one.is_floating_point() and one.numel()]
    preferred = [name for name in floating if name in _PREFERRED]
    return tuple(preferred or floating or outputs)[:1]


def check_outputs(
    outputs: Outputs,
    task: Task,
    config: Any,
    inputs: Mapping[str, Any],
    batch: int,
    infinite: tuple[str, ...],
) -> None:
    """The task's fields are there with their dimensions, and every number is finite; else ``MismatchError``."""
    if not main_outputs(outputs, task):
        msg = f"no output: there are {', '.join(outputs) or 'none'}"
        raise MismatchError(msg)
    sizes = {"batch": batch}
    if "input_ids" in inputs:
        sizes["sequence"] = inputs["input_ids"].shape[1]
    for name, dimensions in task.outputs.items():
        if name not in outputs:
            msg = f"no output {name!r}: there are {', '.join(outputs) or 'none'}"
            raise MismatchError(msg)
        expected = [_size(one, sizes, config) for one in dimensions]
        shape = list(outputs[name].shape)
        if len(shape) != len(expected) or any(
            want not in (None, got) for want, got in zip(expected, shape, strict=True)
        ):
            told = [
                f"{one}={size}" if size is not None else "any" for one, size in zip(dimensions, expected, strict=True)
            ]
            msg = f"output {name!r} has the shape {shape}, not [{', '.join(told)}]"
            raise MismatchError(msg)
    for name, tensor in outputs.items():
        if tensor.is_floating_point():
            good = ~torch.isnan(tensor) if name in infinite else torch.isfinite(tensor)
            if not bool(good.all()):
                msg = f"output {name!r}: {int((~good).sum())} of {tensor.numel()} values are not finite"
                raise MismatchError(msg)


def _size(dimension: str | int, sizes: Mapping[str, int], config: Any) -> int | None:
    """The number that a dimension's name stands for; None for ``any``."""
    if isinstance(dimension, int) or dimension == "any":
        return None if dimension == "any" else int(dimension)
    if dimension in sizes:
        return sizes[dimension]
    return int(getattr(config, dimension, None) or getattr(config.get_text_config(), dimension))


def moved(value: Any, device: Any) -> Any:
    """The value with every tensor in it on the device; what lies there already is not copied."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        held: Any = copy.copy(value)  # of its own class: what a processor made has methods that models call
        for key, one in value.items():
            held[key] = moved(one, device)
        return held
    if type(value) in (list, tuple):
        return type(value)(moved(one, device) for one in value)
    return value


def array(value: Any) -> Any:
    """As numpy has it, from whatever device."""
    return np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)


def devices(tensors: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """Every device on which one of the tensors lies."""
    return tuple(sorted({str(tensor.device) for tensor in tensors.values()}))
