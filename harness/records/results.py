"""What a shard writes: a header, canaries, cells, a footer."""

import hashlib
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from harness.records.cell import Cell
from harness.records.plan import Execution, Shard, Weights
from harness.records.words import SCHEMA_VERSION, Api, EngineName, Outcome, Record, Scale, Stage


class Device(Record):
    """What a shard ran on besides the CPU, as its runtime and its driver describe it."""

    name: str
    id: str | None = None
    """The same for the same piece of hardware: a GPU's UUID."""
    capability: str | None = None
    """What kernels must be built for: the compute capability."""
    memory_bytes: int | None = None
    free_bytes: int | None = None
    """When the run began."""
    driver: str | None = None
    versions: dict[str, str] = {}
    """Of the runtime's libraries: CUDA, cuDNN, …"""
    count: int = 1
    """Of such devices that the run saw; it uses the first."""
    shared_with: tuple[str, ...] = ()
    """Other processes that used it when the run began."""


class Environment(Record):
    """Where a shard was measured. Two of them within one backend and stack do not belong together."""

    engine: EngineName
    image: str | None = None
    """The image's content id; absent without containers."""
    torch_build: str
    """``cpu``: PyTorch's CPU wheels; ``pypi``: PyPI's build, which is the CUDA one on Linux."""
    python: str
    packages: dict[str, str]
    system: str
    cpu: str
    cores: int
    memory_bytes: int
    """What the run may use: the container's limit, or the machine's memory."""
    threads_per_child: int
    jobs: int
    device: Device | None = None
    """Absent: the CPU."""
    tasks: tuple[str, ...] = ()
    """What its transformers has a pipeline for; empty: it was not asked."""
    new_types: tuple[str, ...] = ()
    """Model types that the installed transformers has, and its stack's registry has not: nobody planned them."""
    gone_types: tuple[str, ...] = ()
    """The other way round."""
    no_device: str | None = None
    """Why the backend's device is not there, where it is not."""

    @property
    def digest(self) -> str:
        """Of what must be equal for results to stand side by side: the software, not the machine's size."""
        software = self.model_dump_json(include={"engine", "image", "torch_build", "python", "packages"})
        return hashlib.sha256(software.encode()).hexdigest()[:16]


class Header(Record):
    """The first line: what was planned, here and in all, and where it is measured."""

    kind: Literal["header"] = "header"
    schema_version: Literal[1] = SCHEMA_VERSION
    plan_digest: str
    selection: str
    scale: Scale
    weights: Weights | None = None
    apis: tuple[Api, ...]
    planned_shards: dict[str, tuple[str, ...]]
    """The model types of every shard of the plan, so that one header alone shows what is missing."""
    shard: Shard
    execution: Execution
    environment: Environment
    started_at: str
    """ISO 8601, UTC."""


class Canary(Record):
    """A cell that must not pass; it shows that this run, in this place, sees such a failure."""

    kind: Literal["canary"] = "canary"
    name: str
    expected: Outcome
    observed: Outcome
    stage: Stage
    reason: str
    seconds: float

    @property
    def caught(self) -> bool:
        return self.observed == self.expected


class Footer(Record):
    """The last line: the shard was measured to its end."""

    kind: Literal["footer"] = "footer"
    cells: int
    outcomes: dict[Outcome, int]
    canaries_caught: int
    canaries: int
    void: str | None = None
    """Why these results prove nothing: a canary passed."""
    seconds: float
    """From the start of the run to this line, over all its resumptions."""
    parent_import_seconds: float
    peak_memory_bytes: int | None = None


Line = Annotated[Header | Canary | Cell | Footer, Field(discriminator="kind")]
LINES: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(Line)
