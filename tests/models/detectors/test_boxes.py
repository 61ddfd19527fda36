"""The code of boxes against torchvision's, and its bounds."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import box_iou

from dit_bench.models.detectors.boxes import clip_boxes, decode_deltas, encode_deltas, paired_iou


def random_boxes(number: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(number, 2, generator=generator) * 200
    return torch.cat([corners, corners + 5 + 80 * torch.rand(number, 2, generator=generator)], dim=1)


@pytest.mark.parametrize("stds", [(1.0, 1.0, 1.0, 1.0), (0.1, 0.1, 0.2, 0.2)])
def test_code_is_torchvisions(stds: tuple[float, float, float, float]) -> None:
    boxes, references = random_boxes(50, 0), random_boxes(50, 1)
    coder = BoxCoder(tuple(1 / std for std in stds))  # type: ignore[arg-type]
    code = encode_deltas(boxes, references, stds)
    torch.testing.assert_close(code, coder.encode_single(boxes, references))
    code = code + 0.1 * torch.randn(50, 4, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(decode_deltas(code, references, stds), coder.decode_single(code, references))


def test_round_trip() -> None:
    boxes, references = random_boxes(50, 3), random_boxes(50, 4)
    stds = (0.05, 0.05, 0.1, 0.1)
    back = decode_deltas(encode_deltas(boxes, references, stds), references, stds)
    torch.testing.assert_close(back, boxes, atol=1e-3, rtol=1e-5)


def test_sizes_change_at_most_62_5_fold_either_way() -> None:
    """torchvision bounds growth only."""
    references = torch.tensor([[0.0, 0, 10, 10]]).expand(2, 4)
    boxes = decode_deltas(torch.tensor([[0.0, 0, 9, 9], [0, 0, -9, -9]]), references)
    sizes = boxes[:, 2:] - boxes[:, :2]
    torch.testing.assert_close(sizes, torch.tensor([[625.0, 625], [0.16, 0.16]]), atol=1e-3, rtol=0)


def test_clipping() -> None:
    boxes = torch.tensor([[-5.0, -6, 10, 12], [30, 40, 500, 600], [50, 0, 60, 9]])
    expected = torch.tensor([[0.0, 0, 10, 12], [30, 20, 40, 20], [40, 0, 40, 9]])
    assert torch.equal(clip_boxes(boxes, (20, 40)), expected)
    assert torch.equal(clip_boxes(boxes.view(3, 1, 4), (20, 40)), expected.view(3, 1, 4))
    code = torch.tensor([[2.0, 0, math.log(3), 0]])
    decoded = decode_deltas(code, torch.tensor([[0.0, 0, 10, 10]]), size=(8, 30))
    torch.testing.assert_close(decoded, torch.tensor([[10.0, 0, 30, 8]]))


def test_half_precision_is_decoded_in_float32() -> None:
    references = torch.tensor([[1000.3, 700.7, 1033.1, 750.9]])
    deltas = torch.tensor([[0.3, -0.7, 0.6, 0.1]], dtype=torch.bfloat16)
    boxes = decode_deltas(deltas, references, (0.1, 0.1, 0.2, 0.2))
    assert boxes.dtype == torch.float32
    assert torch.equal(boxes, decode_deltas(deltas.float(), references, (0.1, 0.1, 0.2, 0.2)))


def test_paired_iou_is_the_diagonal() -> None:
    boxes, others = random_boxes(200, 5), random_boxes(200, 6)
    torch.testing.assert_close(paired_iou(boxes, others), box_iou(boxes, others).diagonal())
    nothing = torch.tensor([[3.0, 3, 3, 3]])
    assert paired_iou(nothing, nothing).item() == 0


def test_no_boxes() -> None:
    none = torch.zeros(0, 4)
    assert encode_deltas(none, none).shape == decode_deltas(none, none, size=(5, 5)).shape == (0, 4)
    assert paired_iou(none, none).shape == (0,)
