"""The structure that each task's pipeline promises for its output."""

from typing import Annotated, Any

import numpy as np
import pydantic
from pydantic import AfterValidator, Field, TypeAdapter
from typing_extensions import TypedDict

from harness.cell.outputs import MismatchError


def _full(value: Any) -> Any:
    """An array, tensor or picture with something in it, and nothing in it that is not a number."""
    array = np.asarray(value)
    if not array.size:
        raise ValueError("it is empty")
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise ValueError("not all of its values are finite")
    return value


def _numbers(value: list[Any]) -> list[Any]:
    """Nested lists of one length each, of finite numbers."""
    if not np.issubdtype(np.asarray(value).dtype, np.floating):
        raise ValueError("these are not numbers")
    _full(value)
    return value


Array = Annotated[Any, AfterValidator(_full)]
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
    """The continuation of a prompt; a random model may say nothing but special tokens, which are not shown."""

    generated_text: str


class Summarised(TypedDict):
    """A text made shorter; likewise."""

    summary_text: str


class Translated(TypedDict):
    """A text in another language; likewise."""

    translation_text: str


class AnswerInText(TypedDict):
    """A span of the context; a random model may choose one of no letter."""

    score: Probability
    answer: str
    start: int
    end: int


class AnswerOfClasses(TypedDict):
    """One of the known answers and its probability."""

    score: Probability
    answer: Words


class AnswerInWords(TypedDict):
    """An answer that was generated."""

    answer: str


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


class Segment(TypedDict):
    """A region of an image, as a mask of its size."""

    score: Probability | None
    label: Words
    mask: Array


class Depth(TypedDict):
    """Distances, as numbers and as a picture."""

    predicted_depth: Array
    depth: Array


class Masks(TypedDict):
    """Masks of all that may be an object."""

    masks: list[Array]
    scores: Array


class Point(TypedDict):
    """A place in an image, in pixels."""

    x: int
    y: int


class Match(TypedDict):
    """The same point in two images."""

    keypoint_image_0: Point
    keypoint_image_1: Point
    score: Probability


class Choice(TypedDict):
    """A sequence and what it may be, the likeliest first."""

    sequence: Words
    labels: Annotated[list[Words], Field(min_length=2)]
    scores: Annotated[list[Probability], Field(min_length=2)]


class CellsOfTable(TypedDict):
    """Cells of a table; a random model may choose none."""

    answer: str
    coordinates: list[tuple[int, int]]
    cells: list[str]


class Decision(TypedDict):
    """How sure the answer to a yes-or-no question is."""

    type: Words
    noul: Probability


class Sound(TypedDict):
    """Samples and their rate in hertz."""

    audio: Array
    sampling_rate: Annotated[int, Field(gt=0)]


class Sounds(TypedDict):
    """Samples of each sound."""

    audios: Array


class Pictures(TypedDict):
    """Pixels of each picture."""

    images: Array


Features = Annotated[list[Any], Field(min_length=1), AfterValidator(_numbers)]
"""[1, tokens, width], or [1, width] of a type that pools."""
_FORMS: dict[str, Any] = {
    "fill-mask": Annotated[list[Filled], Field(min_length=1)],
    "text-generation": Annotated[list[Generated], Field(min_length=1)],
    "text2text-generation": Annotated[list[Generated], Field(min_length=1)],
    "summarization": Annotated[list[Summarised], Field(min_length=1)],
    "translation": Annotated[list[Translated], Field(min_length=1)],
    "question-answering": AnswerInText,
    "visual-question-answering": Annotated[list[AnswerOfClasses] | list[AnswerInWords], Field(min_length=1)],
    "image-to-image": Array,
    "image-to-text": Annotated[list[Generated], Field(min_length=1)],
    "text-classification": Annotated[list[Labelled], Field(min_length=2)],
    "token-classification": Annotated[list[Entity], Field(min_length=1)],
    "feature-extraction": Features,
    "image-classification": Annotated[list[Labelled], Field(min_length=2)],
    "image-feature-extraction": Features,
    "object-detection": Annotated[list[Detected], Field(min_length=1)],
    "image-segmentation": Annotated[list[Segment], Field(min_length=1)],
    "depth-estimation": Depth,
    "mask-generation": Masks,
    "keypoint-matching": list[Match],
    "video-classification": Annotated[list[Labelled], Field(min_length=2)],
    "zero-shot-object-detection": Annotated[list[Detected], Field(min_length=1)],
    "zero-shot-audio-classification": Annotated[list[Labelled], Field(min_length=2, max_length=2)],
    "zero-shot-classification": Choice,
    "table-question-answering": CellsOfTable,
    "decision": Annotated[dict[str, Decision], Field(min_length=1)],
    "text-to-audio": Sound,
    "any-to-any": Annotated[list[GeneratedFrom], Field(min_length=1)],
    "audio-classification": Annotated[list[Labelled], Field(min_length=2)],
    "automatic-speech-recognition": Transcript,
    "zero-shot-image-classification": Annotated[list[Labelled], Field(min_length=2, max_length=2)],
    "image-text-to-text": Annotated[list[GeneratedFrom], Field(min_length=1)],
    "document-question-answering": Annotated[list[Answer], Field(min_length=1)],
    "text-to-audio-diffusion": Sounds,
    "super-resolution-diffusion": Pictures,
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
