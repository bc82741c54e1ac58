"""Inputs as recipes write them down."""

from collections.abc import Mapping
from typing import Any

import torch

from harness.cell.synthesis.config import set_value
from harness.records import Tensor


def drawn(spec: Tensor, generator: torch.Generator, *, another: bool = False, plain: bool = False) -> Any:
    """What a recipe writes down: a tensor, or a number or text, which stays one; ``another``: the second of two.

    What is ``plain`` stays as it is written, lists too: for a pipeline, which is handed what people write.
    """
    if spec.values is not None:
        written = spec.another if another and spec.another is not None else spec.values
        return torch.tensor(written) if isinstance(written, list) and not plain else written
    assert spec.shape is not None  # noqa: S101 -- a spec has the one or the other
    if spec.high is None:
        return spec.low + torch.randn(spec.shape, generator=generator)
    return torch.randint(int(spec.low), int(spec.high), spec.shape, generator=generator)


def draw_all(
    specs: Mapping[str, Tensor | tuple[Tensor, ...]],
    first: torch.Generator,
    second: torch.Generator,
    *,
    plain: bool = False,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """All that is written down, by argument, and a second value of each argument that another must change.

    A dotted path leads into an argument that is a table; an argument of several tensors is a list, of which another
    has another of each that has one.
    """
    given: dict[str, Any] = {}
    others: dict[str, Any] = {}
    changing = set()
    for name, spec in specs.items():
        path = name.split(".")
        listed = spec if isinstance(spec, tuple) else (spec,)
        value = [drawn(one, first, plain=plain) for one in listed]
        other = [
            drawn(one, second, another=True, plain=plain) if one.has_alternative else same
            for one, same in zip(listed, value, strict=True)
        ]
        if any(one.has_alternative for one in listed):
            changing.add(path[0])
        set_value(given, path, value if isinstance(spec, tuple) else value[0])
        set_value(others, path, other if isinstance(spec, tuple) else other[0])
    return given, {name: value for name, value in others.items() if name in changing}
