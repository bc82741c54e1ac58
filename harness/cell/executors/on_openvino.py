"""OpenVINO: a checkpoint taken to it by the first route that gives the right numbers, the others' errors kept."""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import transformers

from harness.cell import compare, measure, outputs
from harness.cell.draft import Draft
from harness.cell.executors.on_torch import as_user_says, check_keys, load_with_report
from harness.cell.openvino import outside, runtime
from harness.cell.openvino.attempts import Failed, failed, verdict
from harness.cell.openvino.caching import generate_without_cache, same_without_cache, without_cache
from harness.cell.openvino.checks import check_alternatives, try_other_shapes
from harness.cell.openvino.loaded import Loaded
from harness.cell.openvino.optimum_route import NotExportedError, class_for
from harness.cell.openvino.repairs import DRAWS, Repair, mended_attribute, next_repairs, repaired
from harness.cell.openvino.routes import CONVERTING, OPTIMUM, Figures, Route, size_of
from harness.cell.openvino.runtime import Compress, Runtime
from harness.cell.openvino.swapped import Swap
from harness.cell.recording import recorded
from harness.cell.seeding import seed
from harness.cell.synthesis.calls import call_for, with_arguments
from harness.cell.synthesis.checkpoint import Checkpoint, own_memory
from harness.cell.synthesis.inputs import Inputs
from harness.cell.synthesis.processors import Processors
from harness.cell.task_table import Task
from harness.records import Device, Execution, Stage

IN_ITS_PLACE = "compiled forward"
"""The repair of a pipeline whose own model was given a converted forward pass: pipelines take no compiled model."""


class Stages(Protocol):
    """What is told of the stages that a load comes to."""

    stage: Stage

    def enter(self, stage: Stage) -> None:
        """One begins."""


@dataclass(frozen=True)
class Known:
    """What was found out about a type's head: the routes that failed, and the one that passed, with its repairs."""

    failures: tuple[Failed, ...] = ()
    route: str | None = None
    repairs: tuple[Repair, ...] = ()
    needs_cache: bool = False
    """Without a cache its forward pass gives other outputs, in eager PyTorch already."""


_KNOWN: dict[tuple[str, str], Known] = {}


def warm() -> None:
    """Import optimum-intel, where the stack has it, and what converts; nothing is compiled here.

    A fork made after a compiled model was deleted in the parent hangs.
    """
    import openvino.frontend.pytorch
    import openvino.tools.ovc  # noqa: F401 -- the converter

    with contextlib.suppress(NotExportedError):
        class_for("bert", "AutoModelForMaskedLM")


def device_of(execution: Execution) -> Device | None:
    """The device as OpenVINO describes it; the CPU needs no description."""
    return runtime.device_of(execution.device)


class Executor:
    """OpenVINO on one of its devices."""

    def __init__(
        self, execution: Execution, properties: Mapping[str, str] | None = None, compress: Compress | None = None
    ) -> None:
        self.execution = execution
        self.runtime: Runtime = runtime.runtime_on(execution.device, properties or {}, compress)

    def load(self, draft: Draft, checkpoint: Checkpoint, inputs: Inputs, task: Task, method: str | None) -> Loaded:
        """The model in memory of OpenVINO, compared with the reference already: a route must give its numbers."""
        model = self._loaded_eagerly(draft, checkpoint)
        reference = outputs.call(checkpoint.model, inputs.values, method)
        tolerance, _ = compare.tolerance_of(draft, self.execution)
        if not same_without_cache(model, inputs, method, reference, tolerance):
            _KNOWN[_key(draft, checkpoint)] = Known(needs_cache=True)

        def check(loaded: Loaded) -> None:
            loaded.first(inputs.values)
            found = compare.differences(*loaded.comparable(reference, loaded.answer))
            compare.within(found, tolerance, "the reference")
            loaded.outside = loaded.computed_outside(inputs.values)
            loaded.check_outside()
            loaded.eager = checkpoint.model, dict(inputs.values)
            check_alternatives(loaded, checkpoint, inputs, tolerance)
            try_other_shapes(loaded, checkpoint, inputs, tolerance, draft)
            if task.generates:
                prompts = inputs.generation_values(checkpoint.model)
                expected = outputs.generate(checkpoint.model, prompts, cache=loaded.caches)
                compare.check_generated(expected, loaded.generate(prompts), tolerance, "the reference")

        loaded = self._first_that_passes(draft, checkpoint, model, method, check)
        loaded.eager_operations = sum(
            outside.operations_of(lambda: outputs.call(checkpoint.model, inputs.values, method)).values()
        )
        return loaded

    def _loaded_eagerly(self, draft: Draft, checkpoint: Checkpoint) -> Any:
        """What is converted, with ``from_pretrained``; its keys are checked for optimum-intel's route too."""
        draft.enter("load")
        with measure.timed() as watch:
            model, report = load_with_report(checkpoint)
        check_keys(report, checkpoint.spare)
        own_memory(model)
        draft.measured(load_seconds=watch.seconds)
        return model.eval()

    def _first_that_passes(
        self, draft: Draft, checkpoint: Checkpoint, model: Any, method: str | None, check: Callable[[Loaded], None]
    ) -> Loaded:
        """Try the routes in order, each as shipped, then with what mends its error; raise the verdict of all of them.

        What the type's first cell has found out about its head, the second need not find out again.
        """
        key = _key(draft, checkpoint)
        known = _KNOWN.setdefault(key, Known())
        if not known.needs_cache:
            without_cache(model)
        failures: list[Failed] = list(known.failures)
        draft.attempts = [one.attempt for one in failures]
        for route in (None, *CONVERTING):
            name = route.name if route else OPTIMUM
            if any(one.attempt.route == name for one in failures) and name != known.route:
                continue
            repairs: tuple[Repair, ...] = known.repairs if name == known.route else ()
            while True:
                started = time.perf_counter()
                runtime.start_counting()
                try:
                    with repaired(model, repairs):
                        loaded = (
                            self.by_optimum(draft, checkpoint, model)
                            if route is None
                            else self.by_converting(draft, route, model, method, repairs)
                        )
                        try:
                            mended = self._checked(loaded, draft, model, check)
                        except BaseException:
                            loaded.undo()
                            raise
                except Exception as error:  # noqa: BLE001 -- whatever a route raises, the next is tried, and all are told
                    told = failed(
                        name, tuple(one.name for one in repairs), draft.stage, error, time.perf_counter() - started
                    )
                    failures.append(told)
                    draft.attempts.append(told.attempt)
                    more = next_repairs(error, model, repairs) if route else ()
                    if not more:
                        break
                    repairs += more
                else:
                    draft.route, draft.repairs = name, (*(one.name for one in repairs), *mended)
                    _KNOWN[key] = Known(tuple(failures), name, repairs, known.needs_cache)
                    return loaded
        _KNOWN[key] = Known(tuple(failures), needs_cache=known.needs_cache)
        ended = verdict(failures)
        draft.stage = next((one.attempt.stage for one in failures if one.error is ended), draft.stage)
        raise ended

    def _checked(self, loaded: Loaded, draft: Draft, eager: Any, check: Callable[[Loaded], None]) -> tuple[str, ...]:
        """Check it; where optimum-intel's model lacks an attribute that is known, again with that, and say which."""
        mended: list[str] = []
        while True:
            started = time.perf_counter()
            try:
                check(loaded)
            except AttributeError as error:
                name = mended_attribute(error, loaded.model, eager) if loaded.swap is None else None
                if name is None or name in mended:
                    raise
                seconds = time.perf_counter() - started
                draft.attempts.append(failed(OPTIMUM, tuple(mended), draft.stage, error, seconds).attempt)
                mended.append(name)
            else:
                return tuple(mended)

    def by_optimum(self, draft: Stages, checkpoint: Checkpoint, eager: Any) -> Loaded:
        """optimum-intel's class for the head, as its users load it."""
        found = class_for(checkpoint.config.model_type, checkpoint.loader.__name__)
        figures = Figures()
        draft.enter("export")
        with measure.timed() as watch:
            model = found.from_pretrained(
                str(checkpoint.folder),
                export=True,
                compile=False,
                load_in_8bit=False,
                device=self.runtime.device,
                ov_config=self.runtime.settings,
            )
        figures.export_seconds = watch.seconds
        if self.runtime.compress is not None:
            for one in model.ov_models.values():
                self.runtime.compress(one)
        draft.enter("compile")
        with measure.timed() as watch:
            model.compile()
        figures.compile_seconds = watch.seconds
        figures.ir_bytes = sum(size_of(one) for one in model.ov_models.values())
        draft.enter("first inference")
        return Loaded(model, eager, OPTIMUM, None, figures)

    def by_converting(
        self, draft: Stages, route: Route, model: Any, method: str | None, repairs: tuple[Repair, ...]
    ) -> Loaded:
        """A converted forward pass in the place of the loaded model's."""
        figures = Figures()

        def convert(traced: Any) -> Any:
            stage = draft.stage
            # Whenever it comes to it, in a generation too: its repairs are needed as long as it may convert.
            with repaired(model, repairs), torch.no_grad():
                run = route.convert(traced, self.runtime, figures, draft.enter)
            draft.enter(stage if stage not in ("load", "export", "compile") else "first inference")
            return run

        generate_without_cache(model)
        swap = Swap(model, convert, method, in_parts=route.in_parts, draws_are_inputs=DRAWS in repairs)
        return Loaded(model, model, route.name, method, figures, swap=swap, repairs=repairs)

    def pipeline(self, draft: Draft, checkpoint: Checkpoint, task: Task, processors: Processors) -> tuple[Any, Loaded]:
        """A pipeline with optimum-intel's model in it; else with a converted forward pass in its own model's place."""
        draft.enter("load")
        with measure.timed() as watch:
            pipe = transformers.pipeline(task.name, **as_user_says(checkpoint, processors), **checkpoint.options)
        draft.measured(load_seconds=watch.seconds)
        own_memory(pipe.model)
        tolerance, _ = compare.tolerance_of(draft, self.execution)
        made = {}

        def check(loaded: Loaded) -> None:
            made["pipe"] = pipe if loaded.swap is not None else _pipeline_with(loaded.model, task, pipe)
            if loaded.swap is not None:
                generate_without_cache(checkpoint.model, pipe)  # the reference, as in the direct call
            call = with_arguments(call_for(task.name, made["pipe"], processors), draft.planned.recipe)
            seed(outputs.SEED)
            with recorded(made["pipe"].model) as inside, loaded.first_timed():
                call.put_to(made["pipe"])
            loaded.check_ran()
            direct = inside.asked_of(checkpoint.model)
            found = compare.differences(*loaded.comparable(direct.outputs, inside.outputs))
            compare.within(found, tolerance, "the reference")
            if direct.tokens is not None and inside.tokens is not None:
                compare.check_generated(direct.tokens, inside.tokens, tolerance, "the reference")

        loaded = self._first_that_passes(draft, checkpoint, pipe.model, None, check)
        if loaded.swap is not None:
            draft.repairs = (*draft.repairs, IN_ITS_PLACE)
        return made["pipe"], loaded


def _key(draft: Draft, checkpoint: Checkpoint) -> tuple[str, str]:
    return draft.planned.model_type, checkpoint.loader.__name__


def _pipeline_with(model: Any, task: Task, like: Any) -> Any:
    """A pipeline of optimum-intel's model, with the processors that the folder's own pipeline has."""
    roles = ("tokenizer", "image_processor", "feature_extractor", "processor")
    held = {role: one for role in roles if (one := getattr(like, role, None)) is not None}
    return transformers.pipeline(task.name, model=model, **held)
