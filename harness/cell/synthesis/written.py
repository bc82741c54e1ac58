"""Inputs as recipes write them down."""

from collections.abc import Mapping
from typing import Any

import torch

from harness.cell.synthesis.config import set_value
from harness.records import Tensor


def drawn(spec: Tensor, generator: torch.Generator, *, another: bool = False) -> Any:
    """What a recipe writes down: a tensor, or a number or text, which stays one; ``another``: the second of two."""
    if spec.values is not None:
        written = spec.another if another and spec.another is not None else spec.values
        return torch.tensor(written) if isinstance(written, list) else written
    assert spec.shape is not None  # noqa: S101 -- a spec has the one or the other
    if spec.high is None:
        return torch.randn(spec.shape, generator=generator)
    return torch.randint(int(spec.low), int(spec.high), spec.shape, generator=generator)


def draw_all(
    specs: Mapping[str, Tensor], first: torch.Generator, second: torch.Generator
) -> tuple[dict[str, Any], dict[str, Any]]:
    """All that is written down, by argument, and a second value of each argument that another must change.

    A dotted path leads into an argument that is a table.
    """
    given: dict[str, Any] = {}
    others: dict[str, Any] = {}
    changing = set()
    for name, spec in specs.items():
        path = name.split(".")
        value = other = drawn(spec, first)
        if spec.has_alternative:
            other = drawn(spec, second, another=True)
            changing.add(path[0])
        set_value(given, path, value)
        set_value(others, path, other)
    return given, {name: value for name, value in others.items() if name in changing}
