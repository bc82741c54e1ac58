"""The words that records share, and what every record is: frozen, and strict about what it does not know."""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION: Final = 1
Api = Literal["from_pretrained", "pipeline"]
Domain = Literal["text", "vision", "vision-language", "document", "audio", "time-series", "biology", "graph", "other"]
Stage = Literal["start", "synthesise", "load", "export", "compile", "first inference", "repeat", "compare", "measure"]
Outcome = Literal[
    "passed",
    "failed",  # an exception, with its stage
    "mismatch",  # it ran, and its outputs are wrong
    "crashed",  # a signal ended it
    "timeout",
    "out-of-memory",
    "unsupported",  # the backend's exporter says that it has no converter
    "missing-dependency",
    "not-applicable",  # the type has no such API or task, with the reason
    "not-selected",  # over a cap, or left out by a budget, with the reason
    "no-device",
    "environment",  # the machine is broken, not the model
    "missing",  # planned and never reported; only the report says this one
]
EngineName = Literal["docker", "local"]
RuntimeName = Literal["torch", "openvino"]
"""What loads and runs a checkpoint on a backend: an executor of harness/cell/executors/."""
Scale = Literal["tiny", "full"]
"""``tiny``: the config shrunk; ``full``: the type's default config, and realistic inputs. Weights are synthetic."""
Style = Literal["constant", "shallow", "default"]
"""How far a config is shrunk; see harness/cell/synthesis/config.py."""
LibraryName = Literal["diffusers", "torch-geometric"]
InputSource = Literal["signature", "processor", "apart"]
"""What the inputs of a direct call are made from: the signature of ``forward``, or the type's own processor."""


class Record(BaseModel):
    """A frozen value that crosses the wall as JSON; a key that the reader does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> str:
        """One line of JSON without the fields that are absent."""
        return self.model_dump_json(exclude_none=True)
