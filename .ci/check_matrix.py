#!/usr/bin/env python3
"""Hold a report's matrix.json against its plan: .ci/check_matrix.py report/matrix.json plan.json --passed 23

What the report judges is not judged again here; this asks whether the report can be believed. Everything that was
planned is there and nothing else, measured in containers, with all canaries caught, and with proof. Needs nothing but
Python's standard library. Every finding is printed; exit code 1 where there is one.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CANARIES = frozenset({"hang", "broken checkpoint", "crash", "memory", "constant outputs", "wrong number"})
# Outcomes of cells that must have run to their end, and show it.
EXECUTED = frozenset({"passed", "mismatch"})


def main() -> int:
    """Print what is wrong, or one line that says what was checked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("matrix", type=Path)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--passed", type=int, default=1, metavar="N", help="at least this many cells; default: 1")
    parser.add_argument("--engine", default="docker", help="the engine of every shard; default: docker")
    options = parser.parse_args()
    matrix, plan = (json.loads(path.read_text(encoding="utf-8")) for path in (options.matrix, options.plan))
    findings = [
        *coverage(matrix, plan),
        *engines(matrix, options.engine),
        *canaries(matrix),
        *verdicts(matrix, options.passed),
    ]
    for finding in findings:
        sys.stderr.write(f"{options.matrix}: {finding}\n")
    if findings:
        return 1
    outcomes = Counter(cell["outcome"] for cell in matrix["cells"])
    told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
    sys.stdout.write(
        f"{options.matrix}: {len(matrix['cells'])} cells as planned ({told}),"
        f" {len(matrix['shards'])} shards with engine {options.engine}, {len(matrix['canaries'])} canaries caught\n"
    )
    return 0


def coverage(matrix: dict[str, Any], plan: dict[str, Any]) -> Iterator[str]:
    """Cells and shards that were planned and are not there, or the other way round, or twice."""
    planned = {
        (planned["model_type"], shard["backend"], shard["stack"], api)
        for shard in plan["shards"]
        for planned in shard["types"]
        for api in plan["apis"]
    }
    times = Counter((cell["model_type"], cell["backend"], cell["stack"], cell["api"]) for cell in matrix["cells"])
    yield from (f"planned, but not there: {' '.join(key)}" for key in sorted(planned - times.keys()))
    yield from (f"there, but not planned: {' '.join(key)}" for key in sorted(times.keys() - planned))
    yield from (f"there {count} times: {' '.join(key)}" for key, count in times.items() if count > 1)
    if not planned:
        yield "the plan is empty"
    shards = {shard["id"]: shard for shard in matrix["shards"]}
    for shard in plan["shards"]:
        found = shards.get(shard["id"])
        if found is None or not found["complete"] or found.get("void"):
            yield f"shard {shard['id']} is missing, cut off or void"
    yield from (f"a problem: {problem['message']}" for problem in matrix["problems"])


def engines(matrix: dict[str, Any], engine: str) -> Iterator[str]:
    """Environments of another engine, and shards of which no environment is known."""
    known = set()
    for one in matrix["environments"]:
        known.update(one["shards"])
        environment = one["environment"]
        if environment["engine"] != engine:
            yield f"{', '.join(one['shards'])}: engine {environment['engine']}, not {engine}"
        if engine == "docker" and not str(environment.get("image", "")).startswith("sha256:"):
            yield f"{', '.join(one['shards'])}: no image id"
    yield from (f"{shard['id']}: no environment" for shard in matrix["shards"] if shard["id"] not in known)


def canaries(matrix: dict[str, Any]) -> Iterator[str]:
    """Shards that did not open with every canary, and canaries that were not caught."""
    for shard in matrix["shards"]:
        here = [one for one in matrix["canaries"] if one["shard"] == shard["id"]]
        missing = CANARIES - {one["name"] for one in here}
        if missing:
            yield f"{shard['id']}: no canary {', '.join(sorted(missing))}"
        for one in here:
            if one["observed"] != one["expected"]:
                yield f"{shard['id']}: canary {one['name']} came out {one['observed']}, not {one['expected']}"


def verdicts(matrix: dict[str, Any], least: int) -> Iterator[str]:
    """Cells that are not as expected or prove nothing, and too few that passed."""
    for cell in matrix["cells"]:
        name = f"{cell['model_type']} {cell['backend']}/{cell['stack']} {cell['api']}"
        if cell["judgement"] != "as expected":
            yield f"{name}: {cell['judgement']}: {cell['outcome']} {cell['reason']}".rstrip()
        if cell["outcome"] in EXECUTED and not cell.get("proof"):
            yield f"{name}: {cell['outcome']} without a proof"
    passed = sum(cell["outcome"] == "passed" for cell in matrix["cells"])
    if passed < least:
        yield f"{passed} cells passed, of at least {least}"
    if matrix["exit_code"] != 0:
        yield f"the report's own exit code is {matrix['exit_code']}"


if __name__ == "__main__":
    sys.exit(main())
