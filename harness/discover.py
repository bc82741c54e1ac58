"""Verb ``discover``: what another release of transformers, or somebody's own pins, has that no stack has.

It is installed on this machine, asked for its types, and held against the nearest stack. The types that are
new are tried with the generic ladder; the ways of those that pass can be written to data/ways/discovered.json, which
serves wherever such a type is met before a stack of matrix.toml has it.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness import own_pins
from harness.catalog import DISCOVERED, Catalog
from harness.configuration import load_configuration
from harness.errors import EXIT_FINE, UsageError, suggest
from harness.matrix import ca_bundle, overrides_from, with_overrides
from harness.own_pins import OwnPins
from harness.plan import Selection, make_plan
from harness.records import Cell
from harness.search import add_search_arguments, by_file, measured, show, without_ways
from harness.selection import words


@dataclass(frozen=True)
class Differences:
    """The types of one stack held against those of another."""

    new: tuple[str, ...]
    gone: tuple[str, ...]
    changed: Mapping[str, str]
    """By type: the classes that came (+) and went (-), and whether the config's fields are others."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of this verb."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--transformers", metavar="V", help="a release of transformers, with the packages of its nearest stack"
    )
    what.add_argument("--stack", metavar="FILE.txt", help="your own pins: a requirements file")
    parser.add_argument("--against", metavar="S", help="the stack to hold it against; default: the nearest")
    parser.add_argument("--types", action="append", metavar="A,B", help="try these, in place of all that are new")
    parser.add_argument("--changed", action="store_true", help="try those that have changed besides")
    add_search_arguments(parser)


def main(options: argparse.Namespace) -> int:
    """Say what is new, gone and changed; try what is new; write the ways of what passed where asked to."""
    settings = {**os.environ, **overrides_from(options, os.environ)}
    configuration = load_configuration()
    matrix, known = with_overrides(configuration.matrix, settings), configuration.catalog
    bundle, backend = ca_bundle(matrix, settings), next(iter(matrix.backends))
    if options.transformers is not None:
        own = own_pins.of_release(options.transformers, matrix, matrix.indexes.python)
    elif own_pins.is_requirements(options.stack):
        own = own_pins.of_file(options.stack, matrix.indexes.python)
    else:
        raise UsageError(f"--stack {options.stack}: not a requirements file, FILE.txt")
    against = options.against or own_pins.nearest(own.transformers, matrix)
    if against not in known.stacks:
        raise UsageError(f"--against: no stack {against!r}{suggest(against, known.stacks)}")
    found = own_pins.with_own_pins(configuration, own, matrix, backend, bundle)
    different = compared(found.catalog, own.name, against)
    _say(told(different, own, matrix.stacks[against].transformers, known))

    wanted = words(options.types) if options.types else different.new
    if options.changed:
        wanted = (*wanted, *(name for name in different.changed if name not in wanted))
    if not wanted:
        _say(["nothing to try"])
        return EXIT_FINE
    matrix = with_overrides(found.matrix, settings)
    selection = Selection(types=wanted, stack=own.name)
    plan = make_plan(matrix, without_ways(found.catalog), selection, backends=(backend,))
    cells, code = measured(plan.model_copy(update={"own_pins": own.stack}), matrix, bundle, options)
    _say(tried(cells))
    show(DISCOVERED, known.ways.get(DISCOVERED, {}), by_file(cells, known).get(DISCOVERED, []), write=options.write)
    return code


def compared(catalog: Catalog, here: str, against: str) -> Differences:
    """What one stack has and another has not, the other way round, and what both have, but not the same."""
    types, others = catalog.stacks[here], catalog.stacks[against]
    ours, theirs = catalog.features.get(here, {}), catalog.features.get(against, {})
    changed = {
        name: _changed(ours[name].split(), theirs[name].split())
        for name in sorted(types & others & ours.keys() & theirs.keys())
        if ours[name] != theirs[name]
    }
    return Differences(tuple(sorted(types - others)), tuple(sorted(others - types)), changed)


def _changed(ours: Sequence[str], theirs: Sequence[str]) -> str:
    fields = ["other config fields"] if ours[:1] != theirs[:1] else []
    came = [f"+{one}" for one in ours[1:] if one not in theirs]
    went = [f"-{one}" for one in theirs[1:] if one not in ours]
    return " ".join([*came, *went, *fields])


def told(different: Differences, own: OwnPins, version: str, known: Catalog) -> list[str]:
    """The differences for people; of a new type, the stack that has it all the same."""
    lines = [f"{own.word} (transformers {own.transformers}) held against transformers {version}"]
    lines.append(f"new: {len(different.new)}")
    for name in different.new:
        elsewhere = [stack for stack, types in known.stacks.items() if name in types]
        lines.append(f"  {name}" + (f" (in the stack {elsewhere[0]})" if elsewhere else ""))
    lines += [f"gone: {len(different.gone)}", *(f"  {name}" for name in different.gone)]
    lines += [f"changed: {len(different.changed)}", *(f"  {name}: {what}" for name, what in different.changed.items())]
    return lines


def tried(cells: Iterable[Cell]) -> list[str]:
    """What came of the types that were tried: those that pass, and the others with their errors."""
    ordered = sorted(cells, key=lambda cell: (cell.model_type, cell.api))
    passed = [cell for cell in ordered if cell.outcome == "passed"]
    others = [cell for cell in ordered if cell.outcome != "passed"]
    lines = [f"passed: {len(passed)} cells", *(f"  {cell.model_type} {cell.api} ({cell.task})" for cell in passed)]
    lines.append(f"not passed: {len(others)} cells")
    for cell in others:
        why = (cell.reason or (cell.failure.message if cell.failure else "")).splitlines()
        lines.append(f"  {cell.model_type} {cell.api}: {cell.outcome}{f': {why[0]}' if why else ''}")
    return lines


def _say(lines: Iterable[str]) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
