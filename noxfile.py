"""Sessions only: each installs pinned requirements and hands its words over to a tool or a harness verb.

Bare ``nox`` is quick and safe (lint, types, tests). There is a session for every backend in matrix.toml.
"""

import hashlib
import shutil
import sys
import tomllib
from pathlib import Path

import nox
import nox.command

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"

ROOT = Path(__file__).resolve().parent
PINS = ROOT / "docker" / "pins"
SHELL_SCRIPTS = ("ci/nox", "ci/engine", "ci/base-image", ".ci/run")


def backends() -> list[str]:
    """The backends of matrix.toml. The verbs check the file for all mistakes; here only names are needed."""
    try:
        rows = tomllib.loads((ROOT / "matrix.toml").read_text(encoding="utf-8")).get("backends", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        sys.exit(f"matrix.toml: {error}")
    if not isinstance(rows, dict) or not rows:
        sys.exit("matrix.toml: no [backends.NAME] table in it")
    return list(rows)


def install(session: nox.Session, *names: str) -> None:
    """Install compiled pins, unless this session's environment has these very pins already."""
    files = [PINS / f"{name}.txt" for name in names]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    marker = Path(session.virtualenv.location) / "pins.sha256"
    if marker.is_file() and marker.read_text() == digest:
        return
    marker.unlink(missing_ok=True)
    session.install(*(word for file in files for word in ("--requirement", str(file))))
    if not session._runner.global_config.no_install:  # noqa: SLF001 -- `nox -R`, which has installed nothing
        marker.write_text(digest)


def verb(session: nox.Session, name: str, *words: str) -> None:
    """Run a harness verb, which has time to clean up after Ctrl-C, and let its exit code be Nox's."""
    install(session, "host")
    try:
        session.run(
            "python", "-m", "harness", name, *words, *session.posargs,
            interrupt_timeout=10, terminate_timeout=10,
        )  # fmt: skip
    except nox.command.CommandFailed as failed:
        # Nox itself ends with 1 for every failure. Where other sessions were asked for, they go on.
        alone = len(session._runner.global_config.sessions or ()) == 1  # noqa: SLF001
        if alone and failed.return_code is not None and failed.return_code > 1:
            sys.exit(failed.return_code)
        raise


def backend_session(backend: str) -> None:
    """Make the session of one backend."""

    def run_backend(session: nox.Session) -> None:
        verb(session, "launch", backend)

    run_backend.__doc__ = f"Run models on {backend}: plan, image, containers, results, report."
    nox.session(name=backend, default=False)(run_backend)


VERBS = {"build", "plan", "report", "show", "search", "discover", "bench", "lock"}
TOOLS = {"lint", "types", "tests", "tests_real"}

for _backend in backends():
    if _backend in VERBS | TOOLS:
        sys.exit(f"matrix.toml: backends.{_backend}: a session of another kind has this name")
    backend_session(_backend)


@nox.session(default=False)
def build(session: nox.Session) -> None:
    """Build the images of the named backends, or of all."""
    verb(session, "build")


@nox.session(default=False)
def plan(session: nox.Session) -> None:
    """Print what a run would do, as JSON for a CI matrix."""
    verb(session, "plan")


@nox.session(default=False)
def report(session: nox.Session) -> None:
    """Merge results, judge them, and write the report."""
    verb(session, "report")


@nox.session(default=False)
def show(session: nox.Session) -> None:
    """Print all that is known of a model type."""
    verb(session, "show")


@nox.session(default=False)
def search(session: nox.Session) -> None:
    """Find again how the named types run, and show what that changes in data/ways/; ``-- --write`` writes it."""
    verb(session, "search")


@nox.session(default=False)
def discover(session: nox.Session) -> None:
    """Say which types another release of transformers has, and try the new ones: ``-- --transformers 5.18.0``."""
    verb(session, "discover")


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure what a process for each model type costs, on a quiet machine."""
    verb(session, "bench")


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Compile docker/pins/*.in; with ``-- --upgrade`` to the newest versions that fit."""
    verb(session, "lock")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style with ruff, and shell scripts with shellcheck where it is installed."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    if shutil.which("shellcheck"):
        session.run("shellcheck", *SHELL_SCRIPTS, external=True)
    else:
        session.log("shellcheck is not installed here: shell scripts were not checked")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy in strict mode."""
    install(session, "types")
    session.run("mypy", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the fast tests: no Docker, no torch."""
    install(session, "tests")
    session.run("pytest", "--ignore=tests/real", *session.posargs)


@nox.session(default=False)
def tests_real(session: nox.Session) -> None:
    """Run the tests against the real thing: engine, models, browser."""
    install(session, "tests")
    place = session.virtualenv.location
    session.run("python", "-m", "harness", "build", "--engine", "local", "--into", place, *backends()[:1])
    session.run("pytest", *(session.posargs or ["tests/real"]), interrupt_timeout=30, terminate_timeout=30)
