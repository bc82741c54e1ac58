"""The tokenizer and processors that a real checkpoint brings, loaded from its files; never a stand-in for one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import transformers

from harness.cell.synthesis.processors import Processors
from harness.cell.synthesis.raw import Raw

# The two texts differ in one word, which nearly every vocabulary has as one token: they become as many tokens.
TEXTS = ("The cat sat on the old mat.", "The dog sat on the old mat.")
RAW = Raw(texts=TEXTS, side=256, seconds=2.0)
_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json")
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
    "*.model",
    "*.spm",
    "*.tiktoken",
)
_PARTS = ("tokenizer", "image_processor", "video_processor", "feature_extractor")
_MODALITIES = ("image", "video", "audio")


def load_processors(source: Path, scratch: Path, trust: Mapping[str, Any]) -> Processors:
    """All that stands beside the weights in ``source``; what a call writes goes to ``scratch``."""
    found = Processors(raw=RAW, folder=scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    if _has(source, _PROCESSOR_FILES):
        one = transformers.AutoProcessor.from_pretrained(source, **trust)
        if isinstance(one, transformers.ProcessorMixin):
            found.made = {role: part for role in _PARTS if (part := getattr(one, role, None)) is not None}
            found.made["processor"] = one
        else:
            found.made[_role(one)] = one
    if "tokenizer" not in found.made and _has(source, _TOKENIZER_FILES):
        found.made["tokenizer"] = transformers.AutoTokenizer.from_pretrained(source, **trust)
    for modality in _MODALITIES:
        for one in (found.made.get("processor"), found.made.get("tokenizer")):
            token = getattr(one, f"{modality}_token", None)
            if isinstance(token, str):
                found.placeholders.setdefault(modality, token)
    return found


def _has(folder: Path, patterns: tuple[str, ...]) -> bool:
    return any(next(folder.glob(pattern), None) for pattern in patterns)


def _role(one: Any) -> str:
    """What a processor that joins nothing is: AutoProcessor gives the only one that there is."""
    if isinstance(one, transformers.PreTrainedTokenizerBase):
        return "tokenizer"
    if isinstance(one, transformers.SequenceFeatureExtractor):
        return "feature_extractor"
    return "video_processor" if isinstance(one, transformers.BaseVideoProcessor) else "image_processor"
