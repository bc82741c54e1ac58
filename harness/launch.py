"""Verb ``launch``: plan, build, run and report one backend. This is what ``nox -s cpu`` calls.

Nothing is started and nothing overwritten before the configuration, the user's words and the images are
good. A shard's old results go when its new run starts, unless ``--resume`` takes them up.
"""

import argparse
import dataclasses
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from harness import ROOT, own_pins, report, weights
from harness.catalog import Catalog
from harness.configuration import load_configuration
from harness.documents import read_document
from harness.engine import CHOICES, prepare
from harness.engine.images import Build
from harness.engine.local import Environment
from harness.engine.runtime import Download, Ended, Job, Runtime
from harness.engine.signals import end_with_nox, treat_termination_as_interrupt
from harness.errors import (
    EXIT_ENVIRONMENT,
    EXIT_FINE,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    EnvironmentBrokenError,
    UsageError,
)
from harness.gpus import Gpus, parse_gpus
from harness.hub import Hub
from harness.installed import INSTALLED, python_of_the_user, with_installed
from harness.live import bar
from harness.matrix import Limits, Matrix, add_override_arguments, ca_bundle, overrides_from, with_overrides
from harness.plan import Selection, make_plan, pick_shards, read_plan, write_plan
from harness.records import Plan, Shard
from harness.selection import (
    add_budget_argument,
    add_selection_arguments,
    add_variants_argument,
    selection_from,
    variants_from,
)
from harness.terminal import say, say_loudly, size

PLAN_FILE: Final = "plan.json"
_KILLED: Final = 137
_RESULT_FILES: Final = ("results.jsonl", "junit.xml", "metrics.json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of this verb."""
    parser.add_argument("backend", metavar="BACKEND", help="a backend of matrix.toml")
    add_selection_arguments(parser)
    group = parser.add_argument_group("how to run")
    group.add_argument(
        "--plan", type=Path, metavar="FILE",
        help="run this plan of nox -s plan, whole or its --shard, in place of the options on what to run",
    )  # fmt: skip
    group.add_argument("--engine", choices=CHOICES, default="auto", help="default: auto, Docker where it works")
    group.add_argument(
        "--python", metavar="P",
        help="with --stack installed: the Python whose packages are run; default: the first on the path",
    )  # fmt: skip
    group.add_argument("--jobs", type=int, metavar="N", help="children at a time (0: one per core)")
    add_budget_argument(group)
    add_variants_argument(group)
    group.add_argument("--timeout", type=float, metavar="S", help="seconds for a cell")
    group.add_argument(
        "--gpus", metavar="G", help='which GPUs: all, a number, or "device=0,2"; default: gpus of matrix.toml'
    )
    group.add_argument(
        "--allow-no-device", action="store_true", help="exit code 0, and not 3, where the backend's device is missing"
    )
    group.add_argument("--resume", action="store_true", help="measure only what is not measured yet")
    group.add_argument("--out", type=Path, metavar="DIR", help="where results go; their report is in DIR/report")
    add_override_arguments(parser)


def main(options: argparse.Namespace) -> int:
    """Run the backend's shards one after the other; the exit code of the worst, else the report's."""
    settings = {**os.environ, **overrides_from(options, os.environ)}
    configuration = load_configuration()
    installed = _installed_python(options)
    if installed is not None:
        configuration = with_installed(configuration, installed)
    matrix = with_overrides(configuration.matrix, settings)
    bundle = ca_bundle(matrix, settings)
    own = own_pins.of_file(options.stack, matrix.indexes.python) if own_pins.is_requirements(options.stack) else None
    if own is not None:
        configuration = own_pins.with_own_pins(configuration, own, matrix, options.backend, bundle)
        matrix, options.stack = with_overrides(configuration.matrix, settings), own.name
    plan, shards = _planned(options, matrix, configuration.catalog)
    if own is not None:
        plan = plan.model_copy(update={"own_pins": own.stack})
    run_words = _run_words(options, matrix)
    # Weights of another kind have folders of their own: neither takes the place of the other's results or report.
    apart = "-weights" if plan.weights else "" if plan.scale == "tiny" else f"-{plan.scale}"
    results: Path = (options.out or ROOT / f"{matrix.defaults.results}{apart}").absolute()
    if options.resume:
        _check_same_plan(plan, [results / shard.id for shard in shards])

    treat_termination_as_interrupt()
    end_with_nox()
    stacks = list(dict.fromkeys(shard.stack for shard in shards))
    if installed is None:
        builds = [Build.of(matrix, options.backend, stack, bundle) for stack in stacks]
        engine, runtimes = prepare(options.engine, builds)
        ready = dict(zip(stacks, runtimes, strict=True))
        say(f"engine: {engine.name}; {', '.join(runtime.label for runtime in runtimes)}")
    else:
        ready = {INSTALLED: Environment(python=installed, stack=INSTALLED, torch=None)}
        say(f"engine: local; what {installed} has installed")
    row = matrix.backends[options.backend]
    gpus = None if row.gpus is None else parse_gpus(options.gpus or row.gpus)
    given = _given_weights(plan, bundle)
    worst = run_shards(plan, shards, ready, results, run_words, row.limits_of(plan.scale), gpus, given)

    if len(shards) < len(plan.shards):
        named = f" --plan {options.plan}" if options.plan else ""
        say(
            f"{len(shards)} of the plan's {len(plan.shards)} shards, so no report yet. When all have run:"
            f" nox -s report -- --results {results}{named}"
        )
        return worst
    out = results / "report" if options.out else ROOT / f"{matrix.defaults.report}{apart}"
    judged = report.build(results, out, plan=plan)
    return worst or judged


def _installed_python(options: argparse.Namespace) -> Path | None:
    """The Python whose own packages are to be run; None where a stack of matrix.toml is."""
    if options.stack != INSTALLED:
        if options.python is not None:
            raise UsageError("--python goes with --stack installed: the other stacks make environments of their own")
        return None
    if options.engine == "docker":
        raise UsageError("--stack installed runs what this machine has: --engine docker has no part in it")
    return python_of_the_user(options.python)


def _planned(options: argparse.Namespace, matrix: Matrix, catalog: Catalog) -> tuple[Plan, tuple[Shard, ...]]:
    """The plan, from the file of ``--plan`` or else from the user's words, and those of its shards to run."""
    selection = selection_from(options)
    if options.plan is None:
        found = weights.find(selection.weights, trust_remote_code=selection.trust_remote_code)
        plan = make_plan(matrix, catalog, selection, backends=(options.backend,), found=found)
        return plan, pick_shards(plan, selection.shard)
    plan = read_plan(options.plan, matrix, options.backend)
    besides = dataclasses.replace(selection, shard=None)
    if besides != Selection():
        raise UsageError(
            f"--plan {options.plan} says already what to run: {plan.selection}",
            hint="--shard is the one option that goes with it; or make a new plan with nox -s plan",
        )
    shards = tuple(shard for shard in pick_shards(plan, selection.shard) if shard.backend == options.backend)
    if not shards:
        raise UsageError(f"--shard: {selection.shard} is not a shard of the backend {options.backend}")
    return plan, shards


def _given_weights(plan: Plan, bundle: Path | None) -> dict[str, Any]:
    """Fields of ``Job`` for the plan's real weights: their folder, or what it takes to download them."""
    if plan.weights is None:
        return {}
    if plan.weights.source == "folder":
        folder = Path(plan.weights.name).expanduser()
        if not folder.is_dir():
            raise UsageError(f"the plan's weights {plan.weights.name}: no such folder here")
        return {"weights": folder}
    hub = Hub.from_environment(os.environ)
    model = hub.folder_of(plan.weights.repository)
    return {"download": Download(settings=hub.variables(), cache=hub.cache, model=model, ca_bundle=bundle)}


def _run_words(options: argparse.Namespace, matrix: Matrix) -> tuple[str, ...]:
    """The words that go on to ``run``, checked here so that a wrong one starts nothing."""
    mistakes = []
    if options.jobs is not None and options.jobs < 0:
        mistakes.append(f"--jobs: {options.jobs} is less than 0")
    if options.gpus is not None:
        if options.backend in matrix.backends and matrix.backends[options.backend].gpus is None:
            mistakes.append(f"--gpus: the backend {options.backend} uses none")
        try:
            parse_gpus(options.gpus)
        except ValueError as error:
            mistakes.append(f"--gpus: {error}, not {options.gpus!r}")
    seconds = {f"--{name}": value for name in ("timeout", "budget") if (value := getattr(options, name)) is not None}
    mistakes += [f"{option}: {value:g} is not more than 0" for option, value in seconds.items() if not value > 0]
    if mistakes:
        raise UsageError("nothing was started", mistakes=mistakes)
    jobs = matrix.defaults.jobs if options.jobs is None else options.jobs
    limits = [word for option, value in seconds.items() for word in (option, f"{value:g}")]
    flags = [f"--{name}" for name in ("resume", "allow-no-device") if getattr(options, name.replace("-", "_"))]
    names = variants_from(options, matrix.backends[options.backend].runtime)
    variants = ("--variants", ",".join(names)) if names else ()
    return ("--jobs", str(jobs), *limits, *variants, *flags)


def _check_same_plan(plan: Plan, folders: Sequence[Path]) -> None:
    """Results of another plan cannot be taken up, and must not lose theirs."""
    mistakes = []
    for folder in folders:
        path = folder / PLAN_FILE
        if path.is_file() and (before := read_document(path, Plan)).digest != plan.digest:
            mistakes.append(f"{folder}: results of another plan ({before.selection}), not of {plan.selection}")
    if mistakes:
        raise UsageError("nothing to resume", mistakes=mistakes, hint="the same options again, or no --resume")


def run_shards(
    plan: Plan,
    shards: Sequence[Shard],
    ready: dict[str, Runtime],
    results: Path,
    words: tuple[str, ...],
    limits: Limits,
    gpus: Gpus | None = None,
    given: dict[str, Any] | None = None,
) -> int:
    """Run each shard; the first exit code that is not 0. A shard that broke does not keep others from running."""
    worst = EXIT_FINE
    for shard in shards:
        folder = results / shard.id
        _lay_out(folder, plan, keep="--resume" in words)
        started = time.monotonic()
        try:
            with bar(shard.id) as show:
                more = given or {}
                job = Job(shard=shard.id, folder=folder, words=words, limits=limits, gpus=gpus, show=show, **more)
                ended = ready[shard.stack].run(job)
        except KeyboardInterrupt:
            say(f"\n{shard.id}: cut off; what was measured is in {folder}, and --resume goes on from there")
            raise
        how = "done" if ended.code == EXIT_FINE else f"exit code {ended.code}"
        say(f"{shard.id}: {how} after {time.monotonic() - started:.1f} s; results in {folder}")
        worst = worst or _judged(shard, ended, limits)
    return worst


def _lay_out(folder: Path, plan: Plan, *, keep: bool) -> None:
    """The shard's folder with its plan in it, and without old results unless they are taken up."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not keep:
            for name in _RESULT_FILES:
                (folder / name).unlink(missing_ok=True)
        write_plan(plan, folder / PLAN_FILE)
    except OSError as error:
        raise EnvironmentBrokenError(f"{folder}: cannot be written: {error}") from error


def _judged(shard: Shard, ended: Ended, limits: Limits) -> int:
    """The exit code that a shard's end means for the whole; what no harness says itself is a broken machine."""
    if ended.code in (EXIT_FINE, EXIT_USAGE, EXIT_ENVIRONMENT, EXIT_INTERRUPTED):
        return ended.code
    if ended.code == _KILLED and ended.out_of_memory:
        say_loudly(
            f"{shard.id}: the container ran out of its {size(limits.memory)}, and the harness itself was killed."
            " Fewer --jobs, or more limits.memory in matrix.toml; --resume goes on from here."
        )
    else:
        say_loudly(f"{shard.id}: the harness ended with {ended.code}, which is none of its exit codes.")
    return EXIT_ENVIRONMENT
