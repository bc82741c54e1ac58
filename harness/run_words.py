"""What the verb ``run`` is to measure: the shard of a plan that it was given, or of one that it makes itself."""

import argparse
import dataclasses
import os
import sys
from pathlib import Path

from harness import ROOT
from harness.documents import read_document
from harness.errors import UsageError, suggest
from harness.records import Plan, Shard
from harness.selection import Selection, selection_from


def what_to_run(options: argparse.Namespace) -> tuple[Plan, Shard, Path]:
    """The plan, the one shard of it to measure, and the folder for its results."""
    if options.plan is not None:
        if options.backend or selection_from(options) != Selection(shard=options.shard, weights=options.weights):
            raise UsageError(
                "--plan says already what to run", hint="--shard goes with it, and --weights for where they are"
            )
        if options.shard is None or options.out is None:
            raise UsageError("--plan needs --shard and --out")
        plan = read_document(options.plan, Plan)
        return plan, _shard(plan, options.shard), options.out
    if options.backend is None:
        raise UsageError("what to run? --plan FILE --shard ID --out DIR, or --backend B on what is installed here")
    return _plan_on_what_is_here(options)


def _plan_on_what_is_here(options: argparse.Namespace) -> tuple[Plan, Shard, Path]:
    from harness import weights
    from harness.configuration import load_configuration
    from harness.installed import INSTALLED, with_installed
    from harness.plan import make_plan, pick_shards, write_plan

    selection = selection_from(options)
    if selection.stack not in (None, INSTALLED):
        raise UsageError(
            f"--stack {selection.stack}: run --backend takes the packages that are here, as the stack {INSTALLED!r}",
            hint=f"nox -s {options.backend} -- --stack {selection.stack} installs that stack and runs it",
        )
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in the images; read when torch is imported
    configuration = with_installed(load_configuration(), Path(sys.executable))
    selection = dataclasses.replace(selection, stack=INSTALLED)
    found = weights.find(selection.weights, trust_remote_code=selection.trust_remote_code)
    plan = make_plan(configuration.matrix, configuration.catalog, selection, found=found, backends=(options.backend,))
    shards = pick_shards(plan, selection.shard)
    if len(shards) != 1:
        raise UsageError(f"run measures one shard at a time: --shard 1/{len(shards)}, and so on")
    results = options.out or ROOT / configuration.matrix.defaults.results
    folder = results / shards[0].id
    write_plan(plan, folder / "plan.json")
    sys.stdout.write(f"results: {folder}; nox -s report -- --results {results} judges them\n")
    return plan, shards[0], folder


def _shard(plan: Plan, shard_id: str) -> Shard:
    by_id = {shard.id: shard for shard in plan.shards}
    if shard_id not in by_id:
        raise UsageError(
            f"--shard {shard_id!r}: the plan has no such shard{suggest(shard_id, by_id)}",
            hint=f"its shards are {', '.join(by_id)}",
        )
    return by_id[shard_id]
