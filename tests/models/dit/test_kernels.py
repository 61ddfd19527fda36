"""Kernels that torch's compiler makes: they compute what the eager forms do, are made once, and can be missing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from dit_bench.models.dit import gates, neighbours, norms
from dit_bench.models.dit.gates import Gate
from dit_bench.models.dit.kernels import Kernel
from dit_bench.models.dit.neighbours import neighbour_dwconv_gelu, neighbour_table
from dit_bench.models.dit.norms import layer_norm
from dit_bench.models.dit.options import GateOptions

needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")


@pytest.fixture
def fresh_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kernels that nothing has compiled yet."""
    torch.compiler.reset()
    for module in (gates, neighbours, norms):
        monkeypatch.setattr(module, "_kernel", Kernel(module._kernel._function))
    yield
    torch.compiler.reset()


def kept_tokens(width: int, grid: tuple[int, int], keep: float) -> tuple[Tensor, Tensor, nn.Conv2d, Tensor]:
    """Tokens of two images before the bias, with the row for absent ones, their neighbours, convolution and bias."""
    places = (torch.rand(2 * grid[0] * grid[1]) < keep).nonzero().flatten()
    conv, shift = nn.Conv2d(width, width, 3, padding=1, groups=width), torch.randn(width)
    tokens = torch.cat([torch.randn(len(places), width), -shift[None]])
    return tokens, neighbour_table(places, 2, grid), conv, shift


def convolved(tokens: Tensor, table: Tensor, conv: nn.Conv2d, shift: Tensor, *, compiled: bool) -> Tensor:
    assert conv.bias is not None
    with torch.no_grad():
        return neighbour_dwconv_gelu(tokens, table, conv.weight, conv.bias, shift, compiled)


def test_absent_neighbours_are_zero_after_the_shift() -> None:
    """Against the dense convolution of the shifted tokens in an otherwise empty map."""
    grid = (5, 7)
    places = (torch.rand(2 * 35) < 0.5).nonzero().flatten()
    conv, shift = nn.Conv2d(6, 6, 3, padding=1, groups=6), torch.randn(6)
    tokens = torch.randn(len(places), 6)
    found = convolved(torch.cat([tokens, -shift[None]]), neighbour_table(places, 2, grid), conv, shift, compiled=False)
    cells = torch.zeros(70, 6)
    cells[places] = tokens + shift
    with torch.no_grad():
        dense = nn.functional.gelu(conv(cells.view(2, 5, 7, 6).permute(0, 3, 1, 2)))
    torch.testing.assert_close(found, dense.permute(0, 2, 3, 1).reshape(70, 6)[places], atol=1e-5, rtol=1e-5)


@needs_compiler
def test_one_kernel_serves_all_sizes(fresh_kernels: None) -> None:
    """Other numbers of tokens and widths must not compile again and again; one token may, once."""
    torch.manual_seed(0)
    counters.clear()
    for width, grid, keep in [(16, (9, 10), 0.5), (32, (4, 5), 0.9), (64, (7, 3), 0.3), (8, (20, 20), 0.7)]:
        case = kept_tokens(width, grid, keep)
        torch.testing.assert_close(
            convolved(*case, compiled=True), convolved(*case, compiled=False), atol=1e-5, rtol=1e-5
        )
        norm = nn.LayerNorm(width, eps=1e-6)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        with torch.no_grad():
            torch.testing.assert_close(layer_norm(norm, case[0], True), norm(case[0]), atol=1e-5, rtol=1e-5)
        gate = Gate(width, GateOptions(), initially_open=True).eval()
        nn.init.normal_(gate.ema_weight)
        features = torch.randn(3, 11, width)
        eager, compiled = (gate(features, noise=0.0, generator=None, compiled=each) for each in (False, True))
        assert torch.equal(eager, compiled)
        assert 0 < compiled.mean() < 1
    assert counters["stats"]["unique_graphs"] == 3


@needs_compiler
def test_kernels_keep_half_precision_and_sum_in_single(fresh_kernels: None) -> None:
    tokens, table, conv, shift = kept_tokens(32, (6, 6), 0.6)
    shift = shift.bfloat16().float()
    exact = convolved(tokens.bfloat16().float(), table, conv, shift, compiled=False)
    for compiled in (False, True):
        found = convolved(tokens.bfloat16(), table, conv, shift, compiled=compiled)
        assert found.dtype == torch.bfloat16
        torch.testing.assert_close(found.float(), exact, atol=1e-4, rtol=2**-8)


def test_without_a_compiler_the_eager_form_runs_and_says_so_once(
    fresh_kernels: None, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise RuntimeError("no C++ compiler\nat some length")

    monkeypatch.setattr(torch, "compile", lambda function, **options: broken)
    case = kept_tokens(16, (5, 5), 0.5)
    expected = convolved(*case, compiled=False)
    for _ in range(2):
        assert torch.equal(convolved(*case, compiled=True), expected)
    assert [str(warning.message) for warning in recwarn] == [
        "packed execution runs without its compiled kernels: no C++ compiler"
    ]
