"""Draws brought to the CPU: held against plain draws, with the CPU itself in the place of the device."""

from collections.abc import Callable

import pytest
import torch

from harness.cell.executors.same_draws import SameDraws, _draws

pytestmark = pytest.mark.models

CPU = torch.device("cpu")


def draws() -> list[torch.Tensor]:
    """Every kind of operator that draws: that makes a tensor, that is given one, that writes into one."""
    torch.manual_seed(5)
    given = torch.full((4, 6), 0.5)
    written = torch.empty(4, 6)
    out = torch.empty(3)
    torch.randn(3, out=out)
    return [
        torch.rand(2, 3),
        torch.randn(2, 3, device="cpu"),
        torch.randint(0, 9, (5,)),
        torch.randperm(7),
        torch.rand_like(given),
        torch.bernoulli(given),
        torch.multinomial(given, 2),
        torch.nn.functional.dropout(given, 0.3, training=True),
        written.uniform_(-1, 1),
        written.clone().normal_(),
        torch.normal(given, 1.0),
        out,
    ]


def test_the_numbers_are_those_of_the_cpus_generator_in_the_same_order() -> None:
    plain = draws()
    with SameDraws(CPU):
        brought = draws()
    assert all(torch.equal(one, other) for one, other in zip(plain, brought, strict=True))


def test_what_is_written_in_place_is_the_tensor_that_was_given() -> None:
    with SameDraws(CPU):
        given = torch.zeros(4)
        assert given.uniform_() is given
        assert given.abs().sum() > 0


@pytest.mark.parametrize("make", [lambda: torch.rand(3), lambda: torch.rand(3, device="meta").cpu])
def test_draws_on_another_device_are_left_alone(make: Callable[[], object]) -> None:
    torch.manual_seed(5)
    with SameDraws(torch.device("cuda")):
        make()


def test_attention_without_dropout_draws_nothing_and_stays_on_its_device() -> None:
    query = torch.rand(1, 2, 4, 16)
    attention = torch.ops.aten._scaled_dot_product_efficient_attention.default  # the CPU has no such kernel
    assert not _draws(attention, (query, query, query, None, False), {})
    assert not _draws(attention, (query, query, query, None, False, 0.0), {"scale": None})
    assert _draws(attention, (query, query, query, None, False, 0.1), {})
    assert _draws(torch.ops.aten.rand.default, ([2],), {})
