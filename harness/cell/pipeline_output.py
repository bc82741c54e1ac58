"""The structure that each task's pipeline promises for its output."""

from typing import Annotated, Any

import pydantic
from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from harness.cell.outputs import MismatchError

Probability = Annotated[float, Field(ge=0, le=1)]
Words = Annotated[str, Field(min_length=1)]


class Labelled(TypedDict):
    """A class and its probability."""

    label: Words
    score: Probability


class Filled(TypedDict):
    """A candidate for the masked token."""

    score: Probability
    token: int
    token_str: str
    sequence: Words


class Entity(TypedDict):
    """A token and its class."""

    entity: Words
    score: Probability
    index: int
    word: Words
    start: int | None
    end: int | None


class Generated(TypedDict):
    """The continuation of a prompt."""

    generated_text: Words


class GeneratedFrom(Generated):
    """The continuation of a prompt, which is given back beside it."""

    input_text: Words


class Box(TypedDict):
    """Corners in pixels."""

    xmin: int
    ymin: int
    xmax: int
    ymax: int


class Detected(Labelled):
    """An object in an image."""

    box: Box


class Transcript(TypedDict):
    """What was heard; a random model may hear silence."""

    text: str


class Answer(TypedDict):
    """A span of the page's words."""

    score: Probability
    answer: Words
    start: int
    end: int


Features = Annotated[list[list[list[float]]], Field(min_length=1)]
"""[1, tokens, width]"""
_FORMS: dict[str, Any] = {
    "fill-mask": Annotated[list[Filled], Field(min_length=1)],
    "text-generation": Annotated[list[Generated], Field(min_length=1)],
    "text-classification": Annotated[list[Labelled], Field(min_length=2)],
    "token-classification": Annotated[list[Entity], Field(min_length=1)],
    "feature-extraction": Features,
    "image-classification": Annotated[list[Labelled], Field(min_length=2)],
    "image-feature-extraction": Features,
    "object-detection": Annotated[list[Detected], Field(min_length=1)],
    "audio-classification": Annotated[list[Labelled], Field(min_length=2)],
    "automatic-speech-recognition": Transcript,
    "zero-shot-image-classification": Annotated[list[Labelled], Field(min_length=2, max_length=2)],
    "image-text-to-text": Annotated[list[GeneratedFrom], Field(min_length=1)],
    "document-question-answering": Annotated[list[Answer], Field(min_length=1)],
}


def check_structure(task: str, output: Any) -> None:
    """``MismatchError`` with the first place where the output is not what the task promises."""
    try:
        TypeAdapter(_FORMS[task]).validate_python(output, strict=True)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"]) or "the output"
        msg = f"{task} gave {str(first['input'])[:120]!r} at {place}: {first['msg']}"
        raise MismatchError(msg) from None
