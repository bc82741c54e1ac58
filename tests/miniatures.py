"""Small results made of the records themselves, for tests of what reads them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.configuration import Configuration, load_configuration
from harness.expectations import Expectation, Expectations
from harness.records import (
    Api,
    Canary,
    Cell,
    Comparison,
    Environment,
    Execution,
    Failure,
    Footer,
    Header,
    Latency,
    Metrics,
    Outcome,
    OutputDifference,
    Plan,
    PlannedType,
    Proof,
    Record,
    Shard,
    Throughput,
)
from harness.results import RESULTS_FILE
from harness.stream import to_json_line

APIS: tuple[Api, ...] = ("from_pretrained", "pipeline")
EXECUTION = Execution(device="cpu", tolerance=0.0, timeout_seconds=120, child_memory_bytes=2**31)


def environment(**changes: object) -> Environment:
    values = {
        "engine": "local",
        "torch_build": "cpu",
        "python": "3.12.3",
        "packages": {"torch": "2.13.0", "transformers": "5.23.0"},
        "system": "Linux 6.1 x86_64",
        "cpu": "A processor",
        "cores": 2,
        "memory_bytes": 2**33,
        "threads_per_child": 1,
        "jobs": 2,
    }
    return Environment.model_validate(values | changes)


def plan(
    types: Sequence[str] = ("bert", "gpt2"),
    *,
    shards: int = 1,
    places: Sequence[tuple[str, str]] = (("cpu", "current"),),
    selection: str = "",
) -> Plan:
    """Types dealt out to the shards of every backend and stack in turn."""
    made = [
        Shard(
            id=f"{backend}/{stack}/{index + 1}of{shards}",
            backend=backend,
            stack=stack,
            types=tuple(PlannedType(model_type=one, domain="text", expected_seconds=1) for one in types[index::shards]),
        )
        for backend, stack in places
        for index in range(shards)
    ]
    return Plan(
        selection=selection or f"--types {','.join(types)}",
        backends={backend: EXECUTION for backend, _ in places},
        shards=tuple(made),
    )


def header(of: Plan, shard: Shard | None = None, **changes: object) -> Header:
    shard = shard or of.shards[0]
    values = {
        "plan_digest": of.digest,
        "selection": of.selection,
        "scale": of.scale,
        "weights": of.weights,
        "apis": of.apis,
        "planned_shards": of.planned_shards,
        "shard": shard,
        "execution": EXECUTION,
        "environment": environment(),
        "started_at": "2026-11-24T10:00:00+00:00",
    }
    return Header.model_validate(values | changes)


def failure(**changes: object) -> Failure:
    values = {
        "error_class": "RuntimeError",
        "message": "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)",
        "frame": "transformers/models/bert/modeling_bert.py:412 in forward",
        "category": "shape mismatch",
        "hint": "sizes do not fit each other",
        "signature": "RuntimeError in forward: mat1 and mat2 shapes cannot be multiplied (<n> and <n>)",
        "traceback": "Traceback (most recent call last):\n  …\nRuntimeError: mat1 and mat2",
        "log": "a line\n",
    }
    return Failure.model_validate(values | changes)


def cell(
    model_type: str = "bert", api: Api = "from_pretrained", outcome: Outcome = "passed", **changes: object
) -> Cell:
    """A cell that passed, with all that such a cell has; or one that did not, with its failure."""
    values: dict[str, object] = {
        "model_type": model_type,
        "domain": "text",
        "families": (model_type.upper(),),
        "backend": "cpu",
        "stack": "current",
        "api": api,
        "task": "fill-mask",
        "outcome": outcome,
        "stage": "measure",
        "reproduce": f"ci/nox -s cpu -- --types {model_type} --stack current",
        "seconds": 0.5,
    }
    if outcome == "passed":
        raw = tuple(0.001 + 0.0001 * number for number in range(20))
        values |= {
            "metrics": Metrics(
                load_seconds=0.1,
                first_inference_seconds=0.01,
                latency=Latency(warmup=2, iterations=20, p50=0.002, p90=0.0028, raw=raw),
                throughput=(Throughput(value=1000.0, unit="items/s"),),
                parameters=154_304,
                checkpoint_bytes=622_440,
                peak_rss_bytes=500 * 2**20,
                private_bytes=20 * 2**20,
                contended=True,
            ),
            "comparison": Comparison(
                reference="the model in memory that was saved",
                tolerance=0.0,
                max_relative=0.0,
                outputs=(
                    OutputDifference(name="logits", shape=(2, 12, 99), dtype="float32", max_abs=0, max_relative=0),
                ),
                repeat_equal=True,
                effects={"input_ids": 0.76},
            ),
            "proof": Proof(
                model_class="BertForMaskedLM",
                weights_sha256="a" * 64,
                inputs_sha256="b" * 64,
                outputs_sha256="c" * 64,
                output_devices=("cpu",),
                parameter_devices=("cpu",),
                execution_device="cpu",
            ),
        }
    elif outcome in {"failed", "mismatch", "crashed", "timeout", "out-of-memory"}:
        values |= {"stage": "load", "reason": "RuntimeError: mat1 and mat2", "failure": failure()}
    else:
        values |= {"stage": "start", "reason": "no such task"}
    return Cell.model_validate(values | changes)


def canary(name: str = "crashes", expected: Outcome = "crashed", observed: Outcome = "crashed") -> Canary:
    return Canary(name=name, expected=expected, observed=observed, stage="load", reason="SIGSEGV", seconds=0.2)


def footer(cells: Iterable[Cell], **changes: object) -> Footer:
    outcomes = Counter(one.outcome for one in cells)
    values = {
        "cells": sum(outcomes.values()),
        "outcomes": outcomes,
        "canaries_caught": 1,
        "canaries": 1,
        "seconds": 9.5,
        "parent_import_seconds": 3.0,
    }
    return Footer.model_validate(values | changes)


def cells_of(shard: Shard, *others: Cell) -> list[Cell]:
    """A passed cell for everything that the shard is to report, but for those that are given."""
    given = {(one.model_type, one.api): one for one in others}
    return [
        given.get((model_type, api)) or cell(model_type, api, backend=shard.backend, stack=shard.stack)
        for model_type in shard.model_types
        for api in APIS
    ]


def whole(
    of: Plan, shard: Shard | None = None, *others: Cell, **changes: object
) -> list[Header | Canary | Cell | Footer]:
    """All records of a shard that was measured to its end; ``changes`` are the header's."""
    shard = shard or of.shards[0]
    cells = cells_of(shard, *others)
    return [header(of, shard, **changes), canary(), *cells, footer(cells)]


def write(path: Path, records: Iterable[Record]) -> Path:
    """A results.jsonl at ``path``, or in the folder ``path``."""
    if path.suffix != ".jsonl":
        path /= RESULTS_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(to_json_line(one) + "\n" for one in records), encoding="utf-8")
    return path


def write_whole(root: Path, of: Plan, *others: Cell, **changes: object) -> None:
    """Every shard of the plan in its folder below ``root``; ``others`` in place of passed cells, headers changed."""
    for shard in of.shards:
        here = [one for one in others if (one.backend, one.stack) == (shard.backend, shard.stack)]
        write(root / shard.id, whole(of, shard, *here, **changes))


def configuration(*rows: Expectation) -> Configuration:
    """The repository's, with these expectations in place of its own, and without its evidence."""
    own = load_configuration()
    return replace(own, expectations=Expectations(rows, own.catalog.unavailable), evidence=())


def expectation(model_type: str, api: Api, outcome: Outcome = "failed", **changes: object) -> Expectation:
    values = {"model_type": model_type, "backend": "cpu", "api": api, "outcome": outcome, "reason": "known"}
    return Expectation.model_validate(values | changes)
