"""results.jsonl: every kind of damage is named at its line, and what could be read is kept."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import miniatures as mini
from harness.records import LINES, Cell, Record
from harness.stream import ResultsWriter, read_results, to_json_line

PLAN = mini.plan()


def kinds(path: Path) -> list[str]:
    return [one.kind for one in read_results(path).problems]


def test_a_whole_file_has_no_problems_and_all_its_cells(tmp_path: Path) -> None:
    found = read_results(mini.write(tmp_path, mini.whole(PLAN)))
    assert found.problems == ()
    assert [cell.key for cell in found.cells] == [
        (model_type, "cpu", "current", api) for model_type in ("bert", "gpt2") for api in mini.APIS
    ]
    assert found.header == mini.header(PLAN)
    assert found.void is None


def damaged(records: Sequence[Record], change: Callable[[list[str]], list[str]]) -> str:
    return "".join(change([to_json_line(one) + "\n" for one in records]))


@pytest.mark.parametrize(
    ("change", "expected", "told"),
    [
        (lambda lines: lines[:-1], ["no footer"], "ended early, after 4 cells"),
        (lambda lines: [*lines[:-2], lines[-2][:40]], ["torn line", "no footer"], "results.jsonl:6: the last line"),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], ["doubled cell"], "results.jsonl:4: a second line for bert"),
        (lambda lines: lines[1:], ["no header"], "plan and environment unknown"),
        (lambda lines: [lines[0], *lines], ["doubled header"], "results.jsonl:2: a second header"),
        (lambda lines: [lines[0], *lines[2:]], ["no canaries", "footer disagrees"], "nothing shows that this run"),
        (lambda lines: [*lines, lines[2]], ["doubled cell", "lines after the footer"], "another run wrote into"),
        (lambda lines: [lines[0], lines[1], *lines[3:]], ["footer disagrees"], "4 cells, where there are 3"),
        (lambda lines: [*lines[:2], "rubbish\n", *lines[2:]], ["invalid line"], "results.jsonl:3: 1 mistake"),
        (lambda lines: [*lines[:2], "\n", *lines[2:]], ["invalid line"], "results.jsonl:3: "),
        (lambda lines: ['{"kind":"header","schema_version":9}\n', *lines], ["foreign version"], "schema version 9"),
        (lambda lines: [], ["no header", "no canaries", "no footer"], "after 0 cells"),
    ],
    ids=str,
)
def test_damage_is_named_with_its_line(
    tmp_path: Path, change: Callable[[list[str]], list[str]], expected: list[str], told: str
) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(damaged(mini.whole(PLAN), change))
    assert kinds(path) == expected
    assert any(told in one.message for one in read_results(path).problems)


def test_a_file_that_is_not_there_is_a_problem_and_no_exception(tmp_path: Path) -> None:
    assert kinds(tmp_path / "results.jsonl") == ["unreadable"]


def test_a_cell_that_its_shard_was_not_to_report_is_named_and_kept(tmp_path: Path) -> None:
    stranger = mini.cell("t5")
    records = [mini.header(PLAN), mini.canary(), *mini.cells_of(PLAN.shards[0]), stranger]
    path = mini.write(tmp_path, [*records, mini.footer(one for one in records if isinstance(one, Cell))])
    assert kinds(path) == ["foreign cell"]
    assert stranger in read_results(path).cells


def test_a_canary_that_was_not_caught_makes_the_shard_void_whatever_the_footer_says(tmp_path: Path) -> None:
    missed = mini.canary("hangs", "timeout", "passed")
    cells = mini.cells_of(PLAN.shards[0])
    footer = mini.footer(cells, canaries_caught=0)
    found = read_results(mini.write(tmp_path, [mini.header(PLAN), missed, *cells, footer]))
    assert found.void == "canaries were not caught: hangs was seen as passed, not timeout"
    assert [one.kind for one in found.problems] == ["void shard"]


def test_a_line_is_on_the_disk_before_write_returns(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "results.jsonl"
    with ResultsWriter(path) as writer:
        for record in mini.whole(PLAN):
            writer.write(record)
            assert LINES.validate_json(path.read_bytes().splitlines()[-1]) == record
    assert kinds(path) == []


@given(st.text(st.characters(exclude_categories=())))
def test_whatever_a_message_holds_it_is_one_line_that_can_be_read_again(text: str) -> None:
    line = to_json_line(mini.cell(outcome="failed", failure=mini.failure(message=text), reason=text))
    assert "\n" not in line
    line.encode()
    read = LINES.validate_json(line)
    if not any("\ud800" <= one <= "\udfff" for one in text):
        assert read.reason == text


@given(st.integers(min_value=0))
def test_wherever_a_file_is_cut_the_rest_is_named_and_every_whole_cell_kept(
    tmp_path_factory: pytest.TempPathFactory, place: int
) -> None:
    path = mini.write(tmp_path_factory.mktemp("cut"), mini.whole(PLAN))
    content = path.read_bytes()
    place %= len(content)
    path.write_bytes(content[:place])
    found = read_results(path)
    assert "no footer" in {one.kind for one in found.problems}
    whole_lines = content[:place].decode().splitlines(keepends=True)
    whole = [line for line in whole_lines if line.endswith("\n") and json.loads(line)["kind"] == "cell"]
    assert len(found.cells) == len(whole)
