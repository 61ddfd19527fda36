"""Each dense detector learns four pictures by heart: losses, matching and decoding fit together."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import box_iou

from dit_bench.models.detectors.atss import ATSS
from dit_bench.models.detectors.dense_head import DenseDetector
from dit_bench.models.detectors.gfl import GFL
from dit_bench.models.detectors.retinanet import RetinaNet
from dit_bench.models.detectors.structures import Objects, PaddedImages

SIDE_PX = 64
WIDTH = 16
CHANNELS = 64
BOXES = [[(6, 9, 40, 50)], [(3, 5, 30, 33), (34, 22, 62, 60)], [(20, 12, 58, 47)], [(2, 30, 31, 63), (30, 4, 61, 28)]]


class TinyBackbone(nn.Module):
    """Maps of strides 4, 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([nn.Sequential(_half(3), _half(WIDTH)), _half(WIDTH), _half(WIDTH), _half(WIDTH)])

    def forward(self, pixels: Tensor) -> list[Tensor]:
        maps = [pixels]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]


def _half(inputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, WIDTH, 3, 2, 1), nn.GroupNorm(4, WIDTH), nn.ReLU())


def make_pictures() -> tuple[PaddedImages, list[Objects]]:
    """Boxes of one solid colour per class on noise."""
    pixels = 0.1 * torch.randn(len(BOXES), 3, SIDE_PX, SIDE_PX)
    objects = []
    for number, boxes in enumerate(BOXES):
        labels = [(number + k) % 3 for k in range(len(boxes))]
        for (x1, y1, x2, y2), label in zip(boxes, labels, strict=True):
            pixels[number, :, y1:y2, x1:x2] = -1
            pixels[number, label, y1:y2, x1:x2] = 1.5
        objects.append(Objects(torch.tensor(boxes, dtype=torch.float32), torch.tensor(labels)))
    return PaddedImages(pixels, [(SIDE_PX, SIDE_PX)] * len(BOXES)), objects


@pytest.mark.parametrize(("kind", "lr", "steps"), [(RetinaNet, 1e-3, 75), (ATSS, 5e-3, 75), (GFL, 5e-3, 75)])
def test_learns_four_pictures_by_heart(kind: type[DenseDetector], lr: float, steps: int) -> None:
    torch.manual_seed(0)
    images, objects = make_pictures()
    backbone, detector = TinyBackbone(), kind([WIDTH] * 4, 3, channels=CHANNELS)
    if not kind.group_norm:
        # Without norms, a standard deviation of 0.01 is made for 256 channels: fewer let the signal fade.
        for tower in (detector.class_tower, detector.box_tower):
            for conv in tower:
                if isinstance(conv, nn.Conv2d):
                    nn.init.normal_(conv.weight, std=0.04)
    optimiser = torch.optim.Adam([*backbone.parameters(), *detector.parameters()], lr=lr)
    history = []
    for _ in range(steps):
        terms = detector.losses(backbone(images.pixels), images, objects)
        optimiser.zero_grad()
        torch.stack([*terms.values()]).sum().backward()
        optimiser.step()
        history.append((terms["box"].item(), sum(term.item() for term in terms.values())))
    # Cross-entropies with soft targets (centerness, distribution) do not end at 0.
    (first_box, first), (last_box, last) = history[0], history[-1]
    assert last_box < 0.3 * first_box
    assert last < 0.4 * first
    for found, wanted in zip(detector.detect(backbone(images.pixels), images), objects, strict=True):
        for box, label in zip(wanted.boxes, wanted.labels, strict=True):
            of_class = found.boxes[found.labels == label]
            assert len(of_class)
            best_first = box_iou(box[None], of_class)[0]
            assert best_first[0] > 0.7, "the best-scored of its class lies on the object"
