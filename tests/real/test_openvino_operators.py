"""What stands in for PyTorch's own while a model is converted computes the same."""

from typing import Any

import pytest
import torch

from harness.cell.openvino import draws, scan, written_out

pytestmark = pytest.mark.models


def numbers(*shape: int) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_running_extremes_and_their_places_are_pytorchs(dim: int) -> None:
    value = (numbers(3, 7, 5) * 3).round()
    for own, ours in ((torch.cummax, written_out._cummax), (torch.cummin, written_out._cummin)):
        expected, found = own(value, dim), ours(value, dim)
        assert torch.equal(expected.values, found.values)
        assert torch.equal(expected.indices, found.indices)


def test_lgamma_of_positive_numbers_is_pytorchs() -> None:
    value = numbers(1000).abs() * 20 + 0.01
    torch.testing.assert_close(written_out._lgamma(value), torch.lgamma(value), rtol=1e-5, atol=1e-5)


def test_isin_logit_and_conj_are_pytorchs() -> None:
    value = (numbers(4, 9) * 3).round()
    asked = torch.tensor([-1.0, 2.0])
    assert torch.equal(torch.isin(value, asked), written_out._isin(value, asked))
    share = value.sigmoid()
    torch.testing.assert_close(torch.special.logit(share, eps=1e-5), written_out._logit(share, 1e-5))
    turned = torch.fft.rfft(value)
    assert torch.equal(torch.conj(turned).resolve_conj(), written_out._conj(turned))


def test_one_number_is_set_in_many_places_as_pytorch_does() -> None:
    expected, found = numbers(2, 3, 8), numbers(2, 3, 8)
    expected[:, :, [1, 5]] = -7.0
    written_out._set_item(found, (slice(None), slice(None), [1, 5]), -7.0)
    assert torch.equal(expected, found)


@pytest.mark.parametrize("unitriangular", [True, False])
@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("left", [True, False])
def test_triangular_systems_are_solved_as_pytorch_does(*, left: bool, upper: bool, unitriangular: bool) -> None:
    matrix, values = numbers(3, 13, 13) / 4 + 2 * torch.eye(13), numbers(3, 13, 13)
    how = {"left": left, "upper": upper, "unitriangular": unitriangular}
    expected = torch.linalg.solve_triangular(matrix, values, **how)
    torch.testing.assert_close(written_out._solve_triangular(matrix, values, **how), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dim", [None, 0, -1])
@pytest.mark.parametrize("repeats", [[2], [0, 3, 1]])
def test_rows_are_repeated_as_pytorch_does(dim: int | None, repeats: list[int]) -> None:
    value = numbers(3) if dim is None else numbers(3, 3)
    expected = torch.repeat_interleave(value, torch.tensor(repeats), dim)
    assert torch.equal(expected, written_out._repeat_interleave(value, torch.tensor(repeats), dim))
    assert torch.equal(torch.repeat_interleave(value, 2, dim), written_out._repeat_interleave(value, 2, dim))


@pytest.mark.parametrize("value", [True, False])
def test_true_and_false_are_put_as_pytorch_does_and_a_trace_takes_them(value: bool) -> None:
    mask, places = numbers(2, 8) > 0, torch.tensor([[0, 3], [7, 2]])
    expected = mask.scatter(-1, places, value)
    assert torch.equal(expected, written_out._scatter(mask, -1, places, value))
    assert torch.equal(expected, written_out._scatter(mask, -1, places, value=value))
    other = numbers(2, 2) > 0
    assert torch.equal(mask.scatter(-1, places, other), written_out._scatter(mask, -1, places, other))
    assert torch.equal(torch.full_like(mask, value), written_out._full_like(mask, value))
    with pytest.raises(RuntimeError, match="an op for aten::scatter but"):  # once it does not, the repair can go
        torch.jit.trace(lambda one: one.scatter(-1, places, value), mask)
    traced = torch.jit.trace(lambda one: written_out._scatter(one, -1, places, value), mask)
    assert torch.equal(traced(~mask), (~mask).scatter(-1, places, value))


@pytest.mark.parametrize("chosen", [[[0, 2], [1, 1]], []])
def test_rows_are_set_in_the_places_of_a_mask_as_pytorch_does(chosen: list[list[int]]) -> None:
    expected, found, mask = numbers(2, 3, 8), numbers(2, 3, 8), torch.zeros(2, 3, dtype=torch.bool)
    for item, place in chosen:
        mask[item, place] = True
    rows = numbers(len(chosen), 8)
    expected[mask] = rows
    written_out._set_item(found, mask, rows)
    assert torch.equal(expected, found)


def test_the_closed_scan_gives_what_the_loop_gives() -> None:
    from transformers.models.mamba import modeling_mamba

    if not hasattr(modeling_mamba, "mamba_selective_scan"):
        pytest.skip("this version of transformers has its scan in the layer, where nothing of ours stands in")
    batch, channels, time, state = 2, 8, 13, 4
    hidden, dt, gate = (
        numbers(batch, channels, time),
        numbers(batch, channels, time) - 1,
        numbers(batch, channels, time),
    )
    rates = -numbers(channels, state).abs() * 16
    into, out = numbers(batch, state, time), numbers(batch, state, time).flip(0)
    asked = {"D": numbers(channels), "z": gate, "delta_softplus": True, "return_last_state": True}
    expected = modeling_mamba.mamba_selective_scan(hidden, dt, rates, into, out, **asked)
    found = scan._scan(hidden, dt, rates, into, out, **asked)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_numbers_that_were_drawn_can_be_drawn_again_and_given() -> None:
    def model(value: Any) -> Any:
        noise = torch.rand(value.shape)
        return value + noise + torch.randn_like(value) + torch.empty_like(value).normal_(0, 2)

    value = numbers(2, 5)
    with draws.Recorded() as drawing:
        torch.manual_seed(7)
        expected = model(value)
    torch.manual_seed(7)
    drawn = [one.again() for one in drawing.draws]
    with draws.Given(drawn):
        assert torch.equal(model(value), expected)
