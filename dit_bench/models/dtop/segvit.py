"""SegViT (arXiv 2210.05844): three cascaded decoders of attention to mask, from the deepest of a ViT's taps up.

The network that DToP's adapted heads come from, and a baseline of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from dit_bench.cost.formulas import Grid
from dit_bench.models.dtop.atm import AtmDecoder, TokenProjection, initialise_linear_layers
from dit_bench.models.dtop.backbone import PlainVit, default_stage_ends
from dit_bench.models.dtop.layout import RaggedLayout
from dit_bench.models.dtop.losses import mask_set_loss

LAYERS_PER_DECODER = 3


@dataclass(frozen=True)
class SegVitStage:
    """What the decoders so far say."""

    masks: Tensor
    """`(B, K, h, w)`: mask logits, the sum over these decoders."""
    classes: Tensor
    """`(B, K, K + 1)`: class logits of each class token, the last for no object."""


class SegVitHead(nn.Module):
    """The cascade: class tokens go from decoder to decoder, masks add up, one classifier serves all."""

    def __init__(self, in_width: int, num_classes: int, width: int, num_heads: int, num_taps: int):
        super().__init__()
        self.classes = nn.Embedding(num_classes, width)
        self.projects = nn.ModuleList([TokenProjection(in_width, width) for _ in range(num_taps)])
        self.decoders = nn.ModuleList([AtmDecoder(width, num_heads, LAYERS_PER_DECODER) for _ in range(num_taps)])
        self.classify = nn.Linear(width, num_classes + 1)
        initialise_linear_layers(self)

    def forward(self, taps: Sequence[Tensor], grid: Grid) -> list[SegVitStage]:
        """The stages from taps `(B, N, D)`, the shallowest first; the last stage is the result."""
        num_images, num_tokens = taps[0].shape[:2]
        layout = RaggedLayout([num_tokens] * num_images, taps[0].device)
        classes = self.classes.weight.repeat(num_images, 1, 1)
        masks: Tensor | float = 0.0
        stages = []
        for tap, project, decoder in zip(reversed(taps), self.projects, self.decoders, strict=True):
            classes, logits = decoder(classes, project(tap.flatten(0, 1)), layout)
            masks = masks + layout.pad(logits).transpose(1, 2).unflatten(2, grid).float()
            stages.append(SegVitStage(masks, self.classify(classes).float()))
        return stages


class SegVitNetwork(nn.Module):
    """A plain ViT with SegViT's head on its taps: after layers 6, 8 and 12 of ViT-B, 8, 16 and 24 of ViT-L.

    The head is half as wide as the backbone and has as many attention heads.
    """

    def __init__(self, backbone: PlainVit, num_classes: int, *, exclude_ignored: bool = False):
        super().__init__()
        self.backbone, self.num_classes, self.exclude_ignored = backbone, num_classes, exclude_ignored
        self.tap_ends = default_stage_ends(len(backbone.blocks))
        width = backbone.width // 2
        self.head = SegVitHead(backbone.width, num_classes, width, backbone.num_heads, len(self.tap_ends))

    def segment(self, pixels: Tensor) -> tuple[Tensor, None]:
        """Scores `(B, K, H, W)` from 0 on, at the size of the images `(B, 3, H, W)`; there is nothing to trace.

        Σ over class tokens q of softmax(class logits of q)[c] · sigmoid(mask of q), masks upsampled before the sigmoid.
        """
        result = self._stages(pixels)[-1]
        masks = functional.interpolate(result.masks, size=pixels.shape[2:], mode="bilinear", align_corners=False)
        probabilities = result.classes.softmax(dim=-1)[..., :-1]
        return torch.einsum("bqc,bqhw->bchw", probabilities, masks.sigmoid()), None

    def forward(self, pixels: Tensor) -> Tensor:
        """The scores of `segment` alone."""
        return self.segment(pixels)[0]

    def loss(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, None]:
        """The set loss of all three partial sums, equally weighted; `labels` `(B, H, W)` as in `losses.py`."""
        terms = [
            mask_set_loss(stage.masks, stage.classes, labels, exclude_ignored=self.exclude_ignored)
            for stage in self._stages(pixels)
        ]
        return torch.stack(terms).sum(), None

    def _stages(self, pixels: Tensor) -> list[SegVitStage]:
        taps, grid = self.backbone.taps(pixels, self.tap_ends)
        return self.head(taps, grid)
