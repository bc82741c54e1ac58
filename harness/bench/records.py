"""What the benchmark of isolation says, as JSON and as Markdown."""

from collections.abc import Iterator
from typing import Final

from harness.records import Outcome, Record

FULL: Final = 60
"""Types from which the bars hold: with fewer, what is paid once weighs too much."""


class Way(Record):
    """One way to run the same cells, as it was measured."""

    name: str
    about: str
    types: int
    jobs: int
    seconds: float
    """Wall time from the start of the first process to the end of the last."""
    cpu_seconds: float
    """Of all its processes: what a busy machine changes less."""
    outcomes: dict[Outcome, int]
    """Of its cells; none where the work is another tool's."""
    unequal_cells: tuple[str, ...] = ()
    """Cells whose outcome or outputs are not those of the first way: the work would not be the same."""
    note: str = ""


class Bar(Record):
    """A claim on two of the ways."""

    claim: str
    value: float
    limit: float
    cpu_value: float
    """The same of the processor's time."""

    @property
    def met(self) -> bool:
        return self.value <= self.limit


class Machine(Record):
    """Where it was measured, and how quiet it was."""

    cpu: str
    cores: int
    memory_bytes: int
    system: str
    python: str
    packages: dict[str, str]
    torch_build: str
    load_before: float
    """Processes that wanted a processor in the minute before, on average."""
    load_after: float


class Benchmark(Record):
    """The whole of it."""

    started_at: str
    machine: Machine
    stack: str
    types: tuple[str, ...]
    ways: tuple[Way, ...]
    bars: tuple[Bar, ...]
    notes: tuple[str, ...] = ()

    @property
    def judged(self) -> bool:
        """Whether the bars hold for it."""
        return len(self.types) >= FULL


def markdown(found: Benchmark) -> str:
    """For people: the table, the bars, the machine."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Benchmark) -> Iterator[str]:
    machine = found.machine
    yield f"# What isolation costs: {len(found.types)} types, tiny, synthetic weights"
    yield ""
    yield "| way | types | at a time | wall time | CPU time | for a type | cells |"
    yield "| --- | --: | --: | --: | --: | --: | --- |"
    for way in found.ways:
        cells = ", ".join(f"{count} {name}" for name, count in way.outcomes.items()) or "its own work"
        yield (
            f"| {way.name}: {way.about} | {way.types} | {way.jobs} | {way.seconds:.1f} s | {way.cpu_seconds:.1f} s "
            f"| {way.seconds / way.types:.2f} s | {cells} |"
        )
    yield ""
    for bar in found.bars:
        verdict = ("met" if bar.met else "NOT met") if found.judged else f"not judged below {FULL} types"
        yield f"- {bar.claim}: {bar.value:.3f} (limit {bar.limit:g}): {verdict}; of the CPU time {bar.cpu_value:.3f}"
    for way in found.ways:
        if way.unequal_cells:
            yield f"- {way.name}: not the same work as the first way: {', '.join(way.unequal_cells)}"
        if way.note:
            yield f"- {way.name}: {way.note}"
    yield from (f"- {note}" for note in found.notes)
    yield ""
    names = ("torch", "transformers")
    versions = ", ".join(f"{name} {machine.packages[name]}" for name in names if name in machine.packages)
    yield (
        f"{found.started_at}; {machine.cpu}, {machine.cores} cores, {machine.memory_bytes / 2**30:.0f} GiB; "
        f"{machine.system}; Python {machine.python}, {versions} (torch build {machine.torch_build}); "
        f"load {machine.load_before:.1f} before, {machine.load_after:.1f} after."
    )
    yield ""
    yield f"Types: {', '.join(found.types)}."
