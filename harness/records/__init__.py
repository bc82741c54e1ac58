"""All that crosses the wall between the host and the container: the plan goes in, results come out.

A results.jsonl is a stream of lines, each with its ``kind``: a header, canaries, cells, a footer.
``docs/results.schema.json`` is made from these classes (``python -m harness schema``). Durations are in
seconds and sizes in bytes; what was not measured is absent, never 0.
"""

from harness.records.cell import (
    Attempt,
    Cell,
    Comparison,
    Failure,
    Latency,
    Metrics,
    OutputDifference,
    Proof,
    Throughput,
    Variant,
)
from harness.records.plan import Execution, Plan, PlannedType, Shard, Weights
from harness.records.recipe import Component, Elsewhere, Recipe, Repair, Tensor, Tolerance, VariantName, Way
from harness.records.results import LINES, Canary, Device, Environment, Footer, Header, Line
from harness.records.words import (
    SCHEMA_VERSION,
    Api,
    Domain,
    EngineName,
    InputSource,
    LibraryName,
    Outcome,
    Record,
    RuntimeName,
    Scale,
    Stage,
    Style,
)

__all__ = [
    "LINES",
    "SCHEMA_VERSION",
    "Api",
    "Attempt",
    "Canary",
    "Cell",
    "Comparison",
    "Component",
    "Device",
    "Domain",
    "Elsewhere",
    "EngineName",
    "Environment",
    "Execution",
    "Failure",
    "Footer",
    "Header",
    "InputSource",
    "Latency",
    "LibraryName",
    "Line",
    "Metrics",
    "Outcome",
    "OutputDifference",
    "Plan",
    "PlannedType",
    "Proof",
    "Recipe",
    "Record",
    "Repair",
    "RuntimeName",
    "Scale",
    "Shard",
    "Stage",
    "Style",
    "Tensor",
    "Throughput",
    "Tolerance",
    "Variant",
    "VariantName",
    "Way",
    "Weights",
]
