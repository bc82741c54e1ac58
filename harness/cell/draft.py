"""A cell while it is being measured: what is known so far, told to the parent at every stage.

The parent keeps the last draft that it heard of. Where the child dies, that draft is the cell: it shows the
stage that it died in and every figure that was measured before.
"""

import time
from collections.abc import Callable
from typing import Any

from harness.records import (
    Api,
    Attempt,
    Cell,
    Comparison,
    Failure,
    Latency,
    Metrics,
    Outcome,
    PlannedType,
    Proof,
    Stage,
)

Send = Callable[[Cell, bool], None]
"""Hands a cell to the parent; True says that it is final."""


class Draft:
    """The fields of a cell, filled in as they become known."""

    def __init__(self, planned: PlannedType, backend: str, stack: str, api: Api, reproduce: str, send: Send) -> None:
        self.planned, self.backend, self.stack, self.api, self.reproduce = (
            planned,
            backend,
            stack,
            api,
            reproduce,
        )
        self._send = send
        self._started = time.perf_counter()
        self._metrics: dict[str, Any] = {}
        self._comparison: dict[str, Any] = {}
        self._proof: dict[str, Any] = {}
        self.stage: Stage = "start"
        self.task: str | None = None
        self.mended: tuple[str, ...] = ()
        """Those of the recipe's repairs that changed something."""
        self.output_summary: str | None = None
        self.device_failed = False
        """In a way that leaves nothing for the next cell to run on in this process."""
        self.route: str | None = None
        self.repairs: tuple[str, ...] = ()
        self.attempts: list[Attempt] = []

    def enter(self, stage: Stage) -> None:
        """Say which stage begins, before it does: a killed child then shows where it was."""
        self.stage = stage
        self._send(self.cell("crashed", "the process ended without a word"), False)

    def measured(self, **figures: Any) -> None:
        """Figures of ``Metrics``, where they were truly measured."""
        self._metrics |= figures
        eager, here = self._metrics.get("eager_latency"), self._metrics.get("latency")
        if eager is not None and here is not None:
            self._metrics["speedup"] = eager.p50 / here.p50

    @property
    def latency(self) -> Latency | None:
        """The steady latency, once it is measured."""
        found: Latency | None = self._metrics.get("latency")
        return found

    def compared(self, **findings: Any) -> None:
        """Fields of ``Comparison``; it is part of the cell once all that it requires is there."""
        self._comparison |= findings

    def proved(self, **facts: Any) -> None:
        """Fields of ``Proof``; likewise."""
        self._proof |= facts

    def finish(self, outcome: Outcome, reason: str = "", failure: Failure | None = None) -> None:
        """Hand over the final cell."""
        self._send(self.cell(outcome, reason, failure), True)

    def cell(self, outcome: Outcome, reason: str, failure: Failure | None = None) -> Cell:
        """The cell as far as it is known."""
        return Cell(
            model_type=self.planned.model_type,
            domain=self.planned.domain,
            families=self.planned.families,
            backend=self.backend,
            stack=self.stack,
            api=self.api,
            task=self.task,
            outcome=outcome,
            stage=self.stage,
            reason=reason,
            repairs=(*self.mended, *self.repairs),
            route=self.route,
            attempts=tuple(self.attempts),
            failure=failure,
            metrics=Metrics(**self._metrics),
            comparison=Comparison(**self._comparison) if _complete(Comparison, self._comparison) else None,
            proof=Proof(**self._proof) if _complete(Proof, self._proof) else None,
            output_summary=self.output_summary,
            reproduce=self.reproduce,
            seconds=time.perf_counter() - self._started,
        )


def _complete(record: type[Comparison] | type[Proof], fields: dict[str, Any]) -> bool:
    return all(name in fields for name, field in record.model_fields.items() if field.is_required())
