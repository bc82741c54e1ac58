"""How a model type is made and run: what a row of data/ says of it, and the way that was found."""

from typing import Literal

import pydantic
from pydantic import Field, JsonValue

from harness.records.words import Api, InputSource, LibraryName, Record, Style


class Tensor(Record):
    """One argument of ``forward``, written down: drawn at random in a shape, or with these very values."""

    shape: tuple[int, ...] | None = None
    low: float = 0
    high: float | None = None
    """Whole numbers from ``low`` up to below ``high``; absent: normally distributed numbers about ``low``."""
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
    inherits: dict[str, str] = {}
    """``module:Class`` -> the class that it has lost from its bases: ``module:Class``."""
    function: str | None = None
    """The function to mend: ``module:Class.method``."""
    replace: str = ""
    """Text of that function's source …"""
    by: str = ""
    """… and what stands in its place. Where the text is not there, nothing is broken and nothing changed."""
    unless: str = ""
    """Text that the function's source has where it is right: of a version that lost some of it."""
    environment: dict[str, str] = {}
    """Environment variables without which the library refuses."""

    @pydantic.model_validator(mode="after")
    def _changes_something(self) -> "Repair":
        if not (self.attributes or self.inherits or self.function or self.environment):
            raise ValueError("give attributes, inherits, a function or environment: it would change nothing")
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
    config_on: dict[str, dict[str, JsonValue]] = {}
    """By stack: such values for its release of transformers alone, beside or in place of those of ``config``."""
    generation_config: dict[str, JsonValue] = {}
    full: dict[str, JsonValue] = {}
    """Config values by dotted path at full scale, where the default config makes no model that runs."""
    full_inputs: dict[str, Tensor] = {}
    """Arguments of ``forward`` at full scale that are not as the signature suggests, with the shape of one item."""
    no_pipeline: dict[str, str] = {}
    """Tasks whose pipelines cannot feed a model of this type what it reads, each with the reason."""
    inputs_from: InputSource | None = None
    """Absent: the first source that makes inputs that the model takes."""
    sizes: dict[str, int] = {}
    """Sizes of the inputs where they do not follow from the config: ``sequence_length``, ``image_size`` …"""
    inputs: dict[str, Tensor | tuple[Tensor, ...] | Literal["leave out"]] = {}
    """Arguments of ``forward`` that are not as the signature suggests; several tensors make a list of them."""
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

    def on(self, stack: str) -> "Recipe":
        """The recipe as it holds on one stack."""
        return self.model_copy(update={"config": self.config | self.config_on.get(stack, {}), "config_on": {}})


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
