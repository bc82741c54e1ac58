"""The cell of a child that has ended, as the parent completes it."""

from typing import Any

from harness.diagnose import diagnose_death
from harness.environment import usable_memory
from harness.pool import Ended
from harness.records import Cell, Outcome

_OUTCOME_OF_DEATH: dict[str, Outcome] = {
    "exit": "crashed",
    "signal": "crashed",
    "timeout": "timeout",
    "memory": "out-of-memory",
    "kernel memory": "out-of-memory",
}


def cell_of(ended: Ended) -> Cell:
    """The cell with what only the parent knows: how the child died, what it printed, who ran beside it."""
    cell, work = ended.cell, ended.work
    metrics = cell.metrics.model_copy(update={"contended": ended.contended})
    changes: dict[str, Any] = {"metrics": metrics}
    if ended.death is not None:
        failure = diagnose_death(
            ended.death,
            number=ended.number,
            stage=cell.stage,
            limit_seconds=work.timeout_seconds,
            limit_bytes=usable_memory() if ended.death == "kernel memory" else work.memory_bytes,
            log=ended.log,
        )
        changes |= {
            "outcome": _OUTCOME_OF_DEATH[ended.death],
            "failure": failure,
            "reason": failure.message,
        }
        changes["seconds"] = ended.seconds
    elif cell.failure is not None:
        changes["failure"] = cell.failure.model_copy(update={"log": ended.log or None})
    return cell.model_copy(update=changes)
