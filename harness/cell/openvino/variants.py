"""OpenVINO's own options, one at a time: precision of inference, compression of weights, performance hints."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from harness.cell.executors.on_openvino import Executor
from harness.cell.openvino.loaded import Loaded
from harness.cell.openvino.routes import CONVERTING
from harness.cell.openvino.runtime import Compress
from harness.cell.synthesis.checkpoint import Checkpoint
from harness.records import Execution, Stage, VariantName


class RefusedError(Exception):
    """The option is none for this route."""


@dataclass(frozen=True)
class Option:
    """What a model is compiled with, and what becomes of its weights before."""

    properties: Mapping[str, str] = field(default_factory=dict)
    bits: int | None = None
    """Of a weight; None: they stay float32."""


OPTIONS: Final[dict[VariantName, Option]] = {
    "float16": Option({"INFERENCE_PRECISION_HINT": "f16", "KV_CACHE_PRECISION": "f16"}),
    "bfloat16": Option({"INFERENCE_PRECISION_HINT": "bf16", "KV_CACHE_PRECISION": "bf16"}),
    "weights-float16": Option(bits=16),
    "weights-int8": Option(bits=8),
    "weights-int4": Option(bits=4),
    "latency": Option({"PERFORMANCE_HINT": "LATENCY"}),
    "throughput": Option({"PERFORMANCE_HINT": "THROUGHPUT"}),
}


class _Unheard:
    """Takes the stages of a load that is none of the cell's."""

    stage: Stage = "measure"

    def enter(self, stage: Stage) -> None:
        self.stage = stage


@contextlib.contextmanager
def loaded_with(name: VariantName, execution: Execution, loaded: Loaded, checkpoint: Checkpoint) -> Iterator[Loaded]:
    """The checkpoint by the cell's own route, with the option; the cell's own conversion is in its place afterwards."""
    option = OPTIONS[name]
    if option.bits is not None and loaded.route == "torch.compile":
        msg = "torch.compile gives no model to compress"
        raise RefusedError(msg)
    executor = Executor(execution, option.properties, _COMPRESSIONS[option.bits])
    if loaded.swap is None:
        yield executor.by_optimum(_Unheard(), checkpoint, loaded.weights)
        return
    route = next(one for one in CONVERTING if one.name == loaded.route)
    loaded.undo()
    try:
        yield executor.by_converting(_Unheard(), route, loaded.weights, loaded.method, loaded.repairs)
    finally:
        loaded.swap.lift()
        loaded.swap.put()


def _half(model: Any) -> None:
    from openvino._offline_transformations import compress_model_transformation

    compress_model_transformation(model)


def _eight_bits(model: Any) -> None:
    import nncf

    nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_ASYM)


def _four_bits(model: Any) -> None:
    import nncf

    # A scale for each channel: a tiny model has fewer weights in one than a group of the default size.
    nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT4_SYM, group_size=-1)


_COMPRESSIONS: Final[dict[int | None, Compress | None]] = {None: None, 16: _half, 8: _eight_bits, 4: _four_bits}
