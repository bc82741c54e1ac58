"""What we change in the libraries so that a model converts; a cell that needs one of these passed with its name.

Each repair says which errors it mends, so that none is tried in vain and every model is first tried as shipped.
"""

import contextlib
import functools
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from harness.cell.openvino.followed import lists_of_tensors, nothing_remembered, remembers, sizes_that_round
from harness.cell.openvino.runtime import COUNT
from harness.cell.openvino.scan import closed_scan, has_scan
from harness.cell.openvino.written_out import WRITTEN_OUT, WrittenOut, is_named
from harness.cell.outputs import MismatchError


@dataclass(frozen=True)
class Repair:
    """A change of the libraries or the model, in force while a model is converted."""

    name: str
    what: str
    mends: Callable[[BaseException], bool]
    applied: Callable[[Any], contextlib.AbstractContextManager[None]]
    fits: Callable[[Any], bool] = lambda model: hasattr(model, "config")
    """Whether the model has what it changes."""


def _went_through(*files: str) -> Callable[[BaseException], bool]:
    """Whether an error was raised in, or below, code of one of these files."""

    def passed(error: BaseException | None) -> bool:
        while error is not None:  # converters raise errors of their own out of those that tracing met
            if any(frame.filename.endswith(files) for frame in traceback.extract_tb(error.__traceback__)):
                return True
            error = error.__cause__ or error.__context__
        return False

    return passed


def _says(*words: str) -> Callable[[BaseException], bool]:
    return lambda error: any(word in str(error) for word in words)


def _has(attribute: str) -> Callable[[Any], bool]:
    return lambda model: hasattr(model, attribute)


def _names(operator: WrittenOut, error: BaseException) -> bool:
    if type(error).__name__ == "OpConversionFailure":
        return is_named(operator.operator, str(error))
    return operator.says is not None and operator.says in str(error)


# --- masks --------------------------------------------------------------------------------------------


def _broadcast_mask(  # noqa: PLR0917 -- transformers passes these by position
    batch_size: Any,
    q_length: Any = None,
    kv_length: Any = None,
    q_offset: Any = 0,
    kv_offset: Any = 0,
    mask_function: Any = None,
    attention_mask: torch.Tensor | None = None,
    cache_position: torch.Tensor | None = None,
    device: Any = "cpu",
    **_skips: Any,
) -> torch.Tensor:
    """The mask of transformers' ``sdpa_mask``, always in full, out of operations that a tracer follows.

    Lengths may be tensors of no dimension, as they are while torch.jit traces; older versions give the positions
    of the queries (``cache_position``) in place of their number. Nothing is vmapped: mask functions take positions
    that are broadcast against each other just as well.
    """
    from transformers.masking_utils import and_masks, causal_mask_function, padding_mask_function

    if cache_position is None and isinstance(q_length, torch.Tensor) and q_length.dim():
        cache_position = q_length
    queries = cache_position if cache_position is not None else torch.arange(q_length, device=device) + q_offset
    keys = torch.arange(kv_length, device=queries.device) + kv_offset
    function = mask_function or causal_mask_function
    if attention_mask is not None:
        function = and_masks(function, padding_mask_function(attention_mask.to(torch.bool)))
    items, heads = torch.arange(batch_size, device=queries.device), torch.arange(1, device=queries.device)
    mask: torch.Tensor = function(
        items[:, None, None, None], heads[None, :, None, None], queries[None, None, :, None], keys[None, None, None, :]
    )
    return mask.expand(batch_size, -1, queries.shape[0], keys.shape[0])


@contextlib.contextmanager
def _traceable_masks(_model: Any) -> Iterator[None]:
    from transformers import masking_utils

    before = masking_utils.sdpa_mask
    functions = masking_utils.ALL_MASK_ATTENTION_FUNCTIONS
    in_table = functions["sdpa"]
    masking_utils.sdpa_mask = _broadcast_mask
    functions["sdpa"] = _broadcast_mask
    try:
        yield
    finally:
        masking_utils.sdpa_mask = before
        functions["sdpa"] = in_table


@contextlib.contextmanager
def _left_out_masks(_model: Any) -> Iterator[None]:
    from transformers import masking_utils

    before = masking_utils.is_tracing
    masking_utils.is_tracing = lambda _tensor=None: False
    try:
        yield
    finally:
        masking_utils.is_tracing = before


def _attends_to_all(model: Any) -> bool:
    return any(getattr(part, "is_causal", None) is False for part in model.modules())


# --- attention and experts ----------------------------------------------------------------------------


@contextlib.contextmanager
def _batched_experts(model: Any) -> Iterator[None]:
    before = model.get_experts_implementation() if hasattr(model, "get_experts_implementation") else "eager"
    model.set_experts_implementation("batched_mm")
    try:
        yield
    finally:
        model.set_experts_implementation(before)


@contextlib.contextmanager
def _eager_attention(model: Any) -> Iterator[None]:
    before = model.config._attn_implementation  # noqa: SLF001 -- where transformers keeps it
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before or "sdpa")


@contextlib.contextmanager
def _every_expert(model: Any) -> Iterator[None]:
    """Loops over the experts that some token was sent to run over all of them: those without a token add nothing.

    The loops ask a row of flags, one for each expert, for the places of those that are set. Some have one flag more,
    for tokens that go to none.
    """
    numbers = {part.num_experts for part in model.modules() if isinstance(getattr(part, "num_experts", None), int)}
    before = torch.Tensor.nonzero

    def nonzero(self: torch.Tensor, **named: Any) -> Any:
        if self.dim() == 1 and self.dtype == torch.bool and not named:
            count = int(self.shape[0])
            return torch.arange(count - 1 if count - 1 in numbers else count, device=self.device)[:, None]
        return before(self, **named)

    torch.Tensor.nonzero = nonzero
    try:
        yield
    finally:
        torch.Tensor.nonzero = before


def _can_batch_experts(error: BaseException) -> bool:
    return _went_through("integrations/moe.py")(error) or _says("grouped_mm", "histc", "one_hot", "nonzero")(error)


def _misses_other_values(error: BaseException) -> bool:
    return isinstance(error, MismatchError) and ", given other " in str(error)


DRAWS = Repair(
    "random numbers as inputs",
    "random numbers drawn by PyTorch and given to the model, in place of OpenVINO's own, which are others",
    lambda error: bool(COUNT.draws) and (isinstance(error, MismatchError) or "rand" in str(error)),
    lambda _model: contextlib.nullcontext(),
)

_OPERATORS = tuple(
    Repair(
        f"{one.operator.removeprefix('aten::').strip('_')} written out",
        f"{one.operator} in operators that OpenVINO's converters know",
        functools.partial(_names, one),
        one.applied,
    )
    for one in WRITTEN_OUT
)

REPAIRS: tuple[Repair, ...] = (
    Repair(
        "closed scan",
        "a state space model's recurrence in one expression, in place of a loop that is bound to one length",
        lambda _error: True,
        closed_scan,
        has_scan,
    ),
    DRAWS,
    Repair(
        "traceable masks",
        "attention masks made by broadcasting, in full, in place of transformers' own way, which tracers cannot follow",
        lambda error: _went_through("masking_utils.py")(error) or _says("vmap")(error),
        _traceable_masks,
    ),
    Repair(
        "masks left out",
        "no attention mask where transformers makes none for a text without padding: of types whose attention is not "
        "causal by itself, that attends to all, where the mask that is made for a tracer is causal",
        lambda error: isinstance(error, MismatchError),
        _left_out_masks,
        _attends_to_all,
    ),
    Repair(
        "batched experts",
        "experts computed by batched matrix products, which converters know, in place of grouped ones",
        _can_batch_experts,
        _batched_experts,
        _has("set_experts_implementation"),
    ),
    Repair(
        "every expert",
        "loops over the experts that were hit, whose number converters cannot know, run over all experts",
        _says("prim::ListUnpack", "aten::nonzero", "unbind", "expert"),
        _every_expert,
    ),
    Repair(
        "eager attention",
        "attention written out in matrix products in place of PyTorch's fused function",
        _says("scaled_dot_product_attention", "ScaledDotProductAttention"),
        _eager_attention,
        _has("set_attn_implementation"),
    ),
    *_OPERATORS,
    Repair(
        "sizes that round",
        "sizes rounded by what they are, where tracing has made tensors of them",
        _says("__round__"),
        sizes_that_round,
    ),
    Repair(
        "nothing remembered",
        "answers that the model keeps by the values that it was asked with computed anew",
        lambda _error: True,
        nothing_remembered,
        remembers,
    ),
    Repair(
        "lists of tensors",
        "lists made of tensors of whole numbers hold tensors, which are no constants",
        _misses_other_values,
        lists_of_tensors,
    ),
)


@contextlib.contextmanager
def repaired(model: Any, repairs: tuple[Repair, ...]) -> Iterator[None]:
    """With these repairs in force."""
    with contextlib.ExitStack() as stack:
        for repair in repairs:
            stack.enter_context(repair.applied(model))
        yield


def next_repairs(error: BaseException, model: Any, already: tuple[Repair, ...]) -> tuple[Repair, ...]:
    """The first repair not yet in force that mends this error, and that the model knows; of operators, all of them."""
    found = [one for one in REPAIRS if one not in already and one.mends(error) and one.fits(model)]
    operators = tuple(one for one in found if one in _OPERATORS)
    return operators if found and found[0] in operators else tuple(found[:1])


# --- optimum-intel's own models -----------------------------------------------------------------------


def mended_attribute(error: AttributeError, model: Any, eager: Any) -> str | None:
    """Give an optimum-intel model, or its config, the attribute that it was found to lack; the repair's name.

    Its classes lack some that every PyTorch model has and pipelines ask for, and read from the config of a whole
    some that only that of its text part has. None where nothing knows a value for it.
    """
    lacking, name = error.obj, error.name
    if name is None:
        return None
    if lacking is model and hasattr(eager, name):
        setattr(model, name, getattr(eager, name))
    elif lacking is model.config and lacking.get_text_config() is not lacking:
        setattr(lacking, name, getattr(lacking.get_text_config(), name, None))
    else:
        return None
    return f"{name} for {type(lacking).__name__}"
