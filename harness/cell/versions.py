"""What differs between the versions of transformers that cells run on: asked here, and nowhere else.

The rest of this package is written to transformers 5. Older than 4.48 is untried.
"""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import transformers
from transformers import TextGenerationPipeline
from transformers.models.auto import feature_extraction_auto, image_processing_auto, tokenization_auto
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES


def _class_name(row: Any) -> str | None:
    """The class that transformers takes by itself where its table names several.

    Tokenizers were (in Python, in Rust) up to 4.57, image processors (with PIL, with torchvision) likewise, until
    these became a mapping by backend. Some rows name a class that was never written. A row of one name is that name.
    """
    if isinstance(row, Mapping):
        return row.get("torchvision") or row.get("pil")
    if row is None or isinstance(row, str):
        return row
    return next((name for name in row if name and hasattr(transformers, name)), None)


def _names(table: Mapping[str, Any]) -> dict[str, str]:
    return {model_type: name for model_type, row in table.items() if (name := _class_name(row))}


def _optional_table(module: str, name: str) -> Mapping[str, Any]:
    """A table that older versions do not have: no type has such a class there."""
    try:
        table: Mapping[str, Any] = getattr(importlib.import_module(module), name)
    except ImportError:
        return {}
    return table


TOKENIZERS = {
    # Where there is one in Rust, it is what AutoTokenizer takes.
    model_type: name
    for model_type, row in tokenization_auto.TOKENIZER_MAPPING_NAMES.items()
    if (name := _class_name(row[::-1] if isinstance(row, tuple) else row))
}


def tokenizer_name(model_type: str) -> str | None:
    """The class of the type's tokenizer: what its processor takes, where that is one of the table's two.

    Until 4.56 some processors (that of whisper) refused the tokenizer in Rust.
    """
    row = tokenization_auto.TOKENIZER_MAPPING_NAMES.get(model_type)
    processor = getattr(transformers, PROCESSOR_MAPPING_NAMES.get(model_type) or "", None)
    wanted = getattr(processor, "tokenizer_class", None)
    return (
        wanted if isinstance(row, tuple) and isinstance(wanted, str) and wanted in row else TOKENIZERS.get(model_type)
    )


def same_class(loaded: str, saved: str) -> bool:
    """Whether a processor is of the class that was saved; of a type's two tokenizers version 4 loads that in Rust."""
    return loaded in (saved, f"{saved}Fast")


IMAGE_PROCESSORS = _names(image_processing_auto.IMAGE_PROCESSOR_MAPPING_NAMES)
FEATURE_EXTRACTORS = _names(feature_extraction_auto.FEATURE_EXTRACTOR_MAPPING_NAMES)
VIDEO_PROCESSORS = _names(
    # Since 4.52; before, the image processor took films too.
    _optional_table("transformers.models.auto.video_processing_auto", "VIDEO_PROCESSOR_MAPPING_NAMES")
)


def input_modalities(model_class: Any) -> set[str]:
    """What a model class declares to take; before 5.0 none declared anything, which is now to declare text."""
    declared = getattr(model_class, "input_modalities", "text")
    return {declared} if isinstance(declared, str) else set(declared)


def sub_config_classes(config_class: Any) -> list[Any]:
    """The classes of a config's parts; some of version 4 say them of an instance only, as a property."""
    parts = getattr(config_class, "sub_configs", None)
    return list(parts.values()) if isinstance(parts, dict) else []


def foreign_fields(config: Any) -> set[str]:
    """Fields that a config of version 4 has from its base class: settings of generation (``top_k``), and token ids.

    Not those that are its own too; a sub-config without a vocabulary has no token ids of its own.
    """
    settings = getattr(config, "_get_global_generation_defaults", None)
    if settings is None:
        return set()
    foreign = set(settings())
    if config.base_config_key and not hasattr(config, "vocab_size"):
        foreign |= {"bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "decoder_start_token_id"}
    return foreign - set(inspect.signature(type(config).__init__).parameters)


def takes_whole_tokenizer(own: Any) -> bool:
    """Whether a class is made of a whole tokenizer: the generic one, and those of version 4 without one in Python."""
    generic = transformers.PreTrainedTokenizerFast
    of_version_4 = generic.__name__ == "PreTrainedTokenizerFast"  # which later is another's name
    alone = of_version_4 and issubclass(own, generic) and own.slow_tokenizer_class is None
    return alone or own.__init__ is generic.__init__


def may_tell_of_films(processor: Any) -> bool:
    """Whether it may be asked for what it knows of its films: version 4 made tensors of whatever a processor gives."""
    keeps_apart = "skip_tensor_conversion" in inspect.signature(transformers.BatchFeature.__init__).parameters
    return keeps_apart or "video_metadata" in type(processor).__call__.__code__.co_consts


def continuation(pipe: Any, prompt: Any, tokens: Any) -> str:
    """What the pipeline of text-generation says of ``tokens``, which open with those of the prompt.

    Version 5 decodes what is new; version 4 decoded all, and took as many letters away as the prompt has: some
    tokenizers write a space between words, and none before.
    """
    tokenizer = pipe.tokenizer
    if "prompt_length" not in TextGenerationPipeline.postprocess.__code__.co_varnames:
        return str(tokenizer.decode(tokens[len(prompt) :], skip_special_tokens=True))
    whole, asked = (
        tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=True) for ids in (tokens, prompt)
    )
    return str(whole[len(asked) :])
