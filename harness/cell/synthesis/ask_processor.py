"""Inputs of a direct call made by the type's own processor, from the raw inputs that a user would hand to it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from harness.cell import versions
from harness.cell.synthesis.arguments import CARRIES, Amounts
from harness.cell.synthesis.processors import Processors
from harness.cell.synthesis.raw import FRAMES, film, picture, recording
from harness.records import Recipe

FRAMES_PER_SECOND = 2


@dataclass(frozen=True)
class Asked:
    """One call's values for the arguments of ``forward``, and by modality those that another of it changes."""

    values: dict[str, Any]
    alternatives: dict[str, dict[str, Any]]


def ask_processor(
    processors: Processors,
    accepted: Iterable[str],
    recipe: Recipe | None,
    amounts: Amounts,
    *,
    apart: bool = False,
) -> dict[str, Asked]:
    """Inputs made of a text, an image, a film and a recording, as far as the model takes them.

    By the modality that a call is about: one call with everything, or ``apart`` a call for each modality beside the
    text, for models that take no two of them at once.
    """
    accepted = set(accepted)
    sizes = recipe.sizes if recipe else {}
    kinds = _kinds(processors, accepted, apart=apart)
    others = [kind for kind in kinds if kind != "text"]
    groups = [[*(kind for kind in kinds if kind == "text"), other] for other in others] if apart else [kinds]
    return {group[-1]: _asked_about(processors, group, accepted, sizes, amounts) for group in groups if group}


def _asked_about(
    processors: Processors, kinds: list[str], accepted: set[str], sizes: Mapping[str, int], amounts: Amounts
) -> Asked:
    values = _asked(processors, kinds, {}, accepted, sizes, amounts.batch)
    alternatives = {}
    for kind in kinds:
        other = _asked(processors, kinds, {kind: 1}, accepted, sizes, amounts.batch)
        alternatives[kind] = {name: value for name, value in other.items() if not _equal(values.get(name), value)}
    return Asked(values, alternatives)


def _kinds(processors: Processors, accepted: set[str], *, apart: bool) -> list[str]:
    """The modalities that there is a processor for, and that the model takes."""
    images = any(one in accepted for one, kind in CARRIES.items() if kind == "image")
    takes = {
        "text": "input_ids" in accepted,
        "image": images,
        # A model without an argument of its own for films takes them where it takes images, in calls of their own.
        "video": any("video" in one for one in accepted) or (apart and images) or not processors.has("image"),
        "audio": any("input_features" in one or "input_values" in one or "audio" in one for one in accepted),
    }
    return [kind for kind, taken in takes.items() if taken and processors.has(kind)]


def _asked(
    processors: Processors,
    kinds: list[str],
    seeds: Mapping[str, int],
    accepted: set[str],
    sizes: Mapping[str, int],
    batch: int,
) -> dict[str, Any]:
    """One call for a batch; ``seeds`` chooses the second raw input of a kind."""
    usual = processors.raw
    side = sizes.get("image_size", usual.side)
    rate = processors.rate
    raw: dict[str, Any] = {}
    for kind in kinds:
        first = seeds.get(kind, 0)
        # A larger batch repeats its two: as many tokens in every row, so that nothing is padded.
        numbers = [first + number % 2 for number in range(batch)]
        if kind == "text":
            words = [usual.texts[one % len(usual.texts)] for one in numbers]
            marks = "".join(processors.mark(other) for other in kinds if other != "text")
            raw["text"] = [f"{marks} {one}".strip() for one in words]
        elif kind == "image":
            pictures = [picture(one + 1, side) for one in numbers]
            # Where a text says which images are its own, so does the call.
            raw["images"] = [[one] for one in pictures] if processors.mark("image") else pictures
        elif kind == "video":
            raw["videos"] = [film(one + 1, side, sizes.get("frames", FRAMES)) for one in numbers]
        else:
            raw["audio"] = [recording(one, usual.seconds, rate)["raw"] for one in numbers]
    made: dict[str, Any] = {}
    whole = processors.made.get("processor")
    if whole is not None:
        options = _options(raw, accepted, rate)
        if "videos" in raw and not versions.may_tell_of_films(whole):
            options["videos_kwargs"]["return_metadata"] = False
        made.update(whole(**raw, **options, return_tensors="pt"))
    else:
        made.update(_part_by_part(processors, raw, rate))
    return {name: _as_float32(value) for name, value in made.items() if name in accepted and value is not None}


def _as_float32(value: Any) -> Any:
    """Of the model's own type, as users hand it over: some processors make bfloat16."""
    return value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def _options(raw: Mapping[str, Any], accepted: set[str], rate: int) -> dict[str, Any]:
    """What a user says about the raw inputs, and what the model wants to know of them besides."""
    options: dict[str, Any] = {}
    if "audio" in raw:
        options["audio_kwargs"] = {"sampling_rate": rate}
    if "videos" in raw:
        # All frames as they are, with the moments that they were taken at.
        told = [_about(one) for one in raw["videos"]]
        options["videos_kwargs"] = {"do_sample_frames": False, "video_metadata": told, "return_metadata": True}
    if "mm_token_type_ids" in accepted:
        options["return_mm_token_type_ids"] = True
    return options


def _about(film_: Any) -> dict[str, Any]:
    frames, height, width = film_.shape[:3]
    indices = list(range(frames))
    seconds = frames / FRAMES_PER_SECOND
    known = {"total_num_frames": frames, "fps": FRAMES_PER_SECOND, "duration": seconds, "frames_indices": indices}
    return known | {"height": height, "width": width}


def _part_by_part(processors: Processors, raw: Mapping[str, Any], rate: int) -> dict[str, Any]:
    """Where no processor joins the parts."""
    made: dict[str, Any] = {}
    if "text" in raw:
        made.update(processors.made["tokenizer"](raw["text"], return_tensors="pt"))
    if "images" in raw:
        made.update(processors.made["image_processor"](raw["images"], return_tensors="pt"))
    if "videos" in raw:
        made.update(processors.made["video_processor"](raw["videos"], return_tensors="pt"))
    if "audio" in raw:
        extractor = processors.made["feature_extractor"]
        made.update(extractor(raw["audio"], sampling_rate=rate, return_tensors="pt"))
    return made


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.shape == other.shape and bool(torch.equal(one, other))
    same: bool = one == other
    return same
