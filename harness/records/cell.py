"""One cell: its outcome, proof, figures, and error."""

from typing import Literal

from harness.records.recipe import VariantName
from harness.records.words import Api, Domain, Outcome, Record, Stage


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
