"""One shard measured, from the header of its results to their footer."""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from datetime import UTC, datetime
from pathlib import Path

from harness import junit, results
from harness.canaries import canary_of, canary_work, void_by
from harness.device import REASON_VARIABLE, children_that_fit, described, find_device
from harness.ended import cell_of
from harness.environment import describe, peak_memory, usable_cores
from harness.errors import EXIT_ENVIRONMENT, EXIT_FINE, EnvironmentBrokenError
from harness.no_device import NoDeviceError
from harness.pool import Pool, Send, Work
from harness.progress import Teller
from harness.records import Api, Canary, Cell, Environment, Execution, Footer, Header, Outcome, Plan, PlannedType, Shard
from harness.reproduce import reproduce_line


class ShardRun:
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
            for found in self._found_on_this_machine():
                writer.write(found)
            void = void_by(self.canaries)
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

    def _found_on_this_machine(self) -> Iterator[Canary | Cell]:
        """What is measured, or what keeps this machine from measuring; a missed canary is the end of it."""
        if self.no_device is not None:
            yield from self._not_measured("no-device", self.no_device)
        elif self.trouble is not None:
            yield from self._run(canary_work(self.execution))
            yield from self._not_measured("environment", self.trouble)
        else:
            yield from self._measured()

    def _measured(self) -> Iterator[Canary | Cell]:
        """Canaries and cells; and what --budget left no time for."""
        canaries, cells = canary_work(self.execution), self._cells_to_measure()
        if self.plan.scale == "tiny" and self.budget is None:
            yield from self._run(canaries + cells)  # side by side: the verdict on the cells has until the footer
        else:  # first: a large model is to have the machine for itself, and a budget is for cells
            yield from self._run(canaries)
            yield from self._run(cells, self.budget)
        if void_by(self.canaries) is None:
            done = {(cell.model_type, cell.api) for cell in self.cells}
            for cell in self._unavailable(done):
                yield self._told(cell)
            if self.budget is not None:
                reason = f"{results.OUT_OF_TIME} of the {self.budget:g} s of --budget; --resume goes on with it"
                yield from self._not_measured("not-selected", reason)

    def _run(self, work: Sequence[Work], until: float | None = None) -> Iterator[Canary | Cell]:
        """In children, each as it ends; nothing more once a canary was missed, and no child started after ``until``."""
        if void_by(self.canaries) is not None:
            return
        pool = Pool(self.jobs, self._perform, self._unheard, self.teller.runs)
        for ended in pool.run(work, self.started + (until or float("inf"))):
            cell = cell_of(ended)
            if ended.work.canary is None:
                yield self._told(cell)
                continue
            canary = canary_of(ended.work.canary, cell)
            self.canaries.append(canary)
            _say(f"  canary: {canary.name}: {canary.observed}{'' if canary.caught else '  <-- NOT CAUGHT'}")
            yield canary
            if not canary.caught:
                return

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

    def _cells_to_measure(self) -> list[Work]:
        """A child for each type that has cells to measure still."""
        done = {(cell.model_type, cell.api) for cell in self.cells}
        types: Sequence[PlannedType] = self.shard.types
        if self.budget is None:
            # The longest first: what comes last should be short, so that the children end together. With a budget
            # the plan's order holds, which begins with what most people ask for.
            types = sorted(types, key=lambda one: (-one.expected_seconds, one.model_type))
        work = []
        for planned in types:
            apis = tuple(api for api in self.plan.apis if (planned.model_type, api) not in done)
            if apis and planned.unavailable is None:
                limits = self.execution
                work.append(Work(planned, apis, limits.timeout_seconds, limits.child_memory_bytes))
        return work

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

    def _footer(self, void: str | None, import_seconds: float) -> Footer:
        return Footer(
            cells=len(self.cells),
            outcomes=dict(Counter(cell.outcome for cell in self.cells)),
            canaries_caught=sum(canary.caught for canary in self.canaries),
            canaries=len(self.canaries),
            void=void,
            seconds=time.monotonic() - self.started,
            parent_import_seconds=import_seconds,
            # Without a container the control group is the whole machine, or whatever else runs in it.
            peak_memory_bytes=peak_memory() if self.environment.engine == "docker" else None,
        )


def _counts(cells: list[Cell]) -> str:
    counted = Counter(cell.outcome for cell in cells)
    return ", ".join(f"{number} {outcome}" for outcome, number in counted.most_common()) or "no cells"


def _say(text: str) -> None:
    """A plain line on standard output, seen at once through a container's log."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
