"""Real forks that misbehave in every way the pool must tell apart. No torch: the pool knows nothing of models."""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from harness.interrupts import listen
from harness.pool import Ended, Pool, Send, Work, _holds_more
from harness.records import Api, Cell, PlannedType

MIB = 2**20
BOTH: tuple[Api, ...] = ("from_pretrained", "pipeline")


def cell(api: Api = "from_pretrained", **changes: object) -> Cell:
    fields = {
        "model_type": "bert",
        "domain": "text",
        "backend": "cpu",
        "stack": "current",
        "api": api,
        "outcome": "passed",
        "stage": "measure",
        "reproduce": "-",
        "seconds": 0.1,
    }
    return Cell.model_validate(fields | changes)


def work(*, apis: tuple[Api, ...] = ("from_pretrained",), timeout: float = 30, memory: int = 2**31) -> Work:
    planned = PlannedType(model_type="bert", domain="text", expected_seconds=1)
    return Work(planned, apis, timeout, memory)


def run(perform: Callable[[Work, Path, Send], bool | None], *items: Work, jobs: int = 1) -> list[Ended]:
    pool = Pool(jobs, perform, lambda item, api: cell(api, outcome="crashed", stage="start"))
    return list(pool.run(items))


def test_a_cell_that_ends_well_is_handed_on_as_the_child_said_it() -> None:
    [ended] = run(lambda _work, _scratch, send: send(cell(seconds=1.5), True), work())
    assert ended.death is None
    assert ended.cell == cell(seconds=1.5)


def test_a_segmentation_fault_is_seen_within_a_second_and_keeps_the_stage_that_it_came_in() -> None:
    def perform(_work: Work, _scratch: Path, send: Send) -> None:
        send(cell(outcome="crashed", stage="load"), False)
        ctypes.string_at(0)

    started = time.monotonic()
    [ended] = run(perform, work())
    assert (ended.death, ended.number) == ("signal", signal.SIGSEGV)
    assert ended.cell.stage == "load"
    assert time.monotonic() - started < 1
    assert "in perform" in ended.log  # the Python frame that the native code died under


def test_a_crash_in_one_api_leaves_the_other_to_a_new_child() -> None:
    def perform(item: Work, _scratch: Path, send: Send) -> None:
        for api in item.apis:
            send(cell(api, stage="load"), False)
            if api == "from_pretrained":
                os.kill(os.getpid(), signal.SIGBUS)
            send(cell(api), True)

    first, second = run(perform, work(apis=BOTH))
    assert (first.cell.api, first.death, first.number) == ("from_pretrained", "signal", signal.SIGBUS)
    assert (second.cell.api, second.death) == ("pipeline", None)


def test_a_child_that_can_do_no_more_leaves_the_other_api_to_a_new_one() -> None:
    def perform(item: Work, _scratch: Path, send: Send) -> bool:
        send(cell(item.apis[0], output_summary=str(os.getpid())), True)
        return len(item.apis) > 1

    first, second = run(perform, work(apis=BOTH))
    assert (first.cell.api, first.death) == ("from_pretrained", None)
    assert (second.cell.api, second.death) == ("pipeline", None)
    assert first.cell.output_summary != second.cell.output_summary


def test_a_child_that_leaves_everything_to_the_next_is_not_believed_for_ever() -> None:
    [ended] = run(lambda *_: True, work())
    assert ended.death == "exit"


def test_an_exit_without_a_word_is_told_with_its_code() -> None:
    [ended] = run(lambda *_: os._exit(7), work())
    assert (ended.death, ended.number, ended.cell.stage) == ("exit", 7, "start")


def test_a_hang_is_ended_at_its_limit_which_counts_for_each_cell() -> None:
    def perform(_work: Work, _scratch: Path, send: Send) -> None:
        time.sleep(0.4)
        send(cell(), True)
        send(cell("pipeline", stage="compare"), False)
        time.sleep(60)

    first, second = run(perform, work(apis=BOTH, timeout=0.7))
    assert first.death is None
    assert (second.death, second.cell.stage) == ("timeout", "compare")
    assert 0.6 < second.seconds < 2


def test_a_child_over_its_share_of_memory_is_stopped() -> None:
    def perform(_work: Work, _scratch: Path, _send: Send) -> None:
        taken = []
        while True:
            taken.append(bytearray(b"\1" * 8 * MIB))
            time.sleep(0.02)

    [ended] = run(perform, work(memory=100 * MIB))
    assert ended.death == "memory"


def test_memory_shared_with_the_parent_is_not_the_childs() -> None:
    ballast = bytearray(b"\1" * 300 * MIB)

    def perform(_work: Work, _scratch: Path, send: Send) -> None:
        time.sleep(1.2)  # long enough for the watch to look twice
        send(cell(reason=str(len(ballast))), True)

    [ended] = run(perform, work(memory=200 * MIB))
    assert ended.death is None


def test_a_flood_of_output_neither_blocks_the_child_nor_fills_the_record() -> None:
    def perform(_work: Work, _scratch: Path, send: Send) -> None:
        for _ in range(2000):  # past pytest's own capture, as a native library would
            os.write(1, b"x" * 1000 + b"\n")
        os.write(2, b"the end\n")
        send(cell(), True)

    [ended] = run(perform, work())
    assert ended.log.endswith("the end\n")
    assert len(ended.log) < 20_000


def test_no_child_is_started_once_the_time_is_spent_and_those_that_run_may_end() -> None:
    def perform(_work: Work, _scratch: Path, send: Send) -> None:
        time.sleep(0.5)
        send(cell(), True)

    pool = Pool(2, perform, lambda _work, api: cell(api, outcome="crashed"))
    ended = list(pool.run([work()] * 5, until=time.monotonic() + 0.3))
    assert [one.cell.outcome for one in ended] == ["passed"] * 2
    assert list(pool.run([work()], until=time.monotonic())) == []


def test_a_word_from_one_child_is_no_reason_to_look_at_the_memory_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def look(pid: int, limit: int) -> bool:
        looks.append(pid)
        return _holds_more(pid, limit)

    def perform(_work: Work, _scratch: Path, send: Send) -> None:
        for _ in range(40):
            send(cell(stage="load"), False)
            time.sleep(0.01)
        send(cell(), True)

    monkeypatch.setattr("harness.pool._holds_more", look)
    run(perform, *[work()] * 4, jobs=4)
    assert 4 <= len(looks) <= 12


def test_what_a_child_started_dies_with_it() -> None:
    def perform(_work: Work, _scratch: Path, send: Send) -> None:
        sleeper = subprocess.Popen(["sleep", "600"])
        send(cell(reason=str(sleeper.pid)), True)

    [ended] = run(perform, work())
    deadline = time.monotonic() + 5
    while psutil.pid_exists(int(ended.cell.reason)) and time.monotonic() < deadline:
        if psutil.Process(int(ended.cell.reason)).status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.02)
    else:
        assert not psutil.pid_exists(int(ended.cell.reason))


def test_children_side_by_side_are_marked_contended_and_one_alone_is_not() -> None:
    def perform(_work: Work, _scratch: Path, send: Send) -> None:
        time.sleep(0.3)
        send(cell(), True)

    assert [ended.contended for ended in run(perform, work(), work(), jobs=2)] == [True, True]
    assert [ended.contended for ended in run(perform, work(), work(), jobs=1)] == [False, False]


def test_the_parent_does_not_burn_a_core_while_it_waits() -> None:
    def perform(_work: Work, _scratch: Path, send: Send) -> None:
        time.sleep(2)
        send(cell(), True)

    before = time.process_time()
    run(perform, work())
    assert time.process_time() - before < 0.2


def test_stopping_early_leaves_no_child_and_no_scratch_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def perform(_work: Work, _scratch: Path, send: Send) -> None:
        send(cell(reason=str(os.getpid())), True)
        time.sleep(600)

    pool = Pool(2, perform, lambda _work, api: cell(api))
    stream = pool.run([work(apis=BOTH), work(apis=BOTH)])
    ended = next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert not psutil.pid_exists(int(ended.cell.reason))
    assert list(tmp_path.iterdir()) == []


def test_a_child_that_is_no_group_yet_is_killed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "setsid", lambda: None)  # as on a machine where the child has not come to it
    started = time.monotonic()
    [ended] = run(lambda _work, _scratch, _send: time.sleep(60), work(timeout=0.2))
    assert ended.death == "timeout"
    assert time.monotonic() - started < 10


def test_a_child_that_sleeps_takes_no_other_childs_place_and_disturbs_no_figures() -> None:
    def perform(item: Work, _scratch: Path, send: Send) -> None:
        if item.sleeps:
            time.sleep(60)
        time.sleep(0.2)
        send(cell(), True)

    sleeper = replace(work(timeout=1.0), sleeps=True)
    first, second, last = run(perform, sleeper, work(), work())
    assert (first.death, second.death, last.death) == (None, None, "timeout")
    assert not any(one.contended for one in (first, second, last))


def test_the_parent_sleeps_while_a_child_that_has_said_all_takes_its_time_to_die() -> None:
    def perform(_work: Work, _scratch: Path, send: Send) -> None:
        send(cell(), True)
        os.closerange(3, 256)  # its end of the pipe too
        time.sleep(0.5)
        os._exit(0)

    before = time.process_time()
    [ended] = run(perform, work())
    assert ended.death is None
    assert time.process_time() - before < 0.2


def test_children_of_a_parent_that_is_killed_die_with_it() -> None:
    told, tell = os.pipe()

    def perform(_work: Work, _scratch: Path, _send: Send) -> None:
        os.write(tell, str(os.getpid()).encode())
        time.sleep(60)

    parent = os.fork()
    if parent == 0:
        run(perform, work())
    child = psutil.Process(int(os.read(told, 20)))
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    with contextlib.suppress(psutil.NoSuchProcess):
        assert child.wait(timeout=5) is not None or not child.is_running()
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_python_drops_in_an_at_fork_hook_still_ends_the_run(number: signal.Signals) -> None:
    def perform(_work: Work, _scratch: Path, _send: Send) -> None:
        time.sleep(60)

    parent = os.fork()
    if parent == 0:
        code = 1
        try:
            listen()
            # The mask holds it back until the hook that lifts it, so that it comes there and nowhere else.
            signal.pthread_sigmask(signal.SIG_BLOCK, [number])
            os.register_at_fork(after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, [number]))
            os.kill(os.getpid(), number)
            run(perform, work())
        except KeyboardInterrupt:
            code = 130
        finally:
            os._exit(code)
    ended = psutil.Process(parent).wait(timeout=10)
    assert ended == 130
