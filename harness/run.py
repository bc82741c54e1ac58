"""The verb ``run``: measure one shard of a plan, here and now.

This is what a container runs, and what runs without one: with ``--plan`` a shard of that plan, with ``--backend`` what
the other words say, on the packages that this Python has. It exits 0 once the shard is fully measured, whatever
the outcomes: judging them is the report's work.
"""

import argparse
import tempfile
from pathlib import Path

from harness.environment import usable_cores
from harness.errors import EXIT_FINE, UsageError
from harness.interrupts import listen
from harness.run_words import what_to_run
from harness.selection import add_budget_argument, add_selection_arguments, add_variants_argument, variants_from
from harness.shard_run import ShardRun


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
    listen()
    # With a plan, --weights only says where its weights are; without one, it is part of what is planned.
    folder = Path(options.weights) if options.plan and options.weights else None
    if folder and (plan.weights is None or plan.weights.source != "folder"):
        raise UsageError(f"--weights {options.weights}: the plan has no real weights in a folder")
    # Scratch space first: a machine without any is to be told before minutes are spent.
    tempfile.gettempdir()
    jobs = options.jobs or (usable_cores() if plan.scale == "tiny" else 1)
    run = ShardRun(plan, shard, execution, jobs, out, folder, budget)
    code = run.measure(resume=options.resume)
    return EXIT_FINE if run.no_device and options.allow_no_device else code


def _positive(value: float, option: str) -> float:
    if not value > 0:
        raise UsageError(f"{option} is {value:g}: it must be more than 0")
    return value
