"""DETR on the last map only (arXiv 2005.12872), as PVT's mmdetection configuration has it (PVT Table 6)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torchvision.ops import box_convert

from dit_bench.cost.formulas import Grid
from dit_bench.models.detectors.base import Detector
from dit_bench.models.detectors.boxes import clip_boxes
from dit_bench.models.detectors.detr_transformer import DetrTransformer
from dit_bench.models.detectors.relative_boxes import image_scales
from dit_bench.models.detectors.set_loss import Predictions, SetLoss, SoftmaxClassTerm
from dit_bench.models.detectors.sine_positions import sine_positions
from dit_bench.models.detectors.structures import Detections, Objects, PaddedImages


class DETR(Detector):
    """Queries that attend to a stride 32 map and become one detection or "no object" each; no anchors, no suppression.

    Each of the `num_queries` gives one detection with its best class, scored by the softmax over classes and
    background. All decoder layers are supervised through the same two heads.
    """

    def __init__(
        self,
        widths: list[int],
        num_classes: int,
        *,
        num_queries: int = 100,
        width: int = 256,
        num_layers: int = 6,
        num_heads: int = 8,
        ffn_width: int = 2048,
        dropout: float = 0.1,
    ):
        super().__init__(widths, num_classes)
        self.width, self.max_detections = width, num_queries
        self.projection = nn.Conv2d(widths[-1], width, 1)
        self.queries = nn.Parameter(torch.randn(num_queries, width))
        self.transformer = DetrTransformer(
            width, num_layers=num_layers, num_heads=num_heads, ffn_width=ffn_width, dropout=dropout
        )
        self.class_head = nn.Linear(width, num_classes + 1)
        self.box_head = nn.Sequential(
            nn.Linear(width, width),
            nn.ReLU(inplace=True),
            nn.Linear(width, width),
            nn.ReLU(inplace=True),
            nn.Linear(width, 4),
        )
        self.set_loss = SetLoss(SoftmaxClassTerm(), _centre_and_size, class_weight=1.0)

    def losses(self, maps: list[Tensor], images: PaddedImages, objects: list[Objects]) -> dict[str, Tensor]:
        """Class, L1 (centre and size) and generalised IoU terms of every decoder layer; scalars."""
        found = self._decode(maps[-1], images.sizes, images.padded_size)
        return self.set_loss("layer", [self._predict(layer, images.sizes) for layer in found], images.sizes, objects)

    @torch.no_grad()
    def detect(self, maps: list[Tensor], images: PaddedImages) -> list[Detections]:
        """`num_queries` detections of each image from the last decoder layer."""
        found = self._decode(maps[-1], images.sizes, images.padded_size)
        predictions = self._predict(found[-1], images.sizes)
        scores, labels = predictions.logits.float().softmax(dim=-1)[..., :-1].max(dim=-1)
        order = scores.argsort(dim=1, descending=True, stable=True)
        return [
            Detections(clip_boxes(boxes[best], size), of_image[best], classes[best])
            for boxes, of_image, classes, best, size in zip(
                predictions.boxes, scores, labels, order, images.sizes, strict=True
            )
        ]

    def forward(self, maps: list[Tensor], padded_size: Grid) -> None:
        """The counting pass: the transformer on the whole map, and both heads on the last decoder layer."""
        sizes = [padded_size] * len(maps[-1])
        self._predict(self._decode(maps[-1], sizes, padded_size)[-1], sizes)

    def _decode(self, last_map: Tensor, sizes: Sequence[Grid], padded_size: Grid) -> list[Tensor]:
        """What each decoder layer found, `(B, num_queries, width)`, in the map `(B, C, h, w)` of a padded batch."""
        projected = self.projection(last_map)
        grid = projected.shape[-2], projected.shape[-1]
        valid = [_valid_cells(size, grid, padded_size) for size in sizes]
        positions = sine_positions(valid, grid, self.width, projected.device)
        key_mask = None if all(cells == grid for cells in valid) else _cell_mask(valid, grid, projected.device)
        return self.transformer(projected.flatten(2).transpose(1, 2), positions, self.queries, key_mask)

    def _predict(self, found: Tensor, sizes: Sequence[Grid]) -> Predictions:
        with _full_precision(found):
            # Rounded to half precision, a logit moves a side of a large image's box by pixels.
            relative = self.box_head(found.float()).sigmoid()
        boxes = box_convert(relative, "cxcywh", "xyxy") * image_scales(sizes, found.device)[:, None]
        return Predictions(self.class_head(found), boxes)


def _centre_and_size(boxes: Tensor) -> Tensor:
    return box_convert(boxes, "xyxy", "cxcywh")


def _valid_cells(size: Grid, grid: Grid, padded_size: Grid) -> Grid:
    """Rows and columns of the map whose first pixel lies in the image."""
    rows, columns = (-(-size[side] * grid[side] // padded_size[side]) for side in (0, 1))
    return rows, columns


def _cell_mask(valid: Sequence[Grid], grid: Grid, device: torch.device) -> Tensor:
    """`(B, h · w)`: True for the cells of each image, False for those of its padding."""
    mask = torch.zeros(len(valid), *grid, dtype=torch.bool)
    for image, (rows, columns) in enumerate(valid):
        mask[image, :rows, :columns] = True
    return mask.flatten(1).to(device)


def _full_precision(tensor: Tensor) -> AbstractContextManager[object]:
    """Without autocast on the tensor's device; the meta device has none."""
    device = tensor.device.type
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
