"""PyTorch itself: the checkpoint loaded with ``from_pretrained``, on the CPU or moved to a device."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import transformers

from harness.cell import measure, outputs
from harness.cell.digest import tensors_digest
from harness.cell.draft import Draft
from harness.cell.executors import cuda
from harness.cell.executors.same_draws import SameDraws
from harness.cell.outputs import MismatchError, Outputs
from harness.cell.synthesis.checkpoint import Checkpoint, own_memory
from harness.cell.synthesis.inputs import Inputs
from harness.cell.synthesis.processors import Processors
from harness.cell.task_table import Task
from harness.no_device import NoDeviceError
from harness.records import Device, Execution


def warm() -> None:
    """Nothing beyond this module's own imports."""


class Executor:
    """Eager PyTorch on one of its devices."""

    def __init__(self, execution: Execution) -> None:
        self.device = torch.device(execution.device)
        if self.device.type == "cuda":
            self.device = cuda.settled(execution)

    def load(self, draft: Draft, checkpoint: Checkpoint, inputs: Inputs, task: Task, method: str | None) -> "Loaded":  # noqa: ARG002 -- nothing is traced here
        """Load, check that every key found its place, and move to the device: its time counts as loading."""
        draft.enter("load")
        with measure.timed() as watch:
            model, report = load_with_report(checkpoint)
        check_keys(report, checkpoint.spare)
        own_memory(model)
        loaded = Loaded(model.eval(), self.device, method)
        with measure.timed(self._synchronise) as moving:
            model.to(self.device)
        draft.measured(load_seconds=watch.seconds + moving.seconds)
        return loaded

    def pipeline(
        self,
        draft: Draft,
        checkpoint: Checkpoint,
        task: Task,
        processors: Processors,
    ) -> "tuple[Any, Loaded]":
        """``pipeline(task, model=folder)``, as a user calls it."""
        draft.enter("load")
        with measure.timed(self._synchronise) as watch:
            pipe = checkpoint.open_pipeline(
                task.name, **as_user_says(checkpoint, processors), device=self.device, **checkpoint.options
            )
        draft.measured(load_seconds=watch.seconds)
        own_memory(pipe.model)
        return pipe, Loaded(pipe.model, self.device)

    def _synchronise(self) -> None:
        synchronise(self.device)


def as_user_says(checkpoint: Checkpoint, processors: Processors) -> dict[str, Any]:
    """What a pipeline is given: the folder; where its class has no public name, the loaded model and its processors."""
    folder = str(checkpoint.folder)
    model_class = type(checkpoint.model)
    ours = model_class.__module__.startswith("transformers.")  # and not another library's, or a checkpoint's own code
    if not ours or hasattr(transformers, model_class.__name__):
        return {"model": folder}
    beside = [role for role in ("tokenizer", "image_processor") if role in processors.made]
    return {"model": checkpoint.loader.from_pretrained(folder), **dict.fromkeys(beside, folder)}


class Placed(dict[str, Any]):
    """Values on the device, for calls that are timed: nothing else is done in them."""


@dataclass(frozen=True)
class Loaded:
    """A PyTorch model on its device."""

    model: Any
    device: torch.device
    method: str | None = None
    caches: bool = True

    def place(self, values: Mapping[str, Any]) -> "Placed":
        """On the model's device."""
        return Placed(outputs.moved(dict(values), self.device))

    def comparable(self, reference: Outputs, found: Outputs) -> tuple[Outputs, Outputs]:
        """All of them."""
        return reference, found

    def call(self, values: Mapping[str, Any]) -> Outputs:
        """One forward pass; its outputs stay on the device.

        With random numbers of the CPU's generator, as the reference's are; where values were placed, the call is
        for its time, and draws on the device.
        """
        if isinstance(values, Placed):
            return outputs.call(self.model, values, self.method)
        placed = self.place(values)
        found = outputs.call(self.model, placed, self.method)
        if (alike := self.same_draws()) is not None:
            with alike:
                found = outputs.call(self.model, placed, self.method)
        return found

    def generate(self, values: Mapping[str, Any], tokens: int = outputs.NEW_TOKENS) -> torch.Tensor:
        """The model's own ``generate``, its random numbers drawn as those of ``call``."""
        placed = self.place(values)
        found = outputs.generate(self.model, placed, tokens)
        if not isinstance(values, Placed) and (alike := self.same_draws()) is not None:
            with alike:
                found = outputs.generate(self.model, placed, tokens)
        return found

    def same_draws(self) -> SameDraws | None:
        """After a call that drew on the GPU: the block in which it draws on the CPU."""
        return SameDraws(self.device) if self.device.type == "cuda" and cuda.has_drawn(self.device) else None

    def synchronise(self) -> None:
        """Wait for the device's queue."""
        synchronise(self.device)

    def proof(self) -> dict[str, Any]:
        """The weights and where they lie: all of them on the device."""
        parameters = dict(self.model.named_parameters())
        if any(one.device.type != self.device.type for one in parameters.values()):
            msg = f"parameters on {', '.join(outputs.devices(parameters))}, where the device is {self.device}"
            raise MismatchError(msg)
        return {
            "model_class": type(self.model).__name__,
            "weights_sha256": tensors_digest(self.model.state_dict()),
            "parameter_devices": outputs.devices(parameters),
            "execution_device": cuda.name_of(self.device) if self.device.type == "cuda" else str(self.device),
        }

    def executed(self) -> dict[str, Any]:
        """Nothing beyond the devices of outputs and parameters: PyTorch has no fallback to another device."""
        return {}

    def figures(self) -> dict[str, Any]:
        """The GPU's memory; on the CPU the child's own is all there is."""
        return cuda.memory(self.device) if self.device.type == "cuda" else {}


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all that it was asked to do; the CPU has no queue."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def load_with_report(checkpoint: Checkpoint) -> tuple[Any, Any]:
    """The model and the report of its keys; a report made here, where the class cannot give one."""
    load = checkpoint.loader.from_pretrained
    try:
        model, report = load(checkpoint.folder, output_loading_info=True, **checkpoint.options)
    except AttributeError as error:
        # A class that takes the pair for its model, in an override of from_pretrained: "'tuple' object has no …".
        if "'tuple' object" not in str(error):
            raise
        model = load(checkpoint.folder, **checkpoint.options)
        saved, loaded = checkpoint.model.state_dict(), model.state_dict()
        wrong = [
            name
            for name in saved.keys() | loaded.keys()
            if name not in saved or name not in loaded or not torch.equal(saved[name], loaded[name])
        ]
        report = {"unequal_keys": wrong}
    return model, report


def check_keys(report: Any, spare: Container[str] = ()) -> None:
    """Every key of the checkpoint found its place and none was left to chance; else ``MismatchError``.

    ``spare`` are the kinds of keys that there may be more of.
    """
    wrong = {kind: sorted(str(key) for key in report[kind]) for kind in report if report[kind] and kind not in spare}
    if wrong:
        told = "; ".join(f"{len(keys)} {kind.replace('_', ' ')}: {', '.join(keys[:3])}" for kind, keys in wrong.items())
        raise MismatchError(told)


def device_of(execution: Execution) -> Device | None:
    """The device described; the CPU needs none."""
    kind = torch.device(execution.device).type
    if kind == "cpu":
        return None
    if kind == "cuda":
        return cuda.device_of(execution)
    raise NoDeviceError(f"nothing here knows how to ask for torch's device {execution.device!r}")
