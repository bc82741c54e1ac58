"""Models without a cache: a converted forward pass cannot go on from one."""

from collections.abc import Callable, Iterator
from typing import Any

from harness.cell import compare, outputs
from harness.cell.outputs import MismatchError, Outputs
from harness.cell.synthesis.inputs import Inputs


def same_without_cache(model: Any, inputs: Inputs, method: str | None, reference: Outputs, tolerance: float) -> bool:
    """Whether the model, which computes without a cache from then on, gives what the reference gives with one."""
    undo = without_cache(model)
    try:
        compare.within(compare.differences(reference, outputs.call(model, inputs.values, method)), tolerance, "")
    except MismatchError:
        undo()
        return False
    return True


def without_cache(model: Any) -> Callable[[], None]:
    """Have the model and all its parts compute without a cache, which a converted forward pass cannot go on from.

    Gives what undoes it.
    """
    changed = [config for config in _configs(model.config) if getattr(config, "use_cache", None)]
    for config in changed:
        config.use_cache = False

    def undo() -> None:
        for config in changed:
            config.use_cache = True

    return undo


def generate_without_cache(model: Any, owner: Any = None) -> None:
    """Have the model, those in it that generate by themselves, and its owner, a pipeline, generate without a cache."""
    settings = outputs.settings_without_cache(model)
    for one in (*model.modules(), owner):
        if getattr(one, "generation_config", None) is not None:
            one.generation_config.update(**settings)


def _configs(config: Any) -> Iterator[Any]:
    yield config
    for name in config.sub_configs:
        if (part := getattr(config, name, None)) is not None:
            yield from _configs(part)
