"""Verb ``search``: climb the generic ladder again for some types, and show how what it finds differs from data/ways/.

What was found before has no part in it, so that nothing is pinned that was not found now. A way that is not found
again stays, and is told: only a person takes it away.
"""

import argparse
import dataclasses
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from harness import ROOT
from harness.catalog import DISCOVERED, Catalog, Ways
from harness.configuration import load_configuration
from harness.engine import CHOICES, prepare
from harness.engine.images import Build
from harness.engine.signals import end_with_nox, treat_termination_as_interrupt
from harness.errors import EXIT_FINE, UsageError
from harness.launch import run_shards
from harness.matrix import Matrix, add_override_arguments, ca_bundle, overrides_from, with_overrides
from harness.plan import Selection, make_plan
from harness.records import Cell, Plan
from harness.results import RESULTS_FILE
from harness.selection import words
from harness.stream import read_results
from harness.terminal import say
from harness.ways import differences, lost, merged, ways_of, write_ways

WAYS: Final = ROOT / "data" / "ways"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of this verb."""
    parser.add_argument("types", nargs="*", metavar="TYPE", help="the model types to search for")
    parser.add_argument("--stack", metavar="S", help="on this stack; default: each type's own")
    parser.add_argument(
        "--results", type=Path, metavar="DIR", help="take what these results show of them (or of all), and run nothing"
    )
    add_search_arguments(parser)


def add_search_arguments(parser: argparse.ArgumentParser) -> None:
    """How to search, and what to do with what is found: shared with ``discover``."""
    parser.add_argument("--write", action="store_true", help="write what was found into data/ways/")
    parser.add_argument("--engine", choices=CHOICES, default="auto", help="default: auto, Docker where it works")
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="children at a time (0: one per core)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where results go; default: results-search/")
    add_override_arguments(parser)


def main(options: argparse.Namespace) -> int:
    """Search, show the difference, and write it where asked to."""
    settings = {**os.environ, **overrides_from(options, os.environ)}
    configuration = load_configuration()
    matrix, catalog = with_overrides(configuration.matrix, settings), configuration.catalog
    types = words(options.types) if options.types else ()
    code = EXIT_FINE
    if options.results is not None:
        cells = cells_below(options.results)
        cells = [cell for cell in cells if not types or cell.model_type in types]
    elif types:
        selection = Selection(types=types, stack=options.stack)
        backend = next(iter(matrix.backends))
        plan = make_plan(matrix, without_ways(catalog), selection, backends=(backend,))
        cells, code = measured(plan, matrix, ca_bundle(matrix, settings), options)
    else:
        raise UsageError("search for what? Name some types, or --results DIR for what was measured already")
    for name, here in by_file(cells, catalog).items():
        show(name, catalog.ways.get(name, {}), here, write=options.write)
    return code


def by_file(cells: Iterable[Cell], catalog: Catalog) -> dict[str, list[Cell]]:
    """The cells by the file of data/ways/ that is about them.

    Of a stack that is not in matrix.toml it is ``discovered``, for the types that no stack of matrix.toml has.
    """
    files: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.stack in catalog.stacks:
            files.setdefault(cell.stack, []).append(cell)
        elif not any(cell.model_type in types for types in catalog.stacks.values()):
            files.setdefault(DISCOVERED, []).append(cell)
    return files


def without_ways(catalog: Catalog) -> Catalog:
    """The catalog as if nobody had searched before."""
    return dataclasses.replace(catalog, ways={})


def measured(plan: Plan, matrix: Matrix, bundle: Path | None, options: argparse.Namespace) -> tuple[list[Cell], int]:
    """The cells of the plan, run here and now, and the exit code of the run."""
    treat_termination_as_interrupt()
    end_with_nox()
    results = (options.out or ROOT / f"{matrix.defaults.results}-search").absolute()
    backend = plan.shards[0].backend
    stacks = list(dict.fromkeys(shard.stack for shard in plan.shards))
    engine, runtimes = prepare(options.engine, [Build.of(matrix, backend, stack, bundle) for stack in stacks])
    say(f"engine: {engine.name}; {', '.join(runtime.label for runtime in runtimes)}")
    ready = dict(zip(stacks, runtimes, strict=True))
    limits = matrix.backends[backend].limits
    code = run_shards(plan, plan.shards, ready, results, ("--jobs", str(options.jobs)), limits)
    return [cell for shard in plan.shards for cell in cells_below(results / shard.id)], code


def cells_below(folder: Path) -> list[Cell]:
    """The cells of every results.jsonl in a folder; ``UsageError`` where there is none."""
    found = sorted(folder.rglob(RESULTS_FILE))
    if not found:
        raise UsageError(f"{folder}: no {RESULTS_FILE} below it")
    return [cell for path in found for cell in read_results(path).cells]


def show(name: str, before: Ways, cells: Iterable[Cell], *, write: bool) -> None:
    """Print what changes in data/ways/NAME.json, what was not found again, and write the file where told to."""
    cells = list(cells)
    after = merged(before, ways_of(cells))
    path = WAYS / f"{name}.json"
    changes = differences(before, after)
    lines = [f"{path.relative_to(ROOT)}: {len(changes) or 'no'} change{'' if len(changes) == 1 else 's'}"]
    lines += [f"  {line}" for line in changes]
    lines += [f"  ! {line}" for line in lost(before, cells)]
    if changes and write:
        write_ways(path, after)
        lines.append("  written")
    elif changes:
        lines.append("  not written: --write does it")
    sys.stdout.write("\n".join(lines) + "\n")
