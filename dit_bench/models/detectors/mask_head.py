"""The head that draws the object of a region (Mask R-CNN, arXiv 1703.06870)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import roi_align

from dit_bench.models import shares
from dit_bench.models.detectors.roi_training import TrainingBatch
from dit_bench.models.detectors.structures import Objects

POOLED_SIDE = 14
"""Side of the pooled features, in bins."""
MASK_SIDE = 2 * POOLED_SIDE
"""Side of the predicted masks."""
MASK_THRESHOLD = 0.5
"""Coverage from which a cell of the training target belongs to the object."""


class MaskHead(nn.Module):
    """Four 3x3 convolutions, a transposed one that doubles the side, and a 1x1 to one mask per class."""

    def __init__(self, channels: int, num_classes: int, *, num_convs: int = 4):
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(num_convs):
            layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True)]
        layers += [nn.ConvTranspose2d(channels, channels, 2, stride=2), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, num_classes, 1))
        for layer in self.layers:
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def forward(self, regions: Tensor) -> Tensor:
        """Logits `(n, K, 28, 28)` from pooled features `(n, channels, 14, 14)`."""
        return self.layers(regions)


@torch.no_grad()
def mask_targets(masks: Tensor, objects: Tensor, boxes: Tensor) -> Tensor:
    """What regions `(p, 4)` show of the objects `(p,)` that they match, float 0 or 1 `(p, 28, 28)`.

    Each object's mask, of `(n, h, w)`, is averaged over the cells of a regular grid on the region.
    """
    if objects.shape[0] == 0:
        return boxes.new_zeros(0, MASK_SIDE, MASK_SIDE)
    regions = torch.cat([objects[:, None].to(boxes.dtype), boxes], dim=1).float()
    coverage = roi_align(masks[:, None].float(), regions, MASK_SIDE, 1.0, sampling_ratio=0, aligned=True)
    return (coverage[:, 0] >= MASK_THRESHOLD).float()


def mask_loss(logits: Tensor, batch: TrainingBatch, objects: list[Objects]) -> Tensor:
    """Mean binary cross-entropy over the cells of the matched class's masks; 0 without any region of an object.

    `logits` `(p, K, 28, 28)` are those of the regions that match an object, of all images.
    """
    targets, labels = [], []
    for sampled, of_image in zip(batch.regions, objects, strict=True):
        assert of_image.masks is not None, "masks are learnt from objects that have them"
        targets.append(mask_targets(of_image.masks, sampled.objects, sampled.positives))
        labels.append(sampled.labels[: sampled.objects.shape[0]])
    chosen = mask_logits_of(logits, torch.cat(labels)).float()
    total = functional.binary_cross_entropy_with_logits(chosen, torch.cat(targets), reduction="sum")
    return total / max(shares.total_count(chosen.numel()), 1)


def mask_logits_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Of logits `(n, K, 28, 28)` those `(n, 28, 28)` of one class `(n,)` each."""
    return logits[torch.arange(labels.shape[0], device=labels.device), labels]
