"""What went wrong on a GPU, told apart by the words of CUDA and its libraries.

After any of these the process is not used again: some leave it unable to use the device ever, and what the others
leave behind is not worth a doubt. Some say nothing of the model: the machine is to be mended.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from harness.diagnose_rules import Rule
from harness.records import Outcome


@dataclass(frozen=True)
class Fault:
    """A kind of failure, by the errors that its rule's pattern is found in, and the outcome that it is."""

    outcome: Outcome
    rule: Rule


FAULTS: Final[Sequence[Fault]] = (
    Fault(
        "out-of-memory",
        Rule(
            "out-of-memory",
            "the GPU's memory: fewer --jobs, a higher limits.device_memory in matrix.toml, or a larger GPU",
            r"CUDA out of memory|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED"
            r"|DEVICE_ALLOCATION_FAILED|cudaErrorMemoryAllocation",
        ),
    ),
    Fault(
        "no-device",
        Rule(
            "device",
            "the GPU fell off its bus, broke, or was taken away: nvidia-smi and the kernel's log (Xid) say more",
            r"GPU is lost|fallen off the bus|no CUDA-capable device|busy or unavailable|uncorrectable (ECC|NVLink)"
            r"|cudaErrorDevicesUnavailable",
        ),
    ),
    Fault(
        "environment",
        Rule(
            "device",
            "the installed build holds no kernels for this GPU's compute capability: another build of torch, or GPU",
            r"no kernel image is available|invalid device function|cudaErrorNoKernelImageForDevice"
            r"|unsupported toolchain|PTX JIT compil|sm_\d+ is not compatible",
        ),
    ),
    Fault(
        "environment",
        Rule(
            "missing package",
            "driver, CUDA and cuDNN do not fit together: update the driver, or install torch with its own CUDA",
            r"driver version is insufficient|CUDNN_STATUS_\w*(VERSION_MISMATCH|SUBLIBRARY_LOADING_FAILED)"
            r"|cuDNN version incompatibility|unsupported display driver|driver/library version mismatch"
            r"|lib(cu|nv)[\w-]*\.so[.\d]*: |undefined symbol: \w*(cuda|cudnn|cublas|nccl|cusparse|nvJitLink)",
        ),
    ),
    Fault(
        "crashed",
        Rule(
            "crash",
            "a kernel read or wrote where it must not: run it alone with CUDA_LAUNCH_BLOCKING=1 to see which",
            r"illegal memory access|CUDA error: misaligned address|unspecified launch failure"
            r"|CUDA error: (an )?illegal|hardware stack error|invalid program counter|launch timed out",
        ),
    ),
    Fault(
        "failed",
        Rule(
            "index out of range",
            "a check inside a kernel failed, mostly of an index that is out of range: the cell on the CPU names it",
            r"device-side assert",
        ),
    ),
)
"""In the order in which they are tried."""


def fault_in(errors: Iterable[str]) -> Fault | None:
    """The fault that an error tells of, or one of what caused it; each is ``Class: message``."""
    return next((fault for error in errors for fault in FAULTS if fault.rule.matches(error)), None)


def fault_of(error: BaseException) -> Fault | None:
    """The same of an exception; None where it is none of a device's."""
    return fault_in(f"{type(one).__name__}: {one}" for one in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
