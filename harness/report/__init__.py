"""Verb ``report``: merge results, judge them, and write what people and machines read.

results.jsonl …  --merge--> cells --judge--> matrix.json --> matrix.md, matrix.csv, junit.xml, index.html
"""

import argparse
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from harness import ROOT
from harness.configuration import Configuration, load_configuration
from harness.documents import read_document
from harness.errors import UsageError
from harness.evidence import FOLDER as EVIDENCE
from harness.expectations import FOLDER
from harness.records import Plan
from harness.report import markdown, page, suites, summary, table
from harness.report.accept import accept
from harness.report.assemble import assemble
from harness.report.judge import judge
from harness.report.keep import keep
from harness.report.merge import merge
from harness.report.model import MatrixReport
from harness.report.verified import last_verified
from harness.results import write_atomically
from harness.selection import words
from harness.terminal import say

MATRIX_FILE: Final = "matrix.json"
EXPORTS: Final = {
    "matrix.md": markdown.render,
    "matrix.csv": table.render,
    "junit.xml": suites.render,
    "index.html": page.render,
}
"""Everything besides matrix.json, each made from it alone."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where results are, and what to hold them against."""
    parser.add_argument("--results", type=Path, metavar="DIR", help="default: the results folder of matrix.toml")
    parser.add_argument("--plan", type=Path, metavar="FILE", help="the plan; default: those that the results name")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: the report folder of matrix.toml")
    parser.add_argument(
        "--accept", action="store_true", help="write data/expectations/ anew: what was measured is what is expected"
    )
    parser.add_argument(
        "--keep-evidence", action="append", metavar="B,C",
        help="write to data/evidence/ what was measured on these backends, for reports of runs without their device",
    )  # fmt: skip
    parser.add_argument("--baseline", type=Path, metavar="FILE", help="an earlier matrix.json to compare with")


def main(options: argparse.Namespace) -> int:
    """Build the report; 0 where everything is there and as expected, 3 where a shard is void, else 1."""
    configuration = load_configuration()
    defaults = configuration.matrix.defaults
    results, out = options.results or ROOT / defaults.results, options.out or ROOT / defaults.report
    plan = read_document(options.plan, Plan) if options.plan else None
    baseline = MatrixReport.read(options.baseline) if options.baseline else None
    code = build(results, out, plan=plan, baseline=baseline, configuration=configuration)
    if options.keep_evidence:
        for one in keep(MatrixReport.read(out / MATRIX_FILE), words(options.keep_evidence), EVIDENCE):
            say(f"\nkept: {EVIDENCE / one.file}: {len(one.cells)} cells")
    if not options.accept:
        return code
    changes = accept(MatrixReport.read(out / MATRIX_FILE), configuration.expectations, FOLDER)
    say(f"\naccepted: {len(changes)} rows of {FOLDER} changed")
    for change in changes:
        say(f"  {change}")
    return build(results, out, plan=plan, baseline=baseline)


def build(
    results_dir: Path,
    out_dir: Path,
    *,
    plan: Plan | None = None,
    baseline: MatrixReport | None = None,
    configuration: Configuration | None = None,
    today: date | None = None,
) -> int:
    """Merge and judge what is below ``results_dir``, write the report to ``out_dir``, and return the exit code."""
    configuration = configuration or load_configuration()
    merged = merge(results_dir, plan)
    if baseline is not None and (notes := {one.note for one in merged.plans}) and notes != {baseline.note}:
        told = "; ".join(sorted(notes))
        raise UsageError(f"--baseline: a matrix of other weights ({baseline.note}) than these results ({told})")
    judged = judge(merged, configuration.expectations, dict(configuration.catalog.domains))
    today = today or datetime.now(UTC).date()
    verified = last_verified(judged.cells, merged.plans, configuration.evidence, today)
    report = assemble(
        merged, judged, configuration.matrix.backends, configuration.catalog.families, verified, baseline=baseline
    )
    write_atomically(out_dir / MATRIX_FILE, report.to_document())
    # Read back: what is written from it can say nothing that is not in it.
    report = MatrixReport.read(out_dir / MATRIX_FILE)
    for name, render in EXPORTS.items():
        write_atomically(out_dir / name, render(report))
    summary.show(report, out_dir / "index.html")
    return report.exit_code
