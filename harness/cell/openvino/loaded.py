"""A model that runs on OpenVINO, whichever route took it there."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from harness.cell import measure, outputs
from harness.cell.digest import tensors_digest
from harness.cell.openvino import outside
from harness.cell.openvino.attempts import FallbackError
from harness.cell.openvino.repairs import Repair
from harness.cell.openvino.routes import Figures
from harness.cell.openvino.runtime import COUNT
from harness.cell.openvino.swapped import Swap
from harness.cell.outputs import Outputs


@dataclass
class Loaded:
    """A model that runs on OpenVINO."""

    model: Any
    """optimum-intel's, or the loaded PyTorch model with a converted forward pass."""
    weights: Any
    """The loaded PyTorch model."""
    route: str
    method: str | None
    figures_: Figures
    swap: Swap | None = None
    repairs: tuple[Repair, ...] = ()
    """Those that a conversion of it needs."""
    answer: Outputs = field(default_factory=dict)
    first_seconds: float = 0.0
    not_returned: tuple[str, ...] = ()
    outside: dict[str, int] | None = None
    eager_operations: int | None = None
    eager: tuple[Any, dict[str, Any]] | None = None

    @property
    def caches(self) -> bool:
        """A converted forward pass has none."""
        return self.swap is None

    def place(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """OpenVINO takes host memory."""
        return values

    def call(self, values: Mapping[str, Any]) -> Outputs:
        """One forward pass; ``FallbackError`` where OpenVINO ran nothing of it."""
        before = COUNT.inferences
        # A type without a forward pass generates: with converted ones, as always, without a cache.
        asked = {**values, "use_cache": False} if self.method == "generate" and not self.caches else values
        found = outputs.call(self.model, asked, self.method)
        if self.swap is None:
            # Some of optimum-intel's classes (Mamba's) give the memory that the next inference writes into.
            found = {name: one.clone() for name, one in found.items()}
        self.check_ran(before)
        return found

    def check_ran(self, before: int = 0) -> None:
        """``FallbackError`` where OpenVINO ran nothing beyond the inferences that were counted before."""
        if COUNT.inferences == before:
            raise FallbackError(f"{self.route}: an answer came, and OpenVINO ran nothing for it")

    def first(self, values: Mapping[str, Any]) -> None:
        """The first inference, what it converted on its way not counted."""
        with self.first_timed():
            self.answer = self.call(values)

    @contextlib.contextmanager
    def first_timed(self) -> Iterator[None]:
        """Take the time of the first inference, without the conversions that it comes to."""
        before = self.figures_.export_seconds + self.figures_.compile_seconds
        with measure.timed() as watch:
            yield
        spent = self.figures_.export_seconds + self.figures_.compile_seconds - before
        self.first_seconds = max(watch.seconds - spent, 0.0)

    def comparable(self, reference: Outputs, found: Outputs) -> tuple[Outputs, Outputs]:
        """What optimum-intel's class gives too; a converted forward pass gives all.

        Inside ``generate`` the reference computes the last token's logits only, optimum-intel's classes all.
        """
        if self.swap is not None:
            return reference, found
        self.not_returned = tuple(name for name in reference if name not in found)
        common = {name: one for name, one in reference.items() if name in found}
        logits, asked = found.get("logits"), common.get("logits")
        if logits is not None and asked is not None and logits.dim() == asked.dim() == 3 and asked.shape[1] == 1:
            found = found | {"logits": logits[:, -1:]}
        return common, found

    def generate(self, values: Mapping[str, Any], tokens: int = outputs.NEW_TOKENS) -> torch.Tensor:
        """The model's own ``generate``: with a cache in optimum-intel's classes, else without."""
        return outputs.generate(self.model, values, tokens, cache=self.caches)

    def same_draws(self) -> None:
        """OpenVINO is given nothing that draws."""

    def synchronise(self) -> None:
        """Inferences are waited for."""

    def computed_outside(self, values: Mapping[str, Any]) -> dict[str, int]:
        """What PyTorch computes in one call."""
        told = outside.operations_beside if self.route == "torch.compile" else outside.operations_of
        return told(lambda: self.call(values))

    def check_outside(self) -> None:
        """``FallbackError`` where PyTorch does some of the model's heavy work."""
        heavy = outside.heavy(self.outside or {})
        if heavy:
            raise FallbackError(f"{self.route}: PyTorch computed {', '.join(heavy)} outside of OpenVINO")

    def undo(self) -> None:
        """The loaded model is as it was."""
        if self.swap is not None:
            self.swap.lift()

    def proof(self) -> dict[str, Any]:
        """The weights, and where the compiled models execute."""
        return {
            "model_class": type(self.model).__name__,
            "weights_sha256": tensors_digest(self.weights.state_dict()),
            "execution_device": ", ".join(COUNT.execution_devices()),
            "outside": self.outside,
            "eager_operations": self.eager_operations,
            "not_returned": self.not_returned,
        }

    def executed(self) -> dict[str, Any]:
        """How often OpenVINO ran the model, all that was measured included."""
        return {"executions": COUNT.inferences, "execution_device": ", ".join(COUNT.execution_devices())}

    def figures(self) -> dict[str, Any]:
        """Of converting, and of eager PyTorch on the same inputs in this process."""
        figures = self.figures_
        told: dict[str, Any] = {
            "export_seconds": figures.export_seconds or None,
            "compile_seconds": figures.compile_seconds,
            "converted_bytes": figures.ir_bytes or None,
            "first_inference_seconds": self.first_seconds,
        }
        if self.eager is not None:
            model, values = self.eager
            told["eager_latency"] = measure.latency(
                lambda: outputs.call(model, values, self.method), self.synchronise, measure.LONG
            )
        return told
