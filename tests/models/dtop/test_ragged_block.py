"""A block on ragged sequences against timm's dense block on each image by itself."""

from __future__ import annotations

import pytest
import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from dit_bench.cost.counter import counted_macs
from dit_bench.models.dtop import layout as layout_module
from dit_bench.models.dtop.layout import RaggedLayout
from dit_bench.models.dtop.ragged_block import run_block

COUNTS = [[5, 9, 1], [0, 7], [4, 4], [3], [0, 0], [12, 0, 1, 12]]


def _block(**arguments: float) -> Block:
    torch.manual_seed(0)
    block = Block(24, 3, qkv_bias=True, **arguments)  # type: ignore[arg-type]
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    return block.eval()


def _one_by_one(block: Block, tokens: Tensor, counts: list[int]) -> Tensor:
    return torch.cat([block(part[None])[0] if len(part) else part for part in tokens.split(counts)])


@pytest.mark.parametrize("loop_from_macs", [-1, 10**12], ids=["loop", "padded"])
@pytest.mark.parametrize("counts", COUNTS, ids=str)
def test_images_keep_to_themselves(monkeypatch, counts: list[int], loop_from_macs: int) -> None:
    """Outputs and gradients of every parameter are those of the dense block on each image."""
    monkeypatch.setattr(layout_module, "LOOP_MACS_PER_IMAGE", loop_from_macs)
    block = _block(init_values=0.7)
    tokens = torch.randn(sum(counts), 24, generator=torch.Generator().manual_seed(1))
    found, wanted = [], []
    for run, kept in (
        (lambda: run_block(block, tokens, RaggedLayout(counts, tokens.device)), found),
        (lambda: _one_by_one(block, tokens, counts), wanted),
    ):
        block.zero_grad()
        out = run()
        (out * torch.linspace(-1, 1, 24)).sum().backward() if len(tokens) else None
        kept.extend([out.detach(), *(parameter.grad for parameter in block.parameters())])
    assert found[0].shape == tokens.shape
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_equal_lengths_are_the_dense_block_bit_for_bit() -> None:
    block, tokens = _block(), torch.randn(3, 6, 24)
    ragged = run_block(block, tokens.flatten(0, 1), RaggedLayout([6, 6, 6], tokens.device))
    assert torch.equal(ragged, block(tokens).flatten(0, 1))


def test_nothing_is_computed_for_absent_tokens(monkeypatch) -> None:
    """12 n C² of the layers and 2 n² C of attention, image by image."""
    monkeypatch.setattr(layout_module, "LOOP_MACS_PER_IMAGE", -1)
    block, counts = _block(), [5, 9, 0, 1]
    tokens = torch.randn(15, 24)
    counted = counted_macs(lambda: run_block(block, tokens, RaggedLayout(counts, tokens.device)))
    assert counted == sum(12 * n * 24**2 + 2 * n**2 * 24 for n in counts)


def test_paths_are_dropped_for_whole_images() -> None:
    """With everything dropped but nothing scaled away, an image is either untouched or fully computed."""
    block = _block(drop_path=0.5)
    block.train()
    block.drop_path1 = nn.Identity()
    torch.manual_seed(3)
    counts = [3, 5] * 20
    tokens = torch.randn(sum(counts), 24)
    layout = RaggedLayout(counts, tokens.device)
    out = run_block(block, tokens, layout)
    block.eval()
    with torch.no_grad():
        attended = tokens + (run_block(block, tokens, layout) - tokens) - _feed_forward(block, tokens, layout)
        branch = _feed_forward(block, tokens, layout)
    dropped = 0
    for (start, end), _ in zip(layout.spans(), counts, strict=True):
        factor = 0.0 if torch.allclose(out[start:end], attended[start:end], atol=1e-4) else 2.0
        torch.testing.assert_close(out[start:end], attended[start:end] + factor * branch[start:end], atol=1e-4, rtol=0)
        dropped += factor == 0.0
    assert 8 <= dropped <= 32


def _feed_forward(block: Block, tokens: Tensor, layout: RaggedLayout) -> Tensor:
    """The second branch of a block in eval mode."""
    branches = []
    handle = block.mlp.register_forward_hook(lambda module, args, output: branches.append(output.detach()))
    run_block(block, tokens, layout)
    handle.remove()
    return branches[0]
