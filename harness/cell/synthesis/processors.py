"""What stands beside a checkpoint: tokenizer, image processor, feature extractor, and the processor that joins them.

Each is of the class that transformers maps the type to, with its sizes mirrored from the tiny config.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import transformers
from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING_NAMES
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

from harness.cell.synthesis.config import IMAGE
from harness.cell.synthesis.tokenizer import Made, make_tokenizer
from harness.records import Recipe

_TEXT_DOMAINS = frozenset({"text", "vision-language", "document", "biology"})


@dataclass
class Processors:
    """By role (``tokenizer``, ``image_processor``, ``feature_extractor``, ``processor``): what was made."""

    made: dict[str, Any] = field(default_factory=dict)
    stand_ins: dict[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> dict[str, str]:
        return {role: type(one).__name__ for role, one in self.made.items()}

    def save(self, folder: Path) -> None:
        """As the owner of a checkpoint would: the processor saves its parts, or each part itself."""
        for one in [self.made["processor"]] if "processor" in self.made else self.made.values():
            one.save_pretrained(folder)


def make_text_side(model_type: str, domain: str, recipe: Recipe | None, scratch: Path) -> Made | None:
    """The tokenizer, made before the model since the model's config takes its token ids; None for a type without."""
    takes_text = model_type in TOKENIZER_MAPPING_NAMES or domain in _TEXT_DOMAINS
    special = _below(recipe.processor if recipe else {}, "tokenizer").get("special_tokens", [])
    return make_tokenizer(model_type, special, scratch) if takes_text else None


def make_processors(model_type: str, config: Any, text: Made | None, recipe: Recipe | None) -> Processors:
    """Everything that a pipeline loads beside the model."""
    settings: Mapping[str, Any] = recipe.processor if recipe else {}
    result = Processors()
    if text is not None:
        result.made["tokenizer"] = text.tokenizer
        longest = getattr(config.get_text_config(), "max_position_embeddings", None)
        if isinstance(longest, int):
            text.tokenizer.model_max_length = longest
        if text.stand_in:
            result.stand_ins["tokenizer"] = text.stand_in
    if model_type in IMAGE_PROCESSOR_MAPPING_NAMES:
        own = _class(IMAGE_PROCESSOR_MAPPING_NAMES[model_type])
        result.made["image_processor"] = _image_processor(own, config, _below(settings, "image_processor"))
    if model_type in FEATURE_EXTRACTOR_MAPPING_NAMES:
        own = _class(FEATURE_EXTRACTOR_MAPPING_NAMES[model_type])
        result.made["feature_extractor"] = own(**_below(settings, "feature_extractor"))
    if model_type in PROCESSOR_MAPPING_NAMES:
        own = _class(PROCESSOR_MAPPING_NAMES[model_type])
        result.made["processor"] = _joined(own, config, result.made, _below(settings, "processor"))
    return result


def _class(name: Any) -> Any:
    """The class of this name; where there are two backends of it, the one that transformers takes by itself."""
    if isinstance(name, Mapping):
        name = name.get("torchvision") or name.get("pil")
    return getattr(transformers, name)


def _below(settings: Mapping[str, Any], role: str) -> dict[str, Any]:
    """The recipe's arguments for this role: ``image_processor.do_resize`` gives ``do_resize``."""
    return {key.partition(".")[2]: value for key, value in settings.items() if key.startswith(f"{role}.")}


def _image_processor(own: Any, config: Any, settings: Mapping[str, Any]) -> Any:
    """With every size that it resizes or crops to equal to the tiny model's image size."""
    vision = getattr(config, "vision_config", None) or config
    side = getattr(vision, "image_size", None)
    side = side if isinstance(side, int) else IMAGE
    default = own()
    sizes = {
        name: {edge: side for edge, value in dict(getattr(default, name)).items() if value is not None}
        for name in ("size", "crop_size")
        if getattr(default, name, None)
    }
    return own(**(sizes | dict(settings)))


def _joined(own: Any, config: Any, parts: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
    """The processor over its parts, with those of its arguments that the config has too taken from there."""
    arguments: dict[str, Any] = {}
    for name in inspect.signature(own.__init__).parameters:
        if name in parts:
            arguments[name] = parts[name]
            continue
        for source in (config, getattr(config, "vision_config", None)):
            if source is not None and getattr(source, name, None) is not None:
                arguments[name] = getattr(source, name)
                break
    arguments.pop("self", None)
    arguments.pop("kwargs", None)
    return own(**(arguments | dict(settings)))
