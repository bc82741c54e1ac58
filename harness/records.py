"""All that crosses the wall between the host and the container: the plan goes in, results come out.

A results.jsonl is a stream of lines, each with its ``kind``: a header, canaries, cells, a footer.
``docs/results.schema.json`` is made from these classes (``python -m harness schema``). Durations are in
seconds and sizes in bytes; what was not measured is absent, never 0.
"""

import hashlib
from typing import Annotated, Any, Final, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field, JsonValue

SCHEMA_VERSION: Final = 1

Api = Literal["from_pretrained", "pipeline"]
Domain = Literal["text", "vision", "vision-language", "document", "audio", "time-series", "biology", "graph", "other"]
Stage = Literal["start", "synthesise", "load", "export", "compile", "first inference", "repeat", "compare", "measure"]
Outcome = Literal[
    "passed",
    "failed",  # an exception, with its stage
    "mismatch",  # it ran, and its outputs are wrong
    "crashed",  # a signal ended it
    "timeout",
    "out-of-memory",
    "unsupported",  # the backend's exporter says that it has no converter
    "missing-dependency",
    "not-applicable",  # the type has no such API or task, with the reason
    "not-selected",  # over a cap, or left out by a budget, with the reason
    "no-device",
    "environment",  # the machine is broken, not the model
    "missing",  # planned and never reported; only the report says this one
]
EngineName = Literal["docker", "local"]
RuntimeName = Literal["torch", "openvino"]
"""What loads and runs a checkpoint on a backend: an executor of harness/cell/executors/."""
Scale = Literal["tiny", "full"]
"""``tiny``: the config shrunk; ``full``: the type's default config, and realistic inputs. Weights are synthetic."""
Style = Literal["constant", "shallow", "default"]
"""How far a config is shrunk; see harness/cell/synthesis/config.py."""
LibraryName = Literal["diffusers", "torch-geometric"]
InputSource = Literal["signature", "processor", "apart"]
"""What the inputs of a direct call are made from: the signature of ``forward``, or the type's own processor."""


class Record(BaseModel):
    """A frozen value that crosses the wall as JSON; a key that the reader does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> str:
        """One line of JSON without the fields that are absent."""
        return self.model_dump_json(exclude_none=True)


# --- the plan: what goes in ---------------------------------------------------------------------------


class Tensor(Record):
    """One argument of ``forward``, written down: drawn at random in a shape, or with these very values."""

    shape: tuple[int, ...] | None = None
    low: float = 0
    high: float | None = None
    """Whole numbers from ``low`` up to below ``high``; absent: normally distributed numbers."""
    values: JsonValue = None
    """These very numbers; or a text, which stays one, for methods that take it."""
    another: JsonValue = None
    """Beside ``values``: a second, different value, which must change the output."""
    modality: bool = True
    """Whether a second, different value must change the output; ``values`` without ``another`` have none."""

    @pydantic.model_validator(mode="after")
    def _one_way(self) -> "Tensor":
        if (self.shape is None) == (self.values is None):
            raise ValueError("give shape (for random numbers) or values")
        return self

    @property
    def has_alternative(self) -> bool:
        """Whether there is a second value that must change the output."""
        return self.modality and (self.values is None or self.another is not None)


VariantName = Literal[
    "float16", "bfloat16", "tf32", "eager", "sdpa", "flash_attention_2", "compile",
    "weights-float16", "weights-int8", "weights-int4", "latency", "throughput",
]  # fmt: skip
"""Other ways to run a checkpoint in PyTorch; see harness/cell/executors/variants.py."""


class Component(Record):
    """A part of a model that another library has: an instance of a class, or a tokenizer as a type's own class."""

    made_by: str = ""
    """The class by its place: ``diffusers.VQModel``."""
    tokenizer_of: str | None = None
    """In place of it: a model type of transformers, whose tokenizer class makes it."""
    config: dict[str, JsonValue] = {}
    """Values of the class's config, or of its constructor."""

    @pydantic.model_validator(mode="after")
    def _one_way(self) -> "Component":
        if bool(self.made_by) == (self.tokenizer_of is not None):
            raise ValueError("give made_by or tokenizer_of")
        return self


class Elsewhere(Record):
    """A model type that transformers does not have: the library that has it, and what it is made of."""

    library: LibraryName
    model: str
    """The component that is the type itself; the direct call loads it alone."""
    components: dict[str, Component]
    """By the name that the pipeline's class has for them."""
    pipeline: str | None = None
    """The class of the library's pipeline that has this model in it."""
    no_pipeline: str = ""
    """Why there is none, where there is none."""
    core: str = ""
    """The module of the pipeline, by dotted path, whose forward pass is held against the reference's."""
    example: dict[str, JsonValue] = {}
    """Arguments of a call of the pipeline."""
    modality: Literal["text", "image"] = "text"
    """What the pipeline is given besides, and changed."""
    argument: str = ""
    """The argument that carries it."""

    @pydantic.model_validator(mode="after")
    def _names(self) -> "Elsewhere":
        if self.model not in self.components:
            raise ValueError(f"model: no component {self.model!r}")
        if (self.pipeline is None) == (not self.no_pipeline):
            raise ValueError("give pipeline or no_pipeline")
        if self.pipeline and not (self.core and self.argument):
            raise ValueError("a pipeline needs core and argument")
        return self


class Tolerance(Record):
    """A tolerance wider than the backend's, for one type."""

    value: float = Field(gt=0, allow_inf_nan=False)
    reason: str


class Repair(Record):
    """What we change in the library so that a type runs; its cells count as repaired, not as shipped."""

    reason: str
    api: Api | None = None
    """Only for this API's cell; absent: for all."""
    attributes: dict[str, JsonValue] = {}
    """``module:Class.attribute`` -> the value that the class forgot, or has wrongly."""
    function: str | None = None
    """The function to mend: ``module:Class.method``."""
    replace: str = ""
    """Text of that function's source …"""
    by: str = ""
    """… and what stands in its place. Where the text is not there, nothing is broken and nothing changed."""
    environment: dict[str, str] = {}
    """Environment variables without which the library refuses."""

    @pydantic.model_validator(mode="after")
    def _changes_something(self) -> "Repair":
        if not (self.attributes or self.function or self.environment):
            raise ValueError("give attributes, a function or environment: it would change nothing")
        if self.function and not self.replace:
            raise ValueError("function needs replace, the text of it that is wrong")
        return self


class Recipe(Record):
    """How the generic way of making a tiny checkpoint and inputs is changed for one type, and why."""

    reason: str
    elsewhere: Elsewhere | None = None
    """Of a type that transformers does not have: the library that has it."""
    task: str | None = None
    """The task whose head is tested; absent: the first of the type's tasks in our order."""
    pipeline_task: str | None = None
    """The task that stands for the type in pipeline(), where it is not the first that it has one for."""
    model_class: str | None = None
    """The class to load with, where the head that people use has no Auto class."""
    method: str | None = None
    """What is called instead of ``forward``, where the class has none or it is not what people use."""
    style: Style | None = None
    """How far the config is shrunk; absent: the first style that makes a model that runs."""
    parts: dict[str, str] = {}
    """Model types of the sub-configs that a composite config cannot do without: ``encoder = "vit"``."""
    config: dict[str, JsonValue] = {}
    """Config values by dotted path: ``text_config.pad_token_id``."""
    generation_config: dict[str, JsonValue] = {}
    full: dict[str, JsonValue] = {}
    """Config values by dotted path at full scale, where the default config makes no model that runs."""
    inputs_from: InputSource | None = None
    """Absent: the first source that makes inputs that the model takes."""
    sizes: dict[str, int] = {}
    """Sizes of the inputs where they do not follow from the config: ``sequence_length``, ``image_size`` …"""
    inputs: dict[str, Tensor | Literal["leave out"]] = {}
    """Arguments of ``forward`` that are not as the signature suggests."""
    call: dict[str, Tensor] = {}
    """Arguments of the pipeline's call that this type needs besides, by dotted path: ``forward_params.tgt_lang``."""
    processor: dict[str, JsonValue] = {}
    """Arguments of the processor, image processor or feature extractor by dotted path."""
    outputs: dict[str, tuple[str | int, ...]] | None = None
    """The outputs that count, with their dimensions, where they are not the task's."""
    infinite_outputs: tuple[str, ...] = ()
    """Outputs in which -inf is legitimate."""
    unchanged_by: dict[str, str] = {}
    """Inputs that rightly do not change the output, each with its reason."""
    tolerances: dict[str, Tolerance] = {}
    """By backend: where its tolerance is not wide enough for this type, and why."""
    repairs: dict[str, Repair] = {}
    """By name: what must be mended for the type to run."""
    broken_on: dict[str, str] = {}
    """Stacks that have the type and cannot run it, each with the reason: an older one is planned instead."""


class Way(Record):
    """How a type was made to run, as a search found it: used first, so that no change of the generic ways loses it."""

    task: str
    model_class: str
    """The class of the model that ran."""
    style: Style
    source: InputSource | None = None
    """What the inputs of the direct call were made from; absent for ``pipeline()``, which makes them itself."""
    not_fed: tuple[str, ...] = ()
    """Arguments for a modality that no way feeds."""


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


# --- results: what comes out --------------------------------------------------------------------------


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


class Failure(Record):
    """Why a cell did not pass, for people and for clustering."""

    error_class: str
    message: str
    frame: str | None = None
    """The last frame that tells something: file, line, function."""
    category: str
    hint: str
    signature: str
    """Equal for failures of one cause, across types and backends."""
    traceback: str | None = None
    log: str | None = None
    """The tail of what the child printed."""


class Latency(Record):
    """Of one call, in seconds, after warm-up."""

    warmup: int
    iterations: int
    p50: float
    p90: float
    p99: float | None = None
    """Only from 100 samples on."""
    raw: tuple[float, ...]


class Throughput(Record):
    """At the median latency of the call that it names."""

    value: float
    unit: Literal["items/s", "prefill tokens/s", "decode tokens/s"]


class Variant(Record):
    """The cell's forward pass run in another way: what it costs in error, and saves in time."""

    name: VariantName
    max_relative: float | None = None
    """Against the cell's own reference."""
    latency: Latency | None = None
    speedup: float | None = None
    """How many times faster than the cell's own ``latency``, at the medians."""
    converted_bytes: int | None = None
    """Of the model in the runtime's own form."""
    refused: str | None = None
    """Why it did not run, where it did not."""


class Metrics(Record):
    """Figures of one cell; see docs/measuring.md for how each is got."""

    synthesise_seconds: float | None = None
    load_seconds: float | None = None
    export_seconds: float | None = None
    """Of turning the model into the runtime's own form, where it has one."""
    compile_seconds: float | None = None
    """Of compiling for the device, where the runtime does."""
    converted_bytes: int | None = None
    """Of the model in the runtime's own form."""
    eager_latency: Latency | None = None
    """Of the same call of the reference in eager PyTorch, in the same process."""
    speedup: float | None = None
    """Eager PyTorch's median latency over the runtime's."""
    first_inference_seconds: float | None = None
    latency: Latency | None = None
    """Of one forward pass (``from_pretrained``) or one whole call (``pipeline``)."""
    batch: int | None = None
    """Items in the call that the throughput is of."""
    batch_latency: Latency | None = None
    """Of one forward pass of that many, where ``latency`` is of a single one."""
    first_token: Latency | None = None
    """Of generating a single token, prompt included, where that is measured apart."""
    generation: Latency | None = None
    """Of generating ``generated_tokens`` greedily, prompt included."""
    generated_tokens: int | None = None
    throughput: tuple[Throughput, ...] = ()
    parameters: int | None = None
    checkpoint_bytes: int | None = None
    peak_rss_bytes: int | None = None
    """The child's highest resident size since its fork, pages shared with the parent included."""
    private_bytes: int | None = None
    """The child's own memory (unique set size) after the measurement."""
    device_peak_allocated_bytes: int | None = None
    """The most of the device's memory that tensors took at a time."""
    device_peak_reserved_bytes: int | None = None
    """The most that the runtime held of it for tensors."""
    device_process_bytes: int | None = None
    """All that the driver counts for the child, after the measurement; absent where it does not tell."""
    variants: tuple[Variant, ...] = ()
    """Of ``from_pretrained``, where they were asked for."""
    contended: bool | None = None
    """True where other children ran beside: such figures stay out of performance comparisons."""


class OutputDifference(Record):
    """One output tensor against its reference."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    max_abs: float
    max_relative: float
    """max|difference| / max|reference|."""


class Comparison(Record):
    """What the outputs were held against, and what came of it."""

    reference: str
    tolerance: float
    tolerance_reason: str | None = None
    """Why it is wider than the backend's, where it is."""
    max_relative: float
    outputs: tuple[OutputDifference, ...] = ()
    repeat_equal: bool | None = None
    tokens_equal: bool | None = None
    """Greedy tokens against the reference's, where the type generates."""
    answer_equal: bool | None = None
    """The pipeline's answer against one worked out by hand from a direct call, for the tasks that have such a check."""
    other_shapes: dict[str, float] = {}
    """Inputs of another length or batch: the worst difference from the reference, relative to max|reference|."""
    fixed_shape: str | None = None
    """Why inputs of another shape need a conversion of their own, where they do."""
    effects: dict[str, float] = {}
    """By input: how much a second, different value changed the output, relative to max|output|."""
    not_comparable: str | None = None
    """Why there is no reference, where there is none."""


class Proof(Record):
    """What shows that this very cell was executed."""

    model_class: str
    pipeline_class: str | None = None
    processors: dict[str, str] = {}
    """By role: the class of the tokenizer, image processor … that the pipeline was given."""
    stand_ins: dict[str, str] = {}
    """Processors that are not the type's own class, each with the reason."""
    weights_sha256: str
    inputs_sha256: str
    outputs_sha256: str | None = None
    output_devices: tuple[str, ...] = ()
    parameter_devices: tuple[str, ...] = ()
    execution_device: str
    """The runtime's own word for where it executed."""
    executions: int | None = None
    """How often the runtime itself ran the model, where it counts: beside a fallback, only this tells."""
    outside: dict[str, int] | None = None
    """The operations that PyTorch computed beside the runtime in one call, views and copies left aside."""
    eager_operations: int | None = None
    """How many PyTorch computes in the same call where it does all by itself."""
    not_returned: tuple[str, ...] = ()
    """Outputs of the reference that the runtime's own class does not give."""
    synthesis: str | None = None
    """The way of the generic ladder that made the model and its inputs: ``constant, signature``."""
    not_fed: tuple[str, ...] = ()
    """Arguments of ``forward`` for a modality that this cell did not feed."""


class Attempt(Record):
    """One route by which a runtime tried to take a model, and why it did not come to pass."""

    route: str
    repairs: tuple[str, ...] = ()
    """What was changed in the libraries or the model for this attempt."""
    stage: Stage
    outcome: Outcome
    error_class: str
    message: str
    frame: str | None = None
    operators: tuple[str, ...] = ()
    """Those that the converter has no rule for."""
    seconds: float


class Cell(Record):
    """One model type x backend x stack x API, with its verdict."""

    kind: Literal["cell"] = "cell"
    model_type: str
    domain: Domain
    families: tuple[str, ...] = ()
    backend: str
    stack: str
    api: Api
    task: str | None = None
    outcome: Outcome
    stage: Stage
    """The last stage that was entered."""
    reason: str = ""
    repairs: tuple[str, ...] = ()
    """What we changed in the libraries or the model to make it run; empty: as shipped."""
    route: str | None = None
    """Which of the runtime's routes passed, where it has several."""
    attempts: tuple[Attempt, ...] = ()
    """The routes that were tried before it, and did not pass."""
    failure: Failure | None = None
    metrics: Metrics = Metrics()
    comparison: Comparison | None = None
    proof: Proof | None = None
    output_summary: str | None = None
    """What came out, shortened, for people."""
    reproduce: str
    """A line that runs this cell again when pasted."""
    seconds: float

    @property
    def key(self) -> tuple[str, str, str, str]:
        return (self.model_type, self.backend, self.stack, self.api)


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
