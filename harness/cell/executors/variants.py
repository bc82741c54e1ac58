"""Other ways to run the same checkpoint in its runtime: what each costs in error, and saves in time.

They are measured after the cell's own comparison and figures, and never change its verdict: a variant that does not
run says why, and the next is tried.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch

from harness.cell import compare, measure
from harness.cell.executors.on_torch import Loaded
from harness.cell.outputs import Outputs
from harness.cell.synthesis.checkpoint import Checkpoint
from harness.device_faults import fault_of
from harness.records import Execution, Latency, Variant, VariantName
from harness.text import first_line

_WARMUP: Final = 3  # the first call of a compiled model compiles it


class RefusedError(Exception):
    """This variant is none for this model or device."""


@dataclass(frozen=True)
class _Way:
    """How a variant differs: in what ``from_pretrained`` is told, in the loaded model, or in a switch of torch."""

    options: Mapping[str, str] | None = None
    change: Callable[[Any], Any] = lambda model: model
    dtype: torch.dtype | None = None
    tf32: bool = False


_WAYS: Final[dict[VariantName, _Way]] = {
    "float16": _Way(dtype=torch.float16),
    "bfloat16": _Way(dtype=torch.bfloat16),
    "tf32": _Way(tf32=True),
    "eager": _Way(options={"attn_implementation": "eager"}),
    "sdpa": _Way(options={"attn_implementation": "sdpa"}),
    "flash_attention_2": _Way(options={"attn_implementation": "flash_attention_2"}, dtype=torch.bfloat16),
    "compile": _Way(change=torch.compile),
}


def measure_variants(
    execution: Execution,
    loaded: Any,
    checkpoint: Checkpoint,
    values: Mapping[str, Any],
    reference: Outputs,
    steady: Latency,
) -> Iterator[Variant]:
    """Each variant of the execution, as it is measured, held against the cell's own reference and latency.

    Where the device fails, the error is raised once its variant is told: nothing can run after it.
    """
    for name in execution.variants:
        try:
            if execution.runtime == "openvino":
                yield _measured_on_openvino(name, execution, loaded, checkpoint, values, reference, steady)
            else:
                yield _measured(name, loaded, checkpoint, values, reference, steady)
        except Exception as error:
            yield Variant(name=name, refused=f"{type(error).__name__}: {first_line(str(error))}")
            fault = fault_of(error)
            if fault is not None and fault.outcome != "out-of-memory":
                raise
        finally:
            torch._dynamo.reset()  # noqa: SLF001 -- its public name; a compiled model is not to shape the next


def _measured(
    name: VariantName,
    loaded: Any,
    checkpoint: Checkpoint,
    values: Mapping[str, Any],
    reference: Outputs,
    steady: Latency,
) -> Variant:
    way = _WAYS[name]
    if not isinstance(loaded, Loaded):
        msg = "the runtime is not PyTorch"
        raise RefusedError(msg)
    if way.tf32 and loaded.device.type != "cuda":
        msg = "TF32 is a way of GPUs to multiply"
        raise RefusedError(msg)
    model = checkpoint.loader.from_pretrained(checkpoint.folder, **checkpoint.options, **(way.options or {})).eval()
    if way.options and (found := getattr(model.config, "_attn_implementation", None)) not in way.options.values():
        msg = f"the model took attention {found!r}"
        raise RefusedError(msg)
    model = model.to(loaded.device, way.dtype)
    other = Loaded(way.change(model), loaded.device, loaded.method)
    given = other.place({key: _cast(value, way.dtype) for key, value in values.items()})
    with _tf32(on=way.tf32):
        return _held(name, other, given, steady, lambda found: (reference, found))


def _measured_on_openvino(
    name: VariantName,
    execution: Execution,
    loaded: Any,
    checkpoint: Checkpoint,
    values: Mapping[str, Any],
    reference: Outputs,
    steady: Latency,
) -> Variant:
    from harness.cell.openvino.variants import loaded_with

    with loaded_with(name, execution, loaded, checkpoint) as other:
        held = _held(name, other, values, steady, lambda found: other.comparable(reference, found))
        return held.model_copy(update={"converted_bytes": other.figures_.ir_bytes or None})


def _held(
    name: VariantName,
    other: Any,
    values: Mapping[str, Any],
    steady: Latency,
    comparable: Callable[[Outputs], tuple[Outputs, Outputs]],
) -> Variant:
    """What the variant costs in error and saves in time; ``comparable`` sets its outputs beside the reference's."""
    error = _error(*comparable(other.call(values)))
    latency = measure.latency(
        lambda: other.call(values), other.synchronise, measure.Rule(warmup=_WARMUP, iterations=steady.iterations)
    )
    return Variant(name=name, max_relative=error, latency=latency, speedup=steady.p50 / latency.p50)


def _error(reference: Outputs, found: Outputs) -> float:
    """The worst difference of an output, relative to max|reference|, whatever the dtype that it came in."""
    if reference.keys() != found.keys():
        msg = f"outputs {sorted(found)} where the reference has {sorted(reference)}"
        raise RefusedError(msg)
    unequal = [name for name in reference if reference[name].shape != found[name].shape]
    if unequal:
        msg = f"output {unequal[0]!r} has another shape"
        raise RefusedError(msg)
    return max(compare.distance(reference[name], found[name])[1] for name in reference)


def _cast(value: Any, dtype: torch.dtype | None) -> Any:
    """Floating inputs in the model's precision."""
    if dtype is not None and isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.to(dtype)
    return value


@contextlib.contextmanager
def _tf32(*, on: bool) -> Iterator[None]:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = on
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
