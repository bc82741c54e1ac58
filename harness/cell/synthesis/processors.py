"""What stands beside a checkpoint: tokenizer, image processor, feature extractor, and the processor that joins them.

Each is of the class that transformers maps the type to, with its sizes mirrored from the tiny config. A part of a
bigger type (``clip_vision_model``) has none of its own; it is given that of the whole, which is told as a stand-in.
"""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import transformers
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_CTC_MAPPING_NAMES,
    MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
    MODEL_FOR_TEXT_TO_SPECTROGRAM_MAPPING_NAMES,
    MODEL_FOR_TEXT_TO_WAVEFORM_MAPPING_NAMES,
)

from harness.cell.registry import PARTS_BY_MODALITY
from harness.cell.synthesis.arguments import text_config
from harness.cell.synthesis.checkpoint import synthesise
from harness.cell.synthesis.config import IMAGE
from harness.cell.synthesis.raw import RATE, TINY_RAW, Raw
from harness.cell.synthesis.special_tokens import processor_class
from harness.cell.synthesis.tokenizer import Made, make_tokenizer
from harness.cell.tasks import task_for
from harness.cell.versions import FEATURE_EXTRACTORS, IMAGE_PROCESSORS, TOKENIZERS, VIDEO_PROCESSORS
from harness.records import Recipe

_TEXT_DOMAINS = frozenset({"text", "vision-language", "document", "biology"})
_WRITERS = frozenset(
    {
        *MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        *MODEL_FOR_TEXT_TO_SPECTROGRAM_MAPPING_NAMES,
        *MODEL_FOR_TEXT_TO_WAVEFORM_MAPPING_NAMES,
        *MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
        *MODEL_FOR_CTC_MAPPING_NAMES,
    }
)
"""Types that go on from a text, say it, or write down what they hear, whatever their domain."""
_PARTS: Mapping[str, Mapping[str, str]] = {
    "image_processor": IMAGE_PROCESSORS,
    "video_processor": VIDEO_PROCESSORS,
    "feature_extractor": FEATURE_EXTRACTORS,
}
_MODALITY = {"tokenizer": "text", "image_processor": "image", "video_processor": "video", "feature_extractor": "audio"}
_CONFIG_NAMES = {
    "merge_size": "spatial_merge_size",
    "num_image_tokens": "mm_tokens_per_image",
    "image_seq_length": "mm_tokens_per_image",
    "pooling_ratio": "projector_pooling_ratio",
}
"""What the config calls an argument of a processor, where it has none of the same name."""
_ROLES = {"audio_processor": "feature_extractor", "alignment_tokenizer": "tokenizer", "qformer_tokenizer": "tokenizer"}
"""What a processor calls one of its parts, where it calls it something else."""
_LISTS = ("image_grid_pinpoints",)
"""Arguments that are lists; others of the config's that have the same names mean something else."""
_AREA = 10_000
"""A "size" larger than this is not an edge but an area, in pixels."""


@dataclass
class Processors:
    """By role (``tokenizer``, ``image_processor``, ``feature_extractor``, ``processor``): what was made."""

    made: dict[str, Any] = field(default_factory=dict)
    stand_ins: dict[str, str] = field(default_factory=dict)
    placeholders: dict[str, str] = field(default_factory=dict)
    """By modality: the token that stands for it in a text."""
    raw: Raw = TINY_RAW
    """What they are given."""
    marks: Mapping[str, str] = field(default_factory=dict)
    """By modality: what a recipe says that a user writes in its place."""
    folder: Path = Path()
    """Of the checkpoint that they stand beside, once saved."""

    @property
    def classes(self) -> dict[str, str]:
        return {role: type(one).__name__ for role, one in self.made.items()}

    @property
    def rate(self) -> int:
        """Samples a second of the sound that they are given: what the feature extractor is for; it refuses others."""
        own = getattr(self.made.get("feature_extractor"), "sampling_rate", None)
        return own if isinstance(own, int) else RATE

    def has(self, modality: str) -> bool:
        """Whether they can make inputs of it."""
        role = next(role for role, its in _MODALITY.items() if its == modality)
        return role in self.made or hasattr(self.made.get("processor"), role)

    def mark(self, modality: str) -> str:
        """What a user writes in a text where an image, a film or a recording belongs; nothing where nothing is."""
        token = getattr(self.made.get("processor"), f"{modality}_token", None) or self.placeholders.get(modality, "")
        return self.marks.get(modality, str(getattr(token, "content", token)))

    def save(self, folder: Path) -> None:
        """As the owner of a checkpoint would: the processor saves its parts, or each part itself."""
        self.folder = folder
        for one in [self.made["processor"]] if "processor" in self.made else self.made.values():
            one.save_pretrained(folder)


def make_text_side(model_type: str, domain: str, recipe: Recipe | None, scratch: Path) -> Made | None:
    """The tokenizer, made before the model since the model's config takes its token ids; None for a type without."""
    whole = processor_class(model_type, recipe)
    takes_text = model_type in TOKENIZERS or domain in _TEXT_DOMAINS or model_type in _WRITERS or _joins_text(whole)
    settings = _below(recipe.processor if recipe else {}, "tokenizer")
    return make_tokenizer(model_type, settings, scratch, whole) if takes_text else None


def make_processors(
    model_type: str, config: Any, text: Made | None, recipe: Recipe | None, scratch: Path, *, joined: bool = True
) -> Processors:
    """Everything that a pipeline loads beside the model; a codec that a processor decodes with lies in ``scratch``.

    Where they are not ``joined``, each part stands by itself.
    """
    settings: Mapping[str, Any] = recipe.processor if recipe else {}
    result = Processors()
    if text is not None:
        result.made["tokenizer"] = text.tokenizer
        result.placeholders = text.placeholders
        longest = getattr(text_config(config), "max_position_embeddings", None)
        if isinstance(longest, int):
            text.tokenizer.model_max_length = longest
        if text.stand_in:
            result.stand_ins["tokenizer"] = text.stand_in
    whole = processor_class(model_type, recipe)
    for role in _PARTS:
        _add_part(result, role, model_type, config, _below(settings, role), whole)
    own_settings = _below(settings, "processor")
    result.marks = own_settings.pop("marks", {})
    named = own_settings.pop("class", None)
    if joined and whole is not None:
        if codec := settings.get("audio_tokenizer"):
            result.made["audio_tokenizer"] = make_codec(str(codec), scratch / "audio_tokenizer")
        result.made["processor"] = _joined(_class(whole), config, result.made, own_settings)
        if named:
            result.stand_ins["processor"] = f"transformers maps {model_type} to none: {named}, as its recipe says"
    return result


def make_codec(model_type: str, folder: Path) -> Any:
    """A tiny model that turns codes into sound, loaded from where it was saved: a processor tells only that place."""
    made = synthesise(model_type, task_for(model_type, None), None, folder)
    return made.loader.from_pretrained(made.folder).eval()


def _add_part(
    result: Processors, role: str, model_type: str, config: Any, settings: dict[str, Any], whole: str | None
) -> None:
    """Add the image or video processor or the feature extractor, where the type has one."""
    mapping = _PARTS[role]
    owner = _owner(model_type, mapping)
    named = settings.pop("class", None)
    if named is None and owner is not None and _is_foreign(role, model_type, owner):
        return
    if named is None and owner is None and (joined := _part_of(whole, role)):
        named = joined  # what the type's own processor is made of elsewhere is no stand-in
    elif named is not None and named != (known := mapping.get(str(owner))):
        result.stand_ins[role] = f"transformers maps {model_type} to {known or 'none'}: {named}, as its recipe says"
    elif owner is None:
        return
    elif owner != model_type:
        result.stand_ins[role] = f"{model_type} has none of its own: that of {owner}, of which it is a part"
    own = _class(str(named or mapping[str(owner)]))
    if role == "feature_extractor":
        if not issubclass(own, transformers.ImageProcessingMixin):  # else an image processor under its older name
            result.made[role] = own(**_mirrored(own, config) | _spectrogram(own, config) | settings)
    else:
        result.made[role] = _sized(own, config, settings)


def _part_of(whole: str | None, role: str) -> str | None:
    """The class of this part for the model type that a processor was written for; None where it has no such part."""
    if whole is None or role not in _parts_of(_class(whole)):
        return None
    package = _class(whole).__module__.split(".")[-2]
    return next((name for one, name in _PARTS[role].items() if one.replace("-", "_") == package and name), None)


def _owner(model_type: str, mapping: Mapping[str, Any]) -> str | None:
    """The type that the mapping has a class for: this one, or the whole of which its name says it is a part."""
    if mapping.get(model_type):
        return model_type
    wholes = [name for name in mapping if mapping[name] and model_type.startswith((f"{name}_", f"{name}-"))]
    return max(wholes, key=len, default=None)


def _is_foreign(role: str, model_type: str, owner: str) -> bool:
    """Whether the whole's part is for something that this part of it does not take."""
    return owner != model_type and _MODALITY[role] not in _modalities(model_type)


def _joins_text(processor: str | None) -> bool:
    """Whether a processor has a tokenizer among its parts."""
    return processor is not None and "tokenizer" in _parts_of(_class(processor))


def _parts_of(own: Any) -> list[str]:
    """The arguments of a processor's class, its parts among them; some declare them, and take any argument."""
    named = [one for one in inspect.signature(own.__init__).parameters if one not in ("self", "args", "kwargs")]
    return named or list(own.get_attributes())


def _modalities(model_type: str) -> set[str]:
    """What a part of a bigger type takes, as far as its name says: ``…_text`` takes no images."""
    named = {modality for modality, ends in PARTS_BY_MODALITY.items() if model_type.endswith(ends)}
    return (named | {"video"} if "image" in named else named) or set(_MODALITY.values())


def _class(name: str) -> Any:
    return getattr(transformers, name)


def _below(settings: Mapping[str, Any], role: str) -> dict[str, Any]:
    """The recipe's arguments for this role: ``image_processor.do_resize`` gives ``do_resize``."""
    return {key.partition(".")[2]: value for key, value in settings.items() if key.startswith(f"{role}.")}


def _sized(own: Any, config: Any, settings: Mapping[str, Any]) -> Any:
    """An image or video processor with every size that it resizes or crops to equal to the tiny model's image size."""
    height, width = next((one for one in map(_sides, _configs(config)) if one), (IMAGE, IMAGE))
    default = own(**settings)
    sizes = {
        name: {
            edge: _as_small(value, height if edge == "height" else width)
            for edge, value in dict(edges).items()
            if value
        }
        for name in ("size", "crop_size", "pad_size", "max_image_size", "high_res_size")
        if (edges := getattr(default, name, None)) and not isinstance(edges, int)
    }
    return own(**(sizes | _mirrored(own, config) | dict(settings)))


def _sides(config: Any) -> tuple[int, int] | None:
    """Height and width."""
    side = getattr(config, "image_size", None)
    height, width = (side[-2:] if len(side) > 1 else 2 * side) if isinstance(side, list | tuple) else (side, side)
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _as_small(value: int, side: int) -> int:
    return min(value, side * side) if value > _AREA else side


def _configs(config: Any) -> Iterator[Any]:
    """The config and its parts, those for images first."""
    for part in ("vision_config", "backbone_config", "audio_config", "encoder_config", "text_config"):
        if getattr(config, part, None) is not None:
            yield getattr(config, part)
    yield config


def _mirrored(own: Any, config: Any) -> dict[str, Any]:
    """Arguments that the config has too, under the same name or another: patch sizes, numbers of mel bins …"""
    names = (
        set(inspect.signature(own.__init__).parameters) | set(getattr(own.valid_kwargs, "__annotations__", ()))
        if hasattr(own, "valid_kwargs")
        else set(inspect.signature(own.__init__).parameters)
    )
    found = {}
    for name in names - {"self", "kwargs", "image_size", "size", "crop_size", "num_frames"}:
        for source in _configs(config):
            value = _told(source, name)
            if type(value) is int or (isinstance(value, list) and name in _LISTS):
                found[name] = value
                break
    return found


def _told(config: Any, name: str) -> Any:
    """What a config says of an argument of a processor, under that name or its own."""
    value = getattr(config, name, None)
    return getattr(config, _CONFIG_NAMES[name], None) if value is None and name in _CONFIG_NAMES else value


def _spectrogram(own: Any, config: Any) -> dict[str, int]:
    """How many bins a spectrogram has, and how long it is: for extractors that make one of a fixed length.

    Extractors of sound itself have one feature.
    """
    default, found = own(), {}
    if getattr(default, "feature_size", 1) > 1 and (bins := _number(config, "num_mel_bins")):
        found["feature_size"] = bins
    if hasattr(default, "chunk_length") and (positions := _number(config, "max_source_positions")):
        # The first convolutions halve the number of frames.
        found["chunk_length"] = max(1, 2 * positions * default.hop_length // default.sampling_rate)
    return found


def _number(config: Any, name: str) -> int | None:
    found = (getattr(source, name, None) for source in _configs(config))
    return next((one for one in found if type(one) is int), None)


def _joined(own: Any, config: Any, parts: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
    """The processor over its parts, with those of its arguments that the config has too taken from there."""
    arguments: dict[str, Any] = {}
    for name in _parts_of(own):
        if (role := _ROLES.get(name, name)) in parts:
            arguments[name] = parts[role]
            continue
        for source in (config, getattr(config, "vision_config", None)):
            value = _told(source, name)
            if value is not None:
                arguments[name] = value
                break
    return own(**(arguments | dict(settings)))
