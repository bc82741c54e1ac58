"""Children of the warm parent: forked, watched, and their deaths told apart.

A child costs only its own cells. The parent sleeps until a child speaks, a child dies, a deadline comes or the
next look at the memory is due; it never polls in between, so that what the children measure is theirs.
"""

import contextlib
import ctypes
import faulthandler
import json
import os
import selectors
import shutil
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import psutil

from harness.environment import oom_kills
from harness.interrupts import raise_if_interrupted
from harness.records import Api, Cell, PlannedType

MEMORY_LOOK_SECONDS = 0.5
LOG_TAIL_BYTES = 16_384
_HANDS_ON = 77  # exit code of a child that leaves its other cells to a new one
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
_FIRST_TO_DIE = "1000"  # oom_score_adj: where memory ends, the kernel takes a child and spares the parent

Send = Callable[[Cell, bool], None]
Death = Literal["exit", "signal", "timeout", "memory", "kernel memory"]


@dataclass(frozen=True)
class Work:
    """What one child is forked for: the cells of a type that are still to be measured."""

    planned: PlannedType
    apis: tuple[Api, ...]
    timeout_seconds: float
    """For each cell."""
    memory_bytes: int
    """Private memory that the child may take."""
    canary: str | None = None
    sleeps: bool = False
    """It takes no core: its child is one more than there may be at a time, and disturbs no other's figures."""


@dataclass(frozen=True)
class Ended:
    """A cell as a child left it: finished by its own word, or cut off in some way."""

    work: Work
    cell: Cell
    death: Death | None
    """None: the child finished this cell."""
    number: int = 0
    """The signal or the exit code of a child that died."""
    log: str = ""
    contended: bool = False
    seconds: float = 0.0
    """Since the child began this cell."""


@dataclass(eq=False)
class _Child:
    work: Work
    pid: int
    pidfd: int
    pipe: int | None
    """None: the child has closed its end."""
    scratch: Path
    log: Path
    deadline: float
    kills_before: int
    """The kernel's count of kills for memory when the child was forked."""
    buffer: bytes = b""
    draft: Cell | None = None
    finished: set[Api] = field(default_factory=set)
    killed: Death | None = None
    contended: bool = False
    began: float = field(default_factory=time.monotonic)


class Pool:
    """Runs work in forked children, ``jobs`` at a time.

    ``perform(work, scratch, send)`` is what a child does; it sends its cells, drafts before each stage. It may say
    True before it has come to all of them: it can do no more, and a new child is to begin with the next.
    ``blank(work, api)`` is the cell of a child that died before it said anything. ``watch(types)`` hears of the types
    whose children are alive, whenever one has come or gone.
    """

    def __init__(
        self,
        jobs: int,
        perform: Callable[[Work, Path, Send], bool | None],
        blank: Callable[[Work, Api], Cell],
        watch: Callable[[tuple[str, ...]], None] = lambda _: None,
    ) -> None:
        self._jobs, self._perform, self._blank, self._watch = jobs, perform, blank, watch
        self._children: list[_Child] = []
        self._selector = selectors.DefaultSelector()
        self._queue: deque[Work] = deque()
        self._next_look = 0.0
        self._told: tuple[str, ...] = ()

    def run(self, work: Iterable[Work], until: float = float("inf")) -> Iterator[Ended]:
        """Every cell of the work, as it ends. A child that died leaves its other cells to a new child.

        ``until``: the monotonic clock's time from which no child is started any more; those that run may end.
        """
        self._queue = deque(work)
        ended: list[Ended] = []
        try:
            while self._queue or self._children:
                raise_if_interrupted()
                if time.monotonic() >= until:
                    self._queue.clear()
                while self._queue and len(self._awake()) < self._jobs:
                    self._start(self._queue.popleft())
                    self._tell_who_runs()
                yield from ended  # only now: whoever writes them down has the time, and the next child has begun
                ended = list(self._next_events())
            yield from ended
        finally:
            self._stop_all()

    # --- starting -------------------------------------------------------------------------------------

    def _start(self, work: Work) -> None:
        scratch = Path(tempfile.mkdtemp(prefix="cell-"))
        log = scratch / "log"
        read, write = os.pipe()
        kills_before = oom_kills()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            self._be_the_child(work, scratch, log, write)
        os.close(write)
        os.set_blocking(read, False)
        deadline = time.monotonic() + work.timeout_seconds
        child = _Child(work, pid, os.pidfd_open(pid), read, scratch, log, deadline, kills_before)
        self._children.append(child)
        if len(awake := self._awake()) > 1:
            for one in awake:
                one.contended = True
        for descriptor in (child.pidfd, read):
            self._selector.register(descriptor, selectors.EVENT_READ, child)

    def _be_the_child(self, work: Work, scratch: Path, log: Path, pipe: int) -> None:
        """In the fork, from which there is no return."""
        code = 1
        try:
            os.setsid()  # so that what it starts dies with it
            ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)  # a killed parent leaves nobody behind
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            with contextlib.suppress(OSError):
                Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_DIE, encoding="ascii")
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            faulthandler.enable(file=2)  # a crash in native code then leaves the Python stack in the log
            with os.fdopen(pipe, "w", encoding="utf-8") as channel:

                def send(cell: Cell, final: bool) -> None:
                    channel.write(json.dumps({"final": final, "cell": cell.to_json()}) + "\n")
                    channel.flush()

                code = _HANDS_ON if self._perform(work, scratch, send) else 0
        except BaseException:  # noqa: BLE001 -- the log tells; the parent sees the exit code
            sys.excepthook(*sys.exc_info())
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    # --- watching -------------------------------------------------------------------------------------

    def _next_events(self) -> Iterator[Ended]:
        now = time.monotonic()
        wait = min([self._next_look, *(child.deadline for child in self._children)]) - now
        for key, _ in self._selector.select(max(0.0, wait)):
            child: _Child = key.data
            if key.fd == child.pipe:
                yield from self._listen(child)
        # A look walks through all of a child's pages: not with every word that one of many children says.
        look = time.monotonic() >= self._next_look
        if look:
            self._next_look = time.monotonic() + MEMORY_LOOK_SECONDS
        for child in list(self._children):
            if os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                yield from self._listen(child)
                yield from self._bury(child)
            elif time.monotonic() >= child.deadline:
                self._kill(child, "timeout")
            elif look and _holds_more(child.pid, child.work.memory_bytes):
                self._kill(child, "memory")

    def _listen(self, child: _Child) -> Iterator[Ended]:
        """Read what the child has said: drafts are kept, final cells are handed on."""
        while child.pipe is not None:
            try:
                heard = os.read(child.pipe, 1 << 16)
            except BlockingIOError:
                break
            if not heard:
                self._hang_up(child)
                break
            child.buffer += heard
        *lines, child.buffer = child.buffer.split(b"\n")
        for line in lines:
            message = json.loads(line)
            cell = Cell.model_validate_json(message["cell"])
            if message["final"]:
                child.finished.add(cell.api)
                child.draft = None
                yield Ended(child.work, cell, None, log=_tail(child.log), contended=child.contended)
                child.began = time.monotonic()
                child.deadline = child.began + child.work.timeout_seconds
            else:
                child.draft = cell

    def _kill(self, child: _Child, why: Death) -> None:
        if child.killed is None:
            child.killed = why
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:  # on a busy machine a new child has not come to being a group yet
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGKILL)

    def _bury(self, child: _Child) -> Iterator[Ended]:
        """Reap the child, and say how it ended; cells that it never came to go to a new one."""
        status = os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED)
        assert status is not None  # noqa: S101 -- it is dead: _next_events saw it
        log = _tail(child.log)
        self._forget(child)
        self._tell_who_runs()
        left = tuple(api for api in child.work.apis if api not in child.finished)
        if not left:
            return
        if (status.si_code, status.si_status) == (os.CLD_EXITED, _HANDS_ON) and child.finished and not child.draft:
            self._queue.appendleft(replace(child.work, apis=left))
            return
        death: Death = "exit" if status.si_code == os.CLD_EXITED else "signal"
        if child.killed is not None:
            death = child.killed
        elif status.si_status == signal.SIGKILL and oom_kills() > child.kills_before:
            death = "kernel memory"
        cell = child.draft or self._blank(child.work, left[0])
        seconds = time.monotonic() - child.began
        yield Ended(child.work, cell, death, status.si_status, log, child.contended, seconds)
        rest = tuple(api for api in left if api != cell.api)
        if rest:
            self._queue.appendleft(replace(child.work, apis=rest))

    def _awake(self) -> list[_Child]:
        """Those that take a core; one that has said all is only taking down its memory."""
        return [child for child in self._children if not child.work.sleeps and child.pipe is not None]

    def _tell_who_runs(self) -> None:
        running = tuple(one.work.planned.model_type for one in self._awake() if one.work.canary is None)
        if running != self._told:
            self._told = running
            self._watch(running)

    def _hang_up(self, child: _Child) -> None:
        """Listen no more: an end that is closed always has something to read, and would keep the parent awake."""
        if child.pipe is not None:
            self._selector.unregister(child.pipe)
            os.close(child.pipe)
            child.pipe = None

    def _forget(self, child: _Child) -> None:
        self._hang_up(child)
        self._selector.unregister(child.pidfd)
        os.close(child.pidfd)
        self._children.remove(child)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)  # whatever it started
        shutil.rmtree(child.scratch, ignore_errors=True)

    def _stop_all(self) -> None:
        for child in list(self._children):
            self._kill(child, "exit")
            os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED)
            self._forget(child)


def _holds_more(pid: int, limit: int) -> bool:
    """Whether the child's own memory, without what it shares with the parent, is above the limit."""
    try:
        process = psutil.Process(pid)
        # All that is resident is counted by the kernel anyway; what of it is private is only asked where it matters.
        return process.memory_info().rss > limit and process.memory_full_info().uss > limit
    except psutil.Error:  # it has just died
        return False


def _tail(log: Path) -> str:
    """The end of what the child printed."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
