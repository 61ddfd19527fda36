"""Trans2Seg's mask head: every class by itself, aligned corners, what it joins."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dit_bench.models.segmenters import mask_head
from dit_bench.models.segmenters.mask_head import MaskHead

FINE, WIDTH, HEADS = 6, 8, 2


def _head() -> Any:
    torch.manual_seed(0)
    return MaskHead(FINE, WIDTH, HEADS, 4)


def _inputs(num_classes: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(2, FINE, 12, 16), torch.randn(2, WIDTH, 3, 4), torch.randn(2, num_classes, HEADS, 3, 4)


@torch.no_grad()
def test_a_class_knows_of_no_other() -> None:
    head = _head().eval()
    fine, cells, scores = _inputs()
    masks = head(fine, cells, scores)
    assert masks.shape == (2, 7, 12, 16)
    for number in range(7):
        alone = head(fine, cells, scores[:, number : number + 1])
        torch.testing.assert_close(masks[:, number : number + 1], alone)


@torch.no_grad()
def test_parts_are_the_same_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    head, inputs = _head().eval(), _inputs()
    whole = head(*inputs)
    monkeypatch.setattr(mask_head, "CLASSES_AT_ONCE", 3)
    torch.testing.assert_close(head(*inputs), whole)


@torch.no_grad()
def test_training_normalises_over_all_classes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_head, "CLASSES_AT_ONCE", 3)
    head = _head().train()
    head(*_inputs())
    norm = head.coarse[0][0][1]
    assert norm.num_batches_tracked == 1


class FirstChannel(nn.Module):
    """In place of layers, so that what reaches them is seen behind them."""

    def forward(self, cells: Tensor) -> Tensor:
        return cells[:, :1]


class BehindTheMap(nn.Module):
    """The same: what lies behind the encoded map."""

    def forward(self, cells: Tensor) -> Tensor:
        return cells[:, WIDTH:]


@pytest.mark.parametrize("of_class", [False, True])
@torch.no_grad()
def test_maps_are_enlarged_with_aligned_corners_and_added_to_the_fine_map(of_class: bool) -> None:
    """The encoded map, the same for every class, lies before the class's own score maps."""
    head = _head().eval()
    head.coarse = BehindTheMap() if of_class else nn.Identity()
    head.fine = head.draw = FirstChannel()
    fine, cells, scores = _inputs()
    fine = fine[..., :5, :10]
    drawn = head(fine, cells, scores) - fine[:, :1]
    expected = scores[:, :, 0] if of_class else cells[:, :1].expand(-1, 7, -1, -1)
    torch.testing.assert_close(drawn[:, :, ::2, ::3], expected)


def test_parameters() -> None:
    """Separable ones with norms at 264, 64 and 64 channels, the slim map, one output: the medium size behind PVT."""
    with torch.device("meta"):
        head = MaskHead(64, 256, 8, 64)
    first = 9 * 264 + 2 * 264 + 264 * 64 + 2 * 64
    further = 9 * 64 + 2 * 64 + 64 * 64 + 2 * 64
    slim = 64 * 64 + 2 * 64
    assert sum(p.numel() for p in head.parameters()) == first + 2 * further + slim + 64 + 1
