"""Verb ``schema``: the JSON Schema of all that crosses the wall, made from the records themselves."""

import argparse
import json
import sys
from typing import Any

from harness.records import LINES, Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No words: there is one schema."""
    del parser


def main(options: argparse.Namespace) -> int:
    """Print the schema; ``docs/results.schema.json`` is its output."""
    del options
    sys.stdout.write(json.dumps(schema(), indent=2) + "\n")
    return 0


def schema() -> dict[str, Any]:
    """A line of results.jsonl at the top; a plan.json is ``#/$defs/Plan``."""
    line = LINES.json_schema()
    plan = Plan.model_json_schema()
    definitions = line.pop("$defs") | plan.pop("$defs") | {"Plan": plan}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of results.jsonl",
        **line,
        "$defs": dict(sorted(definitions.items())),
    }
