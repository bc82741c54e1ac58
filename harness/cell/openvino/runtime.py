"""One OpenVINO device with its settings, and the count of all that OpenVINO compiles and runs in this process.

The count stands at the door that every route goes through (optimum-intel, our own calls, torch.compile's backend),
so that a route cannot claim an inference that OpenVINO did not run.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

# Read when the conversion's telemetry starts, which would fork a process per event and ask the network; "1" is no
# value that it understands.
os.environ["CI"] = "true"

import openvino
from openvino import _ov_api

from harness.no_device import NoDeviceError
from harness.records import Device

FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
"""The KV cache of a stateful decoder has its own setting, and is float16 without it."""


Compress = Callable[[Any], None]
"""Makes an OpenVINO model's weights smaller, in place, before it is compiled."""


@dataclass
class Count:
    """What OpenVINO did in this process since it was last asked."""

    compiled: list[Any] = field(default_factory=list)
    inferences: int = 0
    draws: int = 0
    """How often the models that were converted drew random numbers when they last ran in PyTorch."""

    def execution_devices(self) -> tuple[str, ...]:
        """Where the compiled models execute, as each says itself."""
        named = {str(one) for compiled in self.compiled for one in compiled.get_property("EXECUTION_DEVICES")}
        return tuple(sorted(named))

    def operations(self) -> int:
        """The operations of all compiled models after their optimisation for the device."""
        return sum(len(compiled.get_runtime_model().get_ops()) for compiled in self.compiled)


COUNT = Count()


def start_counting() -> None:
    """Count from now on, in this process."""
    COUNT.compiled.clear()
    COUNT.inferences = COUNT.draws = 0
    request, core = _ov_api.InferRequest, _ov_api.Core
    if not getattr(request.infer, "counts", False):
        request.infer = _counting(request.infer)
        request.start_async = _counting(request.start_async)
        core.compile_model = _noting(core.compile_model)


def _counting(method: Any) -> Any:
    def counted(*positional: Any, **named: Any) -> Any:
        COUNT.inferences += 1
        return method(*positional, **named)

    counted.counts = True  # type: ignore[attr-defined]
    return counted


def _noting(method: Any) -> Any:
    def noted(*positional: Any, **named: Any) -> Any:
        compiled = method(*positional, **named)
        COUNT.compiled.append(compiled)
        return compiled

    return noted


@dataclass(frozen=True)
class Runtime:
    """A device that is there, and the properties that models are compiled with."""

    device: str
    properties: Mapping[str, str]
    compress: Compress | None = None

    @property
    def settings(self) -> dict[str, str]:
        return dict(self.properties)

    def compile(self, model: Any) -> Any:
        """Compile an OpenVINO model for the device."""
        return openvino.Core().compile_model(model, self.device, self.settings)


def runtime_on(device: str, properties: Mapping[str, str], compress: Compress | None = None) -> Runtime:
    """The runtime on a device of OpenVINO's; ``NoDeviceError`` with OpenVINO's own word where it is not there."""
    device_of(device)
    return Runtime(device, {**FLOAT32, **properties}, compress)


def device_of(device: str) -> Device | None:
    """The first of the devices that are named, described; None for the CPU, and for AUTO by itself.

    ``AUTO`` is always there: where it executes, the compiled model says afterwards. Of ``AUTO:GPU,CPU`` and the
    like each must be there, so that nothing runs elsewhere unnoticed.
    """
    core = openvino.Core()
    plugin, _, listed = device.partition(":")
    described = None
    for name in listed.split(",") if listed else [plugin]:
        if name in ("AUTO", "CPU"):
            continue
        try:
            full_name = str(core.get_property(name, "FULL_DEVICE_NAME"))
        except RuntimeError as error:
            there = ", ".join(core.available_devices)
            own_word = " ".join(str(error).split())
            raise NoDeviceError(f"OpenVINO has no device {name} here, only {there}: {own_word}") from error
        described = described or Device(name=full_name, versions={"openvino": openvino.get_version()})
    return described
