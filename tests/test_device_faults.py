"""A GPU's failures told apart, in the words that torch, CUDA and its libraries have for them."""

import pytest

from harness.device_faults import fault_of
from harness.diagnose import diagnose
from harness.records import Outcome

LAUNCH = (
    "CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be"
    " incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1"
)


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


class AcceleratorError(RuntimeError):
    """As torch names it."""


@pytest.mark.parametrize(
    ("error", "outcome", "category"),
    [
        (
            OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.19 GiB of which"
                " 78.40 GiB is free. 4.00 GiB allowed"
            ),
            "out-of-memory",
            "out-of-memory",
        ),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "out-of-memory",
         "out-of-memory"),
        (AcceleratorError(f"CUDA error: an illegal memory access was encountered\n{LAUNCH}"), "crashed", "crash"),
        (RuntimeError(f"CUDA error: unspecified launch failure\n{LAUNCH}"), "crashed", "crash"),
        (AcceleratorError(f"CUDA error: device-side assert triggered\n{LAUNCH}"), "failed", "index out of range"),
        (RuntimeError("CUDA error: no kernel image is available for execution on the device"), "environment", "device"),
        (RuntimeError("The NVIDIA driver on your system: CUDA driver version is insufficient for CUDA runtime version"),
         "environment", "missing package"),
        (ImportError("libcudnn.so.9: cannot open shared object file: No such file or directory"), "environment",
         "missing package"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH"), "environment", "missing package"),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), "no-device", "device"),
        (RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable"), "no-device", "device"),
        (RuntimeError("CUDA error: GPU is lost"), "no-device", "device"),
    ],
)  # fmt: skip
def test_each_fault_has_its_own_outcome_and_says_what_to_do(error: Exception, outcome: Outcome, category: str) -> None:
    fault = fault_of(error)
    assert fault is not None
    assert fault.outcome == outcome
    failure = diagnose(error, stage="first inference")
    assert (failure.category, failure.hint) == (category, fault.rule.hint)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
        RuntimeError("Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"),
        ImportError("natten is not installed"),
        IndexError("index out of range in self"),
        MemoryError(),
    ],
)
def test_what_is_no_fault_of_a_device_is_left_to_the_other_rules(error: Exception) -> None:
    assert fault_of(error) is None


def test_the_fault_behind_another_error_is_found() -> None:
    told = ValueError("generation failed")
    told.__cause__ = AcceleratorError("CUDA error: an illegal memory access was encountered")
    found = fault_of(told)
    assert found is not None
    assert found.outcome == "crashed"


def test_two_types_that_die_of_one_illegal_access_are_one_cluster() -> None:
    errors = [AcceleratorError(f"CUDA error: an illegal memory access was encountered\n{LAUNCH}") for _ in range(2)]
    one, other = (diagnose(error, stage="first inference") for error in errors)
    assert one.signature == other.signature
