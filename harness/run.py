"""The verb ``run``: measure one shard of a plan, here and now.

This is what a container runs, and what runs without one: with ``--plan`` a shard of that plan, with ``--backend`` what
the other words say, on the packages that this Python has. It exits 0 once the shard is fully measured, whatever
the outcomes: judging them is the report's work.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from harness import junit, results
from harness.canaries import canary_work, expected_of
from harness.device import REASON_VARIABLE, children_that_fit, described, find_device
from harness.diagnose import diagnose_death
from harness.environment import describe, peak_memory, usable_cores, usable_memory
from harness.errors import EXIT_ENVIRONMENT, EXIT_FINE, EnvironmentBrokenError, UsageError
from harness.no_device import NoDeviceError
from harness.pool import Ended, Pool, Send, Work
from harness.progress import Teller
from harness.records import Api, Canary, Cell, Environment, Execution, Footer, Header, Outcome, Plan, PlannedType, Shard
from harness.reproduce import reproduce_line
from harness.run_words import what_to_run
from harness.selection import add_budget_argument, add_selection_arguments, add_variants_argument, variants_from

_OUTCOME_OF_DEATH: dict[str, Outcome] = {
    "exit": "crashed",
    "signal": "crashed",
    "timeout": "timeout",
    "memory": "out-of-memory",
    "kernel memory": "out-of-memory",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``run``."""
    parser.add_argument("--plan", type=Path, metavar="FILE", help="the plan, as `plan --out` writes it, with --shard")
    parser.add_argument("--backend", metavar="B", help="without a plan: this backend, on what is installed here")
    add_selection_arguments(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="where results go; default: below results/")
    parser.add_argument(
        "--jobs", type=int, default=0, metavar="N",
        help="children at a time (0: one per core; at full scale and with real weights one, which has all cores)",
    )  # fmt: skip
    parser.add_argument("--timeout", type=float, metavar="S", help="seconds for a cell, in place of the plan's")
    add_budget_argument(parser)
    add_variants_argument(parser)
    parser.add_argument("--resume", action="store_true", help="keep the cells that are there; measure the others")
    parser.add_argument(
        "--allow-no-device", action="store_true", help="exit code 0, and not 3, where the backend's device is missing"
    )


def main(options: argparse.Namespace) -> int:
    """Measure the shard; 3 where its device is missing, or the canaries show that its results prove nothing."""
    plan, shard, out = what_to_run(options)
    execution = plan.backends[shard.backend]
    if options.timeout is not None:
        execution = execution.model_copy(update={"timeout_seconds": _positive(options.timeout, "--timeout")})
    if names := variants_from(options, execution.runtime):
        execution = execution.model_copy(update={"variants": names})
    budget = None if options.budget is None else _positive(options.budget, "--budget")
    if options.jobs < 0:
        raise UsageError(f"--jobs is {options.jobs}: it must be 0 or more")
    signal.signal(signal.SIGTERM, _interrupt)  # what a stopped container gets: the clean way out, as for Ctrl-C
    # With a plan, --weights only says where its weights are; without one, it is part of what is planned.
    folder = Path(options.weights) if options.plan and options.weights else None
    if folder and (plan.weights is None or plan.weights.source != "folder"):
        raise UsageError(f"--weights {options.weights}: the plan has no real weights in a folder")
    # Scratch space first: a machine without any is to be told before minutes are spent.
    tempfile.gettempdir()
    jobs = options.jobs or (usable_cores() if plan.scale == "tiny" else 1)
    run = _Run(plan, shard, execution, jobs, out, folder, budget)
    code = run.measure(resume=options.resume)
    return EXIT_FINE if run.no_device and options.allow_no_device else code


class _Run:
    """One shard, from its header to its footer."""

    def __init__(
        self,
        plan: Plan,
        shard: Shard,
        execution: Execution,
        jobs: int,
        out: Path,
        folder: Path | None = None,
        budget: float | None = None,
    ) -> None:
        self.plan, self.shard, self.execution, self.jobs, self.out = plan, shard, execution, jobs, out
        self.folder = folder
        """Of the real weights, where the plan has some."""
        # Many small children side by side have a thread each; where one runs alone, its figures are those of all cores.
        self.threads = 1 if plan.scale == "tiny" else max(1, usable_cores() // jobs)
        self.started = time.monotonic()
        self.budget = budget
        """Seconds of this run after which no further type is begun."""
        self.no_device: str | None = None
        self.trouble: str | None = None
        """Why the real weights could not be had, where that is the machine's or the hub's fault."""
        self.environment = describe(jobs, self.threads)
        self.canaries: list[Canary] = []
        self.cells: list[Cell] = []
        self.teller = Teller(shard.types, len(plan.apis))

    def measure(self, *, resume: bool) -> int:
        """Write results.jsonl as the cells end, then junit.xml and metrics.json."""
        environment = self.environment
        header = self._header(environment)
        self.out.mkdir(parents=True, exist_ok=True)
        path = self.out / results.RESULTS_FILE
        kept = results.resume(path, header) if resume else ()
        self.cells.extend(kept)
        self.teller.kept(kept)
        _say(f"{self.shard.id}: {len(self.shard.types)} model types, {self.jobs} at a time; importing …")
        if REASON_VARIABLE not in os.environ:
            self._fetch()
            from harness.cell.warm import warm  # after the download: what it imports is told to stay offline

            warm(self.shard.types, self.execution.runtime)
            environment = self._with_registry(environment)
        import_seconds = time.monotonic() - self.started
        _say(f"ready after {import_seconds:.1f} s")
        header = header.model_copy(update={"environment": self._with_device(environment)})
        with results.ResultsWriter(path, append=bool(kept)) as writer:
            if not kept:
                writer.write(header)
            if self.no_device is None:
                for canary in self._run_canaries():
                    writer.write(canary)
            void = self._void()
            if void is None:
                for cell in self._cells_of_this_machine():
                    writer.write(cell)
            writer.write(self._footer(void, import_seconds))
        results.write_metrics(self.out)
        junit.write_shard(self.out)
        _say(f"{self.shard.id}: {_counts(self.cells)}; {time.monotonic() - self.started:.1f} s")
        if void is not None:
            _say(f"VOID: {void}")
            return EXIT_ENVIRONMENT
        if self.no_device is not None:
            _say(f"NO DEVICE: {self.no_device}")
            return EXIT_ENVIRONMENT
        return EXIT_FINE if self.trouble is None else EXIT_ENVIRONMENT

    def _fetch(self) -> None:
        """Make the real weights ready, where the plan has some."""
        if self.plan.weights is None:
            return
        from harness.fetch import ready

        _say(f"weights: {self.plan.weights.name} ({self.plan.weights.source}, {self.plan.weights.digest[:12]}) …")
        try:
            self.folder = ready(self.plan.weights, self.folder)
        except EnvironmentBrokenError as error:
            _say(f"no weights: {error}")
            self.trouble = str(error)

    def _with_device(self, environment: Environment) -> Environment:
        """The environment with the backend's device, or why there is none; fewer children where it is small."""
        try:
            device = find_device(self.execution)
        except NoDeviceError as error:
            self.no_device = str(error)
            return environment.model_copy(update={"no_device": self.no_device})
        if device is None:
            return environment
        _say(f"device: {described(device)}")
        fit = children_that_fit(device, self.execution)
        if fit < self.jobs:
            _say(f"{fit} children at a time, and not {self.jobs}: so many fit into the device's free memory")
            self.jobs = fit
        return environment.model_copy(update={"device": device, "jobs": self.jobs})

    def _with_registry(self, environment: Environment) -> Environment:
        """The environment with what its transformers knows: tasks, and types that the stack's registry does not."""
        from harness.cell.registry import model_types, pipeline_tasks

        environment = environment.model_copy(update={"tasks": pipeline_tasks()})
        known, here = set(self.shard.registry), set(model_types())
        if not known or known == here:
            return environment
        changes = {"new_types": tuple(sorted(here - known)), "gone_types": tuple(sorted(known - here))}
        environment = environment.model_copy(update=changes)
        _say(f"*** {results.registry_difference(environment)}: nobody planned by it")
        return environment

    def _cells_of_this_machine(self) -> Iterator[Cell]:
        """What is measured, or what keeps this machine from measuring."""
        if self.no_device is not None:
            yield from self._not_measured("no-device", self.no_device)
        elif self.trouble is not None:
            yield from self._not_measured("environment", self.trouble)
        else:
            yield from self._run_cells()
            if self.budget is not None:
                reason = f"{results.OUT_OF_TIME} of the {self.budget:g} s of --budget; --resume goes on with it"
                yield from self._not_measured("not-selected", reason)

    def _not_measured(self, outcome: Outcome, reason: str) -> Iterator[Cell]:
        """A cell for all that is still to be measured, so that nothing vanishes; nothing runs elsewhere instead."""
        done = {(cell.model_type, cell.api) for cell in self.cells}
        for cell in self._unavailable(done):
            yield self._told(cell)
        for planned in self.shard.types:
            for api in self.plan.apis:
                if planned.unavailable is None and (planned.model_type, api) not in done:
                    blank = self._blank(planned, api)
                    cell = blank.model_copy(update={"outcome": outcome, "reason": reason})
                    self.cells.append(cell)  # and not told one by one: the reason is the same for all
                    yield cell

    def _header(self, environment: Environment) -> Header:
        return Header(
            plan_digest=self.plan.digest,
            selection=self.plan.selection,
            scale=self.plan.scale,
            weights=self.plan.weights,
            apis=self.plan.apis,
            planned_shards=self.plan.planned_shards,
            shard=self.shard,
            execution=self.execution,
            environment=environment,
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _run_canaries(self) -> Iterator[Canary]:
        for ended in Pool(self.jobs, self._perform, self._unheard).run(canary_work(self.execution)):
            cell = self._cell(ended)
            expected = expected_of(str(ended.work.canary))
            canary = Canary(
                name=expected.sabotage,
                expected=expected.outcome,
                observed=cell.outcome,
                stage=cell.stage,
                reason=cell.reason,
                seconds=cell.seconds,
            )
            self.canaries.append(canary)
            _say(f"  canary: {canary.name}: {canary.observed}{'' if canary.caught else '  <-- NOT CAUGHT'}")
            yield canary

    def _void(self) -> str | None:
        missed = [canary for canary in self.canaries if not canary.caught]
        if not missed:
            return None
        told = (f"{one.name!r} must {expected_of(one.name).must}, and was seen as {one.observed}" for one in missed)
        return f"canaries were not caught, so no verdict of this run means anything: {'; '.join(told)}"

    def _run_cells(self) -> Iterator[Cell]:
        done = {(cell.model_type, cell.api) for cell in self.cells}
        work = []
        for cell in self._unavailable(done):
            yield self._told(cell)
        types: Sequence[PlannedType] = self.shard.types
        if self.budget is None:
            # The longest first: what comes last should be short, so that the children end together. With a budget
            # the plan's order holds, which begins with what most people ask for.
            types = sorted(types, key=lambda one: (-one.expected_seconds, one.model_type))
        for planned in types:
            apis = tuple(api for api in self.plan.apis if (planned.model_type, api) not in done)
            if apis and planned.unavailable is None:
                limits = self.execution
                work.append(Work(planned, apis, limits.timeout_seconds, limits.child_memory_bytes))
        until = self.started + (float("inf") if self.budget is None else self.budget)
        for ended in Pool(self.jobs, self._perform, self._unheard, self.teller.runs).run(work, until):
            yield self._told(self._cell(ended))

    def _told(self, cell: Cell) -> Cell:
        """Count the cell, and say what came of it."""
        self.cells.append(cell)
        total = len(self.shard.types) * len(self.plan.apis)
        why = f": {cell.reason.splitlines()[0]}" if cell.reason else ""
        counted = f"{len(self.cells):>{len(str(total))}}/{total}"
        _say(f"  {counted} {cell.model_type} {cell.api}: {cell.outcome}{why[:160]} ({cell.seconds:.1f} s)")
        self.teller.ended(cell)
        return cell

    def _unavailable(self, done: Set[tuple[str, Api]]) -> Iterator[Cell]:
        """The cells of what nobody can run here, which is known beforehand: no child is started for them."""
        for planned in self.shard.types:
            for api in self.plan.apis:
                if planned.unavailable is not None and (planned.model_type, api) not in done:
                    blank = self._blank(planned, api)
                    yield blank.model_copy(update={"outcome": "not-applicable", "reason": planned.unavailable})

    def _perform(self, work: Work, scratch: Path, send: Send) -> bool:
        """In the child: measure the cells of one type; True where what is left is to go to a new child."""
        from harness.cell.child import run_type
        from harness.cell.source import source_for

        source = source_for(self.plan, self.execution, self.folder, work.planned, canary=work.canary is not None)
        reproduce = self._reproduce(work.planned.model_type)
        return run_type(self.shard, work, self.execution, source, scratch, send, reproduce, threads=self.threads)

    def _unheard(self, work: Work, api: Api) -> Cell:
        """The cell of a child that died before it said anything."""
        return self._blank(work.planned, api)

    def _blank(self, planned: PlannedType, api: Api) -> Cell:
        return Cell(
            model_type=planned.model_type,
            domain=planned.domain,
            families=planned.families,
            backend=self.shard.backend,
            stack=self.shard.stack,
            api=api,
            outcome="crashed",
            stage="start",
            reproduce=self._reproduce(planned.model_type),
            seconds=0.0,
        )

    def _reproduce(self, model_type: str) -> str:
        return reproduce_line(
            model_type,
            self.shard.backend,
            self.plan.own_pins or self.shard.stack,
            scale=self.plan.scale,
            weights=self.plan.weights,
            planned=self.plan.backends[self.shard.backend],
            execution=self.execution,
            environment=self.environment,
        )

    def _cell(self, ended: Ended) -> Cell:
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

    def _footer(self, void: str | None, import_seconds: float) -> Footer:
        return Footer(
            cells=len(self.cells),
            outcomes=dict(Counter(cell.outcome for cell in self.cells)),
            canaries_caught=sum(canary.caught for canary in self.canaries),
            canaries=len(self.canaries),
            void=void,
            seconds=time.monotonic() - self.started,
            parent_import_seconds=import_seconds,
            peak_memory_bytes=peak_memory(),
        )


def _positive(value: float, option: str) -> float:
    if not value > 0:
        raise UsageError(f"{option} is {value:g}: it must be more than 0")
    return value


def _counts(cells: list[Cell]) -> str:
    counted = Counter(cell.outcome for cell in cells)
    return ", ".join(f"{number} {outcome}" for outcome, number in counted.most_common()) or "no cells"


def _interrupt(_number: int, _frame: Any) -> NoReturn:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    """A plain line on standard output, seen at once through a container's log."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
