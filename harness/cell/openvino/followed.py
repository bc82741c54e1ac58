"""Ways through a model that a tracer can follow, in the places of those that lead through Python's own values.

What becomes a number, a list of numbers or a key on its way is a constant of the one run that was traced.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

_MEMORY = ("has", "get", "put")
"""What the caches of answers have that transformers' models keep."""


@contextlib.contextmanager
def sizes_that_round(_model: Any) -> Iterator[None]:
    """Sizes, which are tensors while torch.jit traces, can be rounded as the numbers that they stand for can."""

    def rounded(self: torch.Tensor, digits: int | None = None) -> Any:
        return round(self.item(), digits)

    before = vars(torch.Tensor).get("__round__")
    torch.Tensor.__round__ = rounded
    try:
        yield
    finally:
        if before is None:
            del torch.Tensor.__round__
        else:
            torch.Tensor.__round__ = before


@contextlib.contextmanager
def lists_of_tensors(_model: Any) -> Iterator[None]:
    """A row of whole numbers becomes a list of tensors, which sizes and splits are told by just as well."""
    before = torch.Tensor.tolist

    def tolist(self: torch.Tensor) -> Any:
        row = self.dim() == 1 and not self.is_floating_point() and self.dtype != torch.bool
        return list(self.unbind()) if row else before(self)

    torch.Tensor.tolist = tolist
    try:
        yield
    finally:
        torch.Tensor.tolist = before


def remembers(model: Any) -> bool:
    """Whether the model keeps answers by the values that it was asked with."""
    return bool(_memories(model))


@contextlib.contextmanager
def nothing_remembered(model: Any) -> Iterator[None]:
    """Answers that a model keeps by the values that it was asked with are computed anew, and not kept."""
    before = [(one, one.has, one.put) for one in _memories(model)]
    for one, _, _ in before:
        one.has = lambda _key: False
        one.put = lambda _key, _value: None
    try:
        yield
    finally:
        for one, has, put in before:
            one.has, one.put = has, put


def _memories(model: Any) -> list[Any]:
    held = [one for part in model.modules() for one in vars(part).values()]
    return [one for one in held if not isinstance(one, torch.nn.Module) and all(hasattr(one, way) for way in _MEMORY)]
