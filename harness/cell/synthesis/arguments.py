"""A value for each argument of a model's ``forward`` that carries a modality, made from its config."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from harness.cell.synthesis.written import drawn
from harness.records import Recipe, Tensor

MEL_BINS = 80
LARGEST_COORDINATE = 1000


@dataclass(frozen=True)
class Amounts:
    """How much of each kind is in one call, where neither the config nor a recipe says it."""

    batch: int = 2
    sequence: int = 12
    decoder_sequence: int = 6
    image_side: int = 64
    audio_samples: int = 4_000
    audio_frames: int = 100
    video_frames: int = 4
    context: int = 32
    """Steps of a series."""


TINY = Amounts()


def text_config(config: Any) -> Any:
    """The part that reads text; where one reads it and another goes on from it (musicgen), the one that reads."""
    try:
        return config.get_text_config()
    except ValueError:
        return config.get_text_config(encoder=True)


class Maker:
    """Makes one value for each argument, from one seed."""

    def __init__(self, model: Any, recipe: Recipe | None, seed: int, amounts: Amounts = TINY) -> None:
        self.model, self.config, self.amounts = model, model.config, amounts
        self.text = text_config(self.config)
        self.sizes: dict[str, int] = recipe.sizes if recipe else {}
        self.generator = torch.Generator().manual_seed(seed)

    def size(self, name: str, *defaults: Any) -> int:
        """The recipe's size, or the first of the defaults that is one."""
        return int(self.sizes.get(name) or next(one for one in defaults if isinstance(one, int) and one > 0))

    def find(self, *names: str, parts: tuple[str, ...] = ()) -> Any:
        """The first of these fields in the named sub-configs or the config itself; None where none has it."""
        for config in [*(getattr(self.config, part, None) for part in parts), self.config]:
            for name in names:
                # Some configs raise for a field that differs by layer.
                try:
                    value = getattr(config, name, None)
                except Exception:  # noqa: BLE001 -- whatever a config's own property raises, it has no such value
                    value = None
                if value is not None:
                    return value
        return None

    def noise(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=self.generator)

    def drawn(self, spec: Tensor, *, another: bool = False) -> Any:
        """What a recipe writes down; ``another``: the second of two written values."""
        return drawn(spec, self.generator, another=another)

    def vocabulary(self) -> int:
        return self.size("vocabulary", self.find("vocab_size"), getattr(self.text, "vocab_size", None), 256)

    def tokens(self, length: int) -> torch.Tensor:
        """Token ids of words: none that means something to the model."""
        size = self.vocabulary()
        special = [one for one in _token_ids(self.config.to_dict()) if one < size // 2]
        return torch.randint(1 + max(special, default=0), size, (self.amounts.batch, length), generator=self.generator)

    def input_ids(self) -> torch.Tensor:
        return self.tokens(self.sequence_length())

    def sequence_length(self) -> int:
        """Not longer than the model has places for."""
        longest = getattr(self.text, "max_position_embeddings", None)
        usual = self.amounts.sequence
        return self.size("sequence_length", min(usual, longest) if isinstance(longest, int) and longest > 0 else usual)

    def decoder_input_ids(self) -> torch.Tensor:
        return self.tokens(self.size("decoder_sequence_length", self.amounts.decoder_sequence))

    def bbox(self) -> torch.Tensor:
        """Boxes of words on a page, x0 <= x1 and y0 <= y1, in thousandths."""
        largest = min(LARGEST_COORDINATE, self.find("max_2d_position_embeddings") or LARGEST_COORDINATE)
        shape = (self.amounts.batch, self.sequence_length(), 2, 2)
        corners = torch.randint(0, largest - 1, shape, generator=self.generator)
        return torch.sort(corners, dim=2).values.flatten(2)

    def image_side(self) -> tuple[int, int]:
        side = self.find("image_size", "img_size", "input_size", parts=("vision_config", "backbone_config"))
        height, width = (side[-2:] if len(side) > 1 else 2 * side) if isinstance(side, list | tuple) else (side, side)
        height, width = (self.size("image_size", one, self.amounts.image_side) for one in (height, width))
        return self.size("image_height", height), self.size("image_width", width)

    def channels(self) -> int:
        found = self.find("num_channels", "in_channels", "in_chans", parts=("vision_config", "backbone_config"))
        return self.size("channels", found, 3)

    def pixel_values(self) -> torch.Tensor:
        height, width = self.image_side()
        frames = self.find("num_frames", parts=("vision_config",)) if self.is_video() else None
        shape = (
            (self.amounts.batch, frames, self.channels(), height, width)
            if frames
            else (self.amounts.batch, self.channels(), height, width)
        )
        return self.noise(*shape)

    def is_video(self) -> bool:
        """Whether pixel values are those of a film."""
        modalities = getattr(type(self.model), "input_modalities", ())
        return "video" in ((modalities,) if isinstance(modalities, str) else modalities)

    def input_points(self) -> torch.Tensor:
        """Two points of one object on each image."""
        height, width = self.image_side()
        return torch.rand((self.amounts.batch, 1, 2, 2), generator=self.generator) * torch.tensor([width, height])

    def pixel_values_videos(self) -> torch.Tensor:
        frames = self.size("frames", self.find("num_frames", parts=("vision_config",)), self.amounts.video_frames)
        return self.noise(self.amounts.batch, frames, self.channels(), *self.image_side())

    def input_values(self) -> torch.Tensor:
        samples = self.size("audio_samples", self.amounts.audio_samples)
        # Codecs take channels of sound, recognisers one sound.
        channels = self.find("audio_channels")
        return (
            self.noise(self.amounts.batch, channels, samples) if channels else self.noise(self.amounts.batch, samples)
        )

    def input_features(self) -> torch.Tensor:
        """A spectrogram: whisper and its like want [batch, mel bins, frames], the others [batch, frames, mel bins]."""
        bins, frames = self.bins(), self.frames()
        shape = (bins, frames) if self.bins_first() else (frames, bins)
        return self.noise(self.amounts.batch, *shape)

    def bins(self) -> int:
        """Of a spectrogram."""
        parts = ("audio_config", "encoder_config")
        names = ("num_mel_bins", "feature_projection_input_dim", "input_feat_per_channel")
        return self.size("mel_bins", self.find(*names, parts=parts), MEL_BINS)

    def frames(self) -> int:
        """Of a spectrogram; where places are counted, the first convolutions have halved them."""
        positions = self.find("max_source_positions", parts=("audio_config",)) if self.bins_first() else None
        return self.size("frames", positions and 2 * positions, self.amounts.audio_frames)

    def bins_first(self) -> bool:
        """Whether the bins are the channels of the convolution that reads the spectrogram."""
        if self.find("input_feat_per_channel") is not None:
            return False  # it turns the spectrogram itself
        bins = self.bins()
        return any(
            isinstance(one, torch.nn.Conv1d) and one.in_channels == bins and one.kernel_size[0] > 1
            for one in self.model.modules()
        )

    def input_features_mask(self) -> torch.Tensor:
        return torch.ones(self.amounts.batch, self.frames(), dtype=torch.bool)

    def past_values(self) -> torch.Tensor:
        """Observations of the past, with as many as the longest lag reaches back."""
        lags = self.find("lags_sequence") or [0]
        length = self.size("context", (self.find("context_length") or self.amounts.context) + max(lags))
        channels = self.find("num_input_channels", "input_size") or 1
        return (
            self.noise(self.amounts.batch, length, channels)
            if channels > 1 or not self.find("lags_sequence")
            else self.noise(self.amounts.batch, length)
        )

    def past_time_features(self) -> torch.Tensor:
        return self.noise(self.amounts.batch, self.past_values().shape[1], self.find("num_time_features") or 0)

    def past_observed_mask(self) -> torch.Tensor:
        return torch.ones_like(self.past_values())

    def future_values(self) -> torch.Tensor:
        shape = (self.amounts.batch, self.find("prediction_length"), *self.past_values().shape[2:])
        return self.noise(*shape)

    def future_time_features(self) -> torch.Tensor:
        return self.noise(self.amounts.batch, self.find("prediction_length"), self.find("num_time_features") or 0)


MODALITIES: dict[str, tuple[str, Callable[[Maker], torch.Tensor]]] = {
    # An argument, the modality that it carries, and how it is made.
    "input_ids": ("text", Maker.input_ids),
    "bbox": ("layout", Maker.bbox),
    "pixel_values": ("image", Maker.pixel_values),
    "pixel_values_videos": ("video", Maker.pixel_values_videos),
    "input_points": ("points", Maker.input_points),
    "input_values": ("audio", Maker.input_values),
    "input_features": ("audio", Maker.input_features),
    "past_values": ("series", Maker.past_values),
    "past_time_features": ("time features", Maker.past_time_features),
    "future_values": ("future", Maker.future_values),
    "future_time_features": ("future time features", Maker.future_time_features),
    "decoder_input_ids": ("decoder", Maker.decoder_input_ids),
}
CARRIES = {name: modality for name, (modality, _) in MODALITIES.items()} | {
    "flattened_patches": "image",
    "images": "image",
    "image_pixel_values": "image",
    "speech_input_features": "audio",
    "audio_input_features": "audio",
    "audio_input_ids": "audio",
}
"""Arguments that carry a modality, those that only a processor makes included."""


def _token_ids(values: Any) -> Iterator[int]:
    """All token ids that a config names, in its sub-configs too."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _token_ids(value)
        elif str(name).endswith(("_token_id", "_token_index")) and type(value) is int:
            yield value
