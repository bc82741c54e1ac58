"""What images are made of, as data: three layers, each with a tag that is a digest of all that goes into it.

Nothing here talks to an engine. An image whose tag is there need not be built, so a build with nothing
changed is three questions; and two images that differ in anything never have one name.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from harness import ROOT
from harness.matrix import Matrix, TorchBuild

DOCKER: Final = ROOT / "docker"
PINS: Final = DOCKER / "pins"
REPOSITORY: Final = "model-matrix"
# Of the harness, what no container uses: a change there is no change of the image, or of its results.
HOST_ONLY: Final = frozenset(
    {"build.py", "discover.py", "engine", "launch.py", "lock.py", "own_pins.py", "report", "search.py", "ways.py"}
)


@dataclass(frozen=True, kw_only=True)
class Build:
    """What is to be made ready: the stack of one backend."""

    backend: str
    stack: str
    base_image: str
    system_packages: tuple[str, ...] = ()
    """Debian packages that the base image lacks."""
    torch: TorchBuild
    """The wanted build; where PyTorch's index does not answer, the other one is taken."""
    pins: Path
    index: str
    torch_index: str
    ca_bundle: Path | None = None

    @classmethod
    def of(cls, matrix: Matrix, backend: str, stack: str, ca_bundle: Path | None) -> "Build":
        """The stack of a backend, as matrix.toml (with its overrides) says."""
        row = matrix.backends[backend]
        return cls(
            backend=backend,
            stack=stack,
            base_image=row.base_image,
            system_packages=row.system_packages,
            torch=row.torch,
            pins=ROOT / matrix.stacks[stack].pins,
            index=matrix.indexes.python,
            torch_index=matrix.indexes.torch_cpu,
            ca_bundle=ca_bundle,
        )


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One image to build on its parent."""

    kind: Literal["system", "torch", "stack", "harness"]
    name: str
    """What stands before the colon of its tag, and says what it is."""
    torch: TorchBuild
    parent: str
    """The parent's content id."""
    files: Mapping[str, bytes]
    """The build's context, by path."""
    arguments: Mapping[str, str]
    ca_bundle: bytes | None = None
    """Needed to build, and no part of what is built: not in the digest."""
    download_bytes: int | None = None
    """What building makes the package index send; absent where it is not known."""

    @property
    def dockerfile(self) -> str:
        return f"{self.kind}.Dockerfile"

    @property
    def digest(self) -> str:
        told = hashlib.sha256(json.dumps([self.parent, dict(sorted(self.arguments.items()))]).encode())
        for path, content in sorted(self.files.items()):
            told.update(json.dumps([path, hashlib.sha256(content).hexdigest()]).encode())
        return told.hexdigest()[:12]

    @property
    def tag(self) -> str:
        return f"{REPOSITORY}/{self.name}:{self.torch}-{self.digest}"

    def context(self) -> bytes:
        """The tar that the engine gets: small, and made of nothing but ``files``."""
        files = dict(self.files)
        if self.ca_bundle is not None:
            files["ca.pem"] = self.ca_bundle
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as archive:
            for path, content in sorted(files.items()):
                entry = tarfile.TarInfo(path)
                entry.size = len(content)
                entry.mode = 0o644
                archive.addfile(entry, io.BytesIO(content))
        return tar.getvalue()


def system_layer(build: Build, parent: str) -> Layer:
    """Debian packages on the base image ``parent``, for a build that names some."""
    return Layer(
        kind="system",
        name="system",
        torch=build.torch,
        parent=parent,
        files={"system.Dockerfile": (DOCKER / "system.Dockerfile").read_bytes()},
        arguments={"PACKAGES": " ".join(build.system_packages)},
    )


def torch_layer(build: Build, torch: TorchBuild, parent: str) -> Layer:
    """Torch on the base image ``parent``; equal for all backends with one base and one torch build."""
    files = _installer("torch.Dockerfile") | {"pins.txt": torch_pins(torch)[-1].read_bytes()}
    if torch == "cpu":
        files["torch-cpu.txt"] = (PINS / "torch-cpu.txt").read_bytes()
    return Layer(
        kind="torch",
        name="torch",
        torch=torch,
        parent=parent,
        files=files,
        arguments={"INDEX": build.index, "TORCH_INDEX": build.torch_index if torch == "cpu" else ""},
        ca_bundle=_content(build.ca_bundle),
        download_bytes=download_bytes(torch_pins(torch)),
    )


def stack_layer(build: Build, torch: TorchBuild, parent: str) -> Layer:
    """The stack's other packages on the torch image ``parent``."""
    return Layer(
        kind="stack",
        name=f"stack-{build.stack}",
        torch=torch,
        parent=parent,
        files=_installer("stack.Dockerfile") | {"pins.txt": build.pins.read_bytes()},
        arguments={"INDEX": build.index},
        ca_bundle=_content(build.ca_bundle),
        download_bytes=download_bytes([build.pins]),
    )


def harness_layer(build: Build, torch: TorchBuild, parent: str) -> Layer:
    """The harness on the stack image ``parent``: the image that runs."""
    sources = {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for part in (ROOT / "harness").iterdir()
        if part.name not in HOST_ONLY
        for path in (part, *part.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    return Layer(
        kind="harness",
        name=f"{build.backend}-{build.stack}",
        torch=torch,
        parent=parent,
        files=sources | {"harness.Dockerfile": (DOCKER / "harness.Dockerfile").read_bytes()},
        arguments={"STACK": build.stack, "TORCH_BUILD": torch},
    )


def torch_pins(torch: TorchBuild) -> list[Path]:
    """The compiled files of a torch build; the first of two is for PyTorch's own index."""
    names = ("torch-cpu", "torch-base") if torch == "cpu" else ("torch",)
    return [PINS / f"{name}.txt" for name in names]


def download_bytes(pins: list[Path]) -> int | None:
    """What these files make an installer download, as recorded by the ``lock`` verb; else None."""
    import tomllib

    record = tomllib.loads((PINS / "downloads.toml").read_text(encoding="utf-8"))
    sizes: list[int] = [record[path.stem] for path in pins if path.stem in record]
    return sum(sizes) if len(sizes) == len(pins) else None


def _installer(dockerfile: str) -> dict[str, bytes]:
    """The files of every stage that installs."""
    return {
        dockerfile: (DOCKER / dockerfile).read_bytes(),
        "install": (DOCKER / "install").read_bytes(),
        "uv.txt": (PINS / "uv.txt").read_bytes(),
    }


def _content(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()
