"""Inputs of a direct call made by the type's own processor, from the raw inputs that a user would hand to it."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from harness.cell.synthesis.arguments import Amounts
from harness.cell.synthesis.processors import Processors
from harness.cell.synthesis.raw import film, picture, recording
from harness.records import Recipe

FRAMES = 4
_PARTS = {"image": "image_processor", "video": "video_processor", "audio": "feature_extractor"}


def ask_processor(
    processors: Processors, accepted: Iterable[str], recipe: Recipe | None, amounts: Amounts
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Values for the accepted arguments, and by modality those that another text, image, film or recording changes."""
    accepted = set(accepted)
    sizes = recipe.sizes if recipe else {}
    kinds = _kinds(processors, accepted)
    values = _asked(processors, kinds, {}, accepted, sizes, amounts.batch)
    alternatives = {}
    for kind in kinds:
        other = _asked(processors, kinds, {kind: 1}, accepted, sizes, amounts.batch)
        alternatives[kind] = {name: value for name, value in other.items() if not _equal(values.get(name), value)}
    return values, alternatives


def _kinds(processors: Processors, accepted: set[str]) -> list[str]:
    """The modalities that there is a processor for, and that the model takes."""
    takes = {
        "text": "input_ids" in accepted,
        "image": any(one in accepted for one in ("pixel_values", "flattened_patches", "images")),
        "video": "pixel_values_videos" in accepted or "video" in processors.modalities,
        "audio": any("input_features" in one or "input_values" in one or "audio" in one for one in accepted),
    }
    whole = processors.made.get("processor")
    kinds = []
    for kind, taken in takes.items():
        role = "tokenizer" if kind == "text" else _PARTS[kind]
        if taken and (role in processors.made or hasattr(whole, role)):
            kinds.append(kind)
    return kinds


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
            marks = "".join(processors.placeholders.get(other, "") for other in kinds if other != "text")
            raw["text"] = [f"{marks} {one}".strip() for one in words]
        elif kind == "image":
            raw["images"] = [picture(one + 1, side) for one in numbers]
        elif kind == "video":
            raw["videos"] = [film(one + 1, side, sizes.get("frames", FRAMES)) for one in numbers]
        else:
            raw["audio"] = [recording(one, usual.seconds, rate)["raw"] for one in numbers]
    made: dict[str, Any] = {}
    whole = processors.made.get("processor")
    if whole is not None:
        options = {"audio_kwargs": {"sampling_rate": rate}} if "audio" in raw else {}
        made.update(whole(**raw, **options, return_tensors="pt"))
    else:
        made.update(_part_by_part(processors, raw, rate))
    return {
        name: value
        for name, value in made.items()
        if name in accepted and (isinstance(value, torch.Tensor) or value is not None)
    }


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
