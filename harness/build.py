"""Verb ``build``: make the images of backends, or a stack's environment on this machine, and run nothing."""

import argparse
import os
import sys
import time
from pathlib import Path

from harness.engine import CHOICES, prepare
from harness.engine.images import Build
from harness.errors import UsageError, suggest
from harness.matrix import (
    Matrix,
    add_override_arguments,
    ca_bundle,
    load_matrix,
    overrides_from,
    with_overrides,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of this verb."""
    parser.add_argument("backends", nargs="*", metavar="BACKEND", help="default: all of matrix.toml")
    parser.add_argument("--stack", help="this stack alone")
    parser.add_argument("--engine", choices=CHOICES, default="docker", help="default: docker")
    parser.add_argument(
        "--into",
        type=Path,
        metavar="FOLDER",
        help="install into this virtual environment instead: the stack named, else the backend's first",
    )
    parser.add_argument("--prune", action="store_true", help="then delete our images that these backends do not need")
    add_override_arguments(parser)


def main(options: argparse.Namespace) -> int:
    """Build, and print what was built: one tag or path to a line."""
    settings = {**os.environ, **overrides_from(options, os.environ)}
    matrix = with_overrides(load_matrix(), settings)
    builds = wanted_builds(matrix, options.backends, options.stack, ca_bundle(matrix, settings))
    if options.into is not None:
        return _install(builds, options.into)
    started = time.monotonic()
    engine, runtimes = prepare(options.engine, builds)
    for runtime in runtimes:
        sys.stdout.write(f"{runtime.label}\n")
    sys.stderr.write(f"{len(runtimes)} ready in {time.monotonic() - started:.1f} s\n")
    if options.prune:
        for label in engine.prune(runtimes):
            sys.stderr.write(f"deleted {label}\n")
    return 0


def wanted_builds(matrix: Matrix, backends: list[str], stack: str | None, bundle: Path | None) -> list[Build]:
    """A build for each stack of each backend; ``UsageError`` for names that matrix.toml does not have."""
    mistakes = [
        f"no backend {name!r}{suggest(name, matrix.backends)}" for name in backends if name not in matrix.backends
    ]
    if stack is not None and stack not in matrix.stacks:
        mistakes.append(f"no stack {stack!r}{suggest(stack, matrix.stacks)}")
    if mistakes:
        raise UsageError("nothing was built", mistakes=mistakes)
    builds = [
        Build.of(matrix, backend, one, bundle)
        for backend in backends or matrix.backends
        for one in matrix.backends[backend].stacks
        if stack in (None, one)
    ]
    if not builds:
        raise UsageError(f"stack {stack!r} belongs to none of these backends")
    return builds


def _install(builds: list[Build], place: Path) -> int:
    """Into an environment of the caller's, which can hold one stack: the first of those wanted."""
    from harness.engine.local import install_into

    if len({build.backend for build in builds}) != 1:
        raise UsageError("--into takes one backend", hint="name it")
    install_into(builds[0], place)
    return 0
