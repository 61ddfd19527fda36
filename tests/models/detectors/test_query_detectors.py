"""What Sparse R-CNN and DETR have in common: a tiny one of each learns two images, and every layer is supervised."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou

from dit_bench.models.detectors.base import Detector
from dit_bench.models.detectors.detr import DETR
from dit_bench.models.detectors.sparse_rcnn import SparseRCNN
from dit_bench.models.detectors.structures import Objects, PaddedImages

WIDTHS = [8, 8, 8, 8]
Builder = Callable[[], Detector]


def _sparse_rcnn() -> Detector:
    torch.manual_seed(1)
    sizes = {"width": 16, "dynamic_width": 8, "ffn_width": 32, "num_heads": 2}
    return SparseRCNN(WIDTHS, 3, num_proposals=6, num_stages=2, max_detections=10, **sizes)


def _detr() -> Detector:
    torch.manual_seed(1)
    return DETR(WIDTHS, 3, num_queries=5, width=16, num_layers=2, num_heads=2, ffn_width=32, dropout=0.0)


both = pytest.mark.parametrize("build", [_sparse_rcnn, _detr])


def _batch() -> tuple[list[Tensor], PaddedImages, list[Objects]]:
    """Maps of noise, different for each image, so that only the maps tell which image it is."""
    torch.manual_seed(0)
    maps = [torch.randn(2, 8, 128 // stride, 160 // stride) for stride in (4, 8, 16, 32)]
    objects = [
        Objects(torch.tensor([[10.0, 20, 60, 90], [80, 30, 150, 120]]), torch.tensor([0, 2])),
        Objects(torch.tensor([[20.0, 10, 100, 70]]), torch.tensor([1])),
    ]
    return maps, PaddedImages(torch.zeros(2, 3, 128, 160), [(128, 160), (100, 120)]), objects


def _sum(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()


@pytest.mark.parametrize(("build", "lr", "steps"), [(_sparse_rcnn, 3e-3, 75), (_detr, 5e-3, 60)])
def test_learns_two_images_by_heart(build: Builder, lr: float, steps: int) -> None:
    detector, (maps, images, objects) = build(), _batch()
    optimiser = torch.optim.AdamW(detector.parameters(), lr)
    losses = []
    for _ in range(steps):
        loss = _sum(detector.losses(maps, images, objects))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(detector.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 5
    for found, wanted in zip(detector.eval().detect(maps, images), objects, strict=True):
        assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
        for box, label in zip(wanted.boxes, wanted.labels, strict=True):
            best = found.boxes[found.labels == label][:1]
            assert float(box_iou(box[None], best)) > 0.6


@both
def test_every_layer_is_supervised(build: Builder) -> None:
    detector, batch = build(), _batch()
    terms = detector.losses(*batch)
    part = "stage" if isinstance(detector, SparseRCNN) else "layer"
    assert set(terms) == {f"{part}{number}.{term}" for number in (1, 2) for term in ("classification", "l1", "giou")}
    for name, term in terms.items():
        assert term.shape == ()
        assert term.item() > 0
        gradients = torch.autograd.grad(term, list(detector.parameters()), retain_graph=True, allow_unused=True)
        assert any(gradient is not None and bool(gradient.any()) for gradient in gradients), name


@both
@pytest.mark.parametrize("empty", [(0,), (0, 1)])
def test_images_without_objects(build: Builder, empty: tuple[int, ...]) -> None:
    detector, (maps, images, objects) = build(), _batch()
    for image in empty:
        objects[image] = Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    terms = detector.losses(maps, images, objects)
    assert bool(torch.stack(list(terms.values())).isfinite().all())
    _sum(terms).backward()
    # Parameters without a gradient would stop distributed training.
    gradients = [parameter.grad for parameter in detector.parameters()]
    assert all(gradient is not None and bool(gradient.isfinite().all()) for gradient in gradients)


@both
def test_half_precision(build: Builder) -> None:
    """Losses and boxes are float32 and near those without autocast."""
    detector, batch = build().eval(), _batch()
    terms, (found, _) = detector.losses(*batch), detector.detect(*batch[:2])
    with torch.autocast("cpu", torch.bfloat16):
        half_terms, (half_found, _) = detector.losses(*batch), detector.detect(*batch[:2])
    assert {term.dtype for term in half_terms.values()} == {torch.float32}
    assert half_found.boxes.dtype == half_found.scores.dtype == torch.float32
    assert _sum(half_terms).item() == pytest.approx(_sum(terms).item(), rel=0.05)
    assert half_found.scores[0].item() == pytest.approx(found.scores[0].item(), abs=0.02)


@both
def test_boxes_lie_in_the_image_before_padding(build: Builder) -> None:
    detector, (maps, images, _) = build().eval(), _batch()
    with torch.no_grad():
        for parameter in detector.parameters():
            parameter.add_(torch.randn_like(parameter))
    for found, (height, width) in zip(detector.detect(maps, images), images.sizes, strict=True):
        assert len(found.boxes) == len(found.scores) == len(found.labels) > 0
        assert not found.boxes.requires_grad
        assert bool((found.boxes >= 0).all())
        assert bool((found.boxes[:, 0::2] <= width).all())
        assert bool((found.boxes[:, 1::2] <= height).all())
        assert bool(((found.labels >= 0) & (found.labels < 3)).all())
