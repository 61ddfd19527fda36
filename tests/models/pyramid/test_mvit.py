"""MViTv2's hybrid windows: timm's MViTv2 where a window is the whole map, independent windows elsewhere."""

from typing import Any

import torch
from timm.models.mvitv2 import MultiScaleVit, MultiScaleVitCfg

from dit_bench.cost.counter import counted_macs
from dit_bench.models.pyramid.mvit import _block, _cut, _join, _relative, coarsen_global_keys, multi_scale_maps


def _mvit(depths: tuple[int, ...] = (1, 2, 3, 2)) -> MultiScaleVit:
    torch.manual_seed(0)
    model = MultiScaleVit(MultiScaleVitCfg(depths=depths, embed_dim=8), num_classes=0).eval()
    for name, parameter in model.named_parameters():
        if "rel_pos" in name or parameter.dim() == 1:
            torch.nn.init.normal_(parameter, 1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.5)
    return model


@torch.no_grad()
def test_at_224_pixels_every_window_is_the_whole_map() -> None:
    model, pixels = _mvit(), torch.randn(1, 3, 224, 224)
    expected: Any = model.forward_intermediates(pixels, intermediates_only=True)
    for own, other in zip(multi_scale_maps(model, pixels), expected, strict=True):
        assert other.abs().max() > 1
        torch.testing.assert_close(own.permute(0, 3, 1, 2), other, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_windows_are_independent() -> None:
    """With pooling that looks at no neighbour, a window of a large map is what it is alone."""
    model: Any = _mvit()
    for stage, window in ((0, 56), (2, 14)):
        block = model.stages[stage].blocks[min(1, len(model.stages[stage].blocks) - 1)]
        for pool in (block.attn.pool_q, block.attn.pool_k, block.attn.pool_v):
            pool.weight.zero_()
            pool.weight[:, :, 1, 1] = 1
        cells = torch.randn(1, 2 * window, 2 * window, block.dim)
        whole = _block(block, cells, window)
        for rows in (slice(0, window), slice(window, None)):
            alone = _block(block, cells[:, rows, window:], window)
            torch.testing.assert_close(whole[:, rows, window:], alone, atol=1e-5, rtol=1e-5)
        assert (_block(block, cells, None) - whole).abs().max() > 1e-3


def test_windows_are_padded_cut_and_joined() -> None:
    cells = torch.randn(2, 5, 7, 3)
    windows = _cut(cells, 4)
    assert windows.shape == (2 * 2 * 2, 4, 4, 3)
    assert torch.equal(windows[2][:1], cells[0, 4:, :4])
    assert windows[2][1:].abs().max() == 0
    assert torch.equal(_join(windows, 4, (5, 7)), cells)


def test_relative_positions() -> None:
    table = torch.arange(7.0).unsqueeze(1)
    index = _relative(table, 4, 4).squeeze(2)
    assert index.tolist() == [[3.0 + query - key for key in range(4)] for query in range(4)]
    # Two keys, each two queries wide: distances in queries, from -2 to 3.
    assert _relative(table, 4, 2).squeeze(2).tolist() == [[2.0, 0.0], [3.0, 1.0], [4.0, 2.0], [5.0, 3.0]]
    # Another grid stretches the table over its distances.
    stretched = _relative(table, 8, 8).squeeze(2)
    torch.testing.assert_close(stretched[0, 7], torch.tensor(0.0))
    torch.testing.assert_close(stretched[7, 0], torch.tensor(6.0))
    assert (stretched.diff(dim=0) >= 0).all()


def test_cost_of_windows_and_of_the_whole_map() -> None:
    """Attention products by hand at 448x448: windows of 56x56 on 112x112 cells; 14x14 cells see 14x14 keys at last."""
    with torch.device("meta"):
        model, pixels = _mvit((1, 1, 1, 1)), torch.zeros(1, 3, 448, 448)
    stages: Any = model.stages
    coarsen_global_keys(model)
    assert [stage.blocks[0].attn.pool_k.stride[0] for stage in stages] == [4, 4, 2, 1]
    macs, cells, width = 112**2 * 147 * 8, 112, 8
    # Queries per side, keys per side, number of windows.
    shapes = ((56, 14, 4), (56, 28, 1), (28, 28, 1), (14, 28, 1))
    for number, (queries, keys, windows) in enumerate(shapes):
        entering = width if number == 0 else width // 2
        after = windows * queries**2 if number == 0 else queries**2
        pooled = windows * keys**2
        macs += cells**2 * entering * 3 * width + 9 * width * (after + 2 * pooled)
        macs += windows * (2 * queries**2 * keys**2 * width + 2 * queries**2 * keys * width)
        macs += after * width**2 + after * 8 * width**2 + (cells**2 * entering * width if number else 0)
        cells, width = int(after**0.5), 2 * width
    assert counted_macs(lambda: multi_scale_maps(model, pixels)) == macs
