"""Why there is no device, in one line that says what is missing and what to do.

The same table reads the refusal of a container engine and the error of a runtime: what keeps a GPU away is told by
whoever meets it first.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from harness.text import first_line


@dataclass(frozen=True)
class Cause:
    """What keeps the device away, for errors that the pattern is found in."""

    pattern: str
    missing: str
    mend: str


_TOOLKIT_MEND: Final = (
    "install nvidia-container-toolkit, then: sudo nvidia-ctk runtime configure --runtime=docker, and restart Docker"
)
_DRIVER_MEND: Final = "install the NVIDIA driver on the machine, until nvidia-smi lists the GPU"

CAUSES: Final[Sequence[Cause]] = (
    Cause(
        r"could not select device driver|unknown or invalid runtime name:? ?nvidia|nvidia-container-runtime.*not found",
        "the NVIDIA container toolkit is missing: this engine has nothing that gives GPUs to containers",
        _TOOLKIT_MEND,
    ),
    Cause(
        r"unresolvable CDI devices?|CDI device injection failed|failed to inject CDI",
        "the engine has no description of this machine's GPUs (CDI)",
        "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
    ),
    Cause(
        r"requirement error|unsatisfied condition|driver version is insufficient|driver on your system is too old"
        r"|forward compatibility was attempted",
        "the GPU's driver is too old for this CUDA",
        "update the NVIDIA driver, or take a stack whose torch was built for an older CUDA",
    ),
    Cause(
        r"driver/library version mismatch|unsupported display driver / cuda driver combination|system has unsupported",
        "the driver's library and its kernel module are of different versions",
        "restart the machine (or reload the nvidia kernel modules) after a driver update",
    ),
    Cause(
        r"device error:|unknown device|no devices? found|no such device|invalid device ordinal|device is invalid"
        r"|No CUDA GPUs are available|no CUDA-capable device",
        "there is no such GPU here",
        "nvidia-smi -L lists the GPUs that there are; --gpus and CUDA_VISIBLE_DEVICES choose among them",
    ),
    Cause(
        r"nvml error|driver not loaded|load library failed|libnvidia-ml\.so|driver rpc error|Found no NVIDIA driver"
        r"|libcuda\.so",
        "the GPU is missing: this machine has none, or its driver does not work",
        _DRIVER_MEND,
    ),
    Cause(
        r"not compiled with CUDA|no CUDA in it",
        "the GPU cannot be used: the installed torch was built without CUDA",
        "install torch from PyPI (on Linux that is the CUDA build), or from PyTorch's index for a CUDA version",
    ),
    Cause(
        r"busy or unavailable|exclusive",
        "the GPU is held by another process alone",
        "end that process (nvidia-smi names it), or wait for it",
    ),
)


class NoDeviceError(Exception):
    """There is no device to run on; the message says why and what to do."""


def explained(error: str) -> str | None:
    """One line: what is missing, what to do, and the words that it is known by; None where no cause is known."""
    for cause in CAUSES:
        if match := re.search(cause.pattern, error, re.IGNORECASE):
            # An engine wraps what its helpers say in many layers: from the telling words on.
            told = first_line(error[match.start() :], limit=160)
            return f"{cause.missing}. To mend: {cause.mend}. ({told})"
    return None
