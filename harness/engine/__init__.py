"""Where shards run: in containers, or without. ``prepare`` chooses, and ends in no dead end."""

from collections.abc import Callable
from typing import Final, Literal

from harness.engine.images import Build
from harness.engine.local import LocalEngine
from harness.engine.runtime import Engine, Runtime
from harness.errors import EnvironmentBrokenError
from harness.terminal import say, say_loudly

Choice = Literal["auto", "docker", "local"]
CHOICES: Final = ("auto", "docker", "local")


def connect_docker() -> Engine:
    """The Docker engine; ``EnvironmentBrokenError`` where none answers."""
    from harness.engine.docker import DockerEngine

    return DockerEngine.connect()


def prepare(
    choice: Choice,
    builds: list[Build],
    *,
    connect: Callable[[], Engine] = connect_docker,
    local: Callable[[], Engine] = LocalEngine,
) -> tuple[Engine, list[Runtime]]:
    """The chosen engine with a runtime for each build.

    ``docker`` is strict. ``auto`` takes Docker where all of it works, and else says what is wrong and what
    mends it, and goes on without: never half of one run here and half there.
    """
    if choice != "local":
        try:
            engine = connect()
            return engine, [engine.prepare(build) for build in builds]
        except EnvironmentBrokenError as error:
            if choice == "docker":
                raise
            mend = f" Mend: {error.hint}." if error.hint else ""
            say_loudly(f"No containers: {error.message}.{mend} Going on with the local engine.")
    else:
        say("engine: local, as asked; no container around what runs")
    engine = local()
    return engine, [engine.prepare(build) for build in builds]
