"""Which task a model type is tested with, and the class that it is loaded with.

A type is tested with the head that people use it for; where no Auto class has the type, with a class of its own.
"""

import importlib
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import transformers
from transformers import CONFIG_MAPPING, PreTrainedModel
from transformers.models.auto import modeling_auto
from transformers.pipelines import SUPPORTED_TASKS

from harness.cell.task_table import TASKS, Task
from harness.cell.versions import input_modalities, sub_config_classes
from harness.records import Recipe, Way

OWN_CLASS = "features"
"""The task of a type that no Auto class has."""


class NoSuchTaskError(Exception):
    """The installed transformers has no such head for this type."""


def task_for(model_type: str, recipe: Recipe | None, way: Way | None = None) -> Task:
    """The task of the direct call; ``NoSuchTaskError`` where there is none.

    That of the recipe; or the one that was found before; or the first that the type has.
    """
    check_known(model_type)
    wanted = recipe.task if recipe else None
    if recipe and recipe.model_class:
        task = task_named(wanted or OWN_CLASS)
        return replace(task, auto_class=recipe.model_class, outputs=recipe.outputs or task.outputs)
    first = _found_before(model_type, way) if way and wanted in (None, way.task) else None
    first = first or next(
        (one for one in TASKS if _chosen(one, wanted) and has_head(model_type, one, named=wanted is not None)), None
    )
    if first is None and wanted is None and (own := own_class(model_type)):
        first = replace(task_named(OWN_CLASS), auto_class=own.__name__)
    if first is None:
        raise _no_such_task(model_type, wanted)
    return replace(first, outputs=recipe.outputs) if recipe and recipe.outputs else first


def pipeline_task_for(model_type: str, recipe: Recipe | None, way: Way | None = None) -> Task:
    """The task of ``pipeline()``: the direct call's if it has one, else that of the first head that has one.

    ``NoSuchTaskError`` where there is none, or the recipe says of each that its pipeline cannot feed the type.
    """
    check_known(model_type)
    wanted = recipe.pipeline_task if recipe else None
    its_own = recipe is not None and (recipe.task or recipe.model_class)
    unfed = recipe.no_pipeline if recipe else {}
    pipelines = SUPPORTED_TASKS.keys() - unfed.keys()
    if way and way.task in pipelines and not its_own and wanted in (None, way.task):
        task = _found_before(model_type, way)
        if task is not None:
            return _with_outputs(task, model_type, recipe)
    found: list[Task] = []
    if wanted is None:
        found.append(task := task_for(model_type, recipe))
        if task.name in pipelines:
            return task
    heads = [one for one in TASKS if _chosen(one, wanted) and has_head(model_type, one, named=wanted is not None)]
    for one in heads:
        if one.name in pipelines:
            return one
    if reasons := [unfed[one.name] for one in (*found, *heads) if one.name in unfed]:
        raise NoSuchTaskError("; ".join(dict.fromkeys(reasons)))
    if wanted is None:
        own = _own_pipeline_task(model_type, recipe, dict.fromkeys(one.name for one in heads))
        if own.name in unfed:
            raise NoSuchTaskError(unfed[own.name])
        return own
    raise _no_such_task(model_type, wanted)


def _with_outputs(task: Task, model_type: str, recipe: Recipe | None) -> Task:
    """The task with the outputs that the recipe names, where the direct call has the same: they are its head's."""
    if recipe and recipe.outputs and task.name == task_for(model_type, recipe).name:
        return replace(task, outputs=recipe.outputs)
    return task


def _own_pipeline_task(model_type: str, recipe: Recipe | None, heads: Iterable[str]) -> Task:
    """Features by the type's own class, which a pipeline finds by the name that the checkpoint gives.

    ``NoSuchTaskError`` where an Auto class has the type, and none of a pipeline's; or where a text or an image alone
    is not what the class takes. The reason names no type: types that lack the same thing are told together.
    """
    known = ", ".join(heads)
    version = f"transformers {transformers.__version__}"
    own = None if known else own_class(model_type)
    task = next((one for one in TASKS if own and one.main_input and one.main_input == _main_input(own)), None)
    if own is None or task is None or not _reads_only(own, task):
        raise NoSuchTaskError(f"{version} has no pipeline for any of its heads ({known or 'none'})")
    if missing := _beside(own, task, recipe):
        raise NoSuchTaskError(f"{version} has no pipeline that feeds {', '.join(missing)}")
    return replace(task, auto_class=own.__name__)


def _reads_only(own: Any, task: Task) -> bool:
    """Whether the class says that it reads what the task's pipeline feeds, and nothing else: codes are no text."""
    modality = "text" if task.main_input == "input_ids" else "image"
    return input_modalities(own) == {modality}


def _beside(own: Any, task: Task, recipe: Recipe | None) -> list[str]:
    """The arguments that the class is fed, and that the task's pipeline does not feed as a text or an image is fed."""
    needed = [
        one.name
        for one in inspect.signature(own.forward).parameters.values()
        if one.default is one.empty
        and one.kind is one.POSITIONAL_OR_KEYWORD
        and one.name not in ("self", task.main_input)
    ]
    # An image processor makes more than pixels; what it does not make is seen once there is one.
    written = [name for name, one in (recipe.inputs if recipe else {}).items() if name != "attention_mask"]
    return list(dict.fromkeys([*(needed if task.main_input == "input_ids" else ()), *written]))


def _found_before(model_type: str, way: Way) -> Task | None:
    """The task with the class that a search found; None where this version of transformers has it no more."""
    for one in TASKS:
        if one.name == way.task and way.model_class in mapped_classes(model_type, one):
            return one
    if any(one.__name__ == way.model_class for one in _own_classes(model_type)):
        return replace(task_named(way.task), auto_class=way.model_class)
    return None


def check_known(model_type: str) -> None:
    """``NoSuchTaskError`` for a type that the installed transformers does not have."""
    if model_type not in CONFIG_MAPPING:
        raise NoSuchTaskError(f"transformers {transformers.__version__} has no such model type")


def has_head(model_type: str, task: Task, *, named: bool = False) -> bool:
    """Whether the task's Auto class makes a model of this very type.

    A recipe that has ``named`` the task knows what the model's main input is: some classes say it wrongly.
    """
    names = mapped_classes(model_type, task)
    if not names:
        return False
    model_class = getattr(transformers, names[0], None)
    # Some tables name, for a whole, the class of one of its parts.
    if model_class is None or model_class.config_class in sub_config_classes(CONFIG_MAPPING[model_type]):
        return False
    return named or task.main_input is None or _main_input(model_class) == task.main_input


def mapped_classes(model_type: str, task: Task) -> tuple[str, ...]:
    """The classes that the task's Auto class may make for this type; it takes the first."""
    names = getattr(modeling_auto, task.mapping, {}).get(model_type, ())
    return (names,) if isinstance(names, str) else tuple(names)


def _main_input(model_class: Any) -> str | None:
    """The argument of ``forward`` that a pipeline feeds; some classes name one that they do not take.

    Towers that take patches (``hidden_states``) have none: no pipeline makes what they take.
    """
    taken = inspect.signature(model_class.forward).parameters
    named = (model_class.main_input_name, "input_ids", "pixel_values")
    return next((one for one in named if one in taken), None)


def loader_for(task: Task, model_type: str) -> Any:
    """The class whose ``from_pretrained`` is called: an Auto class, or the type's own."""
    name = task.auto_class
    if name == "AutoBackbone":
        # It asks the hub for every name, that of a local folder included; the type's own class does not.
        name = getattr(modeling_auto, task.mapping)[model_type]
    found = getattr(transformers, name, None)
    if found is None:
        found = next((one for one in _own_classes(model_type) if one.__name__ == task.auto_class), None)
    if found is None:
        msg = f"transformers {transformers.__version__} has no class {task.auto_class}"
        raise NoSuchTaskError(msg)
    return found


def own_class(model_type: str) -> Any:
    """The class of a type that no Auto class has, as parts of bigger types are; None where it has none."""
    candidates = [one for one in _own_classes(model_type) if one.forward is not PreTrainedModel.forward]
    # The one that no other of them is built of: "…Model" before a part of it, the last defined before others.
    named = [one for one in candidates if one.__name__.endswith("Model")]
    return (named or candidates or [None])[-1]


def _own_classes(model_type: str) -> Iterator[Any]:
    config_class = CONFIG_MAPPING[model_type]
    package = config_class.__module__.rpartition(".configuration_")
    try:
        module = importlib.import_module(f"{package[0]}.modeling_{package[2]}")
    except ImportError:  # the type has no modeling file of its own, as layoutxlm
        return
    for value in vars(module).values():
        if inspect.isclass(value) and issubclass(value, PreTrainedModel):
            model_class: Any = value
            if model_class.config_class is config_class:
                yield model_class


def _chosen(task: Task, wanted: str | None) -> bool:
    return task.name == wanted if wanted else not task.by_name_only


def task_named(name: str) -> Task:
    """The first task of this name; ``NoSuchTaskError`` where there is none."""
    task = next((one for one in TASKS if one.name == name), None)
    if task is None:
        msg = f"no task {name!r} is known: one of {', '.join(dict.fromkeys(one.name for one in TASKS))}"
        raise NoSuchTaskError(msg)
    return task


def _no_such_task(model_type: str, wanted: str | None) -> NoSuchTaskError:
    """Told without the type's name, so that all types that lack the same stand together."""
    version = f"transformers {transformers.__version__}"
    if wanted is None and next(_own_classes(model_type), None) is None:
        is_part = _is_part(CONFIG_MAPPING[model_type])
        told = "it is the config of a part, which runs inside the whole" if is_part else "other types' classes load it"
        return NoSuchTaskError(f"{version} has no model class for this type: {told}")
    return NoSuchTaskError(f"{version} maps no model class of this type to {wanted or 'any task'}")


def _is_part(config_class: Any) -> bool:
    """Whether another config beside this one has it as its part."""
    beside = vars(importlib.import_module(config_class.__module__)).values()
    return any(inspect.isclass(one) and config_class in sub_config_classes(one) for one in beside)
