"""Verb ``lock``: compile docker/pins/*.in into pinned requirements with hashes, and record download sizes.

Versions that are pinned already stay as they are; ``--upgrade`` takes the newest that fit. The torch layer
is locked first and binds the stacks, since a stack is installed on top of it; the newest stack binds what
the host session needs, so that tests can run with everything in one environment.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness import ROOT
from harness.errors import EnvironmentBrokenError, UsageError

PINS: Final = ROOT / "docker" / "pins"
LOWEST_PYTHON: Final = "3.11"
# From PyTorch's own index in the "cpu" build, whose wheels differ from PyPI's: no hashes for these.
TORCH_FAMILY: Final = frozenset({"torch", "torchvision", "torchaudio"})
# What only PyPI's build of torch needs, which is the CUDA one.
CUDA_ONLY: Final = re.compile(r"(nvidia|cuda)-.*|triton")
# Where a stack can be installed: what torch has wheels for.
MACHINES: Final = tuple(
    f"sys_platform == 'linux' and platform_machine == '{one}' and python_version < '3.15'"
    for one in ("x86_64", "aarch64")
)
_MADE: Final = "# Made from torch.txt by `nox -s lock`, for the build with PyTorch's CPU wheels."
MEASURED_PYTHON: Final = (3, 12)
MEASURED_PLATFORMS: Final = (
    *(f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)), "manylinux2014_x86_64", "linux_x86_64",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Lock:
    """One compilation: ``name``.in to ``name``.txt."""

    name: str
    bound_by: tuple[str, ...] = ()
    """Compiled files whose versions this one takes over."""
    on_top_of: str | None = None
    """The compiled file that is installed already, whose packages are left out."""
    linux_only: bool = False


def locks(folder: Path) -> tuple[Lock, ...]:
    """All compilations in their order; an .in file that is not one of ours is a stack."""
    tools = ("uv", "nox", "host", "tests", "lint", "types", "peer")
    stacks = sorted({path.stem for path in folder.glob("*.in")} - {"torch", *tools})
    newest = ("torch", "current") if "current" in stacks else ("torch",)
    return (
        Lock(name="torch", linux_only=True),
        *(Lock(name=one, bound_by=("torch",), on_top_of="torch", linux_only=True) for one in stacks),
        Lock(name="host", bound_by=newest),
        Lock(name="uv", bound_by=("host",)),
        Lock(name="nox", bound_by=("host",)),
        Lock(name="tests", bound_by=(*newest, "host")),
        Lock(name="lint", bound_by=("host",)),
        Lock(name="types", bound_by=(*newest, "host", "tests")),
        Lock(name="peer", linux_only=True),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of this verb."""
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit the .in files")
    parser.add_argument("--pins", type=Path, default=PINS, help="the folder of the .in files")


def main(options: argparse.Namespace) -> int:
    """Compile every file, then write torch-cpu.txt, torch-base.txt and downloads.toml from the result."""
    folder: Path = options.pins
    if not (folder / "torch.in").is_file():
        raise UsageError(f"{folder}: no torch.in there")
    for lock in locks(folder):
        if (folder / f"{lock.name}.in").is_file():
            compile_pins(folder, lock, upgrade=options.upgrade)
            sys.stdout.write(f"locked {lock.name}.txt\n")
    torch = (folder / "torch.txt").read_text(encoding="utf-8")
    family, base = cpu_build(torch)
    (folder / "torch-cpu.txt").write_text(family, encoding="utf-8")
    (folder / "torch-base.txt").write_text(base, encoding="utf-8")
    (folder / "downloads.toml").write_text(_measured(folder), encoding="utf-8")
    return 0


def compile_pins(folder: Path, lock: Lock, *, upgrade: bool = False, index: str | None = None) -> None:
    """Run ``uv pip compile`` in a folder of its own, where no setting of the user's project is found."""
    import uv

    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for path in (*folder.glob("*.in"), *folder.glob("*.txt")):
            (work / path.name).write_bytes(path.read_bytes())
        if lock.linux_only:
            (work / "pyproject.toml").write_text(f"[tool.uv]\nenvironments = {list(MACHINES)}\n")
        left_out = pinned(work / f"{lock.on_top_of}.txt") if lock.on_top_of else {}
        command = [
            uv.find_uv_bin(), "pip", "compile", f"{lock.name}.in", "--output-file", f"{lock.name}.txt",
            "--universal", "--fork-strategy", "fewest", "--python-version", LOWEST_PYTHON,
            "--generate-hashes", "--no-header", "--quiet", *(["--upgrade"] if upgrade else []),
            *(["--default-index", index] if index else []),
            *(word for one in lock.bound_by for word in ("--constraint", f"{one}.txt")),
            *(word for one in left_out for word in ("--no-emit-package", one)),
        ]  # fmt: skip
        # Wheels of this machine's own (pip's and uv's extra sources) must not find their way into the pins.
        settings = {key: value for key, value in os.environ.items() if key != "UV_FIND_LINKS"}
        done = subprocess.run(command, cwd=work, env=settings, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EnvironmentBrokenError(f"{lock.name}.in cannot be compiled:\n{done.stderr.strip()}")
        text = (work / f"{lock.name}.txt").read_text(encoding="utf-8")
    (folder / f"{lock.name}.txt").write_text(_without_left_out_note(text), encoding="utf-8")


def blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each package's name with its lines: the requirement, its hashes, who asked for it."""
    name, lines = "", list[str]()
    for line in text.splitlines():
        if line[:1].isalnum():
            if name:
                yield name, lines
            name, lines = line.split("==")[0].split("[")[0], [line]
        elif name and line[:1] == " ":
            lines.append(line)
    if name:
        yield name, lines


def pinned(path: Path) -> dict[str, str]:
    """The requirement of each package of a compiled file, marker included, by the package's name."""
    return {name: lines[0].rstrip("\\ ") for name, lines in blocks(path.read_text(encoding="utf-8"))}


def cpu_build(torch: str) -> tuple[str, str]:
    """torch.txt in two for the "cpu" build: torch-cpu.txt and torch-base.txt.

    The first is for PyTorch's index of CPU wheels, which are others than PyPI's: no hashes. The second is
    what torch needs from the ordinary index, without CUDA.
    """
    family, base = [_MADE], [_MADE]
    for name, lines in blocks(torch):
        if name in TORCH_FAMILY:
            family.append(lines[0].rstrip("\\ "))
        elif not CUDA_ONLY.fullmatch(name):
            base += lines
    return "\n".join(family) + "\n", "\n".join(base) + "\n"


def _without_left_out_note(text: str) -> str:
    """uv ends the file with a list of the packages that it was told to leave out; torch.txt has it."""
    return text.split("\n# The following packages were excluded", maxsplit=1)[0].rstrip() + "\n"


# --- sizes --------------------------------------------------------------------------------------------


def _measured(folder: Path) -> str:
    """downloads.toml: bytes to download for each compiled file that goes into an environment of gigabytes."""
    lines = [
        "# Bytes of the wheels that each file makes uv download (Linux, x86_64), as the package index says.",
        "# Made by `nox -s lock`. PyTorch's own index tells no sizes, so torch-cpu is not here.",
    ]
    large = [lock.name for lock in locks(folder) if lock.linux_only]
    for name in ("torch-base", *large):
        sizes = [wheel_bytes(one) for one in pinned(folder / f"{name}.txt").values()]
        lines.append(f"{name} = {sum(sizes)}")
    return "\n".join(lines) + "\n"


def wheel_bytes(requirement: str) -> int:
    """The size of the file that is installed for ``name==version; marker`` on Linux, x86_64; else 0."""
    from packaging.requirements import Requirement

    pin = Requirement(requirement)
    machine = {
        "sys_platform": "linux",
        "platform_machine": "x86_64",
        "python_version": "{}.{}".format(*MEASURED_PYTHON),
        "python_full_version": "{}.{}.0".format(*MEASURED_PYTHON),
    }
    if pin.marker is not None and not pin.marker.evaluate(machine):
        return 0
    version = str(pin.specifier).removeprefix("==")
    return best_file_bytes(_index_page(pin.name), version)


def _index_page(name: str) -> list[dict[str, Any]]:
    """The files of a package, as the index's JSON has them (PEP 691, with sizes by PEP 700)."""
    import requests

    index = os.environ.get("UV_DEFAULT_INDEX", "https://pypi.org/simple").rstrip("/")
    try:
        page = requests.get(f"{index}/{name}/", headers={"Accept": "application/vnd.pypi.simple.v1+json"}, timeout=60)
        page.raise_for_status()
        files: list[dict[str, Any]] = page.json()["files"]
    except (requests.RequestException, KeyError, ValueError) as error:
        raise EnvironmentBrokenError(f"the package index does not tell the size of {name}: {error}") from error
    return files


def best_file_bytes(files: list[dict[str, Any]], version: str) -> int:
    """The size of the wheel that an installer takes, or of the source archive where there is no wheel."""
    from packaging.tags import compatible_tags, cpython_tags
    from packaging.utils import InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename
    from packaging.version import Version

    interpreter = "cp{}{}".format(*MEASURED_PYTHON)
    order = [
        *cpython_tags(MEASURED_PYTHON, platforms=MEASURED_PLATFORMS),
        *compatible_tags(MEASURED_PYTHON, interpreter, platforms=MEASURED_PLATFORMS),
    ]
    rank = {tag: place for place, tag in enumerate(order)}
    found: dict[int, int] = {}
    for file in files:
        try:
            if file["filename"].endswith(".whl"):
                _, its_version, _, tags = parse_wheel_filename(file["filename"])
                place = min((rank[tag] for tag in tags if tag in rank), default=None)
            else:
                _, its_version = parse_sdist_filename(file["filename"])
                place = len(rank)
        except (InvalidWheelFilename, ValueError):
            continue  # file names from before the rules, which no installer of today takes
        if its_version == Version(version) and place is not None:
            found[place] = file.get("size") or 0
    return found[min(found)] if found else 0
