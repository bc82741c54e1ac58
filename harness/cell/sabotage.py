"""The canaries: ways to spoil a real cell, each of which the harness must see for what it is.

They spoil the very cells that models go through: after the checkpoint was saved, once it is loaded, or before the
first inference. A cell is otherwise run with ``Sabotage()``, which spoils nothing.
"""

import ctypes
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from harness.cell.synthesis.checkpoint import Checkpoint

_STEP_BYTES, _STEP_SECONDS, _MOST_BYTES = 128 * 2**20, 0.2, 4 * 2**30


class Sabotage:
    """Spoils nothing; what the canaries override."""

    def after_saving(self, checkpoint: Checkpoint) -> bool:  # noqa: ARG002 -- for those that override it
        """The checkpoint is on disk. Says whether the model in memory was spoilt too, and so its outputs."""
        return False

    def after_loading(self, loaded: Any, checkpoint: Checkpoint) -> None:
        """The executor has loaded it."""

    def before_inference(self) -> None:
        """The model is loaded, and is about to run for the first time."""


class BrokenCheckpoint(Sabotage):
    """Half of the weights' file is lost."""

    def after_saving(self, checkpoint: Checkpoint) -> bool:
        """Cut it."""
        weights = _weights_file(checkpoint)
        weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
        return False


class Crash(Sabotage):
    """A native library reads through a null pointer."""

    def before_inference(self) -> None:
        """Die of SIGSEGV."""
        ctypes.string_at(0)


class Hang(Sabotage):
    """A call that never comes back."""

    def before_inference(self) -> None:
        """Sleep for longer than any limit."""
        time.sleep(86_400)


class MemoryHog(Sabotage):
    """Takes memory until it is stopped; gives up at 4 GiB, and has then passed."""

    def before_inference(self) -> None:
        """Grow in steps, each page touched; most of the time it sleeps, as its row among the canaries says."""
        taken = []
        for _ in range(_MOST_BYTES // _STEP_BYTES):
            taken.append(b"\1" * _STEP_BYTES)
            time.sleep(_STEP_SECONDS)


class ConstantOutputs(Sabotage):
    """All weights are zero, in memory and on disk: outputs that are finite, repeatable, equal, and prove nothing."""

    def after_saving(self, checkpoint: Checkpoint) -> bool:
        """Zero them, and save."""
        with torch.no_grad():
            for parameter in checkpoint.model.parameters():
                parameter.zero_()
        checkpoint.model.save_pretrained(checkpoint.folder)
        return True


class WrongNumber(Sabotage):
    """One single weight on disk is not what was saved."""

    def after_saving(self, checkpoint: Checkpoint) -> bool:
        """Add 1 to one element of the last matrix, by name, of the encoder: every output passes through it."""
        weights = _weights_file(checkpoint)
        tensors = load_file(weights)
        name = max(name for name, tensor in tensors.items() if "encoder" in name and tensor.dim() == 2)
        tensors[name][0, 0] += 1
        save_file(tensors, weights, metadata={"format": "pt"})
        return False


class SilentFallback(Sabotage):
    """Eager PyTorch answers in the runtime's place, with the very numbers that are expected."""

    def after_loading(self, loaded: Any, checkpoint: Checkpoint) -> None:
        """Put the model in memory where the runtime's was."""
        loaded.model = checkpoint.model


def _weights_file(checkpoint: Checkpoint) -> Path:
    return next(checkpoint.folder.glob("*.safetensors"))


SABOTAGES: dict[str, type[Sabotage]] = {
    "broken checkpoint": BrokenCheckpoint,
    "crash": Crash,
    "hang": Hang,
    "memory": MemoryHog,
    "constant outputs": ConstantOutputs,
    "wrong number": WrongNumber,
    "silent fallback": SilentFallback,
}
