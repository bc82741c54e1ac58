"""What loads and runs a checkpoint on a backend: one executor for each runtime that matrix.toml can name.

A cell is measured the same way whatever runs it. What differs between runtimes is here: how the saved checkpoint
becomes something that runs, where its tensors lie, what must be waited for, and what proves that it ran there. A
new runtime is a module with a class that keeps to ``Executor``, a name in ``records.RuntimeName``, and a row in the
table below.
"""

import importlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch

from harness.cell.draft import Draft
from harness.cell.outputs import NEW_TOKENS, Outputs
from harness.cell.synthesis.checkpoint import Checkpoint
from harness.cell.synthesis.inputs import Inputs
from harness.cell.synthesis.processors import Processors
from harness.cell.task_table import Task
from harness.records import Device, Execution, RuntimeName


class UnsupportedError(Exception):
    """The runtime says itself, by every route, that it cannot take the model."""


class Loaded(Protocol):
    """A checkpoint that was loaded and is ready to run."""

    @property
    def model(self) -> Any:
        """What has ``config``, and what runs inside a pipeline."""

    @property
    def caches(self) -> bool:
        """Whether it generates with a cache; else the reference does without too: some types then say other tokens."""

    def place(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The values where the runtime reads them: done before a call is timed, so that the call alone is."""

    def comparable(self, reference: Outputs, found: Outputs) -> tuple[Outputs, Outputs]:
        """The reference's outputs and the runtime's as far as both give the same ones."""

    def call(self, values: Mapping[str, Any]) -> Outputs:
        """One forward pass; the outputs by name, where the runtime left them."""

    def generate(self, values: Mapping[str, Any], tokens: int = NEW_TOKENS) -> torch.Tensor:
        """That many greedy tokens after each prompt."""

    def same_draws(self) -> AbstractContextManager[None] | None:
        """Where the call before drew random numbers on the device: a block in which it draws the reference's."""

    def synchronise(self) -> None:
        """Wait until the device has done all that it was asked to do."""

    def proof(self) -> dict[str, Any]:
        """Fields of ``Proof`` on what was loaded: the model's class, its weights, where they lie."""

    def executed(self) -> dict[str, Any]:
        """Fields of ``Proof`` that only running tells: what the runtime itself says of where and how often."""

    def figures(self) -> dict[str, Any]:
        """Fields of ``Metrics`` on the device's memory, after the measurement."""


class Executor(Protocol):
    """A runtime on one device. Its methods enter the stages that they come to (load, export, compile) and time them."""

    def load(self, draft: Draft, checkpoint: Checkpoint, inputs: Inputs, task: Task, method: str | None) -> Loaded:
        """The saved checkpoint, for direct calls with ``inputs``; ``method`` is called in place of ``forward``."""

    def pipeline(self, draft: Draft, checkpoint: Checkpoint, task: Task, processors: Processors) -> tuple[Any, Loaded]:
        """A transformers pipeline of the saved folder, and the model in it."""


_MODULES: dict[RuntimeName, str] = {"torch": "on_torch", "openvino": "on_openvino"}
"""Each with a class ``Executor(execution)``, and functions ``device_of(execution)`` and ``warm()``."""


def warm(runtime: RuntimeName) -> None:
    """Import what the runtime's children need, in the parent: without touching a device, or compiling anything."""
    importlib.import_module(f"{__name__}.{_MODULES[runtime]}").warm()


def executor_for(execution: Execution) -> Executor:
    """The executor of the backend's runtime."""
    made: Executor = _module_of(execution).Executor(execution)
    return made


def device_of(execution: Execution) -> Device | None:
    """The device that the backend's runtime would use, described; None: the CPU. ``NoDeviceError`` where it is gone."""
    device: Device | None = _module_of(execution).device_of(execution)
    return device


def _module_of(execution: Execution) -> Any:
    return importlib.import_module(f"{__name__}.{_MODULES[execution.runtime]}")
