"""What a route must hold up to besides the reference's numbers: other values, other shapes, greedy tokens."""

from harness.cell import compare, outputs
from harness.cell.draft import Draft
from harness.cell.openvino.loaded import Loaded
from harness.cell.openvino.shapes import other_shapes
from harness.cell.synthesis.checkpoint import Checkpoint
from harness.cell.synthesis.inputs import Inputs


def check_alternatives(loaded: Loaded, checkpoint: Checkpoint, inputs: Inputs, tolerance: float) -> None:
    """``MismatchError`` where other values in the same shapes give other numbers than the reference's.

    A converter that follows one run of a model may have taken a way that only these values lead to.
    """
    for name in inputs.alternatives:
        values = inputs.with_alternative(name)
        expected = outputs.call(checkpoint.model, values, loaded.method)
        found = compare.differences(*loaded.comparable(expected, loaded.call(values)))
        compare.within(found, tolerance, f"the reference, given other {name},")


def try_other_shapes(loaded: Loaded, checkpoint: Checkpoint, inputs: Inputs, tolerance: float, draft: Draft) -> None:
    """Run what the reference takes in other shapes too, and note how far the answers are, or that it cannot."""
    distances: dict[str, float] = {}
    for name, values in other_shapes(inputs):
        try:
            expected = outputs.call(checkpoint.model, values, loaded.method)
        except Exception:  # noqa: BLE001, S112 -- the model itself does not take this shape; there is nothing to compare
            continue
        try:
            found = loaded.call(values)
            differences = compare.differences(*loaded.comparable(expected, found))
            worst = max(one.max_relative for one in differences)
        except Exception as error:  # noqa: BLE001 -- whatever it raises, the model runs in its first shape only
            draft.compared(fixed_shape=f"{name}: {type(error).__name__}: {str(error).strip()[:200]}")
            continue
        distances[name] = worst
        if worst > tolerance:
            draft.compared(fixed_shape=f"{name}: converted in another shape, it is off by {worst:.3g}")
            if loaded.swap is not None:
                loaded.swap.fixed = f"off by {worst:.3g} in another shape"
    draft.compared(other_shapes=distances)
    if loaded.swap is not None and loaded.swap.fixed:
        draft.compared(fixed_shape=f"each shape takes a conversion of its own: {loaded.swap.fixed}")
