"""The routes by which a checkpoint comes to run on OpenVINO, in the order in which a user would try them."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.cell import measure
from harness.cell.openvino.runtime import Runtime
from harness.cell.openvino.swapped import Runner
from harness.cell.openvino.traced import Traced
from harness.records import Stage

Enter = Callable[[Stage], None]


@dataclass
class Figures:
    """What turning a model into OpenVINO's form took, over all its conversions."""

    export_seconds: float = 0.0
    compile_seconds: float = 0.0
    ir_bytes: int = 0


@dataclass(frozen=True)
class Route:
    """One way of converting a module; ``convert(traced, runtime, figures, enter)`` gives what runs it."""

    name: str
    what: str
    convert: Callable[[Traced, Runtime, Figures, Enter], Runner]
    in_parts: bool = False
    """The modules in a model are converted, and not the model."""


def _by_tracing(traced: Traced, runtime: Runtime, figures: Figures, enter: Enter) -> Runner:
    """``openvino.convert_model`` on the eager model, which it traces with torch.jit."""
    import openvino

    enter("export")
    with measure.timed() as watch:
        model = openvino.convert_model(traced, example_input=traced.example)
    figures.export_seconds += watch.seconds
    return _compiled(model, runtime, figures, enter)


def _by_exporting(traced: Traced, runtime: Runtime, figures: Figures, enter: Enter) -> Runner:
    """``torch.export``, with every dimension that can be left open left open, then ``openvino.convert_model``."""
    import openvino

    enter("export")
    with measure.timed() as watch:
        model = openvino.convert_model(_exported(traced))
    figures.export_seconds += watch.seconds
    return _compiled(model, runtime, figures, enter)


def _exported(traced: Traced) -> Any:
    from torch.export import Dim

    opened = tuple(dict.fromkeys(range(one.dim()), Dim.AUTO) for one in traced.example)
    return torch.export.export(traced, traced.example, dynamic_shapes={"tensors": opened}, strict=False)


@dataclass
class _Request:
    """What a compiled model is asked through, and the shapes that it was asked in last."""

    compiled: Any
    request: Any
    shapes: tuple[tuple[int, ...], ...] | None = None


def _compiled(model: Any, runtime: Runtime, figures: Figures, enter: Enter) -> Runner:
    import openvino

    if runtime.compress is not None:
        runtime.compress(model)
    figures.ir_bytes += size_of(model)
    enter("compile")
    with measure.timed() as watch:
        compiled = runtime.compile(model)
        held = _Request(compiled, compiled.create_infer_request())
    figures.compile_seconds += watch.seconds
    places = range(len(compiled.outputs))
    number = openvino.Tensor

    def run(tensors: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
        shapes = tuple(tuple(one.shape) for one in tensors)
        if held.shapes not in (None, shapes):
            # A request that changes its shapes may write where it must not: vipllava's ends in a broken heap.
            held.request = held.compiled.create_infer_request()
        held.shapes = shapes
        try:
            results = held.request.infer([number(one.detach().contiguous().numpy()) for one in tensors])
        except RuntimeError:
            # A compiled model that failed over one shape goes on to fail over those that it took before.
            held.compiled = runtime.compile(model)
            held.request, held.shapes = held.compiled.create_infer_request(), None
            raise
        return [torch.from_numpy(results[place]) for place in places]

    return run


def size_of(model: Any) -> int:
    """The bytes of the model saved in OpenVINO's format, in the precision that it has."""
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        openvino.save_model(model, str(Path(folder) / "model.xml"), compress_to_fp16=False)
        return sum(path.stat().st_size for path in Path(folder).iterdir())


def _by_compiling(traced: Traced, runtime: Runtime, figures: Figures, enter: Enter) -> Runner:
    """``torch.compile`` with OpenVINO's backend; what it takes is known once it has run, so it runs once here."""
    import openvino.torch  # noqa: F401 -- registers the backend

    enter("compile")
    options = {"aot_autograd": True, "device": runtime.device, "config": runtime.settings}
    compiled = torch.compile(traced, backend="openvino", options=options, dynamic=False)

    def run(tensors: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
        with torch.no_grad():
            # What OpenVINO's backend gives lies where its next answer will be written.
            return [one.clone() for one in compiled(*tensors)]

    with measure.timed() as watch:
        run(traced.example)
    figures.compile_seconds += watch.seconds
    return run


OPTIMUM = "optimum-intel"
CONVERTING = (
    Route("convert_model", "openvino.convert_model on the eager model", _by_tracing),
    Route("torch.export", "torch.export, then openvino.convert_model", _by_exporting),
    Route("convert_model in parts", "openvino.convert_model on the modules in the model", _by_tracing, in_parts=True),
    Route("torch.compile", 'torch.compile(backend="openvino")', _by_compiling),
)
"""Of a module that was loaded with transformers, after optimum-intel's own classes."""
