"""A tracer follows what the repairs put in the places of Python's own values, and nothing of them stays behind."""

from typing import Any

import pytest
import torch
import transformers

from harness.cell import outputs
from harness.cell.openvino import followed

pytestmark = pytest.mark.models


class _Splits(torch.nn.Module):  # type: ignore[misc] # torch is not installed where types are checked
    """Rows by the number of those that are positive, each part times its place."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        positive = (rows > 0).long().sum()
        sizes = torch.stack([positive, rows.shape[0] - positive]).tolist()
        return torch.cat([part * place for place, part in enumerate(rows.split(sizes), start=1)])


def test_a_split_by_a_list_follows_the_values_only_with_tensors_in_the_list() -> None:
    model, other = _Splits(), torch.tensor([1.0, -1.0, -2.0, -3.0])
    example = torch.tensor([1.0, 2.0, 3.0, -3.0])
    assert not torch.equal(torch.jit.trace(model, example, check_trace=False)(other), model(other))
    with followed.lists_of_tensors(model), followed.lists_of_tensors(model):
        traced = torch.jit.trace(model, example, check_trace=False)
    assert torch.equal(traced(other), model(other))
    assert torch.tensor([3, 4]).tolist() == [3, 4]


def test_a_size_rounds_while_it_is_traced() -> None:
    value = torch.arange(4.0)
    with followed.sizes_that_round(None), followed.sizes_that_round(None):
        traced = torch.jit.trace(lambda one: one[: int(round(one.shape[0] / 2, 7))], value)
    assert torch.equal(traced(value), value[:2])
    assert not hasattr(torch.Tensor, "__round__")


class _Memory:
    def __init__(self) -> None:
        self.held: dict[str, Any] = {}

    def has(self, key: str) -> bool:
        return key in self.held

    def get(self, key: str) -> Any:
        return self.held.get(key)

    def put(self, key: str, value: Any) -> None:
        self.held[key] = value


def test_a_memory_is_passed_over_and_left_as_it_was() -> None:
    model = torch.nn.Linear(2, 2)
    assert not followed.remembers(model)
    model.memory = _Memory()
    model.memory.put("told", 1)
    assert followed.remembers(model)
    with followed.nothing_remembered(model):
        model.memory.put("new", 2)
        assert not model.memory.has("told")
    assert model.memory.held == {"told": 1}
    assert model.memory.has("told")


def test_without_a_cache_no_placeholder_is_written() -> None:
    config = transformers.GPT2Config(
        vocab_size=32, n_positions=32, n_embd=16, n_layer=1, n_head=2, bos_token_id=1, eos_token_id=2, pad_token_id=0
    )
    torch.manual_seed(3)
    model, asked = transformers.GPT2LMHeadModel(config).eval(), {"input_ids": torch.tensor([[5, 6, 7]])}
    written = outputs.generate(model, asked, cache=False)[0, 3:].tolist()
    model.config.image_token_id = written[0]
    assert outputs.placeholders(model) == [written[0]]
    assert written[0] not in outputs.generate(model, asked, cache=False)[0, 3:].tolist()
    assert written[0] in outputs.generate(model, asked)[0, 3:].tolist()
