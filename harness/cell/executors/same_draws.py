"""Random numbers that a model draws as it computes, drawn on the CPU wherever the model runs.

A device has a generator of its own: with the same seed it draws other numbers than the CPU's, and a model that masks,
hashes or drops at random then rightly gives another output. Drawn on the CPU in the same order, they are the
reference's numbers, and what is left to differ is the arithmetic.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

CPU = torch.device("cpu")


class SameDraws(TorchDispatchMode):  # type: ignore[misc] # its base is not installed where types are checked
    """In this block every operator that draws on ``device`` is computed on the CPU, and its result brought back."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device

    def __torch_dispatch__(
        self, func: Any, _types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        if not _draws(func, args, named) or not self._on_device(args, named):
            return func(*args, **named)
        if named.get("device") is not None:
            named["device"] = CPU
        result = func(*tree_map(_to_cpu, tuple(args)), **tree_map(_to_cpu, named))
        written = _written(func, args, named)
        if isinstance(written, torch.Tensor):  # what writes into its argument is to have written into that one
            return written.copy_(result)
        return tree_map(self._back, result)

    def _on_device(self, args: Sequence[Any], named: Mapping[str, Any]) -> bool:
        """Whether it would draw there: told so by its arguments, or given tensors that lie there."""
        if named.get("device") is not None:
            return bool(torch.device(named["device"]).type == self.device.type)
        given = [one for one in (*args, *named.values()) if isinstance(one, torch.Tensor)]
        return any(one.device.type == self.device.type for one in given)

    def _back(self, value: Any) -> Any:
        return value.to(self.device) if isinstance(value, torch.Tensor) else value


def _draws(func: Any, args: Sequence[Any], named: Mapping[str, Any]) -> bool:
    """Whether it draws: attention does for its dropout only, and has kernels that the CPU lacks."""
    if torch.Tag.nondeterministic_seeded not in func.tags:
        return False
    for index, one in enumerate(func._schema.arguments):  # noqa: SLF001 -- as below
        if one.name == "dropout_p":
            return bool(args[index] if index < len(args) else named.get(one.name, one.default_value))
    return True


def _written(func: Any, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """The argument that the operator writes its result into: of ``normal_`` and the like, and ``out``."""
    schema = func._schema  # noqa: SLF001 -- the one place that tells; the tag for it is of newer versions
    if not (schema.returns and _is_written(schema.returns[0])):
        return None
    index, one = next((index, one) for index, one in enumerate(schema.arguments) if _is_written(one))
    return args[index] if index < len(args) else named.get(one.name)


def _is_written(one: Any) -> bool:
    return one.alias_info is not None and bool(one.alias_info.is_write)


def _to_cpu(value: Any) -> Any:
    return value.to(CPU) if isinstance(value, torch.Tensor) else value
