"""A call of each task's pipeline, as a user makes it: two different values of everything that it reads."""

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from harness.cell.synthesis.raw import (
    FILM_FRAMES,
    FRAMES,
    LABELS,
    QUESTIONS,
    TABLES,
    WORDS,
    Raw,
    film,
    picture,
    recording,
    write_film,
)
from harness.cell.synthesis.written import draw_all
from harness.records import Recipe

if TYPE_CHECKING:
    from harness.cell.synthesis.processors import Processors

NEW_TOKENS = 8
_GREEDY = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False}


@dataclass(frozen=True)
class Call:
    """Keyword arguments of a pipeline's ``__call__``, and by modality those that differ when it changes."""

    arguments: dict[str, Any]
    alternatives: dict[str, dict[str, Any]]
    by_place: str | None = None
    """The argument that the pipeline takes by its place only."""

    def fresh(self, modality: str | None = None) -> dict[str, Any]:
        """Arguments for one call, copied: some pipelines take what they need out of what they are given."""
        changed = self.alternatives[modality] if modality else {}
        return copy.deepcopy(self.arguments | changed)

    def put_to(self, pipe: Any, modality: str | None = None) -> Any:
        """What the pipeline answers."""
        arguments = self.fresh(modality)
        by_place = [arguments.pop(self.by_place)] if self.by_place else []
        return pipe(*by_place, **arguments)


def with_arguments(call: Call, recipe: Recipe | None) -> Call:
    """The call with what its type's recipe says besides."""
    if recipe is None or not recipe.call:
        return call
    generators = (torch.Generator().manual_seed(5), torch.Generator().manual_seed(6))
    given, others = draw_all(recipe.call, *generators, plain=True)
    more = {name: _merged(call.arguments.get(name), value) for name, value in given.items()}
    changed = {name: {name: _merged(call.arguments.get(name), value)} for name, value in others.items()}
    usual = {
        modality: left
        for modality, other in call.alternatives.items()
        if (left := {name: value for name, value in other.items() if name not in given})
    }
    return Call(call.arguments | more, usual | changed)


def _merged(usual: Any, value: Any) -> Any:
    return usual | value if isinstance(usual, dict) and isinstance(value, dict) else value


def call_for(task: str, pipe: Any, processors: "Processors") -> Call:
    """What a user would hand to the pipeline of this task; ``KeyError`` for a task that nobody taught us yet."""
    return _CALLS[task](pipe, processors)


def _text(argument: str, **options: Any) -> Any:
    def call(pipe: Any, processors: "Processors") -> Call:
        first, second = _texts(pipe.tokenizer, processors.raw)
        return Call({argument: first, **options}, {"text": {argument: second}})

    return call


def _texts(tokenizer: Any, raw: Raw) -> tuple[str, str]:
    """The texts; in capitals for a tokenizer that knows nothing else, as one of amino acids."""
    first, second = raw.texts
    ids = tokenizer(first)["input_ids"]
    known = sum(one != tokenizer.unk_token_id for one in ids)
    return (first, second) if 2 * known > len(ids) else (first.upper(), second.upper())


def _written(pipe: Any, processors: "Processors") -> Call:
    first, second = _texts(pipe.tokenizer, processors.raw)
    return Call({"inputs": first, **_GREEDY}, {"text": {"inputs": second}}, by_place="inputs")


def _question_and_context(_pipe: Any, processors: "Processors") -> Call:
    first, second = processors.raw.texts
    return Call(
        {"question": QUESTIONS[0], "context": first},
        {"text": {"question": QUESTIONS[1]}, "context": {"context": second}},
    )


def _image_and_question(_pipe: Any, processors: "Processors") -> Call:
    first, second = _pictures(processors)
    return Call(
        {"image": first, "question": QUESTIONS[0]},
        {"image": {"image": second}, "text": {"question": QUESTIONS[1]}},
    )


def _image(argument: str, **options: Any) -> Any:
    def call(_pipe: Any, processors: "Processors") -> Call:
        first, second = _pictures(processors)
        return Call({argument: first, **options}, {"image": {argument: second}})

    return call


def _pictures(processors: "Processors", *seeds: int) -> list[Image.Image]:
    return [picture(seed, processors.raw.side) for seed in seeds or (1, 2)]


def _recordings(processors: "Processors") -> list[dict[str, Any]]:
    return [recording(seed, processors.raw.seconds, processors.rate) for seed in (1, 2)]


def _masked(pipe: Any, processors: "Processors") -> Call:
    mask = pipe.tokenizer.mask_token
    first, second = (f"{text} {mask} ." for text in _texts(pipe.tokenizer, processors.raw))
    return Call({"inputs": first}, {"text": {"inputs": second}})


def _audio(pipe: Any, processors: "Processors") -> Call:
    options = {"generate_kwargs": {"max_new_tokens": NEW_TOKENS}} if pipe.model.can_generate() else {}
    first, second = _recordings(processors)
    return Call({"inputs": first, **options}, {"audio": {"inputs": second}})


def _sound_and_labels(_pipe: Any, processors: "Processors") -> Call:
    first, second = (one["raw"] for one in _recordings(processors))
    return Call(
        {"audios": first, "candidate_labels": LABELS[0]},
        {"audio": {"audios": second}, "text": {"candidate_labels": LABELS[1]}},
    )


def _spoken(pipe: Any, processors: "Processors") -> Call:
    # Some hand whatever they are told to each of their parts, which have lengths of their own.
    length = getattr(getattr(pipe.model, "generation_config", None), "max_new_tokens", None)
    short = pipe.model.can_generate() and not length and not pipe._passes_generation_params_to_submodels  # noqa: SLF001
    options = {"generate_kwargs": {"max_new_tokens": NEW_TOKENS}} if short else {}
    first: Any
    second: Any
    first, second = processors.raw.texts
    if getattr(pipe.processor, "chat_template", None):
        first, second = ([{"role": "user", "content": [{"type": "text", "text": one}]}] for one in processors.raw.texts)
    return Call({"text_inputs": first, **options}, {"text": {"text_inputs": second}})


def _pair(_pipe: Any, processors: "Processors") -> Call:
    first, second = _pictures(processors, 1, 3), _pictures(processors, 2, 4)
    return Call({"inputs": first}, {"image": {"inputs": second}})


def _text_and_classes(_pipe: Any, processors: "Processors") -> Call:
    first, second = processors.raw.texts
    return Call(
        {"sequences": first, "candidate_labels": LABELS[0]},
        {"text": {"sequences": second}, "labels": {"candidate_labels": LABELS[1]}},
    )


def _table(_pipe: Any, _processors: "Processors") -> Call:
    first, second = TABLES
    return Call(
        {"table": first, "query": QUESTIONS[0]},
        {"text": {"query": QUESTIONS[1]}, "table": {"table": second}},
    )


def _state_and_question(_pipe: Any, processors: "Processors") -> Call:
    questions = {"sure": {"type": "noul", "instructions": QUESTIONS[0]}}
    first, second = ({"state": text, "questions": questions} for text in processors.raw.texts)
    return Call({"inputs": first}, {"text": {"inputs": second}})


def _film(pipe: Any, processors: "Processors") -> Call:
    """As a file; decoded, where a video processor takes it: its own decoder wants libraries of the system."""
    if getattr(pipe, "video_processor", None) is not None:
        frames = max(FILM_FRAMES, getattr(pipe.model.config, "num_frames", 0))
        one, other = (film(seed, processors.raw.side, frames) for seed in (1, 2))
        return Call({"inputs": one}, {"video": {"inputs": other}})
    first, second = (write_film(processors.folder, seed, processors.raw.side) for seed in (1, 2))
    return Call({"inputs": first}, {"video": {"inputs": second}})


def _any_to_any(pipe: Any, processors: "Processors") -> Call:
    """A text with everything that the type takes beside it."""
    has_images = bool(processors.mark("image")) and hasattr(pipe.processor, "image_processor")
    has_sound = "feature_extractor" in processors.made and (
        bool(processors.mark("audio")) or not processors.placeholders
    )
    marks = " ".join(processors.mark(one) for one, has in (("image", has_images), ("audio", has_sound)) if has)
    first, second = (f"{marks} {text}".strip() for text in processors.raw.texts)
    arguments: dict[str, Any] = {"text": first, **_generating(pipe)}
    alternatives: dict[str, dict[str, Any]] = {"text": {"text": second}}
    if has_images:
        one, other = _pictures(processors)
        arguments["images"], alternatives["image"] = one, {"images": other}
    if has_sound:
        sound, noise = (one["raw"] for one in _recordings(processors))
        arguments["audio"], alternatives["audio"] = sound, {"audio": noise}
    return Call(arguments, alternatives)


def _image_and_labels(**options: Any) -> Any:
    def call(_pipe: Any, processors: "Processors") -> Call:
        first, second = _pictures(processors)
        return Call(
            {"image": first, "candidate_labels": LABELS[0], **options},
            {"image": {"image": second}, "text": {"candidate_labels": LABELS[1]}},
        )

    return call


def _generating(pipe: Any) -> dict[str, Any]:
    """Options of the pipelines that generate a text from more than a text."""
    options: dict[str, Any] = {"generate_kwargs": dict(_GREEDY), "return_full_text": False}
    if "mm_token_type_ids" in inspect.signature(pipe.model.forward).parameters:
        options["processor_kwargs"] = {"return_mm_token_type_ids": True}  # without which the model would not run
    return options


def _image_and_prompt(pipe: Any, processors: "Processors") -> Call:
    first, second = (f"{processors.mark('image')} {text}".strip() for text in processors.raw.texts)
    one, other = (
        _films_as_images(processors)
        if processors.has("video") and not processors.has("image")
        else _pictures(processors)
    )
    return Call(
        {"images": one, "text": first, **_generating(pipe)},
        {"image": {"images": other}, "text": {"text": second}},
    )


def _films_as_images(processors: "Processors") -> list[list[Image.Image]]:
    """Two films, each as its frames: how a type is given one that takes films in place of images."""
    return [_pictures(processors, *range(seed, seed + 10 * FRAMES, 10)) for seed in (1, 2)]


def _page_and_question(_pipe: Any, processors: "Processors") -> Call:
    boxes = [[100 * i, 50, 100 * i + 80, 90] for i in range(len(WORDS))]
    page = {
        "image": picture(1, processors.raw.side),
        "question": QUESTIONS[0],
        "word_boxes": list(zip(WORDS, boxes, strict=True)),
    }
    moved = [[900 - box[0] - 80, 500, 900 - box[0], 540] for box in boxes]
    return Call(
        page,
        {
            "text": {"question": QUESTIONS[1]},
            "layout": {"word_boxes": list(zip(WORDS, moved, strict=True))},
        },
    )


_CALLS: dict[str, Callable[[Any, "Processors"], Call]] = {
    "fill-mask": _masked,
    "text-generation": _text("text_inputs", return_full_text=False, **_GREEDY),
    "text-classification": _text("inputs", top_k=None),
    "token-classification": _text("inputs", ignore_labels=[]),  # or a model that finds nothing would say nothing
    "feature-extraction": _text("inputs", return_tensors=False),
    # Until 4.57: version 5 dropped these pipelines.
    "text2text-generation": _written,
    "summarization": _written,
    "translation": _written,
    "question-answering": _question_and_context,
    "visual-question-answering": _image_and_question,
    "image-to-image": _image("images"),
    "image-to-text": _image("inputs", generate_kwargs=_GREEDY),
    "image-classification": _image("inputs"),
    "image-feature-extraction": _image("inputs"),
    "object-detection": _image("inputs", threshold=0.0),
    "image-segmentation": _image("inputs", threshold=0.0, mask_threshold=0.0, overlap_mask_area_threshold=0.0),
    "depth-estimation": _image("inputs"),
    "mask-generation": _image(
        "image", points_per_crop=4, points_per_batch=16, pred_iou_thresh=-1e6, stability_score_thresh=-1.0
    ),
    "keypoint-matching": _pair,
    "video-classification": _film,
    "zero-shot-object-detection": _image_and_labels(threshold=0.0),
    "zero-shot-audio-classification": _sound_and_labels,
    "zero-shot-classification": _text_and_classes,
    "table-question-answering": _table,
    "decision": _state_and_question,
    "text-to-audio": _spoken,
    "any-to-any": _any_to_any,
    "audio-classification": _audio,
    "automatic-speech-recognition": _audio,
    "zero-shot-image-classification": _image_and_labels(),
    "image-text-to-text": _image_and_prompt,
    "document-question-answering": _page_and_question,
    # Of other libraries: their recipes say what to ask.
    "text-to-audio-diffusion": lambda pipe, _: pipe.example,
    "super-resolution-diffusion": lambda pipe, _: pipe.example,
}
