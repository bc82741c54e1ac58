"""Raw inputs, as a user hands them to ``pipeline()``: text, an image, a recording; two different ones of each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# The two of a kind have words of the same lengths: they become as many tokens, so that the outputs of the one can
# be held against those of the other, number by number.
TEXTS = ("the quick brown fox", "why jumps lazy dogs")
TABLES = ({"city": ["rome", "oslo"], "people": ["12", "34"]}, {"city": ["bern", "kyiv"], "people": ["56", "78"]})
QUESTIONS = ("what is the total", "when is the order")
LABELS = (["a cat", "a dog"], ["a cow", "a pig"])
WORDS = ("invoice", "total", "42", "date")
RATE = 16_000
FILM_FRAMES = 16
FRAMES = 4


@dataclass(frozen=True)
class Raw:
    """How much a user hands over: two texts of one length, and the sizes of pictures and recordings."""

    texts: tuple[str, str] = TEXTS
    side: int = 64
    """Of a picture, in pixels."""
    seconds: float = 0.5
    """Of a recording."""


TINY_RAW = Raw()


def picture(seed: int, side: int = 64) -> Image.Image:
    """A noisy RGB image with a gradient, so that resizing leaves something to tell two of them apart."""
    generator = np.random.default_rng(seed)
    ramp = np.linspace(0, 160, side)[:, None, None] * (1 if seed % 2 else -1) % 160
    noise = generator.integers(0, 96, (side, side, 3))
    return Image.fromarray((ramp + noise).astype("uint8"), "RGB")


def film(seed: int, side: int = 64, frames: int = FRAMES) -> np.ndarray[Any, Any]:
    """Pictures in a row: [frames, height, width, channels]."""
    pictures: np.ndarray[Any, Any] = np.stack([np.asarray(picture(seed + 10 * frame, side)) for frame in range(frames)])
    return pictures


def write_film(folder: Path, seed: int, side: int = 64, frames: int = FILM_FRAMES) -> str:
    """The path of an MP4 file with that film."""
    import av

    path = folder / f"film-{seed}.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for picture_ in film(seed, side, frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture_, format="rgb24")))
        container.mux(stream.encode())
    return str(path)


def recording(seed: int, seconds: float = 0.5, rate: int = RATE) -> dict[str, Any]:
    """A noisy tone."""
    time = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(0, 0.05, time.shape)
    tone = np.sin(2 * np.pi * 220 * (seed + 1) * time)
    return {"raw": (tone + noise).astype("float32"), "sampling_rate": rate}
