"""Verb ``plan``: what would be run, split into shards; on standard output as JSON for a CI matrix.

A plan is made from matrix.toml, data/ and the user's words alone, so every machine that is given the same
words makes the same plan: a CI job runs its shard of it without being handed a file.
"""

import argparse
import heapq
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import weights
from harness.catalog import Catalog
from harness.configuration import load_configuration
from harness.documents import counted, read_document
from harness.errors import UsageError, suggest
from harness.matrix import Backend, FullLimits, Matrix
from harness.records import Execution, Plan, PlannedType, Scale, Shard
from harness.selection import (
    Selection,
    add_selection_arguments,
    selected_types,
    selection_from,
    shard_count,
    words,
    wrong_weights,
    wrong_words,
)
from harness.weights import Found

__all__ = [
    "Selection",
    "add_selection_arguments",
    "ci_matrix",
    "make_plan",
    "pick_shards",
    "read_plan",
    "selection_from",
    "write_plan",
]

# --- the verb -----------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to plan, and where to write it."""
    parser.add_argument(
        "--backend", action="append", metavar="B", help="plan for this backend; may be repeated; default: all"
    )
    add_selection_arguments(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the whole plan to this file besides")


def main(options: argparse.Namespace) -> int:
    """Print the CI matrix of the plan, or of its shard that was asked for."""
    configuration = load_configuration()
    selection = selection_from(options)
    found = weights.find(selection.weights, trust_remote_code=selection.trust_remote_code)
    backends = words(options.backend) or None
    plan = make_plan(configuration.matrix, configuration.catalog, selection, backends=backends, found=found)
    shards = pick_shards(plan, selection.shard)
    if options.out:
        write_plan(plan, options.out)
    sys.stdout.write(json.dumps(ci_matrix(plan, shards, configuration.matrix)) + "\n")
    return 0


def ci_matrix(plan: Plan, shards: Iterable[Shard], matrix: Matrix) -> dict[str, Any]:
    """What a CI system needs to start a job per shard; ``include`` is GitHub's word for it."""
    include = [
        {
            "backend": shard.backend,
            "stack": shard.stack,
            "shard": position(shard),
            "id": shard.id,
            "runs_on": list(matrix.backends[shard.backend].runs_on),
            "types": len(shard.types),
            "expected_seconds": round(sum(planned.expected_seconds for planned in shard.types), 1),
        }
        for shard in shards
    ]
    return {"include": include, "plan_digest": plan.digest}


def position(shard: Shard) -> str:
    """``1/4`` of ``cpu/current/1of4``."""
    return shard.id.rsplit("/", 1)[1].replace("of", "/")


def write_plan(plan: Plan, path: Path) -> None:
    """The plan as a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(plan.to_json() + "\n", encoding="utf-8")
    partial.replace(path)


def read_plan(path: Path, matrix: Matrix, backend: str) -> Plan:
    """A plan that ``write_plan`` wrote, to run its shards of ``backend``.

    ``UsageError`` where it is no plan, has no such backend, or names what this checkout's matrix.toml does not have.
    """
    plan = read_document(path, Plan)
    mistakes = []
    if backend not in plan.backends:
        mistakes.append(f"no backend {backend!r} in it{suggest(backend, plan.backends)}")
    if backend not in matrix.backends:
        mistakes.append(f"no backend {backend!r} in matrix.toml{suggest(backend, matrix.backends)}")
    stacks = dict.fromkeys(shard.stack for shard in plan.shards if shard.backend == backend)
    mistakes += [
        f"the stack {name!r} is not in matrix.toml{suggest(name, matrix.stacks)}"
        for name in stacks
        if name not in matrix.stacks
    ]
    if mistakes:
        raise UsageError(f"{path}: {counted(mistakes)}", mistakes=mistakes)
    return plan


# --- making a plan ------------------------------------------------------------------------------------


def make_plan(
    matrix: Matrix,
    catalog: Catalog,
    selection: Selection,
    *,
    backends: Sequence[str] | None = None,
    found: Found | None = None,
) -> Plan:
    """The plan of these backends (default: all) for the selection; ``found`` is the checkpoint of its ``--weights``.

    ``UsageError`` with every wrong word. ``selection.shard`` does not change the plan, but must be in it.
    """
    backends = tuple(matrix.backends) if backends is None else backends
    mistakes = wrong_words(matrix, catalog, selection, backends) + wrong_weights(selection, found, catalog)
    shards, more = shard_count(selection)
    mistakes += more
    if found is not None:
        selected = [found.model_type]
    else:
        selected = [] if mistakes else selected_types(catalog, selection, matrix.defaults.selection)
    described = selection.described(matrix.defaults.selection)
    if not mistakes and not selected:
        mistakes.append(f"{described}: no type is left")
    elif not mistakes and shards > len(selected):
        mistakes.append(f"{shards} shards, but only {len(selected)} types: {described}")
    if mistakes:
        raise UsageError(f"{counted(mistakes)} in what to run", mistakes=mistakes)

    scale: Scale = "full" if found else selection.scale
    return Plan(
        selection=described,
        scale=scale,
        weights=found.weights if found else None,
        backends={name: _execution(matrix.backends[name], scale) for name in backends},
        shards=tuple(
            shard
            for name in backends
            for shard in _shards(catalog, name, _stacks(matrix.backends[name], selection), selected, shards)
        ),
    )


def pick_shards(plan: Plan, wanted: str | None) -> tuple[Shard, ...]:
    """The plan's shards that ``K/N`` or an id means: one for each backend and stack, or all where None.

    ``UsageError`` where the plan has no such shard.
    """
    if wanted is None:
        return plan.shards
    picked = tuple(shard for shard in plan.shards if wanted in (shard.id, position(shard)))
    if not picked:
        known = [shard.id for shard in plan.shards]
        raise UsageError(f"--shard: the plan has no shard {wanted!r}{suggest(wanted, known)}")
    return picked


def _stacks(backend: Backend, selection: Selection) -> tuple[str, ...]:
    return (selection.stack,) if selection.stack else backend.stacks


def _stacks_of(catalog: Catalog, stacks: Sequence[str], model_type: str) -> set[str]:
    """The first stack that has the type and is not known to be broken for it, and the first whose exporter has it.

    A type that none has is planned on the first one all the same: its cells say that the type is gone from
    there, where leaving it out would make a type of the baseline vanish from every count.
    """
    having = [stack for stack in stacks if model_type in catalog.stacks[stack]]
    recipe = catalog.recipes.get(model_type)
    sound = [stack for stack in having if recipe is None or stack not in recipe.broken_on]
    first = next(iter([*sound, *having, *stacks]))
    return {first, next((stack for stack in stacks if model_type in catalog.exported.get(stack, ())), first)}


def _shards(
    catalog: Catalog, backend: str, stacks: Sequence[str], model_types: Iterable[str], count: int
) -> Iterable[Shard]:
    """The backend's types in ``count`` parts of about equal duration, a shard for each stack in a part."""
    parts = balanced({name: catalog.expected_seconds(name) for name in model_types}, count)
    baseline = set(catalog.lists["baseline"])
    for stack in stacks:
        for index, part in enumerate(parts, start=1):
            here = [name for name in part if stack in _stacks_of(catalog, stacks, name)]
            here.sort(key=lambda name: name not in baseline)  # it comes first where there is no time for all
            if here:  # a part may hold nothing of a stack that few types need
                yield Shard(
                    id=f"{backend}/{stack}/{index}of{count}",
                    backend=backend,
                    stack=stack,
                    types=tuple(_planned(catalog, name, stack) for name in here),
                    registry=tuple(sorted(catalog.registries.get(stack, ()))),
                )


def balanced(seconds: Mapping[str, float], count: int) -> list[list[str]]:
    """The names in ``count`` parts of about equal sums, each name in one part.

    The longest goes first, each into the part that is emptiest so far; ties go by name and by part, so the
    order of ``seconds`` does not matter. No part takes longer than 4/3 of the longest of the best possible
    split (Graham's bound), and none is empty where there are names enough. Within a part the longest comes
    first: started last, it would keep one child busy while the others have nothing left to do.
    """
    parts: list[list[str]] = [[] for _ in range(count)]
    loads = [(0.0, index) for index in range(count)]
    for name in sorted(seconds, key=lambda name: (-seconds[name], name)):
        load, index = heapq.heappop(loads)
        parts[index].append(name)
        heapq.heappush(loads, (load + seconds[name], index))
    return parts


def _planned(catalog: Catalog, model_type: str, stack: str) -> PlannedType:
    unavailable = catalog.unavailable.get(model_type)
    recipe = catalog.recipes.get(model_type)
    return PlannedType(
        model_type=model_type,
        domain=catalog.domains.get(model_type, "other"),  # none is known of a type that brings its own code
        families=catalog.families_of(model_type),
        recipe=recipe.on(stack) if recipe else None,
        ways=catalog.ways_of(model_type, stack),
        unavailable=unavailable.reason if unavailable else None,
        expected_seconds=catalog.expected_seconds(model_type),
    )


def _execution(backend: Backend, scale: Scale) -> Execution:
    limits = backend.limits_of(scale)
    return Execution(
        runtime=backend.runtime,
        device=backend.device,
        tolerance=backend.tolerance,
        timeout_seconds=limits.timeout_seconds,
        child_memory_bytes=limits.child_memory,
        device_memory_bytes=limits.device_memory,
        most_parameters=limits.parameters if isinstance(limits, FullLimits) else None,
    )
