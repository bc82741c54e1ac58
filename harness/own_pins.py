"""A stack that is not in matrix.toml: somebody's requirements file, or another release of transformers.

It is compiled on top of the torch of all stacks, with what the harness imports, into pins like those in docker/pins/,
and installed on this machine to be asked which types it has. Then it is run as any stack is, by either engine.
"""

import hashlib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness import ROOT
from harness.configuration import Configuration
from harness.engine.images import PINS, Build
from harness.engine.local import LocalEngine
from harness.errors import EnvironmentBrokenError, UsageError
from harness.installed import found_in, with_stack
from harness.lock import Lock, compile_pins, pinned
from harness.matrix import Matrix, Stack
from harness.terminal import say

FOLDER: Final = ROOT / ".nox" / "pins"
SUFFIXES: Final = (".txt", ".in")
# What is imported in a stack beside torch and transformers.
_NEEDED: Final = ("psutil", "pydantic", "junit-xml")
_RELEASE: Final = re.compile(r"\d+(\.\d+)+([a-z]+\d+)?")


@dataclass(frozen=True)
class OwnPins:
    """A stack by a name of its own, with its compiled pins."""

    name: str
    pins: Path
    word: str
    """What the user asked for."""
    stack: str
    """What ``--stack`` takes to run it again."""

    @property
    def transformers(self) -> str:
        """The release in it."""
        return _version(self.pins, "transformers")


def is_requirements(stack: str | None) -> bool:
    """Whether ``--stack`` names a requirements file, and not a stack."""
    return stack is not None and stack.endswith(SUFFIXES)


def of_file(word: str, index: str) -> OwnPins:
    """The stack of a requirements file; its name is the file's."""
    path = Path(word)
    if not path.is_file():
        raise UsageError(f"--stack {word}: no such file")
    stem = re.sub(r"[^a-z0-9]+", "-", path.stem.casefold()).strip("-")
    # By the file's place, what it refers to (-r, -c) is found.
    return _compiled(f"own-{stem}", f"-r {path.absolute()}\n", path.read_text(encoding="utf-8"), word, index, word)


def of_release(version: str, matrix: Matrix, index: str) -> OwnPins:
    """The stack of matrix.toml whose transformers is nearest, with this release of it in its place."""
    if not _RELEASE.fullmatch(version):
        known = ", ".join(dict.fromkeys(one.transformers for one in matrix.stacks.values()))
        raise UsageError(f"--transformers {version}: not a release, as {known}")
    base = nearest(version, matrix)
    source = (ROOT / matrix.stacks[base].pins).with_suffix(".in").read_text(encoding="utf-8")
    text, count = re.subn(r"(?m)^transformers==.*$", f"transformers=={version}", source)
    if count != 1:
        raise UsageError(f"{matrix.stacks[base].pins}: its .in file has no line transformers==…")
    name = f"transformers-{version.replace('.', '-')}"
    return _compiled(name, text, text, f"transformers=={version}", index)


def nearest(version: str, matrix: Matrix) -> str:
    """The newest of matrix.toml's stacks that is not newer than this release by its first number, in order of rows."""
    numbers = tuple(int(one) for one in re.findall(r"\d+", version)[:2])
    backend = next(iter(matrix.backends.values()))
    known = {name: _numbers(matrix.stacks[name].transformers) for name in backend.stacks}
    distance = {name: (abs(one[0] - numbers[0]), abs(one[1] - numbers[1])) for name, one in known.items()}
    return min(distance, key=lambda name: distance[name])


def _numbers(version: str) -> tuple[int, int]:
    first, second, *_ = (*(int(one) for one in re.findall(r"\d+", version)), 0, 0)
    return first, second


def _compiled(name: str, requirements: str, content: str, word: str, index: str, stack: str | None = None) -> OwnPins:
    """Compile them, unless the very same were compiled before."""
    torch = (PINS / "torch.txt").read_bytes()
    told = hashlib.sha256(torch + f"{requirements}\n{content}\n{_NEEDED}".encode()).hexdigest()[:12]
    pins = FOLDER / told / f"{name}.txt"
    if not pins.is_file():
        say(f"compiling {word} on top of torch {_version(PINS / 'torch.txt', 'torch')}")
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            (folder / "torch.txt").write_bytes(torch)
            (folder / f"{name}.in").write_text("\n".join([requirements, *_NEEDED, ""]), encoding="utf-8")
            lock = Lock(name=name, bound_by=("torch",), on_top_of="torch", linux_only=True)
            try:
                compile_pins(folder, lock, index=index)
            except EnvironmentBrokenError as error:
                raise UsageError(
                    f"{word}: {error.message}", hint="every stack is installed on the torch of docker/pins/torch.txt"
                ) from error
            compiled = (folder / f"{name}.txt").read_bytes()
        pins.parent.mkdir(parents=True, exist_ok=True)
        partial = pins.with_suffix(".partial")
        partial.write_bytes(compiled)
        partial.replace(pins)
    if "transformers" not in pinned(pins):
        raise UsageError(f"{word}: there is no transformers in it")
    return OwnPins(name, pins, word, stack or str(pins.relative_to(ROOT)))


def _version(pins: Path, package: str) -> str:
    """What a compiled file pins the package to; a marker may follow."""
    return pinned(pins)[package].partition("==")[2].partition(";")[0].strip()


def with_own_pins(
    configuration: Configuration, own: OwnPins, matrix: Matrix, backend: str, bundle: Path | None
) -> Configuration:
    """The configuration with this as the one stack of every backend; it is installed here to be asked."""
    title = f"{own.word}: transformers {own.transformers}"
    stack = Stack(title=title, transformers=own.transformers, pins=str(own.pins))
    known = matrix.model_copy(update={"stacks": {**matrix.stacks, own.name: stack}})
    environment = LocalEngine().prepare(Build.of(known, backend, own.name, bundle))
    registry = found_in(environment.python, configuration.catalog.domains)
    return with_stack(configuration, own.name, stack, registry)
