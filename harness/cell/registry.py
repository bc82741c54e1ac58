"""The model types that the installed transformers knows, each with its domain, as its code suggests, and its classes.

``python -m harness.cell.registry > data/stacks/NAME.json`` in a stack's environment makes that stack's file.
The domain is derived; where it is wrong or too coarse, data/domains.toml corrects it by hand.
"""

import contextlib
import dataclasses
import hashlib
import importlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Collection
from typing import Any

from harness.cell.versions import (
    FEATURE_EXTRACTORS,
    IMAGE_PROCESSORS,
    TOKENIZERS,
    VIDEO_PROCESSORS,
    input_modalities,
)
from harness.records import Domain

HEADS_BY_MODALITY = {
    # Marks in the names of the MODEL_FOR_…_MAPPING_NAMES tables that a type stands in.
    "document": ("DOCUMENT_QUESTION_ANSWERING", "TABLE_RECOGNITION", "TEXT_RECOGNITION"),
    "time": ("TIME_SERIES",),
    "audio": ("AUDIO", "CTC", "RNNT", "TDT", "SPEECH", "TEXT_TO_SPECTROGRAM", "TEXT_TO_WAVEFORM"),
    "image": ("IMAGE", "VIDEO", "VISUAL", "DETECTION", "DEPTH", "SEGMENTATION", "KEYPOINT", "POSE"),
    "text": ("TEXT_TO_TEXT", "MULTIMODAL_LM", "ZERO_SHOT", "VISUAL_QUESTION"),
}
PARTS_BY_MODALITY = {
    # Ends of the names of parts of bigger types: qwen2_vl_text, clip_vision_model.
    "text": ("_text", "_text_model"),
    "image": ("_vision", "_vision_model", "_vision_encoder", "_vqgan", "_vqmodel", "_image_model"),
    "audio": ("_audio", "_audio_model", "_audio_encoder", "_audio_tokenizer"),
}


def main(known: Collection[str] = ()) -> None:
    """Print the registry as JSON, with what the exporter has; no domains, which take long, of ``known`` types."""
    with contextlib.redirect_stdout(sys.stderr):  # some modelling files print as they are imported
        import transformers

        types = {name: None if name in known else domain_of(name) for name in sorted(model_types())}
        exported = exported_types()
        features = {name: features_of(name) for name in types}
    registry: dict[str, Any] = {"transformers": transformers.__version__, "types": types, "features": features}
    if exported:
        registry["exported"] = exported
    sys.stdout.write(json.dumps(registry, indent=1) + "\n")


def model_types() -> list[str]:
    """The names of the installed transformers' own registry."""
    auto: Any = importlib.import_module("transformers.models.auto.configuration_auto")
    return list(auto.CONFIG_MAPPING_NAMES)


def pipeline_tasks() -> tuple[str, ...]:
    """What the installed transformers has a pipeline for."""
    from transformers.pipelines import SUPPORTED_TASKS

    return tuple(sorted(SUPPORTED_TASKS))


def exported_types() -> dict[str, tuple[str, ...]]:
    """The types of these that optimum-intel's exporter has, each with its tasks; none where it is not installed."""
    if importlib.util.find_spec("optimum") is None:
        return {}
    from harness.cell.openvino.optimum_route import exported_tasks

    return {name: tasks for name in sorted(model_types()) if (tasks := exported_tasks(name))}


def features_of(model_type: str) -> str:
    """The classes that the tables of transformers have for the type, and a digest of its config's fields.

    Where these words differ between two releases, the type has changed in what a user meets of it.
    """
    from transformers.models.auto import modeling_auto
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    tables = [table for name, table in vars(modeling_auto).items() if name.endswith("_MAPPING_NAMES")]
    rows = [table[model_type] for table in tables if model_type in table]
    classes = {name for row in rows for name in ((row,) if isinstance(row, str) else row)}
    for made in (TOKENIZERS, IMAGE_PROCESSORS, FEATURE_EXTRACTORS, VIDEO_PROCESSORS, PROCESSOR_MAPPING_NAMES):
        if named := made.get(model_type):
            classes.add(str(named))
    return " ".join([f"config={_fields_digest(model_type)}", *sorted(classes)])


def _fields_digest(model_type: str) -> str:
    """Of the names of the config's fields, with those defaults that are plain values."""
    from transformers import CONFIG_MAPPING

    config_class: Any = CONFIG_MAPPING[model_type]
    if dataclasses.is_dataclass(config_class):
        defaults = {field.name: field.default for field in dataclasses.fields(config_class)}
    else:
        parameters = inspect.signature(config_class.__init__).parameters
        defaults = {name: one.default for name, one in parameters.items()}
    plain = (bool, int, float, str, tuple, list, type(None))
    told = [f"{name}={value!r}" if isinstance(value, plain) else name for name, value in sorted(defaults.items())]
    return hashlib.sha256(" ".join(told).encode()).hexdigest()[:8]


def domain_of(model_type: str) -> Domain:
    """What the type takes and is used for, as far as its heads, name and classes say."""
    heads = _modalities_of_heads(model_type)
    if not heads:
        for modality, ends in PARTS_BY_MODALITY.items():
            if model_type.endswith(ends):
                return _domain({modality})
    return _domain(heads | _modalities_of_classes(model_type))


def _domain(modalities: set[str]) -> Domain:
    """The one domain of several modalities: images with text say more of a type than sound beside them."""
    seen = modalities & {"image", "video"}
    if "document" in modalities:
        return "document"
    if "time" in modalities:
        return "time-series"
    if seen and "text" in modalities:
        return "vision-language"
    if seen and "audio" in modalities:
        return "other"
    if "audio" in modalities:
        return "audio"
    return "vision" if seen else "text"


def _modalities_of_heads(model_type: str) -> set[str]:
    from transformers.models.auto import modeling_auto

    tables = [
        name
        for name, table in vars(modeling_auto).items()
        if name.startswith("MODEL_FOR_") and name.endswith("_MAPPING_NAMES") and model_type in table
    ]
    return {
        modality
        for modality, marks in HEADS_BY_MODALITY.items()
        if any(mark in table for table in tables for mark in marks)
    }


def _modalities_of_classes(model_type: str) -> set[str]:
    """What the model classes of the type's config declare; nothing where that is no more than the default."""
    from transformers import CONFIG_MAPPING, PreTrainedModel

    config_class = CONFIG_MAPPING[model_type]
    try:
        module: Any = importlib.import_module(config_class.__module__.replace("configuration_", "modeling_"))
    except ImportError:  # the type has no modeling file of its own, as layoutxlm
        return set()
    declared: set[str] = set()
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, PreTrainedModel):
            model_class: Any = value
            if model_class.config_class is config_class:
                declared |= input_modalities(model_class)
    return set() if declared == {"text"} else declared


if __name__ == "__main__":
    main(json.load(sys.stdin) if sys.argv[1:] == ["--known"] else ())
