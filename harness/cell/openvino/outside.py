"""What PyTorch computes by itself: all of it in an eager run, and what is left outside of OpenVINO's inferences."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_NO_WORK = frozenset(
    {"detach", "clone", "copy_", "_to_copy", "lift_fresh", "empty", "empty_like", "_local_scalar_dense"}
)
"""Moving values in and out of a runtime; the new tensors hold what was there."""
_VIEWS = frozenset(
    {
        "view",
        "_unsafe_view",
        "reshape",
        "expand",
        "slice",
        "select",
        "unsqueeze",
        "squeeze",
        "transpose",
        "permute",
        "t",
    }
    | {"alias", "unbind", "split", "split_with_sizes", "as_strided", "unfold", "_reshape_alias", "narrow"}
)
HEAVY = ("mm", "bmm", "addmm", "baddbmm", "convolution", "attention", "linear", "lstm", "gru", "einsum", "fft")
"""Words in the names of the operations that carry a model's weight."""


class _Counted(TorchDispatchMode):  # type: ignore[misc] # torch is not installed where types are checked
    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if func.namespace == "aten" and name not in _NO_WORK and name not in _VIEWS:
            self.found[name] += 1
        return func(*args, **(kwargs or {}))


def operations_of(call: Callable[[], Any]) -> dict[str, int]:
    """How often each operation was computed by PyTorch in this call, views and copies left aside."""
    with torch.no_grad(), _Counted() as counted:
        call()
    return dict(counted.found.most_common())


def operations_beside(call: Callable[[], Any]) -> dict[str, int]:
    """The same as PyTorch's profiler tells it: torch.compile's code does not run where operations are intercepted."""
    with torch.no_grad(), torch.autograd.profiler.profile() as profile:
        call()
    named = Counter(one.name.removeprefix("aten::") for one in profile.function_events if one.name.startswith("aten::"))
    return {name: times for name, times in named.most_common() if name not in _NO_WORK and name not in _VIEWS}


def heavy(found: dict[str, int]) -> list[str]:
    """The operations among these that carry a model's weight."""
    heavy = [name for name in found if any(word in name for word in HEAVY)]
    return [name for name in heavy if not name.startswith("upsample")]  # bilinear, and without a weight
