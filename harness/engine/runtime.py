"""What a shard needs to run somewhere, and how it ended: the same for containers and without."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.engine.images import Build
from harness.gpus import Gpus
from harness.matrix import Limits, TorchBuild
from harness.progress import VARIABLE
from harness.records import EngineName


@dataclass(frozen=True, kw_only=True)
class Download:
    """What a run needs to download one model."""

    settings: Mapping[str, str]
    """Environment variables: endpoint, token, proxies, and the cache where it is on this machine."""
    cache: Path
    """The user's cache of the hub."""
    model: Path
    """The folder below it that holds this model."""
    ca_bundle: Path | None = None
    """Certificates, where they are not the usual ones."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One shard to run. Its folder holds plan.json, and gets the results."""

    shard: str
    folder: Path
    words: tuple[str, ...]
    """Further words for ``python -m harness run``."""
    limits: Limits
    settings: Mapping[str, str] | None = None
    """Further environment variables."""
    gpus: Gpus | None = None
    """Those that the shard is given; None: it needs none."""
    show: Callable[[str], None] | None = None
    """Where the run's output goes, and word of its progress; None: its output is ours."""
    weights: Path | None = None
    """The folder of real weights, which the run may read."""
    download: Download | None = None
    """Real weights on the hub: only with them may the run use the network."""

    @property
    def variables(self) -> dict[str, str]:
        """All of those."""
        return {**(self.settings or {}), **({VARIABLE: "1"} if self.show else {})}


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a shard's run ended."""

    code: int
    out_of_memory: bool = False
    """The kernel killed something in the container for lack of memory (a child, unless ``code`` is 137)."""


class Runtime(Protocol):
    """A place made ready for one stack of one backend."""

    @property
    def label(self) -> str:
        """What people can find it by: an image's tag, an environment's path."""

    def run(self, job: Job) -> Ended:
        """Run the shard to its end and show its output; ``EnvironmentBrokenError`` where that fails."""


class Engine(Protocol):
    """What makes places ready."""

    @property
    def name(self) -> EngineName: ...

    def prepare(self, build: Build) -> Runtime:
        """Build or install what is not there yet; ``EnvironmentBrokenError`` where that cannot be done."""

    def prune(self, needed: Sequence[Runtime]) -> list[str]:
        """Delete what was made for others than ``needed``; the labels of what is gone."""


def variables(stack: str, torch: TorchBuild | None) -> dict[str, str]:
    """What a run without an image must have in its environment; harness.Dockerfile sets the same."""
    return {
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",
        "HARNESS_STACK": stack,
        "HARNESS_TORCH_BUILD": torch or "",
    }
