"""What goes into a shard: types, limits, weights, and where it runs."""

import hashlib
from typing import Literal

from harness.records.recipe import Recipe, VariantName, Way
from harness.records.words import SCHEMA_VERSION, Api, Domain, Record, RuntimeName, Scale


class Weights(Record):
    """A real checkpoint, in place of synthesised ones."""

    name: str
    """In the user's words: a folder's path, or an id on the hub, with ``@`` and a revision if one was named."""
    source: Literal["folder", "hub"]
    digest: str
    """What they are: SHA-256 of all files of a folder, or the hub's commit."""
    trust_remote_code: bool = False
    """Whether the user allowed, by name, that the checkpoint's own Python code runs."""

    @property
    def repository(self) -> str:
        """The id on the hub without a revision."""
        return self.name.partition("@")[0]


class PlannedType(Record):
    """One model type of a shard: a cell for each API of the plan."""

    model_type: str
    domain: Domain
    families: tuple[str, ...] = ()
    recipe: Recipe | None = None
    ways: dict[Api, Way] = {}
    """What was found before, by API; what a recipe says goes before it."""
    unavailable: str | None = None
    """Why nobody can run it here, where that is known beforehand: its cells say so, and nothing is started."""
    expected_seconds: float


class Shard(Record):
    """A part of the plan for one container: one backend and one stack."""

    id: str  # <backend>/<stack>/<index>of<count>, also its folder below results/
    backend: str
    stack: str
    types: tuple[PlannedType, ...]
    registry: tuple[str, ...] = ()
    """All model types that the stack's transformers is held to have, planned here or not; empty: it was not asked."""

    @property
    def model_types(self) -> tuple[str, ...]:
        return tuple(planned.model_type for planned in self.types)


class Execution(Record):
    """What a container must know of its backend's row in matrix.toml."""

    runtime: RuntimeName = "torch"
    device: str
    """In the runtime's words."""
    tolerance: float
    """Largest accepted max|difference| / max|reference|."""
    timeout_seconds: float
    """For one cell."""
    child_memory_bytes: int
    """Private memory that one child may take."""
    device_memory_bytes: int | None = None
    """The device's memory that one child may take; absent: no limit, or no memory of its own."""
    most_parameters: int | None = None
    """Of a model at full scale; a larger one is ``not-selected``."""
    variants: tuple[VariantName, ...] = ()
    """To be measured besides."""


class Plan(Record):
    """Everything that one invocation set out to measure."""

    schema_version: Literal[1] = SCHEMA_VERSION
    selection: str
    """In the user's words: ``--types bert,gpt2`` or ``list twelve``."""
    scale: Scale = "tiny"
    """Real weights have the size that they have, and run under the limits of ``full``."""
    weights: Weights | None = None
    """Real ones; absent: synthetic."""
    own_pins: str | None = None
    """The user's requirements file, where its packages are the stack that is run."""
    apis: tuple[Api, ...] = ("from_pretrained", "pipeline")
    backends: dict[str, Execution]
    shards: tuple[Shard, ...]

    @property
    def digest(self) -> str:
        """Of the whole plan; equal plans have equal digests on every machine."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    @property
    def planned_shards(self) -> dict[str, tuple[str, ...]]:
        """The model types of every shard, by the shard's id."""
        return {shard.id: shard.model_types for shard in self.shards}
