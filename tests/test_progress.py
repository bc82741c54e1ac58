"""How far a run has come: what it tells, what is read of it, and the bar that shows it."""

import io
import itertools

import pytest
from rich.console import Console

from harness.live import bar
from harness.pool import Pool, Work
from harness.progress import VARIABLE, Progress, Teller, read
from harness.records import PlannedType
from miniatures import cell

ASKED = {VARIABLE: "1"}


def types(*seconds: float, unavailable: str | None = None) -> list[PlannedType]:
    """``bert`` and ``gpt2`` and so on, each of so many seconds."""
    names = ("bert", "gpt2", "t5")
    return [
        PlannedType(model_type=name, domain="text", expected_seconds=one, unavailable=unavailable)
        for name, one in zip(names, seconds, strict=False)
    ]


def test_a_type_is_done_with_its_last_cell() -> None:
    teller = Teller(types(1, 1), 2, {})
    teller.ended(cell("bert"))
    assert teller.progress().types_done == 0
    teller.ended(cell("bert", api="pipeline", outcome="failed"))
    progress = teller.progress()
    assert (progress.types_done, progress.types) == (1, 2)
    assert progress.outcomes == {"passed": 1, "failed": 1}


def test_the_time_left_follows_this_runs_own_pace_and_the_plans_ratios(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.chain([100.0], itertools.repeat(104.0))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    teller = Teller(types(1, 3), 1, {})
    teller.runs(("bert",))
    assert teller.progress().seconds_left is None
    teller.ended(cell("bert"))  # 4 s for what the plan expected 1 s of: three times that is left
    assert teller.progress().seconds_left == pytest.approx(12)


def test_cells_of_an_earlier_run_are_done_and_say_nothing_of_the_pace() -> None:
    teller = Teller(types(1, 3), 1, {})
    teller.kept([cell("bert")])
    teller.runs(("gpt2",))
    assert teller.progress().types_done == 1
    assert teller.progress().seconds_left is None


def test_nothing_is_told_where_nobody_asked(capsys: pytest.CaptureFixture[str]) -> None:
    teller = Teller(types(1), 2, {})
    teller.runs(("bert",))
    teller.ended(cell("bert"))
    assert capsys.readouterr().out == ""


def test_what_is_told_is_read_back_and_a_line_of_text_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    teller = Teller(types(1, 1), 2, ASKED)
    teller.runs(("bert", "gpt2"))
    (line,) = capsys.readouterr().out.splitlines()
    assert read(line) == teller.progress()
    assert read("  1/4 bert from_pretrained: passed (0.1 s)") is None
    assert read(line[: len(line) // 2]) is None


def test_the_pool_says_who_runs_when_a_child_comes_and_when_it_goes() -> None:
    told: list[tuple[str, ...]] = []
    work = [Work(one, ("from_pretrained",), 30, 2**31) for one in types(1, 1)]
    pool = Pool(
        1, lambda item, _scratch, send: send(cell(item.planned.model_type), True), lambda item, api: cell(), told.append
    )
    list(pool.run(work))
    # The next may come while the last one, which has said all, is going.
    assert [one for one in told if one] == [("bert",), ("gpt2",)]
    assert told[-1] == ()


# --- the bar ------------------------------------------------------------------------------------------


def shown(*output: str, width: int = 100, terminal: bool = True) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, legacy_windows=False, force_terminal=terminal)
    with bar("cpu/current/1of1", console) as show:
        if show is None:
            return "no bar"
        for text in output:
            show(text)
    return file.getvalue()


def told(progress: Progress) -> str:
    return f"\x01{progress.to_json()}\n"


PROGRESS = Progress(
    types=82, types_done=34, outcomes={"passed": 60, "failed": 8}, running=("bert", "gpt2"), seconds_left=65
)


def test_without_a_terminal_there_is_no_bar() -> None:
    assert shown("text\n", terminal=False) == "no bar"


def test_the_bar_has_types_outcomes_time_left_and_what_is_running() -> None:
    text = shown(told(PROGRESS))
    for part in ("cpu/current/1of1", "34/82 types", "60 passed, 8 failed", "0:01:05 left", "running: bert, gpt2"):
        assert part in text


def test_lines_of_the_run_stand_above_the_bar_and_its_words_for_the_bar_do_not() -> None:
    text = shown("  1/4 bert from_pr", "etrained: passed\n" + told(PROGRESS), "the end")
    assert "  1/4 bert from_pretrained: passed" in text
    assert "the end" in text
    assert "types_done" not in text


def test_markup_and_control_characters_of_the_run_are_plain_text() -> None:
    text = shown("[red]x[/red] \x1b[2Jy\n")
    assert "[red]x[/red] y" in text
    assert "\x1b[2J" not in text


def test_the_bar_keeps_to_three_lines_on_a_narrow_terminal() -> None:
    long = PROGRESS.model_copy(update={"running": tuple("abcdefghijklmnopqrstuvwxyz" for _ in range(40))})
    lines = shown(told(long), width=60).split("\n")
    assert max(len(line) for line in lines if "abcdef" in line) < 80  # with the codes for its colour
