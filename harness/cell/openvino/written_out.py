"""Operators that OpenVINO's converters have no rule for, written out in those that they know.

Each stands in for PyTorch's own only while a model is converted, and only where the converter named it.
"""

import contextlib
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional


@dataclass(frozen=True)
class WrittenOut:
    """A function that computes what the operator does, and the places that PyTorch's own is called from."""

    operator: str
    function: Callable[..., Any]
    places: tuple[tuple[Any, str], ...]
    says: str | None = None
    """What OpenVINO says where it knows the operator, and not all of it."""

    @contextlib.contextmanager
    def applied(self, _model: Any) -> Iterator[None]:
        """In these places for a block."""
        before = [(owner, name, getattr(owner, name)) for owner, name in self.places]
        for owner, name in self.places:
            setattr(owner, name, self.function)
        try:
            yield
        finally:
            for owner, name, original in before:
                setattr(owner, name, original)


def _unfold(self: torch.Tensor, dimension: int, size: int, step: int) -> torch.Tensor:
    dimension %= self.dim()
    starts = torch.arange(0, self.shape[dimension] - size + 1, step, device=self.device)
    places = (starts[:, None] + torch.arange(size, device=self.device)[None, :]).reshape(-1)
    taken = self.index_select(dimension, places)
    shape = (*self.shape[:dimension], starts.shape[0], size, *self.shape[dimension + 1 :])
    apart = taken.reshape(shape)
    order = [place for place in range(apart.dim()) if place != dimension + 1]
    return apart.permute(*order, dimension + 1)


def _diff(
    value: torch.Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: torch.Tensor | None = None,
    append: torch.Tensor | None = None,
) -> torch.Tensor:
    parts = [one for one in (prepend, value, append) if one is not None]
    whole = torch.cat(parts, dim) if len(parts) > 1 else value
    for _ in range(n):
        length = whole.shape[dim]
        later, earlier = whole.narrow(dim, 1, length - 1), whole.narrow(dim, 0, length - 1)
        whole = later ^ earlier if whole.dtype == torch.bool else later - earlier
    return whole


_CAT = torch.cat


def _cat(tensors: Sequence[torch.Tensor], *positional: Any, **named: Any) -> torch.Tensor:
    # PyTorch passes over tensors of one dimension with nothing in them, whatever the others' dimensions: caches
    # begin as such.
    held = [one for one in tensors if one.dim() != 1 or one.shape[0]]
    return _CAT(held or list(tensors), *positional, **named)


def _mse_loss(
    value: torch.Tensor, target: torch.Tensor, *_old: Any, reduction: str = "mean", **_more: Any
) -> torch.Tensor:
    squared = (value - target) ** 2
    return squared if reduction == "none" else squared.mean() if reduction == "mean" else squared.sum()


def _isin(elements: Any, test_elements: Any, *, invert: bool = False, **_more: Any) -> torch.Tensor:
    held, asked = torch.as_tensor(elements), torch.as_tensor(test_elements)
    found = (held[..., None] == asked.reshape(-1)).any(dim=-1)
    return ~found if invert else found


def _logit(value: torch.Tensor, eps: float | None = None) -> torch.Tensor:
    kept = value if eps is None else value.clamp(eps, 1 - eps)
    return torch.log(kept / (1 - kept))


def _running(value: torch.Tensor, dim: int, *, largest: bool) -> Any:
    """The largest or least of all up to a place, and where that is: the last such place, as PyTorch has it."""
    moved = value.movedim(dim, -1)
    length = moved.shape[-1]
    places = torch.arange(length, device=value.device)
    until = places[:, None] >= places[None, :]
    spread = moved[..., None, :].expand(*moved.shape[:-1], length, length)
    # What comes later is left out by the first of all, which is always there.
    found = torch.where(until, spread, moved[..., :1, None])
    best = found.amax(dim=-1) if largest else found.amin(dim=-1)
    last = torch.where(until & (spread == best[..., None]), places, 0).amax(dim=-1)
    made: Any = torch.return_types.cummax if largest else torch.return_types.cummin
    return made((best.movedim(-1, dim), last.movedim(-1, dim)))


def _cummax(value: torch.Tensor, dim: int) -> Any:
    return _running(value, dim, largest=True)


def _cummin(value: torch.Tensor, dim: int) -> Any:
    return _running(value, dim, largest=False)


_SHIFT = 8
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680)


def _lgamma(value: torch.Tensor) -> torch.Tensor:
    """Of positive numbers, as distributions have them: Stirling's series eight further on, and the way back."""
    further = value + _SHIFT
    inverse = 1 / further
    series = sum(one * inverse ** (2 * place + 1) for place, one in enumerate(_STIRLING))
    there = (further - 0.5) * torch.log(further) - further + 0.5 * math.log(2 * math.pi) + series
    product = value
    for step in range(1, _SHIFT):
        product = product * (value + step)
    return there - torch.log(product)


def _conj(value: torch.Tensor) -> torch.Tensor:
    return torch.complex(value.real, -value.imag) if value.is_complex() else value


_SET_ITEM = torch.Tensor.__setitem__


def _set_item(self: torch.Tensor, index: Any, value: Any) -> None:
    masked = isinstance(index, torch.Tensor) and index.dtype == torch.bool
    if masked and getattr(value, "ndim", 0) == self.dim() - index.dim() + 1:
        # Rows of their own for the places of a mask, whose number no converter knows: each place takes its row.
        rows = torch.cat([value, value.new_zeros((1, *value.shape[1:]))])
        place = torch.where(index.reshape(-1), index.reshape(-1).long().cumsum(0) - 1, rows.shape[0] - 1)
        taken = rows.index_select(0, place).reshape(self.shape)
        kept = index.reshape(*index.shape, *[1] * (self.dim() - index.dim()))
        self.copy_(torch.where(kept, taken, self))
        return
    # A single number put in many places, some of which are named by their numbers, is first made as many.
    apart = isinstance(index, tuple) and any(isinstance(one, torch.Tensor | list) for one in index)
    if apart and not (isinstance(value, torch.Tensor) and value.dim()):
        there = self[index]
        value = torch.zeros_like(there) + torch.as_tensor(value, dtype=self.dtype, device=self.device)
    _SET_ITEM(self, index, value)


_RFFT = torch.fft.rfft


def _rfft(value: torch.Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> torch.Tensor:
    # With zeros behind it where it is asked for more than it has.
    length = value.shape[dim]
    if n is not None and n > length:
        shape = list(value.shape)
        shape[dim] = n - length
        value = torch.cat([value, value.new_zeros(shape)], dim=dim)
    elif n is not None:
        value = value.narrow(dim, 0, n)
    return _RFFT(value, dim=dim, norm=norm)


_AVG_POOL = functional.avg_pool2d


def _avg_pool2d(
    value: torch.Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    *more: Any,
    **named: Any,
) -> torch.Tensor:
    # PyTorch leaves out of a window what lies beyond the image, where it rounds up the number of windows.
    sides = [int(one) for one in value.shape[-2:]]
    kernel = [kernel_size] * 2 if isinstance(kernel_size, int) else list(kernel_size)
    if ceil_mode and not padding and all(one >= side for one, side in zip(kernel, sides, strict=True)):
        return value.mean(dim=(-2, -1), keepdim=True)
    return _AVG_POOL(value, kernel_size, stride, padding, ceil_mode, *more, **named)


def _solve_triangular(
    matrix: torch.Tensor, values: torch.Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> torch.Tensor:
    if not left:
        turned = _solve_triangular(matrix.mT, values.mT, upper=not upper, unitriangular=unitriangular)
        return turned.mT
    strict, answer = matrix.triu(1) if upper else matrix.tril(-1), values
    if not unitriangular:
        diagonal = matrix.diagonal(dim1=-2, dim2=-1)[..., None]
        strict, answer = strict / diagonal, answer / diagonal
    # 1 / (1 + N) is (1 - N)(1 + N²)(1 + N⁴)…: the factors end, for a strict triangle to the power of its size is 0.
    power = -strict
    for _ in range((int(matrix.shape[-1]) - 1).bit_length()):
        answer = answer + power @ answer
        power = power @ power
    return answer


_REPEAT = torch.repeat_interleave


def _repeat_interleave(value: torch.Tensor, repeats: Any = None, dim: int | None = None, **more: Any) -> torch.Tensor:
    if not isinstance(repeats, torch.Tensor):
        return _REPEAT(value, repeats, dim, **more)
    held = value.reshape(-1) if dim is None else value
    ends = repeats.expand(held.shape[dim or 0]).cumsum(0)
    places = (torch.arange(ends[-1], device=ends.device)[:, None] >= ends[None, :]).sum(dim=1)
    return held.index_select(dim or 0, places)


_SCATTER, _FULL_LIKE = torch.Tensor.scatter, torch.full_like


def _number(value: Any) -> Any:
    # torch.jit has no operator that takes True or False where a number belongs, and fails on its own trace.
    return int(value) if isinstance(value, bool) else value


def _scatter(self: torch.Tensor, dim: int, index: torch.Tensor, src: Any = None, **more: Any) -> torch.Tensor:
    value = more.pop("value", src)
    return _SCATTER(self, dim, index, _number(value), **more)


def _full_like(value: torch.Tensor, fill_value: Any, **more: Any) -> torch.Tensor:
    return _FULL_LIKE(value, _number(fill_value), **more)


WRITTEN_OUT = (
    WrittenOut("aten::unfold", _unfold, ((torch.Tensor, "unfold"),)),
    WrittenOut("aten::diff", _diff, ((torch, "diff"), (torch.Tensor, "diff"))),
    WrittenOut("aten::cat", _cat, ((torch, "cat"),)),
    WrittenOut("aten::mse_loss", _mse_loss, ((functional, "mse_loss"),)),
    WrittenOut("aten::isin", _isin, ((torch, "isin"),)),
    WrittenOut("aten::logit", _logit, ((torch, "logit"), (torch.special, "logit"), (torch.Tensor, "logit"))),
    WrittenOut("aten::special_logit", _logit, ((torch.special, "logit"),)),
    WrittenOut("aten::cummax", _cummax, ((torch, "cummax"), (torch.Tensor, "cummax"))),
    WrittenOut("aten::cummin", _cummin, ((torch, "cummin"), (torch.Tensor, "cummin"))),
    WrittenOut("aten::lgamma", _lgamma, ((torch, "lgamma"), (torch.Tensor, "lgamma"))),
    WrittenOut("aten::_conj", _conj, ((torch, "conj"), (torch.Tensor, "conj"))),
    WrittenOut("aten::index_put_", _set_item, ((torch.Tensor, "__setitem__"),)),
    WrittenOut("aten::fft_rfft", _rfft, ((torch.fft, "rfft"),), says="of type RDFT"),
    WrittenOut("aten::avg_pool2d", _avg_pool2d, ((functional, "avg_pool2d"),), says="AvgPool node"),
    WrittenOut("aten::linalg_solve_triangular", _solve_triangular, ((torch.linalg, "solve_triangular"),)),
    WrittenOut(
        "aten::repeat_interleave",
        _repeat_interleave,
        ((torch, "repeat_interleave"), (torch.Tensor, "repeat_interleave")),
        says="aten::repeat_interleave/Tile",
    ),
    WrittenOut("aten::scatter", _scatter, ((torch.Tensor, "scatter"),), says="an op for aten::scatter but"),
    WrittenOut("aten::full_like", _full_like, ((torch, "full_like"),), says="an op for aten::full_like but"),
)
"""By the operator's name in torch.jit; torch.export's has a point in place of the colons, and an overload."""


def is_named(operator: str, message: str) -> bool:
    """Whether a converter's message names the operator, in the one way or the other."""
    exported = re.escape(operator.replace("::", "."))
    return re.search(rf"\b(?:{re.escape(operator)}|{exported}\.\w+)\b", message) is not None
