"""The backend's device: found and described in a child of its own, since the warm parent must never touch it.

What a fork inherits of a device that its parent has opened is broken, and a driver that hangs must not hang the run.
"""

import json
import os
import select
import signal
import sys
import time
from typing import Final, NoReturn

from harness.no_device import NoDeviceError
from harness.records import Device, Execution

ANSWER_SECONDS: Final = 120.0
# Of a GPU's memory, what a process takes for its context and libraries, before it allocates anything.
CONTEXT_BYTES: Final = 600 * 2**20
REASON_VARIABLE: Final = "HARNESS_NO_DEVICE"
"""Why there is no device, where the engine that started this run knows it."""


def find_device(execution: Execution, answer_seconds: float = ANSWER_SECONDS) -> Device | None:
    """The device that the backend's runtime will use; None where that is the CPU. ``NoDeviceError`` where it is gone.

    Torch and the like are to be imported already, for the child's sake.
    """
    if reason := os.environ.get(REASON_VARIABLE):
        raise NoDeviceError(reason)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _answer(execution, write)
    os.close(write)
    try:
        answer = _heard(read, answer_seconds)
    finally:
        os.close(read)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if answer is None:
        raise NoDeviceError(f"the device's driver did not answer within {answer_seconds:g} s")
    if not answer:
        raise NoDeviceError("the process that asked for the device died before it had an answer")
    found = json.loads(answer)
    if "missing" in found:
        raise NoDeviceError(found["missing"])
    return Device.model_validate(found["device"]) if found["device"] else None


def _answer(execution: Execution, pipe: int) -> NoReturn:
    """In the child: ask the runtime, and write down what it says."""
    try:
        from harness.cell.executors import device_of

        try:
            device = device_of(execution)
            told: dict[str, object] = {"device": device.model_dump(exclude_none=True) if device else None}
        except NoDeviceError as error:
            told = {"missing": str(error)}
        with os.fdopen(pipe, "w", encoding="utf-8") as channel:
            channel.write(json.dumps(told))
    except BaseException:  # noqa: BLE001 -- the log tells; the parent sees that there is no answer
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(0)


def _heard(pipe: int, seconds: float) -> bytes | None:
    """All that comes through the pipe until its other end is closed; None where that takes too long."""
    heard, deadline = b"", time.monotonic() + seconds
    while select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
        part = os.read(pipe, 1 << 16)
        if not part:
            return heard
        heard += part
    return None


def children_that_fit(device: Device, execution: Execution) -> int:
    """How many children find room in the device's free memory side by side; at least one, which then tells."""
    if device.free_bytes is None or execution.device_memory_bytes is None:
        return sys.maxsize
    return max(1, device.free_bytes // (execution.device_memory_bytes + CONTEXT_BYTES))


def described(device: Device) -> str:
    """On one line, for people."""
    parts = [
        device.name,
        f"compute capability {device.capability}" if device.capability else "",
        f"{device.memory_bytes / 2**30:.0f} GiB" if device.memory_bytes else "",
        f"{device.free_bytes / 2**30:.0f} GiB free" if device.free_bytes else "",
        f"driver {device.driver}" if device.driver else "",
        *(f"{name} {version}" for name, version in device.versions.items()),
        f"the first of {device.count}" if device.count > 1 else "",
        f"shared with {'; '.join(device.shared_with)}" if device.shared_with else "",
    ]
    return ", ".join(part for part in parts if part)
