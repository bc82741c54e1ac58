"""Tiny checkpoints where the generic way was hard to get right: every claim runs a cell's first stages."""

from pathlib import Path

import pytest
import torch

from harness.cell.synthesis.config import tiny_config
from harness.cell.synthesis.ladder import prepare
from harness.cell.synthesis.tokenizer import make_tokenizer
from harness.cell.synthesis.written import draw_all
from harness.cell.tasks import NoSuchTaskError, pipeline_task_for, task_for
from harness.records import PlannedType, Recipe, Tensor

pytestmark = pytest.mark.models

TOKENS = {"pad": 0, "bos": 1, "eos": 2}


@pytest.mark.parametrize("model_type", ["deepseek_v3", "esmc", "minicpm3"])
def test_a_type_without_shared_keys_keeps_as_many_heads_of_keys_as_of_queries(model_type: str) -> None:
    config = tiny_config(model_type, None, TOKENS, "constant")
    assert config.num_key_value_heads == config.num_attention_heads


def test_the_rotary_sections_make_up_half_a_head() -> None:
    text = tiny_config("qwen2_vl", None, TOKENS, "constant").text_config
    width = text.hidden_size // text.num_attention_heads
    assert sum(text.rope_parameters["mrope_section"]) == width // 2


def test_a_hybrid_keeps_a_layer_of_each_kind() -> None:
    assert {"full_attention", "linear_attention"} <= set(tiny_config("jamba", None, TOKENS, "constant").layer_types)


def test_layers_that_share_keys_come_after_one_of_each_kind_that_makes_them() -> None:
    config = tiny_config("gemma3n_text", None, TOKENS, "constant")
    makers = config.layer_types[: config.num_hidden_layers - config.num_kv_shared_layers]
    assert set(makers) == set(config.layer_types)


@pytest.mark.parametrize(
    "model_type", ["biogpt", "marian", "m2m_100", "roc_bert", "bert-generation", "pegasus", "esmc"]
)
def test_a_tokenizer_of_the_types_own_class_tells_two_texts_apart(model_type: str, tmp_path: Path) -> None:
    made = make_tokenizer(model_type, {}, tmp_path)
    one, other = (made.tokenizer(text)["input_ids"] for text in ("THE CAT", "AN OWL"))
    assert made.stand_in is None
    assert one != other
    assert max(one) < made.vocabulary


def test_a_second_written_value_is_an_alternative(tmp_path: Path) -> None:
    ids = Tensor(values=[[5, 6, 7]], another=[[8, 9, 10]])
    recipe = Recipe(reason="a test", inputs={"input_ids": ids})
    planned = PlannedType(model_type="bert", domain="text", recipe=recipe, expected_seconds=1)
    inputs = prepare(planned, task_for("bert", recipe), tmp_path).inputs
    assert inputs.with_alternative("input_ids")["input_ids"].tolist() == [[8, 9, 10]]


def test_another_list_of_tensors_has_another_of_each_that_has_one() -> None:
    listed = (Tensor(shape=(2, 3)), Tensor(values=[1, 2]))
    given, others = draw_all({"maps": listed}, torch.Generator().manual_seed(1), torch.Generator().manual_seed(2))
    assert [one.tolist() for one in given["maps"][1:]] == [one.tolist() for one in others["maps"][1:]] == [[1, 2]]
    assert given["maps"][0].shape == others["maps"][0].shape == (2, 3)
    assert not torch.equal(given["maps"][0], others["maps"][0])


def test_a_task_whose_pipeline_cannot_feed_the_type_is_passed_over_and_without_another_told() -> None:
    assert pipeline_task_for("bert", Recipe(reason="r", no_pipeline={"fill-mask": "why"})).name == "text-generation"
    with pytest.raises(NoSuchTaskError, match="it reads pictures besides"):
        pipeline_task_for("lxmert", Recipe(reason="r", no_pipeline={"feature-extraction": "it reads pictures besides"}))
