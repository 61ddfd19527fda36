"""One stage of Sparse R-CNN: the dynamic interaction by einsum, its cost, where its biases start."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from dit_bench.cost.census import take_census
from dit_bench.models.detectors.dynamic_head import DynamicHeadStage, DynamicInteraction


def _randomised(module: nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)


def test_interaction_of_each_proposal_with_its_own_pixels() -> None:
    torch.manual_seed(0)
    interaction = DynamicInteraction(6, 4, 3)
    _randomised(interaction)
    features, pooled = torch.randn(5, 6), torch.randn(5, 6, 3, 3)
    generated = features @ interaction.generator.weight.T + interaction.generator.bias
    first, second = generated[:, :24].reshape(5, 6, 4), generated[:, 24:].reshape(5, 4, 6)

    def normalised(values: torch.Tensor, norm: nn.LayerNorm) -> torch.Tensor:
        centred = values - values.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return functional.relu(scaled * norm.weight + norm.bias)

    hidden = normalised(torch.einsum("ncyx,ncd->nyxd", pooled, first), interaction.norm_in)
    mixed = normalised(torch.einsum("nyxd,ndc->nyxc", hidden, second), interaction.norm_out)
    # Pixel by pixel, all channels of one before the next.
    projected = mixed.reshape(5, -1) @ interaction.projection.weight.T + interaction.projection.bias
    expected = normalised(projected, interaction.norm)
    torch.testing.assert_close(interaction(features, pooled), expected, atol=1e-5, rtol=0)


def test_images_of_a_batch_do_not_meet() -> None:
    torch.manual_seed(0)
    stage = DynamicHeadStage(3, width=8, dynamic_width=4, ffn_width=16, num_heads=2, pool_side=2)
    features, pooled = torch.randn(2, 5, 8), torch.randn(10, 8, 2, 2)
    together = stage(features, pooled)
    for image in range(2):
        alone = stage(features[image : image + 1], pooled[5 * image : 5 * image + 5])
        for batched, single, channels in zip(together, alone, (3, 4, 8), strict=True):
            assert single.shape == (1, 5, channels)
            torch.testing.assert_close(batched[image : image + 1], single, atol=1e-5, rtol=0)


def test_classes_start_from_one_percent() -> None:
    stage = DynamicHeadStage(3, width=8, dynamic_width=4, ffn_width=16, num_heads=2, pool_side=2)
    logits = stage.class_branch[-1]
    assert isinstance(logits, nn.Linear)
    assert logits.bias.sigmoid().tolist() == pytest.approx([0.01] * 3)


def test_macs_of_a_stage() -> None:
    """300 proposals of width C = 256, 49 pixels, D = 64, feed-forward 2048, 80 classes; everything is dispatched."""
    n, c, d, pixels = 300, 256, 64, 49
    expected = n * 4 * c**2 + 2 * n * n * c  # self-attention
    expected += n * c * 2 * c * d + n * 2 * pixels * c * d + n * pixels * c * c  # dynamic interaction
    expected += n * 2 * c * 2048 + n * (c**2 + c * 80) + n * (3 * c**2 + c * 4)
    with torch.device("meta"):
        stage = DynamicHeadStage(80)
        census = take_census(stage, torch.zeros(1, n, c), torch.zeros(n, c, 7, 7))
    assert census.macs == census.dispatched_macs == expected
    assert census.unexplained == []
