"""The same inputs with another batch, and with another length: not taken by a model that runs in one shape only."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from harness.cell.synthesis.inputs import Inputs

_SHORTER_BY = 3


def other_shapes(inputs: Inputs) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each way to change the shape, by name: one item more, and a shorter text. Not all models take all of them."""
    batch = inputs.batch
    larger = {name: _one_more(one, batch) for name, one in inputs.values.items()}
    if any(larger[name] is not one for name, one in inputs.values.items()):
        yield f"batch {batch + 1}", larger
    length = _length(inputs.values)
    if length is not None and length > _SHORTER_BY + 1:
        shorter = {name: _shortened(one, length) for name, one in inputs.values.items()}
        yield f"length {length - _SHORTER_BY}", shorter


def _one_more(value: Any, batch: int) -> Any:
    if isinstance(value, torch.Tensor) and value.dim() and value.shape[0] == batch:
        return torch.cat([value, value[:1]])
    return value


def _length(values: Mapping[str, Any]) -> int | None:
    ids = values.get("input_ids")
    return int(ids.shape[1]) if isinstance(ids, torch.Tensor) and ids.dim() == 2 else None


def _shortened(value: Any, length: int) -> Any:
    """Without the last tokens, in everything that goes along with the text."""
    if isinstance(value, torch.Tensor) and value.dim() >= 2 and value.shape[1] == length and not _is_image(value):
        return value[:, : length - _SHORTER_BY].contiguous()
    return value


def _is_image(value: torch.Tensor) -> bool:
    return bool(value.dim() > 3)
