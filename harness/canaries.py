"""The cells that must not pass, and what each must be seen as.

They are the first children of every shard: real cells of a small model, spoilt in one way each (``cell.sabotage``), so
a run whose checks are blind, whose watch sleeps or whose comparison compares nothing shows itself, and is void.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from harness.pool import Work
from harness.records import Canary, Cell, Execution, Outcome, PlannedType, RuntimeName

MODEL_TYPE = "bert"
_HANG_SECONDS = 3.0
_GROWTH_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Expected:
    """A way to spoil a cell, by its name in ``cell.sabotage``, and the outcome that must be seen."""

    sabotage: str
    outcome: Outcome
    must: str
    """What must happen, for people."""
    timeout_seconds: float | None = None
    memory_bytes: int | None = None
    sleeps: bool = False
    """Most of its time: it takes no place from a cell beside it."""
    runtime: RuntimeName | None = None
    """Only there, where it can happen at all; None: everywhere."""


CANARIES = (
    Expected("hang", "timeout", "be stopped", timeout_seconds=_HANG_SECONDS, sleeps=True),
    Expected("memory", "out-of-memory", "be stopped for its memory", memory_bytes=_GROWTH_BYTES, sleeps=True),
    Expected("broken checkpoint", "failed", "fail"),
    Expected("crash", "crashed", "crash"),
    Expected("constant outputs", "mismatch", "be seen to ignore its inputs"),
    Expected("wrong number", "mismatch", "be seen to differ from its reference"),
    Expected("silent fallback", "failed", "be seen to have run in PyTorch", runtime="openvino"),
)


def canary_work(execution: Execution) -> list[Work]:
    """One child for each canary; those that wait first, so that all others run beside them."""
    planned = PlannedType(model_type=MODEL_TYPE, domain="text", expected_seconds=_HANG_SECONDS)
    return [
        Work(
            planned=planned,
            apis=("from_pretrained",),
            timeout_seconds=canary.timeout_seconds or execution.timeout_seconds,
            memory_bytes=canary.memory_bytes or execution.child_memory_bytes,
            canary=canary.sabotage,
            sleeps=canary.sleeps,
        )
        for canary in CANARIES
        if canary.runtime in (None, execution.runtime)
    ]


def canary_of(sabotage: str, cell: Cell) -> Canary:
    """What was seen of the canary of this name."""
    return Canary(
        name=sabotage,
        expected=_expected(sabotage).outcome,
        observed=cell.outcome,
        stage=cell.stage,
        reason=cell.reason,
        seconds=cell.seconds,
    )


def void_by(canaries: Iterable[Canary]) -> str | None:
    """Why results beside these canaries prove nothing; None where all were caught."""
    told = [
        f"{one.name!r} must {_expected(one.name).must}, and was seen as {one.observed}"
        for one in canaries
        if not one.caught
    ]
    return f"canaries were not caught, so no verdict of this run means anything: {'; '.join(told)}" if told else None


def _expected(sabotage: str) -> Expected:
    return next(canary for canary in CANARIES if canary.sabotage == sabotage)
