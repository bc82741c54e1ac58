"""The generic ladder: the ways to make a tiny model and its inputs, tried until one makes a model that runs.

A recipe that names a style and a source has one way only. What a search found is pinned in data/ways/ and tried first,
so a change of the generic ways cannot lose it.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.cell import outputs
from harness.cell.outputs import Outputs
from harness.cell.synthesis.checkpoint import Checkpoint, synthesise
from harness.cell.synthesis.config import STYLES
from harness.cell.synthesis.inputs import Inputs, make_inputs
from harness.cell.synthesis.processors import Processors, make_processors, make_text_side
from harness.cell.synthesis.special_tokens import processor_class, special_tokens
from harness.cell.synthesis.tokenizer import Made
from harness.cell.task_table import Task
from harness.records import InputSource, PlannedType, Style, Way

SOURCES: tuple[InputSource, ...] = ("signature", "processor", "apart")
"""From the signature of ``forward``; by the type's processor, all in one call or each modality in a call of its own."""


@dataclass(frozen=True)
class Prepared:
    """A checkpoint, inputs that its model takes, and what it makes of them."""

    checkpoint: Checkpoint
    inputs: Inputs
    reference: Outputs
    style: Style | None = None
    """Absent: a recipe writes the whole type down."""
    source: InputSource = "signature"

    @property
    def way(self) -> str:
        return f"{self.style}, {self.source}" if self.style else "written in the recipe"


def prepare(planned: PlannedType, task: Task, folder: Path) -> Prepared:
    """The way that was found before; else the first that makes a model that runs with every modality fed; else the
    first that runs at all.

    Raises the first way's error, with the errors of the others as notes, where none does.
    """
    errors: list[tuple[str, Exception]] = []
    if (way := pinned(planned)) and (found := _as_before(planned, task, folder, way, errors)):
        return found
    incomplete: Style | None = None
    for style in _styles(planned):
        try:
            found = _prepared(planned, task, folder, style, errors)
        except Exception as error:  # noqa: BLE001 -- whatever a way raises, the next is tried, and all are told
            errors.append((style, error))
            continue
        if found is None:
            continue
        if not found.inputs.not_fed:
            _STYLE_FOUND[planned.model_type, task.auto_class] = style
            return found
        incomplete = incomplete or style
        if style == _styles(planned)[0]:
            break  # a gentler style feeds no more than this one
    if incomplete:
        _STYLE_FOUND[planned.model_type, task.auto_class] = incomplete
        return _must(_prepared(planned, task, folder, incomplete, errors))
    first = errors[0][1]
    for told, later in errors[1:]:
        first.add_note(f"{told}: {type(later).__name__}: {later}")
    raise first


def pinned(planned: PlannedType) -> Way | None:
    """The way that a search found, with what the recipe says of it in its place."""
    way, recipe = planned.ways.get("from_pretrained"), planned.recipe
    if way is None or recipe is None:
        return way
    return way.model_copy(
        update={"style": recipe.style or way.style, "source": recipe.inputs_from or way.source or SOURCES[0]}
    )


def _as_before(
    planned: PlannedType, task: Task, folder: Path, way: Way, errors: list[tuple[str, Exception]]
) -> Prepared | None:
    """What the pinned way makes; None where it runs no more, or feeds less than it did."""
    shutil.rmtree(folder, ignore_errors=True)
    source = way.source or SOURCES[0]
    try:
        found = _from(planned, task, folder, way.style, source)
    except Exception as error:  # noqa: BLE001 -- the ladder is climbed again, and this error is told with the others
        errors.append((f"{way.style}, {source} (pinned)", error))
        return None
    if not set(found.inputs.not_fed) <= set(way.not_fed):
        return None
    _STYLE_FOUND[planned.model_type, task.auto_class] = way.style
    return found


_STYLE_FOUND: dict[tuple[str, str], Style] = {}
"""By type and class: what the first cell of a child found, its second need not search again."""


def style_for(planned: PlannedType, task: Task, folder: Path) -> Style:
    """The style of the first way that runs; the first of all where none does, so that its error shows."""
    key = (planned.model_type, task.auto_class)
    if key not in _STYLE_FOUND:
        try:
            prepare(planned, task, folder)
        except Exception:  # noqa: BLE001 -- the pipeline may yet run where our direct call does not
            _STYLE_FOUND[key] = STYLES[0]
        shutil.rmtree(folder, ignore_errors=True)
    return _STYLE_FOUND[key]


def _must(found: Prepared | None) -> Prepared:
    assert found is not None  # noqa: S101 -- it was found a moment ago, and every way is deterministic
    return found


def _styles(planned: PlannedType) -> tuple[Style, ...]:
    recipe = planned.recipe
    return (recipe.style,) if recipe and recipe.style else STYLES


def _sources(planned: PlannedType) -> tuple[InputSource, ...]:
    """Where a processor puts placeholders into texts, it alone knows how many: it is asked before the signature."""
    marked = special_tokens(processor_class(planned.model_type, planned.recipe)).placeholders
    return (*SOURCES[1:], SOURCES[0]) if marked else SOURCES


def _prepared(
    planned: PlannedType, task: Task, folder: Path, style: Style, errors: list[tuple[str, Exception]]
) -> Prepared | None:
    """With the source that feeds the most; None where none does, with the errors noted."""
    recipe = planned.recipe
    sources = (recipe.inputs_from,) if recipe and recipe.inputs_from else _sources(planned)
    best: Prepared | None = None
    for source in sources:
        shutil.rmtree(folder, ignore_errors=True)
        try:
            found = _from(planned, task, folder, style, source)
        except Exception as error:  # noqa: BLE001 -- likewise
            errors.append((f"{style}, {source}", error))
            continue
        if best is None or len(found.inputs.not_fed) < len(best.inputs.not_fed):
            best = found
        if not best.inputs.not_fed:
            break
    if best is not None and best.source != source:
        shutil.rmtree(folder, ignore_errors=True)  # a later way has left another checkpoint there
        return _from(planned, task, folder, style, best.source)
    return best


def _from(planned: PlannedType, task: Task, folder: Path, style: Style, source: InputSource) -> Prepared:
    recipe = planned.recipe
    text: Made | None = None
    processors: Processors | None = None
    if source != "signature":
        text = make_text_side(planned.model_type, planned.domain, recipe, folder / "tokenizer")
    checkpoint = synthesise(planned.model_type, task, recipe, folder, text, style)
    if source != "signature":
        processors = make_processors(planned.model_type, checkpoint.config, text, recipe, folder)
    inputs = make_inputs(checkpoint.model, recipe, source, processors)
    method = recipe.method if recipe else None
    reference = outputs.call(checkpoint.model, inputs.values, method)
    for other in inputs.apart.values():
        outputs.call(checkpoint.model, other.values, method)
    return Prepared(checkpoint, inputs, reference, style, source)
