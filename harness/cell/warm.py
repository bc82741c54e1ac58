"""What the parent does before it forks, so that no child pays for it again.

Imports cost seconds and are shared with the children by copy-on-write. Nothing here may start a thread that a
fork would lose: torch is held to one thread, and no device other than the CPU is touched.
"""

import contextlib
import gc
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from harness.errors import EnvironmentBrokenError
from harness.records import PlannedType, RuntimeName

_CUDA_DEVICE: Final = "/dev/nvidia-uvm"
"""There where the machine has a GPU; opened by whatever starts CUDA, and by some questions that only count GPUs."""


def warm(types: Iterable[PlannedType] = (), runtime: RuntimeName = "torch") -> None:
    """Import what every child uses, and what these types and the runtime need; save, load and run a small model.

    Where there is a GPU, whatever the backend, the libraries of types that transformers lacks are left out.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its thread pool does not survive a fork
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # Else a library that asks torch whether there is a GPU opens it in this process, and no fork could use it then.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()

    from harness.cell import child, executors  # noqa: F401 -- imports both APIs and everything below them
    from harness.cell.libraries import import_libraries
    from harness.cell.outputs import call
    from harness.cell.synthesis.checkpoint import synthesise
    from harness.cell.synthesis.inputs import make_inputs
    from harness.cell.tasks import task_for

    executors.warm(runtime)
    # Not asked of torch, which opens the GPU to answer: some of these libraries ask it as they are imported.
    if not Path(_CUDA_DEVICE).exists():
        import_libraries(types)  # else by their own children
    with tempfile.TemporaryDirectory() as folder, _no_question_to_cuda():
        checkpoint = synthesise("bert", task_for("bert", None), None, Path(folder))
        loaded = checkpoint.loader.from_pretrained(folder)
        call(loaded, make_inputs(loaded, None).values)
    # What is here now stays: a child whose collector walked over it would copy page after page of its parent's memory.
    gc.freeze()
    if torch.cuda.is_initialized() or _has_opened(_CUDA_DEVICE):
        raise EnvironmentBrokenError("an import opened the GPU before any child was forked: no child could use it")


@contextlib.contextmanager
def _no_question_to_cuda() -> Iterator[None]:
    """transformers' masks ask whether CUDA is recording a graph, and the question alone opens the GPU."""
    import torch

    asked = torch.cuda.is_current_stream_capturing
    torch.cuda.is_current_stream_capturing = lambda: False
    try:
        yield
    finally:
        torch.cuda.is_current_stream_capturing = asked


def _has_opened(file: str) -> bool:
    """Whether this process has the file open, whichever library did it."""
    opened = Path("/proc/self/fd")
    return opened.is_dir() and any(os.path.realpath(one) == file for one in opened.iterdir())
