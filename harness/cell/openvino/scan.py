"""The recurrence of state space models in one expression.

transformers computes it in a loop over the positions. A tracer writes the loop out: as many copies of its body as
there are positions, and a graph that takes no other length.
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch.nn import functional

_NAME = "mamba_selective_scan"


def _scan(  # noqa: PLR0917 -- transformers passes these by position
    hidden_states: torch.Tensor,
    dt: torch.Tensor,
    A: torch.Tensor,  # noqa: N803 -- its name there
    B: torch.Tensor,  # noqa: N803
    C: torch.Tensor,  # noqa: N803
    D: torch.Tensor | None = None,  # noqa: N803
    z: torch.Tensor | None = None,
    delta_bias: torch.Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    **_ways: Any,
) -> Any:
    """What transformers' ``mamba_selective_scan`` gives, from a state of zeros.

    The state at t is the sum over s <= t of what came in at s, times all decays after s up to t. The decays are
    exponentials of negative numbers, so that their products are exponentials of differences of running sums, at
    most 1: nothing overflows, and what is lost is as small as the decay itself.
    """
    if delta_bias is not None:
        dt = dt + delta_bias.to(dt.dtype)[..., None]
    if delta_softplus:
        dt = functional.softplus(dt)
    came_in = (dt * hidden_states)[..., None] * B.transpose(1, 2)[:, None].float()
    running = torch.cumsum(dt, dim=-1)
    passed = running[:, :, :, None] - running[:, :, None, :]
    time = torch.arange(dt.shape[-1], device=dt.device)
    since = (time[:, None] >= time[None, :])[None, None, :, :, None]
    # By batch, channel, time, time before it, and state.
    decay = torch.exp(torch.where(since, A[None, :, None, None, :] * passed[..., None], 0.0))
    decay = torch.where(since, decay, 0.0)
    states = (decay * came_in[:, :, None]).sum(dim=3)
    found = (states.to(hidden_states.dtype) * C.transpose(1, 2)[:, None]).sum(dim=-1)
    if D is not None:
        found = found + hidden_states * D[None, :, None]
    if z is not None:
        found = found * functional.silu(z)
    return (found, states[:, :, -1]) if return_last_state else found


def has_scan(model: Any) -> bool:
    """Whether the model's code has the loop."""
    return bool(_modules(model))


@contextlib.contextmanager
def closed_scan(model: Any) -> Iterator[None]:
    """With the expression in the place of the loop."""
    before = [(module, getattr(module, _NAME)) for module in _modules(model)]
    for module, _ in before:
        setattr(module, _NAME, _scan)
    try:
        yield
    finally:
        for module, function in before:
            setattr(module, _NAME, function)


def _modules(model: Any) -> list[Any]:
    names = {type(part).__module__ for part in model.modules()}
    return [sys.modules[name] for name in sorted(names) if hasattr(sys.modules[name], _NAME)]
