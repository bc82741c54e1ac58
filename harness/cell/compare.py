"""Outputs against their reference, and against the outputs of another input."""

import sys
from collections.abc import Iterable, Mapping

import torch

from harness.cell.draft import Draft
from harness.cell.outputs import MismatchError, Outputs
from harness.records import Execution, OutputDifference

MASKED = 1e30
LEAST_EFFECT = 1e-6
"""A second input must change some output by more than this, relative to max|output|: float32's own grain."""


def tolerance_of(draft: Draft, execution: Execution) -> tuple[float, str | None]:
    """The cell's tolerance, and why it is wider than the backend's, where its recipe says so."""
    recipe = draft.planned.recipe
    wider = recipe.tolerances.get(draft.backend) if recipe else None
    return (wider.value, wider.reason) if wider else (execution.tolerance, None)


def differences(reference: Outputs, outputs: Outputs) -> tuple[OutputDifference, ...]:
    """Each output's difference from the reference's; ``MismatchError`` where names, shapes or dtypes differ."""
    if reference.keys() != outputs.keys():
        msg = f"outputs {sorted(outputs)} where the reference has {sorted(reference)}"
        raise MismatchError(msg)
    return tuple(_difference(name, reference[name], outputs[name]) for name in reference)


def _difference(name: str, reference: torch.Tensor, output: torch.Tensor) -> OutputDifference:
    if reference.shape != output.shape or reference.dtype != output.dtype:
        msg = (
            f"output {name!r} is {output.dtype} {list(output.shape)}, "
            f"the reference {reference.dtype} {list(reference.shape)}"
        )
        raise MismatchError(msg)
    max_abs, relative = distance(reference, output)
    dtype = str(output.dtype).removeprefix("torch.")
    return OutputDifference(name=name, shape=tuple(output.shape), dtype=dtype, max_abs=max_abs, max_relative=relative)


def distance(reference: torch.Tensor, output: torch.Tensor) -> tuple[float, float]:
    """max|difference|, alone and relative to max|reference| (absolute, where the reference is all zeros).

    Infinities at the same places are equal; a NaN or infinity on one side only counts as the largest number. Numbers
    that stand for minus infinity (the least of their type, in logits of words that must not be said) are no scale.
    """
    if reference.numel() == 0:
        return 0.0, 0.0
    one, other = reference.detach().cpu().double(), output.detach().cpu().double()
    gap = torch.where(one == other, torch.zeros_like(one), (one - other).abs())
    max_abs = float(torch.nan_to_num(gap, nan=sys.float_info.max).max())
    finite = one[one.abs() < MASKED].abs()
    scale = float(finite.max()) if finite.numel() else 0.0
    return max_abs, min(max_abs / (scale or 1.0), sys.float_info.max)


def within(found: tuple[OutputDifference, ...], tolerance: float, reference: str) -> None:
    """``MismatchError`` for the worst output that is further from its reference than the tolerance."""
    worst = max(found, key=lambda one: one.max_relative)
    if not worst.max_relative <= tolerance:
        msg = (
            f"output {worst.name!r} differs from {reference} by {worst.max_relative:.3g} "
            f"relative to max|reference|; the tolerance is {tolerance:g}"
        )
        raise MismatchError(msg)


def check_generated(expected: torch.Tensor, found: torch.Tensor, tolerance: float, reference: str) -> None:
    """``MismatchError`` where what ``generate`` gave is not the reference's.

    Tokens must be the same; some types give a sound, whose numbers may differ as any output's.
    """
    if expected.is_floating_point():
        within(differences({"generated": expected}, {"generated": found}), tolerance, reference)
    elif not torch.equal(expected, found.cpu()):
        msg = f"greedy tokens {found.tolist()[0]} differ from those of {reference}: {expected.tolist()[0]}"
        raise MismatchError(msg)


def effect(before: Outputs, after: Outputs, names: Iterable[str]) -> float:
    """How much another input changed that of the named outputs which it changed most, relative to max|output|.

    Only a task's own outputs are asked: an intermediate that is passed through (the image features beside the
    logits of a vision-language model) shows nothing. Another shape is another output: 1.
    """
    changes = [
        distance(before[name], after[name])[1] if before[name].shape == after[name].shape else 1.0 for name in names
    ]
    return max(changes)


def all_matter(effects: Mapping[str, float], excused: Mapping[str, str]) -> None:
    """``MismatchError`` naming the inputs whose change changed nothing."""
    idle = [name for name, value in effects.items() if not value > LEAST_EFFECT and name not in excused]
    if idle:
        msg = f"a second, different {' and '.join(idle)} did not change the output"
        raise MismatchError(msg)
