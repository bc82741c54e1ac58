"""What only CUDA has: a device to describe, memory of its own, and others who use it too.

Never called in the warm parent: whatever asks CUDA anything opens the device, and a fork cannot use what its parent
has opened.
"""

import csv
import os
import subprocess
from collections.abc import Iterator
from typing import Final

import torch

from harness.no_device import NoDeviceError, explained
from harness.records import Device, Execution
from harness.text import first_line

_SMI_SECONDS: Final = 20


def device_of(execution: Execution) -> Device:
    """The GPU that children will use, described by torch and by nvidia-smi; ``NoDeviceError`` where there is none."""
    if torch.version.cuda is None:
        raise NoDeviceError(explained(f"torch {torch.__version__} has no CUDA in it"))
    try:
        torch.cuda.init()
        place = placed(execution)
        seen = torch.cuda.get_device_properties(place)
        free, total = torch.cuda.mem_get_info(place)
    except (RuntimeError, AssertionError) as error:
        raise NoDeviceError(explained(str(error)) or f"CUDA does not start: {first_line(str(error))}") from error
    uuid = _uuid(seen)
    return Device(
        name=seen.name,
        id=uuid,
        capability=f"{seen.major}.{seen.minor}",
        memory_bytes=total,
        free_bytes=free,
        driver=_driver(uuid),
        versions=versions(),
        count=torch.cuda.device_count(),
        shared_with=tuple(one.told for one in processes(uuid) if one.pid != os.getpid()),
    )


def placed(execution: Execution) -> torch.device:
    """The device by its number, as tensors name it."""
    device = torch.device(execution.device)
    return torch.device("cuda", device.index or 0)


def settled(execution: Execution) -> torch.device:
    """The device, with this process made ready to compute on it as the CPU does, within its share of the memory."""
    # TF32 keeps ten bits of a float32 in products: that is a choice of speed, and a difference of 1e-3 from the CPU.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.cuda.init()  # what resets the counts below does not start it by itself
    device = placed(execution)
    if execution.device_memory_bytes is not None:
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, execution.device_memory_bytes / total), device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return device


def has_drawn(device: torch.device) -> bool:
    """Whether the device's generator has given random numbers since it was seeded."""
    return bool(torch.cuda.default_generators[device.index].get_offset())


def name_of(device: torch.device) -> str:
    """``cuda:0 (NVIDIA H100 80GB HBM3)``."""
    return f"{device} ({torch.cuda.get_device_name(device)})"


def memory(device: torch.device) -> dict[str, int]:
    """The device's memory: what the child's tensors took, and what the driver counts for the child."""
    torch.cuda.synchronize(device)
    figures = {
        "device_peak_allocated_bytes": torch.cuda.max_memory_allocated(device),
        "device_peak_reserved_bytes": torch.cuda.max_memory_reserved(device),
    }
    uuid = _uuid(torch.cuda.get_device_properties(device))
    # In a container the driver's list has the machine's numbers for processes, and none of them is ours.
    for one in processes(uuid):
        if one.pid == os.getpid() and one.memory_bytes is not None:
            figures["device_process_bytes"] = one.memory_bytes
    return figures


def versions() -> dict[str, str]:
    """Of CUDA, as torch was built with, and of the cuDNN that it loaded."""
    told = {"CUDA": str(torch.version.cuda)}
    if number := torch.backends.cudnn.version():
        # 92000 is 9.20.0; before version 9, 8907 was 8.9.7.
        major, rest = divmod(number, 10_000) if number >= 90_000 else divmod(number, 1_000)
        told["cuDNN"] = f"{major}.{rest // 100}.{rest % 100}"
    return told


def _uuid(seen: object) -> str | None:
    """As nvidia-smi writes it; torch has it from 2.4 on."""
    uuid = str(getattr(seen, "uuid", "") or "")
    return uuid if not uuid or uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"


# --- nvidia-smi ---------------------------------------------------------------------------------------


class Process:
    """A process that uses the GPU."""

    def __init__(self, pid: int, name: str, mebibytes: str) -> None:
        self.pid, self.name = pid, name
        self.memory_bytes = int(mebibytes) * 2**20 if mebibytes.isdigit() else None

    @property
    def told(self) -> str:
        """For people."""
        memory = "" if self.memory_bytes is None else f", {self.memory_bytes / 2**20:,.0f} MiB"
        return f"process {self.pid} ({self.name}{memory})"


def processes(uuid: str | None) -> list[Process]:
    """All that compute on the GPU, as the driver lists them; in a container their numbers are the machine's."""
    rows = _smi("--query-compute-apps=pid,process_name,used_memory", uuid)
    return [Process(int(row[0]), row[1], row[2]) for row in rows if len(row) == 3 and row[0].isdigit()]


def _driver(uuid: str | None) -> str | None:
    return next((row[0] for row in _smi("--query-gpu=driver_version", uuid) if row), None)


def _smi(query: str, uuid: str | None) -> Iterator[list[str]]:
    """Rows of nvidia-smi's answer; none where it is not there or does not answer, for it only tells more."""
    which = ["-i", uuid] if uuid else []
    try:
        told = subprocess.run(
            ["nvidia-smi", query, "--format=csv,noheader,nounits", *which],
            capture_output=True, text=True, timeout=_SMI_SECONDS, check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return
    for row in csv.reader(told.splitlines(), skipinitialspace=True):
        yield [field.strip() for field in row]
