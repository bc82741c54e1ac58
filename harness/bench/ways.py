"""The ways to run the same cells, each timed from outside: wall time, and the time of all its processes."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness import ROOT
from harness.bench.records import Way
from harness.engine.images import Build
from harness.engine.local import Environment, call_uv
from harness.engine.runtime import Job, variables
from harness.errors import EnvironmentBrokenError
from harness.lock import PINS
from harness.matrix import Limits
from harness.plan import write_plan
from harness.records import Cell, Plan, Shard
from harness.records import Environment as Where
from harness.results import RESULTS_FILE
from harness.stream import read_results

PEER: Final = Path(__file__).parent / "peer.py"
_TOGETHER: Final = 2
_PEER_TYPES: Final = 5
_LONGEST_SECONDS: Final = 3600


@dataclass(frozen=True)
class Bench:
    """What is run, on which stack's Python, and where its files go."""

    plan: Plan
    environment: Environment
    limits: Limits
    folder: Path

    @property
    def shard(self) -> Shard:
        (shard,) = self.plan.shards
        return shard


def harness_way(bench: Bench, jobs: int) -> tuple[Way, dict[str, Cell], Where]:
    """This harness, as a session runs it: canaries and all."""
    folder = bench.folder / f"harness-{jobs}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULTS_FILE).unlink(missing_ok=True)
    write_plan(bench.plan, folder / "plan.json")
    job = Job(
        shard=bench.shard.id, folder=folder, words=("--jobs", str(jobs)), limits=bench.limits, show=lambda _: None
    )
    with _timed() as spent:
        ended = bench.environment.run(job)
    found = read_results(folder / RESULTS_FILE)
    if ended.code or found.header is None or found.footer is None:
        raise EnvironmentBrokenError(f"the harness ended with {ended.code} in {folder}")
    cells = {_key(cell): cell for cell in found.cells}
    about = "a child for each type, forked from a warm parent; six canaries before"
    named = f"this harness, {jobs} {'job' if jobs == 1 else 'jobs'}"
    return _way(named, about, bench, jobs, spent, cells), cells, found.header.environment


def cold_way(bench: Bench, like: Mapping[str, Cell]) -> Way:
    """A new Python for each type, two at a time."""
    folder = _emptied(bench.folder / "cold")

    def run(name: str) -> None:
        _plainly(bench, folder / f"{name}.jsonl", [name])

    with _timed() as spent, ThreadPoolExecutor(_TOGETHER) as pool:
        list(pool.map(run, bench.shard.model_types))
    cells = _read(folder.glob("*.jsonl"))
    return _way("a cold process", "a new Python for each type", bench, _TOGETHER, spent, cells, like)


def one_process_way(bench: Bench, like: Mapping[str, Cell]) -> Way:
    """One Python for all types."""
    folder = _emptied(bench.folder / "one")
    with _timed() as spent:
        _plainly(bench, folder / "all.jsonl", bench.shard.model_types)
    cells = _read(folder.glob("*.jsonl"))
    return _way("one process", "no isolation: a crash would lose all types after it", bench, 1, spent, cells, like)


def peer_way(bench: Bench, build: Build, python: Path) -> Way:
    """optimum-benchmark, with a process for each model: its own work, on the same checkpoints."""
    folder = _emptied(bench.folder / "peer")
    types = bench.shard.model_types[:_PEER_TYPES]
    _install_peer(build, python)
    words = ["-m", "harness.bench.plainly", *_plan_words(bench), "--save", str(folder), *types]
    tasks: dict[str, str] = json.loads(_python(bench.environment.python, bench, words).splitlines()[-1])
    failed = []
    with _timed() as spent:
        for name, task in tasks.items():
            try:
                _python(python, bench, ["-W", "ignore", str(PEER), str(folder / name), task])
            except EnvironmentBrokenError as error:
                failed.append(f"{name}: {str(error).splitlines()[-1]}")
    return Way(
        name="optimum-benchmark 0.6.0",
        about="its isolated process, transformers 4.57.6; latency of a forward pass and of generating alone",
        types=len(tasks),
        jobs=1,
        seconds=spent.wall,
        cpu_seconds=spent.cpu,
        outcomes={},
        note=f"failed: {'; '.join(failed)}" if failed else "",
    )


# --- processes ----------------------------------------------------------------------------------------


def warm_disk(bench: Bench) -> None:
    """Read what every way imports once, so that the first of them does not pay for the disk."""
    _python(bench.environment.python, bench, ["-W", "ignore", "-c", "import harness.cell.child"])


def _install_peer(build: Build, python: Path) -> None:
    marker, wanted = python.parent.parent / "complete", (PINS / "peer.txt").read_text(encoding="utf-8")
    if marker.is_file() and marker.read_text(encoding="utf-8") == wanted:
        return
    call_uv(build, "venv", "--clear", "--python", sys.executable, str(python.parent.parent))
    words = ("--python", str(python), "--no-deps", "--default-index", build.index)
    call_uv(build, "pip", "install", *words, "--requirement", str(PINS / "peer.txt"))
    marker.write_text(wanted, encoding="utf-8")


def _plan_words(bench: Bench) -> list[str]:
    return ["--plan", str(bench.folder / "plan.json"), "--shard", bench.shard.id]


def _plainly(bench: Bench, out: Path, types: Sequence[str]) -> None:
    words = ["-W", "ignore", "-m", "harness.bench.plainly", *_plan_words(bench), "--out", str(out), *types]
    _python(bench.environment.python, bench, words)


def _python(python: Path, bench: Bench, words: Sequence[str]) -> str:
    """Run it with what a child of the harness has in its environment; its standard output."""
    with tempfile.TemporaryDirectory(prefix="model-matrix-") as scratch:
        settings = {
            **os.environ,
            **variables(bench.environment.stack, bench.environment.torch),
            "PYTHONPATH": str(ROOT),
            "HOME": scratch,
            "TMPDIR": scratch,
        }
        done = subprocess.run(
            [python, *words], env=settings, cwd=scratch, capture_output=True, text=True, timeout=_LONGEST_SECONDS,
            check=False,
        )  # fmt: skip
    if done.returncode:
        raise EnvironmentBrokenError(f"{python} {' '.join(words[:6])} … ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


# --- figures ------------------------------------------------------------------------------------------


class _Spent:
    wall = 0.0
    cpu = 0.0


@contextmanager
def _timed() -> Iterator[_Spent]:
    """What passes in the block, and what all processes that ended in it took."""

    def cpu() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    spent, started, before = _Spent(), time.monotonic(), cpu()
    yield spent
    spent.wall, spent.cpu = time.monotonic() - started, cpu() - before


def _way(
    name: str,
    about: str,
    bench: Bench,
    jobs: int,
    spent: _Spent,
    cells: Mapping[str, Cell],
    like: Mapping[str, Cell] | None = None,
) -> Way:
    others = cells if like is None else like
    unequal = sorted(key for key in others.keys() | cells.keys() if _work(others.get(key)) != _work(cells.get(key)))
    return Way(
        name=name,
        about=about,
        types=len(bench.shard.types),
        jobs=jobs,
        seconds=spent.wall,
        cpu_seconds=spent.cpu,
        outcomes=dict(Counter(cell.outcome for cell in cells.values())),
        unequal_cells=tuple(unequal),
    )


def _work(cell: Cell | None) -> tuple[str | None, ...]:
    """What must be equal for the work to be the same: how it ended, on which weights, with which outputs."""
    if cell is None:
        return (None,)
    proof = cell.proof
    return (cell.outcome, proof.weights_sha256 if proof else None, proof.outputs_sha256 if proof else None)


def _key(cell: Cell) -> str:
    return f"{cell.model_type} {cell.api}"


def _read(files: Iterable[Path]) -> dict[str, Cell]:
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    cells = [Cell.model_validate_json(line) for line in lines]
    return {_key(cell): cell for cell in cells}


def _emptied(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.jsonl"):
        path.unlink()
    return folder
