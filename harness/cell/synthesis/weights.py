"""Seeded weights that let every input through: what a type's own initialisation would hide in a tiny, untrained model.

Initial weights are small, and a trained model's are not: through a dozen layers without a residual path the signal
shrinks until no input changes any output, and a lost weight would not show either.
"""

import math
from typing import Any

import torch

SPREAD = 0.02
_CLOSED = 0.1
"""Of a norm's mean weight: what passes is a tenth and less."""
_WEIGHED_SUMS = (torch.nn.Linear, torch.nn.modules.conv._ConvNd)  # noqa: SLF001 -- the base of all convolutions
_NORMS = (torch.nn.modules.batchnorm._NormBase, torch.nn.LayerNorm, torch.nn.GroupNorm)  # noqa: SLF001 -- likewise


def spread(model: Any, seed: int) -> None:
    """Give constants values of their own, and weighed sums the size of what they sum."""
    with torch.no_grad():
        _spread_constants(model, seed)
        _open_norms(model)
        _fill_tables(model, seed)
        _keep_signal(model)


def _spread_constants(model: Any, seed: int) -> None:
    """Give parameters that start as all zeros or all ones (biases, norms, gates) values of their own.

    A gate of zero closes the path behind it, and a bias of zero looks right when it is lost: with
    values of their own, a lost parameter shows in the outputs.
    """
    generator = torch.Generator().manual_seed(seed)
    for _, parameter in sorted(model.named_parameters()):
        if (
            parameter.is_floating_point()
            and parameter.numel()
            and bool((parameter == parameter.flatten()[0]).all())
            # A single number may be a scale that is meant; a single zero is a closed gate.
            and (parameter.numel() > 1 or not parameter.any())
        ):
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float32)
            parameter.add_((SPREAD * noise).to(parameter.dtype))


def _open_norms(model: Any) -> None:
    """Let a norm's weight be about one, where the type draws it about zero as if it were a weighed sum's."""
    for module in model.modules():
        weight = module._parameters.get("weight") if isinstance(module, _NORMS) else None  # noqa: SLF001
        if weight is not None and float(weight.float().abs().mean()) < _CLOSED:
            weight.add_(1)


def _fill_tables(model: Any, seed: int) -> None:
    """Give saved tables of zeros rows of their own: codebooks, which training fills and no initialisation does.

    While all rows are equal, a codec makes the same sound of everything.
    """
    generator = torch.Generator().manual_seed(seed)
    saved = model.state_dict().keys()
    for name, table in sorted(model.named_buffers()):
        if name in saved and table.is_floating_point() and table.dim() == 2 and not table.any():
            table.copy_(SPREAD * torch.randn(table.shape, generator=generator))


def _keep_signal(model: Any) -> None:
    """Enlarge the weights of linear and convolution layers to a deviation of 1/sqrt(inputs), where they are smaller.

    The sum of n independent values of size 1 then has the size 1 again. A tied weight is enlarged once.
    """
    seen = set()
    for module in model.modules():
        weight = module._parameters.get("weight") if isinstance(module, _WEIGHED_SUMS) else None  # noqa: SLF001
        if weight is None or id(weight) in seen or not weight.is_floating_point() or weight.numel() < 2:
            continue
        seen.add(id(weight))
        inputs = weight[0].numel()
        if isinstance(module, torch.nn.modules.conv._ConvTransposeNd):  # noqa: SLF001
            inputs = weight.shape[0] // module.groups * math.prod(weight.shape[2:]) // math.prod(module.stride)
        deviation = float(weight.float().std())
        wanted = 1 / math.sqrt(max(inputs, 1))
        if 0 < deviation < wanted:
            weight.mul_(wanted / deviation)
