"""The stack ``installed``: the packages that somebody's Python has already, whatever their versions.

No pins are behind it. What it holds is asked of that Python, and every result records it.
"""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from harness import ROOT
from harness.configuration import Configuration
from harness.errors import EnvironmentBrokenError, UsageError
from harness.matrix import Stack
from harness.records import Domain

INSTALLED: Final = "installed"
# What a child and its parent import besides torch and transformers.
_NEEDED: Final = ("torch", "transformers", "pydantic", "psutil", "junit_xml")
_ASK: Final = f"import importlib.util as u; print(','.join(n for n in {_NEEDED!r} if u.find_spec(n) is None))"
_ANSWER_SECONDS: Final = 600


@dataclasses.dataclass(frozen=True)
class Registry:
    """What a Python says of the transformers that it has."""

    transformers: str
    types: Mapping[str, Domain | None]
    """With their domain, where they are not known."""
    features: Mapping[str, str]


def with_installed(configuration: Configuration, python: Path) -> Configuration:
    """The configuration with what ``python`` has as the one stack of every backend."""
    registry = found_in(python, configuration.catalog.domains)
    stack = Stack(
        title=f"installed packages: transformers {registry.transformers}", transformers=registry.transformers, pins=""
    )
    return with_stack(configuration, INSTALLED, stack, registry)


def with_stack(configuration: Configuration, name: str, stack: Stack, registry: Registry) -> Configuration:
    """The configuration with this as the one stack of every backend."""
    catalog, types = configuration.catalog, registry.types
    domains = {**catalog.domains} | {name: domain for name, domain in types.items() if domain is not None}
    everything = tuple(sorted({*catalog.lists["all"], *types}))
    matrix = configuration.matrix
    row = {"stacks": (name,)}
    return dataclasses.replace(
        configuration,
        matrix=matrix.model_copy(
            update={
                "stacks": {**matrix.stacks, name: stack},
                "backends": {one: backend.model_copy(update=row) for one, backend in matrix.backends.items()},
            }
        ),
        catalog=dataclasses.replace(
            catalog,
            domains=domains,
            stacks={**catalog.stacks, name: frozenset(types)},
            registries={**catalog.registries, name: frozenset(types)},
            features={**catalog.features, name: registry.features},
            lists={**catalog.lists, "all": everything},
        ),
    )


def found_in(python: Path, known: Iterable[str]) -> Registry:
    """The version of transformers that it has, its types, and what they are made of.

    ``EnvironmentBrokenError`` where it lacks what the harness imports, with the names.
    """
    missing = _run(python, ["-c", _ASK], "").strip()
    if missing:
        raise EnvironmentBrokenError(
            f"{python} lacks {missing.replace(',', ', ')}",
            hint=f"install what is missing there, or name another Python with --python: {python} -m pip install …",
        )
    told = _run(python, ["-W", "ignore", "-m", "harness.cell.registry", "--known"], json.dumps(sorted(known)))
    try:
        registry: dict[str, Any] = json.loads(told[told.index("{") :])
        return Registry(str(registry["transformers"]), dict(registry["types"]), dict(registry.get("features", {})))
    except (ValueError, KeyError) as error:
        raise EnvironmentBrokenError(f"{python} does not say which model types it has: {told[:200]!r}") from error


def _run(python: Path, words: list[str], given: str) -> str:
    settings = {**os.environ, "PYTHONPATH": path_with_own(), "HF_HUB_OFFLINE": "1"}
    try:
        done = subprocess.run(
            [python, *words], input=given, capture_output=True, text=True, env=settings, timeout=_ANSWER_SECONDS,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentBrokenError(f"{python} cannot be asked what it has: {error}") from error
    if done.returncode:
        raise EnvironmentBrokenError(f"{python} cannot be asked what it has:\n{done.stderr.strip()[-1500:]}")
    return done.stdout


def path_with_own() -> str:
    """PYTHONPATH as the user has it, with the harness before it: some keep packages there."""
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))


def python_of_the_user(given: str | None) -> Path:
    """The Python that was named; else the first on the path that is not this session's own."""
    if given is not None:
        found = shutil.which(given)
        if found is None:
            raise UsageError(f"--python: no such program: {given}")
        return Path(found).absolute()
    own = Path(sys.prefix, "bin")
    places = [place for place in os.environ.get("PATH", "").split(os.pathsep) if place and Path(place) != own]
    for name in ("python3", "python"):
        if found := shutil.which(name, path=os.pathsep.join(places)):
            return Path(found).absolute()
    raise UsageError("--stack installed: there is no Python on the path besides this session's own", hint="--python")
