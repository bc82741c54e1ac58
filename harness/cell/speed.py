"""How fast a loaded model is: one pass, a batch, and generating, each under the source's rule.

docs/measuring.md says what each figure is.
"""

from dataclasses import replace

from harness.cell import measure, outputs
from harness.cell.draft import Draft
from harness.cell.executors import Loaded
from harness.cell.source import Source
from harness.cell.synthesis.inputs import Inputs
from harness.cell.synthesis.ladder import Prepared
from harness.cell.task_table import Task
from harness.records import Throughput

TINY_GENERATIONS, GENERATIONS = 3, 5
LONG_TEXT = 32
"""New tokens after the first, where generating is measured in its two parts."""


def measure_forward(draft: Draft, source: Source, prepared: Prepared, loaded: Loaded, task: Task) -> None:
    """Steady latency of one forward pass, and of generating where the type does."""
    inputs = prepared.inputs
    values = loaded.place(inputs.values)
    steady = measure.latency(lambda: loaded.call(values), loaded.synchronise, source.rule)
    draft.measured(latency=steady, batch=inputs.batch)
    batch = source.batch(prepared, draft.planned)
    throughput = [Throughput(value=inputs.batch / steady.p50, unit="items/s")]
    if batch is not None:
        many = loaded.place(batch.values)
        together = measure.latency(lambda: loaded.call(many), loaded.synchronise, source.rule)
        draft.measured(batch_latency=together, batch=batch.batch)
        throughput = [Throughput(value=batch.batch / together.p50, unit="items/s")]
    if task.generates and batch is None:
        throughput += _together(draft, prepared, loaded, inputs, steady.p50)
    elif task.generates:
        throughput += _in_two_parts(draft, source, prepared, loaded, inputs)
    draft.measured(throughput=tuple(throughput))


def _together(
    draft: Draft, prepared: Prepared, loaded: Loaded, inputs: Inputs, pass_seconds: float
) -> list[Throughput]:
    """Prompt and new tokens in one call: at tiny scale the parts are too short to tell apart."""
    prompts = loaded.place(inputs.generation_values(prepared.checkpoint.model))
    rule = measure.Rule(warmup=1, iterations=TINY_GENERATIONS)
    generation = measure.latency(lambda: loaded.generate(prompts), loaded.synchronise, rule)
    draft.measured(generation=generation, generated_tokens=outputs.NEW_TOKENS)
    decoded = Throughput(value=inputs.batch * outputs.NEW_TOKENS / generation.p50, unit="decode tokens/s")
    prompt = _prompt(prepared, inputs)
    return [Throughput(value=prompt / pass_seconds, unit="prefill tokens/s"), decoded] if prompt else [decoded]


def _in_two_parts(draft: Draft, source: Source, prepared: Prepared, loaded: Loaded, inputs: Inputs) -> list[Throughput]:
    """One token, which takes the prompt's time, and many more, whose time comes on top."""
    prompts = loaded.place(inputs.generation_values(prepared.checkpoint.model))
    rule = replace(source.rule, warmup=1, iterations=GENERATIONS)
    first = measure.latency(lambda: loaded.generate(prompts, 1), loaded.synchronise, rule)
    whole = measure.latency(lambda: loaded.generate(prompts, 1 + LONG_TEXT), loaded.synchronise, rule)
    draft.measured(first_token=first, generation=whole, generated_tokens=1 + LONG_TEXT)
    found = []
    if prompt := _prompt(prepared, inputs):
        found.append(Throughput(value=prompt / first.p50, unit="prefill tokens/s"))
    if whole.p50 > first.p50:
        found.append(Throughput(value=inputs.batch * LONG_TEXT / (whole.p50 - first.p50), unit="decode tokens/s"))
    return found


def _prompt(prepared: Prepared, inputs: Inputs) -> int:
    """The tokens of the prompts; 0 where they are another part's affair, or there are none."""
    if prepared.checkpoint.config.is_encoder_decoder or "input_ids" not in inputs.values:
        return 0
    return int(inputs.values["input_ids"].numel())
