"""Operators that OpenVINO's converters have no rule for, written out in those that they know.

Each stands in for PyTorch's own only while a model is converted, and only where the converter named it.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional


@dataclass(frozen=True)
class WrittenOut:
    """A function that computes what the operator does, and the places that PyTorch's own is called from."""

    operator: str
    function: Callable[..., Any]
    places: tuple[tuple[Any, str], ...]

    @contextlib.contextmanager
    def applied(self, _model: Any) -> Iterator[None]:
        """In these places for a block."""
        before = [(owner, name, getattr(owner, name)) for owner, name in self.places]
        for owner, name in self.places:
            setattr(owner, name, self.function)
        try:
            yield
        finally:
            for owner, name, original in before:
                setattr(owner, name, original)


def _unfold(self: torch.Tensor, dimension: int, size: int, step: int) -> torch.Tensor:
    dimension %= self.dim()
    starts = torch.arange(0, self.shape[dimension] - size + 1, step, device=self.device)
    places = (starts[:, None] + torch.arange(size, device=self.device)[None, :]).reshape(-1)
    taken = self.index_select(dimension, places)
    shape = (*self.shape[:dimension], starts.shape[0], size, *self.shape[dimension + 1 :])
    apart = taken.reshape(shape)
    order = [place for place in range(apart.dim()) if place != dimension + 1]
    return apart.permute(*order, dimension + 1)


def _diff(
    value: torch.Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: torch.Tensor | None = None,
    append: torch.Tensor | None = None,
) -> torch.Tensor:
    parts = [one for one in (prepend, value, append) if one is not None]
    whole = torch.cat(parts, dim) if len(parts) > 1 else value
    for _ in range(n):
        length = whole.shape[dim]
        later, earlier = whole.narrow(dim, 1, length - 1), whole.narrow(dim, 0, length - 1)
        whole = later ^ earlier if whole.dtype == torch.bool else later - earlier
    return whole


_CAT = torch.cat


def _cat(tensors: Sequence[torch.Tensor], *positional: Any, **named: Any) -> torch.Tensor:
    # PyTorch passes over tensors of one dimension with nothing in them, whatever the others' dimensions: caches
    # begin as such.
    held = [one for one in tensors if one.dim() != 1 or one.shape[0]]
    return _CAT(held or list(tensors), *positional, **named)


def _mse_loss(
    value: torch.Tensor, target: torch.Tensor, *_old: Any, reduction: str = "mean", **_more: Any
) -> torch.Tensor:
    squared = (value - target) ** 2
    return squared if reduction == "none" else squared.mean() if reduction == "mean" else squared.sum()


WRITTEN_OUT = (
    WrittenOut("aten::unfold", _unfold, ((torch.Tensor, "unfold"),)),
    WrittenOut("aten::diff", _diff, ((torch, "diff"), (torch.Tensor, "diff"))),
    WrittenOut("aten::cat", _cat, ((torch, "cat"),)),
    WrittenOut("aten::mse_loss", _mse_loss, ((functional, "mse_loss"),)),
)
"""By the operator's name in torch.jit; torch.export's has a point in place of the colons, and an overload."""


def is_named(operator: str, message: str) -> bool:
    """Whether a converter's message names the operator, in the one way or the other."""
    exported = re.escape(operator.replace("::", "."))
    return re.search(rf"\b(?:{re.escape(operator)}|{exported}\.\w+)\b", message) is not None
