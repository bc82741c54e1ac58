"""The report's merge: everything planned is in it or named, and what is odd is named once, where it matters."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import miniatures as mini
from harness.errors import ResultsError, UsageError
from harness.records import Plan, Weights
from harness.report.merge import Merged, merge

PLAN = mini.plan(["bert", "gpt2", "t5"], shards=2)


def kinds(merged: Merged) -> list[str]:
    return [one.kind for one in merged.problems]


def cells(plan: Plan) -> set[tuple[str, str, str, str]]:
    return {
        (one, shard.backend, shard.stack, api)
        for shard in plan.shards
        for one in shard.model_types
        for api in mini.APIS
    }


def test_a_whole_plan_is_merged_without_a_word(tmp_path: Path) -> None:
    mini.write_whole(tmp_path, PLAN)
    for plan in (None, PLAN):
        merged = merge(tmp_path, plan)
        assert merged.cells.keys() == cells(PLAN)
        assert (merged.missing, merged.problems, merged.notes) == ({}, [], [])


def test_a_missing_shard_is_known_from_any_header_and_its_cells_are_named(tmp_path: Path) -> None:
    mini.write_whole(tmp_path, PLAN)
    shutil.rmtree(tmp_path / "cpu/current/1of2")
    merged = merge(tmp_path)
    assert kinds(merged) == ["missing shard"]
    assert "cpu/current/1of2: no results" in merged.problems[0].message
    assert "4 cells are missing (bert, t5)" in merged.problems[0].message
    assert merged.cells.keys() | merged.missing.keys() == cells(PLAN)


def test_a_shard_that_left_its_plan_only_is_missing(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(PLAN.to_json())
    merged = merge(tmp_path)
    assert kinds(merged) == ["missing shard", "missing shard"]
    assert merged.missing.keys() == cells(PLAN)


def test_a_truncated_file_names_the_torn_line_the_footer_and_the_lost_cells(tmp_path: Path) -> None:
    mini.write_whole(tmp_path, PLAN)
    path = tmp_path / "cpu/current/2of2/results.jsonl"
    path.write_bytes(path.read_bytes()[:-600])
    merged = merge(tmp_path)
    assert kinds(merged) == ["torn line", "no footer", "missing cell"]
    assert merged.problems[-1].message == "cpu/current/2of2: planned and never reported: gpt2 pipeline"
    assert list(merged.missing) == [("gpt2", "cpu", "current", "pipeline")]


def test_of_a_shard_that_is_there_twice_the_newer_counts_and_the_older_is_named(tmp_path: Path) -> None:
    plan = mini.plan(["bert"])
    old = mini.cell("bert", "pipeline", "failed")
    mini.write(tmp_path / "a", mini.whole(plan, None, started_at="2026-11-24T12:00:00+00:00"))
    mini.write(tmp_path / "b", mini.whole(plan, None, old))
    merged = merge(tmp_path)
    assert kinds(merged) == ["doubled shard"]
    assert f"{tmp_path / 'b'}: cpu/current/1of1 a second time; {tmp_path / 'a'} is newer" in merged.problems[0].message
    assert {cell.outcome for cell, _ in merged.cells.values()} == {"passed"}


def test_a_copy_of_a_shard_is_named_as_such(tmp_path: Path) -> None:
    for folder in "ab":
        mini.write(tmp_path / folder, mini.whole(mini.plan(["bert"])))
    assert "with the very header of" in merge(tmp_path).problems[0].message


def test_a_cell_that_two_shards_report_is_named_and_counted_once(tmp_path: Path) -> None:
    mini.write_whole(tmp_path, PLAN)
    records = mini.whole(PLAN, PLAN.shards[1])
    stranger = mini.cell("bert", outcome="failed")
    mini.write(
        tmp_path / PLAN.shards[1].id, [*records[:-1], stranger, mini.footer([*mini.cells_of(PLAN.shards[1]), stranger])]
    )
    merged = merge(tmp_path)
    assert kinds(merged) == ["foreign cell", "doubled cell"]
    assert merged.cells[stranger.key][0].outcome == "passed"


def test_two_environments_within_one_stack_are_named_with_what_differs(tmp_path: Path) -> None:
    for shard, version in zip(PLAN.shards, ("2.13.0", "2.12.0"), strict=True):
        environment = mini.environment(packages={"torch": version})
        mini.write(tmp_path / shard.id, mini.whole(PLAN, shard, environment=environment))
    merged = merge(tmp_path)
    assert kinds(merged) == ["two environments"]
    assert "torch 2.12.0, not 2.13.0" in merged.problems[0].message


def test_the_same_software_on_another_machine_is_no_problem(tmp_path: Path) -> None:
    for shard, cores in zip(PLAN.shards, (2, 64), strict=True):
        mini.write(tmp_path / shard.id, mini.whole(PLAN, shard, environment=mini.environment(cores=cores)))
    assert merge(tmp_path).problems == []


def test_a_transformers_that_knows_other_types_than_were_planned_by_is_named(tmp_path: Path) -> None:
    here = mini.environment(new_types=("of-tomorrow",), gone_types=("van",))
    for shard in PLAN.shards:
        mini.write(tmp_path / shard.id, mini.whole(PLAN, shard, environment=here))
    merged = merge(tmp_path)
    assert kinds(merged) == ["another registry"] * len(PLAN.shards)
    assert "has besides of-tomorrow; has no longer van: make data/stacks/current.json" in merged.problems[0].message


def test_two_backends_may_have_two_environments(tmp_path: Path) -> None:
    plan = mini.plan(places=(("cpu", "current"), ("openvino", "current")))
    for shard, engine in zip(plan.shards, ("local", "docker"), strict=True):
        mini.write(tmp_path / shard.id, mini.whole(plan, shard, environment=mini.environment(engine=engine)))
    assert merge(tmp_path).problems == []


# --- other plans in the same folder -------------------------------------------------------------------

LEFT = mini.plan(["llama", "vit"], shards=2, selection="--types llama,vit")


def test_of_a_given_plan_what_others_left_is_a_note_and_no_problem(tmp_path: Path) -> None:
    mini.write_whole(tmp_path, LEFT)
    plan = mini.plan(["bert"])
    mini.write_whole(tmp_path, plan)
    merged = merge(tmp_path, plan)
    assert merged.problems == []
    assert merged.cells.keys() == cells(plan)
    [note] = merged.notes
    assert f"another plan (--types llama,vit, {LEFT.digest}) are left aside" in note
    assert all(str(tmp_path / shard.id) in note for shard in LEFT.shards)


def test_a_broken_file_of_another_plan_does_not_spoil_a_given_plan(tmp_path: Path) -> None:
    plan = mini.plan(["bert"])
    mini.write_whole(tmp_path, plan)
    folder = tmp_path / LEFT.shards[0].id
    folder.mkdir(parents=True)
    (folder / "results.jsonl").write_text('{"kind":"head')
    (folder / "plan.json").write_text(LEFT.to_json())
    merged = merge(tmp_path, plan)
    assert merged.problems == []
    assert str(folder) in merged.notes[0]


def test_a_file_that_nobody_can_place_is_a_problem_even_with_a_plan_given(tmp_path: Path) -> None:
    plan = mini.plan(["bert"])
    mini.write_whole(tmp_path, plan)
    (tmp_path / "lost").mkdir()
    (tmp_path / "lost" / "results.jsonl").write_text('{"kind":"head')
    assert "no header" in kinds(merge(tmp_path, plan))


def test_an_older_shard_of_the_same_id_is_a_note_where_the_new_one_is_there(tmp_path: Path) -> None:
    old, new = mini.plan(["llama"]), mini.plan(["bert"])
    mini.write(tmp_path / "before", mini.whole(old))
    mini.write_whole(tmp_path, new)
    merged = merge(tmp_path, new)
    assert merged.problems == []
    assert str(tmp_path / "before") in merged.notes[0]


def test_an_older_shard_of_the_same_id_does_not_stand_in_for_the_new_one(tmp_path: Path) -> None:
    old, new = mini.plan(["llama"]), mini.plan(["bert"])
    mini.write_whole(tmp_path, old)
    merged = merge(tmp_path, new)
    assert kinds(merged) == ["foreign plan", "missing shard"]
    assert merged.cells == {}
    assert merged.missing.keys() == cells(new)


def test_without_a_plan_two_plans_of_one_stack_are_named(tmp_path: Path) -> None:
    mini.write_whole(tmp_path, LEFT)
    mini.write_whole(tmp_path, mini.plan(["bert"]))
    merged = merge(tmp_path)
    assert kinds(merged) == ["two plans"]
    assert "--plan FILE" in merged.problems[0].message
    assert len(merged.cells) == 6


def test_without_a_plan_those_of_two_backends_belong_together(tmp_path: Path) -> None:
    for backend in ("cpu", "openvino"):
        mini.write_whole(tmp_path, mini.plan(["bert"], places=((backend, "current"),)))
    merged = merge(tmp_path)
    assert merged.problems == []
    assert len(merged.plans) == 2


def test_no_folder_and_no_results_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        merge(tmp_path / "nothing")
    with pytest.raises(ResultsError, match=r"no results.jsonl and no plan.json"):
        merge(tmp_path)


@given(st.lists(st.sampled_from(["whole", "cut", "gone", "no header", "rubbish"]), min_size=4, max_size=4), st.data())
def test_whatever_is_done_to_the_files_no_planned_cell_vanishes(
    tmp_path_factory: pytest.TempPathFactory, deeds: list[str], data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("results")
    plan = mini.plan([f"type{number}" for number in range(6)], shards=2, places=(("cpu", "new"), ("cpu", "old")))
    mini.write_whole(root, plan)
    for shard, deed in zip(plan.shards, deeds, strict=True):
        path = root / shard.id / "results.jsonl"
        content = path.read_bytes()
        lines = content.splitlines(keepends=True)
        match deed:
            case "cut":
                path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
            case "gone":
                path.unlink()
            case "no header":
                path.write_bytes(b"".join(lines[1:]))
            case "rubbish":
                lines[data.draw(st.integers(0, len(lines) - 1))] = b"\xff\x00 no JSON\n"
                path.write_bytes(b"".join(lines))
    merged = merge(root, plan)
    assert merged.cells.keys() | merged.missing.keys() == cells(plan)
    assert not merged.cells.keys() & merged.missing.keys()
    assert bool(merged.problems) == (set(deeds) != {"whole"})


def test_tiny_and_real_weights_on_one_page_are_a_problem(tmp_path: Path) -> None:
    real = Weights(name="./mine", source="folder", digest="0" * 64)
    mini.write_whole(tmp_path, mini.plan(["bert"]))
    other = mini.plan(["bert"], places=(("openvino", "current"),))
    mini.write_whole(tmp_path, other.model_copy(update={"scale": "full", "weights": real}))
    (problem,) = merge(tmp_path).problems
    assert problem.kind == "two kinds of weights"
    assert "tiny, synthetic weights" in problem.message
    assert "real weights: ./mine" in problem.message
