"""``python -m harness VERB …``: the one place that prints errors and exits.

A verb's module is imported only when the verb is used: in a container ``run`` has no Docker SDK beside it,
and on the host nobody waits for what another verb imports.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

from harness.errors import EXIT_INTERRUPTED, EnvironmentBrokenError, HarnessError, UsageError, suggest

VERBS: Final = {
    "plan": "print what would be run, as JSON for a CI matrix",
    "build": "build the images of backends, or a stack's environment for this machine",
    "launch": "plan, build, run and report one backend",
    "run": "measure one shard of a plan, here and now",
    "report": "merge results, judge them, and write the report",
    "show": "print all that is known of a model type: its recipe, and its last cells with their figures",
    "search": "climb the generic ladder again for some types, and show what changes in data/ways/",
    "discover": "say which types another release has, and try those that are new",
    "bench": "measure what a process for each type costs, this way and others",
    "lock": "compile docker/pins/*.in",
    "schema": "print the JSON Schema of plans and results",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(words)
    except HarnessError as error:
        sys.stdout.flush()  # so that the error stands last where both go to one place
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has enough; what is still in the buffer must not fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(words: list[str]) -> int:
    if not words or words[0] in {"-h", "--help"}:
        sys.stdout.write(_help())
        return 0
    name, *rest = words
    if name not in VERBS:
        raise UsageError(f"no verb {name!r}{suggest(name, VERBS)}", hint=f"the verbs are {', '.join(VERBS)}")
    try:
        verb = importlib.import_module(f"harness.{name}")
    except ModuleNotFoundError as error:
        if error.name == f"harness.{name}":
            raise EnvironmentBrokenError(f"there is no {name!r} here: an image holds only what runs in it") from None
        if str(error.name).startswith("harness"):
            raise
        raise EnvironmentBrokenError(
            f"the package {error.name} is not installed in this environment",
            hint=f"ci/nox -s {name} installs it",
        ) from error
    parser = argparse.ArgumentParser(
        prog=f"python -m harness {name}", description=VERBS[name].capitalize() + ".", allow_abbrev=False
    )
    verb.add_arguments(parser)
    code: int = verb.main(parser.parse_args(rest))
    return code


def _help() -> str:
    width = max(map(len, VERBS))
    lines = (f"  {name:{width}}  {about}" for name, about in VERBS.items())
    return "usage: python -m harness VERB [options]\n\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
