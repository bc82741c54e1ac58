"""A hardware matrix runner for Hugging Face models.

The way of the data, which is also the order to read the modules in::

    matrix.toml, data/ --matrix, catalog--> plan --plan.json--> run --results.jsonl--> report
    docker/            --build---------------------------------> run

Every verb is a module, a subcommand of ``python -m harness`` and a Nox session: ``plan``, ``build``,
``run``, ``report``; ``launch`` strings them together, and is what ``nox -s cpu`` calls.

Two sides of a wall: the host side (everything here but ``cell/``) never imports torch or transformers;
``cell/`` runs in children of ``run`` only. What crosses the wall is in ``records``.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The repository's root: where matrix.toml, data/ and docker/ stand (in an image, only harness/ does)."""
