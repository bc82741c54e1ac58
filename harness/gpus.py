"""Which GPUs a shard is given, in the words of ``docker run --gpus``: ``all``, a number of them, ``device=0,2``."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Gpus:
    """A request for GPUs."""

    count: int | None = None
    """Absent: all, unless some are named."""
    ids: tuple[str, ...] = ()
    """Indices or UUIDs."""

    @property
    def visible(self) -> str | None:
        """The value of CUDA_VISIBLE_DEVICES that means the same without a container; None: all."""
        if self.ids:
            return ",".join(self.ids)
        return None if self.count is None else ",".join(map(str, range(self.count)))


def parse_gpus(text: str) -> Gpus:
    """What ``--gpus`` or matrix.toml says; ``ValueError`` where it says nothing that we know."""
    if text == "all":
        return Gpus()
    if re.fullmatch(r"[1-9]\d*", text):
        return Gpus(count=int(text))
    if re.fullmatch(r"device=[\w-]+(,[\w-]+)*", text):
        return Gpus(ids=tuple(text.removeprefix("device=").split(",")))
    raise ValueError('GPUs are "all", a number, or named: "device=0,2"')
