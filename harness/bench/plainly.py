"""The same cells without this harness's isolation: in this very process, one type after the other.

``python -m harness.bench.plainly --plan FILE --shard ID --out FILE TYPE …`` runs on a stack's Python. With one type it
is what people do by hand today: a new Python for each model, which imports everything again. With ``--save DIR`` in
place of ``--out`` it runs nothing, and saves each type's checkpoint for another tool.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from harness.documents import read_document
from harness.pool import Work
from harness.records import Cell, Plan
from harness.stream import to_json_line


def main() -> None:
    """Write each cell to the file as it ends; or each checkpoint, and its task to the standard output."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--shard", required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--save", type=Path)
    parser.add_argument("types", nargs="+")
    options = parser.parse_args()
    plan = read_document(options.plan, Plan)
    (shard,) = (one for one in plan.shards if one.id == options.shard)
    execution = plan.backends[shard.backend]

    import torch
    import transformers

    from harness.cell.child import run_type
    from harness.cell.source import source_for

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    transformers.utils.logging.disable_progress_bar()
    types = [one for one in shard.types if one.model_type in options.types]
    if options.save:
        tasks = {}
        for planned in types:
            source = source_for(plan, execution, None, planned, canary=False)
            task = source.pipeline_task(planned)
            source.prepare_pipeline(planned, task, options.save / planned.model_type)
            tasks[planned.model_type] = task.name
        sys.stdout.write(json.dumps(tasks))
        return
    with options.out.open("w", encoding="utf-8") as file, tempfile.TemporaryDirectory() as scratch:

        def keep(cell: Cell, final: bool) -> None:
            if final:
                file.write(to_json_line(cell) + "\n")
                file.flush()

        for planned in types:
            work = Work(planned, plan.apis, execution.timeout_seconds, execution.child_memory_bytes)
            source = source_for(plan, execution, None, planned, canary=False)
            folder = Path(scratch) / planned.model_type
            folder.mkdir()
            run_type(shard, work, execution, source, folder, keep, "")


if __name__ == "__main__":
    main()
