"""Inputs for a direct call of a model, made from its config and the signature of its ``forward``.

Every modality that the type takes is fed, and each has an alternative: a second, different value of the same
shape, which must change the output.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from harness.cell.digest import tensors_digest
from harness.records import Recipe

BATCH = 2
SEQUENCE = 12
DECODER_SEQUENCE = 6
AUDIO_SAMPLES = 4_000
LARGEST_COORDINATE = 1000


@dataclass(frozen=True)
class Inputs:
    """Keyword arguments of ``forward``, and by modality what changes when that modality changes."""

    values: dict[str, torch.Tensor]
    alternatives: dict[str, torch.Tensor]

    def with_alternative(self, modality: str) -> dict[str, torch.Tensor]:
        return self.values | {modality: self.alternatives[modality]}

    def generation_values(self, model: Any) -> dict[str, torch.Tensor]:
        """The arguments that ``generate`` takes: what the decoder starts from is its own affair."""
        drop = "decoder_" if model.config.is_encoder_decoder else "\0"
        return {name: value for name, value in self.values.items() if not name.startswith(drop)}

    @property
    def digest(self) -> str:
        """SHA-256 of all values, the alternatives included."""
        return tensors_digest(self.values | {f"another {name}": one for name, one in self.alternatives.items()})


class _Maker:
    """Makes one value for each argument, from one seed."""

    def __init__(self, model: Any, recipe: Recipe | None, seed: int) -> None:
        self.model, self.config = model, model.config
        self.text = self.config.get_text_config()
        self.sizes: dict[str, Any] = recipe.inputs if recipe else {}
        self.generator = torch.Generator().manual_seed(seed)

    def size(self, name: str, default: Any) -> int:
        return int(self.sizes.get(name, default))

    def part(self, name: str) -> Any:
        """The sub-config of this name, or the config itself where the model is that part alone."""
        return getattr(self.config, name, None) or self.config

    def noise(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=self.generator)

    def tokens(self, length: int) -> torch.Tensor:
        """Token ids of words: none that means something to the model."""
        special = {
            value for name, value in self.config.to_dict().items() if name.endswith(("_token_id", "_token_index"))
        }
        special |= {value for name, value in self.text.to_dict().items() if name.endswith("_token_id")}
        first = 1 + max((one for one in special if isinstance(one, int) and one < self.text.vocab_size // 2), default=0)
        return torch.randint(first, self.text.vocab_size, (BATCH, length), generator=self.generator)

    def input_ids(self) -> torch.Tensor:
        return self.tokens(self.size("sequence_length", SEQUENCE))

    def decoder_input_ids(self) -> torch.Tensor:
        return self.tokens(self.size("decoder_sequence_length", DECODER_SEQUENCE))

    def attention_mask(self) -> torch.Tensor:
        return torch.ones(BATCH, self.size("sequence_length", SEQUENCE), dtype=torch.long)

    def bbox(self) -> torch.Tensor:
        """Boxes of words on a page, x0 <= x1 and y0 <= y1, in thousandths."""
        corners = torch.randint(
            0,
            LARGEST_COORDINATE,
            (BATCH, self.size("sequence_length", SEQUENCE), 2, 2),
            generator=self.generator,
        )
        return torch.sort(corners, dim=2).values.flatten(2)

    def pixel_values(self) -> torch.Tensor:
        vision = self.part("vision_config")
        side = self.size("image_size", getattr(vision, "image_size", None) or 64)
        return self.noise(BATCH, getattr(vision, "num_channels", 3), side, side)

    def input_values(self) -> torch.Tensor:
        return self.noise(BATCH, self.size("audio_samples", AUDIO_SAMPLES))

    def input_features(self) -> torch.Tensor:
        audio = self.part("audio_config")
        # A mel spectrogram; the encoder's first convolutions halve the number of frames.
        return self.noise(BATCH, audio.num_mel_bins, self.size("frames", 2 * audio.max_source_positions))

    def past_values(self) -> torch.Tensor:
        return self.noise(BATCH, self.config.context_length, self.config.num_input_channels)


_MODALITIES: dict[str, Callable[[_Maker], torch.Tensor]] = {
    "input_ids": _Maker.input_ids,
    "bbox": _Maker.bbox,
    "pixel_values": _Maker.pixel_values,
    "input_values": _Maker.input_values,
    "input_features": _Maker.input_features,
    "past_values": _Maker.past_values,
    "decoder_input_ids": _Maker.decoder_input_ids,
}


def make_inputs(model: Any, recipe: Recipe | None) -> Inputs:
    """Inputs for ``model``: a batch of two, equal on every call."""
    accepted = inspect.signature(model.forward).parameters
    values, alternatives = {}, {}
    first, second = _Maker(model, recipe, seed=1), _Maker(model, recipe, seed=2)
    for name, make in _MODALITIES.items():
        if name in accepted:
            values[name], alternatives[name] = make(first), make(second)
    if "input_ids" in values and "pixel_values" in values:
        _place_images(model, values, alternatives)
    if "input_ids" in values and "attention_mask" in accepted:
        values["attention_mask"] = torch.ones_like(values["input_ids"])
    return Inputs(values, alternatives)


def _place_images(model: Any, values: dict[str, torch.Tensor], alternatives: dict[str, torch.Tensor]) -> None:
    """Where images stand in the text as placeholder tokens: as many as the model makes features of an image."""
    placeholder = getattr(model.config, "image_token_id", None)
    if placeholder is None:
        return
    with torch.no_grad():
        features = model.get_image_features(values["pixel_values"])
    features = getattr(features, "pooler_output", features)
    count = features[0].shape[0] if isinstance(features, list | tuple) else features.shape[1]
    images = torch.full((BATCH, count), placeholder, dtype=torch.long)
    for ids in (values, alternatives):
        ids["input_ids"] = torch.cat([ids["input_ids"][:, :1], images, ids["input_ids"][:, 1:]], dim=1)
