"""What a route that did not come to pass has to say, and which of several such is the cell's verdict."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.cell.executors import UnsupportedError
from harness.cell.openvino.optimum_route import NotExportedError
from harness.cell.outputs import MismatchError
from harness.diagnose import diagnose
from harness.records import Attempt, Outcome, Stage

_MESSAGE_LENGTH = 400


class FallbackError(Exception):
    """OpenVINO left computing to PyTorch: what came out is not its work."""


@dataclass(frozen=True)
class Failed:
    """An attempt with its error."""

    attempt: Attempt
    error: Exception


def failed(route: str, repairs: tuple[str, ...], stage: Stage, error: Exception, seconds: float) -> Failed:
    """The attempt as it is told."""
    told = diagnose(error, stage)
    outcome: Outcome = "failed"
    if isinstance(error, MismatchError):
        outcome = "mismatch"
    elif refuses(error):
        outcome = "unsupported"
    attempt = Attempt(
        route=route,
        repairs=repairs,
        stage=stage,
        outcome=outcome,
        error_class=told.error_class,
        message=_shortened(told.message),
        frame=told.frame,
        operators=operators_in(str(error)),
        seconds=seconds,
    )
    return Failed(attempt, error)


def verdict(attempts: Sequence[Failed]) -> Exception:
    """The error that the cell ends with: wrong numbers before errors, and ``UnsupportedError`` where all refused."""
    for outcome in ("mismatch", "failed"):
        for one in attempts:
            if one.attempt.outcome == outcome:
                return one.error
    told = "; ".join(f"{one.attempt.route}: {one.attempt.message}" for one in attempts)
    blocking = sorted({name for one in attempts for name in one.attempt.operators})
    first = f"no conversion rule for {', '.join(blocking)}; " if blocking else ""
    error = UnsupportedError(f"{first}{told}")
    error.__cause__ = next((one.error for one in attempts if one.attempt.operators), attempts[-1].error)
    return error


_REFUSALS = (
    # Error classes by name: some are defined in native modules, others move between versions.
    "OpConversionFailure",
    "Unsupported",
    "UnsupportedOperatorException",
    "GuardOnDataDependentSymNode",
    "UserError",
    "DataDependentOutputException",
    "DynamicOutputShapeException",
    "NotExportedError",
)


def refuses(error: BaseException | None) -> bool:
    """Whether an exporter says that it cannot take the model, as distinct from breaking over it."""
    while error is not None:
        if type(error).__name__ in _REFUSALS or isinstance(error, NotExportedError):
            return True
        error = error.__cause__
    return False


def operators_in(message: str) -> tuple[str, ...]:
    """The operators that a conversion error names: those without a rule, and those whose rule failed."""
    found = re.findall(r"\b(?:aten|prim|prims|quantized|torchvision|onnx|higher_order)(?:::|\.)\w+(?:\.\w+)?", message)
    listed = re.findall(r"^-- (\w[\w:.]*)(?: with a message|$)", message, flags=re.MULTILINE)
    return tuple(sorted(set(found) | set(listed)))


def _shortened(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    told = " ".join(lines)
    return told if len(told) <= _MESSAGE_LENGTH else f"{told[:_MESSAGE_LENGTH]} …"
