"""What a fork of the warm parent does: the cells of one model type, one after the other, each with its verdict."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from harness.cell import from_pretrained, measure, pipelines, repairs
from harness.cell.draft import Draft, Send
from harness.cell.executors import UnsupportedError
from harness.cell.outputs import MismatchError
from harness.cell.sabotage import SABOTAGES, Sabotage
from harness.cell.source import Source
from harness.cell.synthesis.checkpoint import NotSelectedError
from harness.cell.tasks import NoSuchTaskError
from harness.device_faults import fault_of
from harness.diagnose import diagnose
from harness.no_device import NoDeviceError
from harness.pool import Work
from harness.records import Api, Execution, Outcome, Shard

_APIS: dict[Api, Callable[[Draft, Execution, Source, Path, Sabotage], None]] = {
    "from_pretrained": from_pretrained.run,
    "pipeline": pipelines.run,
}
# The machine's own faults, which say nothing of the model.
_BROKEN_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.EIO}


def run_type(
    shard: Shard,
    work: Work,
    execution: Execution,
    source: Source,
    scratch: Path,
    send: Send,
    reproduce: str,
    *,
    threads: int = 1,
) -> bool:
    """Run the cells that the child was forked for; a failed one does not keep the next from its own verdict.

    True where the child is not to go on: the device failed in it, and the next cell is to start clean.
    """
    if threads > 1:
        torch.set_num_threads(threads)  # here and not in the parent, whose threads a fork would lose
    measure.forget_peak()
    for api in work.apis:
        draft = Draft(work.planned, shard.backend, shard.stack, api, reproduce, send)
        if run_cell(draft, execution, source, scratch, work.canary):
            return True
    return False


def run_cell(draft: Draft, execution: Execution, source: Source, scratch: Path, canary: str | None = None) -> bool:
    """Run one cell and hand over its verdict, whatever comes out of it; True where the device failed."""
    folder = scratch / draft.api
    sabotage = SABOTAGES[canary]() if canary else Sabotage()
    try:
        draft.mended = tuple(repairs.mend(draft.planned.recipe, draft.api))
        _APIS[draft.api](draft, execution, source, folder, sabotage)
    except Exception as error:  # noqa: BLE001 -- this is the boundary: what a model raises is its verdict
        outcome = outcome_of(error)
        reason = str(error) if isinstance(error, tuple(_VERDICTS)) else ""
        failure = None if outcome in ("not-applicable", "not-selected") else diagnose(error, stage=draft.stage)
        draft.finish(outcome, reason or (failure.message if failure else ""), failure)
        return fault_of(error) is not None
    else:
        draft.finish("passed")
        return draft.device_failed
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_VERDICTS: dict[type[Exception], Outcome] = {
    MismatchError: "mismatch",
    NoSuchTaskError: "not-applicable",
    NotSelectedError: "not-selected",
    NoDeviceError: "no-device",
    UnsupportedError: "unsupported",
}
"""The errors that are verdicts, whose message is the reason."""


def outcome_of(error: BaseException) -> Outcome:
    """The outcome that an exception stands for."""
    for verdict, outcome in _VERDICTS.items():
        if isinstance(error, verdict):
            return outcome
    if fault := fault_of(error):
        return fault.outcome
    match error:
        case ImportError():  # transformers raises it for an optional package, with the name of the package
            return "missing-dependency"
        case MemoryError() | torch.OutOfMemoryError():
            return "out-of-memory"
        case RuntimeError() if "can't allocate memory" in str(error):
            return "out-of-memory"
        case OSError() if error.errno in _BROKEN_MACHINE:
            return "environment"
        case _:
            return "failed"
