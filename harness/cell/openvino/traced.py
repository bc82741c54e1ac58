"""A model as a function of tensors alone, which is what converters take: tensors in, a tuple of tensors out."""

import contextlib
from collections.abc import Mapping
from typing import Any

import torch
from torch.utils import _pytree as pytree

from harness.cell import outputs
from harness.cell.openvino.draws import Draw, Given, Recorded
from harness.cell.openvino.runtime import COUNT
from harness.cell.seeding import seed


class Traced(torch.nn.Module):  # type: ignore[misc] # torch is not installed where types are checked
    """Calls a model with tensors in the places of those in ``values``; all that is no tensor stays as it is there.

    Its outputs are those of ``outputs.flatten``: their ``names`` and ``dtypes`` are known once it was ``called``.
    With ``draws_are_inputs`` the random numbers that it draws are tensors too, after those in ``values``.
    """

    def __init__(self, model: Any, values: Mapping[str, Any], method: str, *, draws_are_inputs: bool = False) -> None:
        super().__init__()
        self.model, self.method = model, method
        leaves, self.layout = pytree.tree_flatten(dict(values))
        self.fixed = [None if isinstance(one, torch.Tensor) else one for one in leaves]
        self.places = [place for place, one in enumerate(leaves) if isinstance(one, torch.Tensor)]
        self.example = tuple(one for one in leaves if isinstance(one, torch.Tensor))
        self.names: tuple[str, ...] = ()
        self.dtypes: tuple[torch.dtype, ...] = ()
        self.draws_are_inputs = draws_are_inputs
        self.draws: tuple[Draw, ...] = ()
        """What it draws, where that is given to it."""
        if not self.example:
            msg = "no argument of the call is a tensor"
            raise TypeError(msg)

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The model's outputs without their names."""
        leaves = list(self.fixed)
        values, drawn = tensors[: len(self.places)], tensors[len(self.places) :]
        for place, one in zip(self.places, values, strict=True):
            leaves[place] = one
        with Given(drawn) if self.draws else contextlib.nullcontext():
            found = outputs.flatten(self._asked(pytree.tree_unflatten(leaves, self.layout)))
        # Sizes, which are numbers in an eager run, are tensors while torch.jit traces.
        return tuple(found[name] for name in self.names or found)

    def called(self, values: Mapping[str, Any]) -> Any:
        """The model's output as it is, eagerly; ``names``, ``dtypes`` and ``draws`` are known from then on."""
        with torch.random.fork_rng(devices=[]), Recorded() as drawing:
            seed(outputs.SEED)
            result = self._asked(dict(values))
            if self.draws_are_inputs:
                self.draws = tuple(drawing.draws)
                self.example += self._drawn()
        COUNT.draws += len(drawing.draws)
        found = outputs.flatten(result)
        self.names, self.dtypes = tuple(found), tuple(one.dtype for one in found.values())
        return result

    def _asked(self, values: dict[str, Any]) -> Any:
        # Not by calling the module: what is hooked to it must not take this run for the model's own.
        return getattr(self.model, self.method)(**values)

    def tensors_of(self, values: Mapping[str, Any]) -> tuple[torch.Tensor, ...]:
        """The tensors of other values of the same layout, in order, and what is drawn beside them."""
        leaves, layout = pytree.tree_flatten({name: values[name] for name in self.layout.context})
        if layout != self.layout:
            msg = f"converted for {self.layout.context}, asked with another layout of values"
            raise ValueError(msg)
        return (*(leaves[place] for place in self.places), *self._drawn())

    def _drawn(self) -> tuple[torch.Tensor, ...]:
        return tuple(one.again() for one in self.draws)
