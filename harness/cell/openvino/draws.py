"""Random numbers that a model draws as it computes: drawn by PyTorch, and given to the converted model as inputs.

OpenVINO has a generator of its own: from the same seed it draws other numbers, and a model with noise in it gives
another answer. With its noise as an input it must give the reference's.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_FRESH = frozenset(
    {torch.randn, torch.rand, torch.randint, torch.randperm, torch.randn_like, torch.rand_like, torch.randint_like}
)
"""These make a tensor out of nothing but its shape."""
_IN_PLACE = frozenset({torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.exponential_, torch.Tensor.random_})
"""These fill one. What is drawn by weights (multinomial) follows from what was computed: no input."""


def _draws(function: Any, positional: Sequence[Any], named: Mapping[str, Any]) -> bool:
    by_one_number = isinstance(named.get("p", positional[1] if len(positional) > 1 else None), float)
    return function in _FRESH or (function is torch.bernoulli and by_one_number)


@dataclass(frozen=True)
class Draw:
    """One call for random numbers, which can be made again."""

    function: Callable[..., Any]
    positional: tuple[Any, ...]
    named: Mapping[str, Any]

    def again(self) -> torch.Tensor:
        """The next numbers of PyTorch's generator, in the same shape."""
        drawn: torch.Tensor = self.function(*self.positional, **self.named)
        return drawn


class Recorded(TorchFunctionMode):  # type: ignore[misc] # torch is not installed where types are checked
    """Notes what is drawn in this block."""

    def __init__(self) -> None:
        super().__init__()
        self.draws: list[Draw] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        if _draws(func, args, named) or func in _IN_PLACE:
            positional = tuple(torch.empty_like(one) if isinstance(one, torch.Tensor) else one for one in args)
            self.draws.append(Draw(func, positional, named))
        return func(*args, **named)


class Given(TorchFunctionMode):  # type: ignore[misc] # torch is not installed where types are checked
    """Has these numbers in the places of those that would be drawn in this block, in their order."""

    def __init__(self, numbers: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self.numbers = iter(numbers)

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if _draws(func, args, kwargs or {}):
            return next(self.numbers)
        if func in _IN_PLACE:
            return args[0].copy_(next(self.numbers))
        return func(*args, **(kwargs or {}))
