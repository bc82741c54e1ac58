"""The line that runs one type's cells again: pasted into a shell at the repository's root, it works."""

import shlex
import sys

from harness.records import Environment, Execution, Scale, Weights

PLACE = "results-again"
"""Apart from the results that the line stands in, which a run into the same folder would replace."""


def reproduce_line(
    model_type: str,
    backend: str,
    stack: str,
    *,
    scale: Scale = "tiny",
    weights: Weights | None = None,
    planned: Execution | None = None,
    execution: Execution | None = None,
    environment: Environment | None = None,
) -> str:
    """With what is not as everywhere: weights and scale, options of that run (``execution``), and how it was run."""
    words = ["ci/nox", "-s", backend, "--", "--types", model_type, "--stack", stack]
    if stack == "installed":
        words += ["--python", sys.executable]
    elif environment and environment.engine == "local":
        words += ["--engine", "local"]
    if weights is not None:
        words += ["--weights", weights.name]
        words += ["--trust-remote-code"] if weights.trust_remote_code else []
    elif scale != "tiny":
        words += ["--scale", scale]
    if planned and execution:
        if execution.timeout_seconds != planned.timeout_seconds:
            words += ["--timeout", f"{execution.timeout_seconds:g}"]
        if execution.variants != planned.variants:
            words += ["--variants", ",".join(execution.variants)]
    return shlex.join([*words, "--out", PLACE])
