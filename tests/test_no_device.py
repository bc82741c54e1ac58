"""What keeps a device away is told as what is missing and what to do, whoever says it first."""

import sys
import time
import types
from collections.abc import Callable

import pytest

from harness.device import REASON_VARIABLE, children_that_fit, described, find_device
from harness.gpus import Gpus, parse_gpus
from harness.no_device import NoDeviceError, explained
from harness.records import Device, Execution

CUDA = Execution(
    device="cuda", tolerance=1e-4, timeout_seconds=9, child_memory_bytes=2**31, device_memory_bytes=4 * 2**30
)
H100 = Device(
    name="NVIDIA H100", capability="9.0", memory_bytes=80 * 2**30, free_bytes=79 * 2**30, driver="580.65",
    versions={"CUDA": "13.0", "cuDNN": "9.20.0"}, shared_with=("process 7 (python, 512 MiB)",),
)  # fmt: skip


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        ('could not select device driver "" with capabilities: [[gpu compute utility]]', "container toolkit"),
        ("unknown or invalid runtime name: nvidia", "container toolkit"),
        ("CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=all", "no description of this machine"),
        (
            "OCI runtime create failed: prestart hook #0: nvidia-container-cli: nvml error: driver not loaded",
            "the GPU is missing",
        ),
        (
            "nvidia-container-cli: initialization error: load library failed: libnvidia-ml.so.1: cannot open",
            "the GPU is missing",
        ),
        ("nvidia-container-cli: device error: 7: unknown device: unknown", "no such GPU"),
        ("nvidia-container-cli: requirement error: unsatisfied condition: cuda>=13.0", "driver is too old"),
        ("Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU", "the GPU is missing"),
        ("No CUDA GPUs are available", "no such GPU"),
        ("The NVIDIA driver on your system is too old (found version 12040).", "driver is too old"),
        ("Error 803: system has unsupported display driver / cuda driver combination", "different versions"),
        ("Torch not compiled with CUDA enabled", "built without CUDA"),
        ("CUDA error: all CUDA-capable devices are busy or unavailable", "held by another process"),
    ],
)
def test_each_refusal_says_what_is_missing_and_what_to_do_on_one_line(words: str, missing: str) -> None:
    told = explained(words)
    assert told is not None
    assert missing in told
    assert "To mend: " in told
    assert "\n" not in told


def test_another_refusal_is_not_taken_for_a_missing_device() -> None:
    assert explained("Conflict. The container name is already in use") is None


@pytest.mark.parametrize(
    ("text", "gpus", "visible"),
    [
        ("all", Gpus(), None),
        ("2", Gpus(count=2), "0,1"),
        ("device=0,2", Gpus(ids=("0", "2")), "0,2"),
        ("device=GPU-5b1c", Gpus(ids=("GPU-5b1c",)), "GPU-5b1c"),
    ],
)
def test_gpus_are_asked_for_in_dockers_words(text: str, gpus: Gpus, visible: str | None) -> None:
    assert parse_gpus(text) == gpus
    assert gpus.visible == visible


@pytest.mark.parametrize("text", ["", "0", "none", "device=", "-1", "all,1", "device=0;rm"])
def test_other_words_for_gpus_are_mistakes(text: str) -> None:
    with pytest.raises(ValueError, match="all"):
        parse_gpus(text)


# --- finding it ---------------------------------------------------------------------------------------


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Execution], Device | None]], None]:
    """Puts a function in the place of what asks the runtime, which needs torch."""
    monkeypatch.delenv(REASON_VARIABLE, raising=False)

    def say(device_of: Callable[[Execution], Device | None]) -> None:
        stand_in = types.ModuleType("harness.cell.executors")
        stand_in.device_of = device_of  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "harness.cell.executors", stand_in)

    return say


Runtime = Callable[[Callable[[Execution], Device | None]], None]


def test_the_device_comes_back_from_the_child_as_it_was_described(runtime: Runtime) -> None:
    runtime(lambda _: H100)
    assert find_device(CUDA) == H100


def test_the_cpu_is_no_device_and_no_mistake(runtime: Runtime) -> None:
    runtime(lambda _: None)
    assert find_device(CUDA) is None


def test_a_missing_device_is_told_in_the_runtimes_words(runtime: Runtime) -> None:
    def missing(_: Execution) -> Device:
        raise NoDeviceError("no such GPU")

    runtime(missing)
    with pytest.raises(NoDeviceError, match="no such GPU"):
        find_device(CUDA)


def test_a_driver_that_hangs_does_not_hang_the_run(runtime: Runtime) -> None:
    def hang(_: Execution) -> Device:
        time.sleep(60)
        return H100

    runtime(hang)
    began = time.monotonic()
    with pytest.raises(NoDeviceError, match=r"did not answer within 0\.2 s"):
        find_device(CUDA, answer_seconds=0.2)
    assert time.monotonic() - began < 10


def test_a_driver_that_kills_who_asks_is_told(runtime: Runtime, capfd: pytest.CaptureFixture[str]) -> None:
    def fail(_: Execution) -> Device:
        raise OSError("the ioctl")

    runtime(fail)
    with pytest.raises(NoDeviceError, match="died before it had an answer"):
        find_device(CUDA)
    assert "the ioctl" in capfd.readouterr().err


def test_what_the_engine_knows_is_not_asked_again(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime(lambda _: H100)
    monkeypatch.setenv(REASON_VARIABLE, "the toolkit is missing")
    with pytest.raises(NoDeviceError, match="the toolkit is missing"):
        find_device(CUDA)


def test_children_share_the_devices_free_memory() -> None:
    assert children_that_fit(H100, CUDA) == 17
    assert children_that_fit(H100.model_copy(update={"free_bytes": 2**30}), CUDA) == 1
    assert children_that_fit(Device(name="CPU"), CUDA) > 1000


def test_a_device_is_described_on_one_line_with_who_else_uses_it() -> None:
    assert described(H100) == (
        "NVIDIA H100, compute capability 9.0, 80 GiB, 79 GiB free, driver 580.65, CUDA 13.0, cuDNN 9.20.0, "
        "shared with process 7 (python, 512 MiB)"
    )
