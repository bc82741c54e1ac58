"""Inputs as recipes write them down."""

from typing import Any

import torch

from harness.records import Tensor


def drawn(spec: Tensor, generator: torch.Generator, *, another: bool = False) -> Any:
    """A tensor as a recipe writes it down, or a text; ``another``: the second of two written values."""
    if spec.values is not None:
        written = spec.another if another and spec.another is not None else spec.values
        return written if isinstance(written, str) else torch.tensor(written)
    assert spec.shape is not None  # noqa: S101 -- a spec has the one or the other
    if spec.high is None:
        return torch.randn(spec.shape, generator=generator)
    return torch.randint(int(spec.low), int(spec.high), spec.shape, generator=generator)
