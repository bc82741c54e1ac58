"""matrix.toml: what can be run, where, and under which limits; and what the environment overrides in it."""

import argparse
import re
import typing
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from harness import ROOT
from harness.documents import Document, check_document, read_data
from harness.errors import UsageError, suggest
from harness.gpus import parse_gpus
from harness.records import RuntimeName, Scale

_UNITS: Final = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}

# Names become folders, image tags and container labels.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]


def parse_size(text: object) -> int:
    """The bytes that ``"8GiB"`` means; ``ValueError`` where the text is no size."""
    match = re.fullmatch(r"(\d+) ?([KMGT]iB|B)", text) if isinstance(text, str) else None
    if match is None or int(match[1]) == 0:
        raise ValueError('a size is a string like "8GiB" or "512MiB"')
    return int(match[1]) * _UNITS[match[2]]


TorchBuild = Literal["cpu", "pypi"]
"""``cpu``: PyTorch's own CPU wheels; ``pypi``: PyPI's build, which brings CUDA on Linux."""
Size = Annotated[int, BeforeValidator(parse_size)]
"""Bytes, written as ``"8GiB"``."""


# A word of a shell command in an image's build.
SystemPackage = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]*$")]


def _gpus(text: str) -> str:
    parse_gpus(text)
    return text


class Defaults(Document):
    """What holds where the user says nothing."""

    selection: str
    """A list of data/lists.toml, or ``all``."""
    results: str
    """Folder below the root, as all paths in this file."""
    report: str
    jobs: Annotated[int, Field(ge=0)]
    """Children at a time; 0: one per core."""


class Indexes(Document):
    """Where packages come from."""

    python: str
    torch_cpu: str


class Stack(Document):
    """One pinned set of packages."""

    title: str
    transformers: str
    pins: str


class Limits(Document):
    """What a container and its children may take. Sizes are in bytes once read."""

    memory: Size
    child_memory: Size
    device_memory: Size | None = None
    """Of the backend's device, for one child; absent where the device has no memory of its own."""
    tmpfs: Size
    shm: Size
    pids: Annotated[int, Field(ge=16)]
    timeout_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class FullLimits(Limits):
    """The same at full scale and for real weights."""

    parameters: Annotated[int, Field(gt=0)]
    """Of a model with random weights; a larger one is left out and told. Real ones were asked for by name."""


class Backend(Document):
    """A kind of hardware with its runtime: data, so that no code asks for a backend by name."""

    title: str
    stacks: Annotated[tuple[str, ...], Field(min_length=1)]
    """By preference: a type is planned on the first that has it."""
    base_image: str
    system_packages: tuple[SystemPackage, ...] = ()
    """Debian packages to install on the base image, such as the Python that it lacks."""
    torch: TorchBuild
    runtime: RuntimeName
    device: str
    gpus: Annotated[str, AfterValidator(_gpus)] | None = None
    """Which GPUs a container is given; absent: none."""
    runs_on: tuple[str, ...] = ("ubuntu-24.04",)
    """Labels of the CI runners that can run it."""
    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    limits: Limits
    full: FullLimits | None = None
    """In place of ``limits`` at full scale and for real weights; absent: the same, with no cap on parameters."""

    def limits_of(self, scale: Scale) -> Limits:
        """The limits of a run at this scale."""
        return self.full if scale == "full" and self.full is not None else self.limits


class Matrix(Document):
    """The whole file, with the environment's overrides applied where the caller asked for them."""

    defaults: Defaults
    indexes: Indexes
    ca_bundle: str | None = None
    """PEM file for package indexes behind a proxy that inspects TLS; absent: see ``ca_bundle``."""
    stacks: Annotated[dict[Name, Stack], Field(min_length=1)]
    backends: Annotated[dict[Name, Backend], Field(min_length=1)]


def load_matrix(path: Path = ROOT / "matrix.toml") -> Matrix:
    """The file, checked for keys, types, values and names; ``UsageError`` with all its mistakes."""
    data = read_data(path)
    return check_document(data, Matrix, path, also=[*_stack_mistakes(data), *_limit_mistakes(data)])


def _stack_mistakes(data: Any) -> list[str]:
    """Stacks that backends name wrongly. Looks at raw data, so that it works beside any other mistake."""
    stacks = _table(data, "stacks")
    mistakes = []
    for name, backend in _table(data, "backends").items():
        named = backend.get("stacks") if isinstance(backend, dict) else None
        words = [word for word in named if isinstance(word, str)] if isinstance(named, list) else []
        place = f"backends.{name}.stacks"
        mistakes += [f"{place}: no stack {word!r}{suggest(word, stacks)}" for word in words if word not in stacks]
        mistakes += [f"{place}: {word!r} stands there twice" for word in duplicates(words)]
    return mistakes


def _limit_mistakes(data: Any) -> list[str]:
    """Containers that are smaller than one of their children."""
    mistakes = []
    for name, backend in _table(data, "backends").items():
        for table in ("limits", "full"):
            limits = _table(backend, table)
            try:
                too_small = parse_size(limits.get("memory")) < parse_size(limits.get("child_memory"))
            except ValueError:
                continue  # no sizes: told where they are checked
            if too_small:
                place = f"backends.{name}.{table}.child_memory"
                mistakes.append(f"{place}: more than the memory of the container, {limits['memory']}")
    return mistakes


def _table(data: Any, key: str) -> dict[str, Any]:
    value = data.get(key) if isinstance(data, dict) else None
    return value if isinstance(value, dict) else {}


def duplicates(words: Sequence[str]) -> list[str]:
    """The words that stand more than once, in order."""
    return [word for word, times in Counter(words).items() if times > 1]


# --- what the environment overrides -------------------------------------------------------------------

OVERRIDES: Final = {
    "MATRIX_BASE_IMAGE": "base_image of every backend",
    "MATRIX_TORCH_BUILD": "torch of every backend",
    "MATRIX_PYTHON_INDEX": "indexes.python",
    "MATRIX_TORCH_INDEX": "indexes.torch_cpu",
    "MATRIX_CA_BUNDLE": "ca_bundle",
}
"""Environment variable -> its place in matrix.toml. The option of MATRIX_BASE_IMAGE is ``--base-image``, …"""


def add_override_arguments(parser: argparse.ArgumentParser) -> None:
    """An option for each overriding variable, for the verbs that build."""
    group = parser.add_argument_group("settings of matrix.toml (each also an environment variable)")
    for variable, place in OVERRIDES.items():
        group.add_argument(_option(variable), metavar="VALUE", help=f"{place}; or {variable}")


def overrides_from(options: argparse.Namespace, environ: Mapping[str, str]) -> dict[str, str]:
    """The overriding variables that are set, an option before the environment; '' counts as not set."""
    given = {name: getattr(options, _option(name)[2:].replace("-", "_"), None) for name in OVERRIDES}
    return {name: value for name in OVERRIDES if (value := given[name] or environ.get(name))}


def _option(variable: str) -> str:
    return "--" + variable.removeprefix("MATRIX_").lower().replace("_", "-")


def with_overrides(matrix: Matrix, environ: Mapping[str, str]) -> Matrix:
    """The matrix with what ``environ`` sets of OVERRIDES; '' counts as not set.

    ``UsageError`` for a value that the matrix could not hold.
    """
    build = environ.get("MATRIX_TORCH_BUILD")
    builds = typing.get_args(TorchBuild)
    if build and build not in builds:
        raise UsageError(f"MATRIX_TORCH_BUILD: Input should be {' or '.join(map(repr, builds))}, not {build!r}")

    base_image = environ.get("MATRIX_BASE_IMAGE")
    backend_changes: dict[str, Any] = _set(base_image=base_image, torch=build)
    if base_image:
        backend_changes["system_packages"] = ()  # what the file's base image lacks says nothing of another one
    index_changes = _set(python=environ.get("MATRIX_PYTHON_INDEX"), torch_cpu=environ.get("MATRIX_TORCH_INDEX"))
    bundle = environ.get("MATRIX_CA_BUNDLE")
    return matrix.model_copy(
        update={
            "indexes": matrix.indexes.model_copy(update=index_changes),
            "backends": {name: backend.model_copy(update=backend_changes) for name, backend in matrix.backends.items()},
            # Paths in the file are relative to the root, paths in the environment to where the user stands.
            **_set(ca_bundle=str(Path(bundle).absolute()) if bundle else None),
        }
    )


def _set(**values: str | None) -> dict[str, str]:
    return {key: value for key, value in values.items() if value}


def ca_bundle(matrix: Matrix, environ: Mapping[str, str]) -> Path | None:
    """The certificates for downloads: the setting, else the first file that a well-known variable names.

    ``UsageError`` where the file named is not there: without it, downloads would fail in less clear ways.
    """
    if matrix.ca_bundle:
        return _existing("ca_bundle", ROOT / matrix.ca_bundle)
    for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"):
        # REQUESTS_CA_BUNDLE may name a folder of certificates, which is of no use to an image's build.
        if (named := environ.get(variable)) and not Path(named).is_dir():
            return _existing(variable, Path(named).absolute())
    return None


def _existing(setting: str, path: Path) -> Path:
    if not path.is_file():
        raise UsageError(f"{setting}: no such file: {path}")
    return path
