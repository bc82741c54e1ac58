"""Verb ``bench``: what a process for each model type costs, this harness's way and others'.

The same cells of the same types in several ways, one after the other, on one machine. Equal outcomes and equal outputs
show that the work was the same. Nothing of it is judged but the two bars, and those from 60 types on.
"""

import argparse
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from harness import ROOT
from harness.bench.records import Bar, Benchmark, Machine, Way, markdown
from harness.bench.ways import Bench, cold_way, harness_way, one_process_way, peer_way, warm_disk
from harness.configuration import load_configuration
from harness.engine.images import Build
from harness.engine.local import STACKS, LocalEngine
from harness.errors import EXIT_FINE, EXIT_JUDGED_BAD, EnvironmentBrokenError, UsageError
from harness.matrix import Matrix, add_override_arguments, ca_bundle, overrides_from, with_overrides
from harness.plan import Selection, make_plan, write_plan
from harness.records import Cell, Environment
from harness.results import write_atomically
from harness.terminal import say

LIST: Final = "isolation"
BACKEND: Final = "cpu"
_QUIET: Final = 0.5
_COLD: Final = 0.1
_UNISOLATED: Final = 1.3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of this verb."""
    parser.add_argument("--types", type=int, metavar="N", help=f"the first N types of the list {LIST!r}; default: all")
    parser.add_argument("--no-peer", action="store_true", help="leave optimum-benchmark out, which has to be installed")
    parser.add_argument("--out", type=Path, default=ROOT / "results-bench", metavar="DIR", help="for the results")
    add_override_arguments(parser)


def main(options: argparse.Namespace) -> int:
    """Measure all ways; 1 where a bar is not met or the work was not the same."""
    configuration = load_configuration()
    settings = {**os.environ, **overrides_from(options, os.environ)}
    matrix = with_overrides(configuration.matrix, settings)
    types = configuration.catalog.lists[LIST]
    if options.types is not None and not 0 < options.types <= len(types):
        raise UsageError(f"--types {options.types}: the list {LIST!r} has {len(types)}")
    stack = matrix.backends[BACKEND].stacks[0]
    selection = Selection(types=types[: options.types], stack=stack)
    plan = make_plan(matrix, configuration.catalog, selection, backends=(BACKEND,))
    build = Build.of(matrix, BACKEND, stack, ca_bundle(matrix, settings))
    environment = LocalEngine().prepare(build)
    bench = Bench(plan, environment, matrix.backends[BACKEND].limits, options.out.absolute())
    write_plan(plan, bench.folder / "plan.json")  # once: cold processes that start side by side all read it
    found = _measured(bench, build, matrix, peer=not options.no_peer)
    write_atomically(bench.folder / "bench.json", found.model_dump_json(indent=1) + "\n")
    text = markdown(found)
    write_atomically(bench.folder / "bench.md", text)
    say(f"\n{text}\nwritten to {bench.folder}/bench.json and bench.md")
    unequal = any(way.unequal_cells for way in found.ways)
    return EXIT_JUDGED_BAD if unequal or (found.judged and not all(bar.met for bar in found.bars)) else EXIT_FINE


def _measured(bench: Bench, build: Build, matrix: Matrix, *, peer: bool) -> Benchmark:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    warm_disk(bench)
    load = os.getloadavg()[0]
    notes = [f"the machine was not quiet (load {load:.1f}): wall times say little"] if load > _QUIET else []
    ways: list[Way] = []
    where: Environment | None = None
    cells: dict[str, Cell] = {}
    for way, its_cells, its_place in _ours(bench):
        ways.append(way)
        cells, where = cells or its_cells, its_place
    for name, run in (("cold", cold_way), ("one process", one_process_way)):
        say(f"{name} …")
        ways.append(run(bench, cells))
    if peer:
        say("optimum-benchmark …")
        try:
            ways.append(peer_way(bench, build, STACKS / "peer" / "bin" / "python"))
        except EnvironmentBrokenError as error:
            notes.append(f"optimum-benchmark could not be measured: {str(error).splitlines()[0]}")
    assert where is not None  # noqa: S101 -- this harness's own way was measured above
    return Benchmark(
        started_at=started,
        machine=_machine(where, load),
        stack=f"{bench.shard.stack} (transformers {matrix.stacks[bench.shard.stack].transformers})",
        types=bench.shard.model_types,
        ways=tuple(ways),
        bars=_bars(*ways[:4]),
        notes=tuple(notes),
    )


def _ours(bench: Bench) -> Iterator[tuple[Way, dict[str, Cell], Environment]]:
    for jobs in (2, 1):
        say(f"this harness, --jobs {jobs} …")
        yield harness_way(bench, jobs)


def _bars(two: Way, one: Way, cold: Way, together: Way) -> tuple[Bar, ...]:
    def bar(claim: str, ours: Way, theirs: Way, limit: float) -> Bar:
        value, cpu = ours.seconds / theirs.seconds, ours.cpu_seconds / theirs.cpu_seconds
        return Bar(claim=claim, value=value, limit=limit, cpu_value=cpu)

    return (
        bar("this harness with two jobs, to a cold process for each type two at a time", two, cold, _COLD),
        bar("this harness with one job, to one process without isolation", one, together, _UNISOLATED),
    )


def _machine(where: Environment, load: float) -> Machine:
    return Machine(
        cpu=where.cpu,
        cores=where.cores,
        memory_bytes=where.memory_bytes,
        system=where.system,
        python=where.python,
        packages=where.packages,
        torch_build=where.torch_build,
        load_before=load,
        load_after=os.getloadavg()[0],
    )
