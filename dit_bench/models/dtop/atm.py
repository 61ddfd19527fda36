"""Attention to mask (SegViT, arXiv 2210.05844, §3.2): class tokens whose questions to an image are its masks.

A transformer decoder in post-norm form without positions. The logits of the last layer's cross-attention, before the
softmax and averaged over heads, say for every class where in the image it is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dit_bench.cost.formulas import attention_macs
from dit_bench.models.detectors.post_norm import AttentionSublayer, FeedForwardSublayer
from dit_bench.models.dit.masked import split_heads
from dit_bench.models.dtop.layout import RaggedLayout
from dit_bench.models.whole_batch import attend

DROPOUT = 0.1


class TokenProjection(nn.Sequential):
    """A linear layer from the backbone's width to the decoder's, and a LayerNorm."""

    def __init__(self, in_width: int, width: int):
        super().__init__(nn.Linear(in_width, width), nn.LayerNorm(width))


class MaskAttention(nn.Module):
    """Cross-attention from K class tokens to the tokens of an image, which also returns its logits as masks."""

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        assert width % num_heads == 0, f"width {width}, {num_heads} heads"
        self.num_heads, self.scale = num_heads, (width // num_heads) ** -0.5
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.proj = nn.Linear(width, width)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(
        self, classes: Tensor, tokens: Tensor, layout: RaggedLayout, with_masks: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Mixed values `(B, K, d)` for class tokens `(B, K, d)`, and mask logits `(T, K)` of the tokens `(T, d)`.

        Class tokens see the tokens of their own image only; of an image without tokens they get zeros, projected.
        """
        queries, keys, values = self.q(classes), self.k(tokens), self.v(tokens)
        if layout.num_tokens == 0:
            masks = keys.new_zeros(0, classes.shape[1]) if with_masks else None
            return self.proj(torch.zeros_like(queries)), masks
        if self._loop_pays(layout, queries.shape[1], queries.shape[2], with_masks):
            mixed, masks = self._one_by_one(queries, keys, values, layout, with_masks)
        else:
            key_mask = None if layout.is_even else layout.present
            mixed, padded = self._attend(queries, layout.pad(keys), layout.pad(values), key_mask, with_masks)
            masks = None if padded is None else layout.unpad(padded)
        return self.proj(mixed), masks

    @staticmethod
    def _loop_pays(layout: RaggedLayout, num_classes: int, width: int, with_masks: bool) -> bool:
        if layout.is_even:
            return False
        padding = layout.num_images * layout.longest - layout.num_tokens
        copied = layout.num_tokens * (2 * width + num_classes * with_masks)
        return layout.loop_pays(attention_macs(num_classes, padding, width), copied)

    def _one_by_one(
        self, queries: Tensor, keys: Tensor, values: Tensor, layout: RaggedLayout, with_masks: bool
    ) -> tuple[Tensor, Tensor | None]:
        mixed, masks = [], []
        for image, (start, end) in enumerate(layout.spans()):
            own = queries[image : image + 1]
            if start == end:
                mixed.append(torch.zeros_like(own))
                continue
            values_mixed, mask = self._attend(own, keys[None, start:end], values[None, start:end], None, with_masks)
            mixed.append(values_mixed)
            if mask is not None:
                masks.append(mask[0])
        return torch.cat(mixed), torch.cat(masks) if with_masks else None

    def _attend(
        self, queries: Tensor, keys: Tensor, values: Tensor, key_mask: Tensor | None, with_masks: bool
    ) -> tuple[Tensor, Tensor | None]:
        """`(A, K, d)` and mask logits `(A, n, K)` from queries `(A, K, d)`, keys and values `(A, n, d)`."""
        queries, keys, values = (split_heads(part, self.num_heads) for part in (queries, keys, values))
        present = None if key_mask is None else key_mask[:, None, None, :]
        if not with_masks:
            dropout = self.dropout.p if self.training else 0.0
            mixed = attend(queries, keys, values, present, dropout)
            return mixed.transpose(1, 2).flatten(2), None
        logits = queries @ keys.transpose(-2, -1) * self.scale
        visible = logits if present is None else logits.masked_fill(~present, -torch.inf)
        mixed = self.dropout(visible.softmax(dim=-1)) @ values
        return mixed.transpose(1, 2).flatten(2), logits.mean(dim=1).transpose(1, 2)


class AtmLayer(nn.Module):
    """Self-attention among the class tokens, cross-attention to the image, feed-forward network of width 4d."""

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.self_attention = AttentionSublayer(width, num_heads, dropout=DROPOUT)
        self.mask_attention = MaskAttention(width, num_heads)
        self.dropout = nn.Dropout(DROPOUT)
        self.norm = nn.LayerNorm(width)
        self.feed_forward = FeedForwardSublayer(width, 4 * width, dropout=DROPOUT)

    def forward(
        self, classes: Tensor, tokens: Tensor, layout: RaggedLayout, with_masks: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Class tokens `(B, K, d)` after the layer, and mask logits `(T, K)` if asked for."""
        classes = self.self_attention(classes)
        mixed, masks = self.mask_attention(classes, tokens, layout, with_masks)
        return self.feed_forward(self.norm(classes + self.dropout(mixed))), masks


class AtmDecoder(nn.Module):
    """Several layers one after another; the masks are those of the last."""

    def __init__(self, width: int, num_heads: int, num_layers: int):
        super().__init__()
        assert num_layers > 0
        self.layers = nn.ModuleList([AtmLayer(width, num_heads) for _ in range(num_layers)])

    def forward(self, classes: Tensor, tokens: Tensor, layout: RaggedLayout) -> tuple[Tensor, Tensor]:
        """Class tokens `(B, K, d)` and mask logits `(T, K)` from class tokens and projected tokens `(T, d)`."""
        masks = None
        for number, layer in enumerate(self.layers, start=1):
            classes, masks = layer(classes, tokens, layout, with_masks=number == len(self.layers))
        assert masks is not None
        return classes, masks


def initialise_linear_layers(module: nn.Module) -> None:
    """Weights from a truncated normal of SD 0.02, biases 0, as SegViT initialises its heads."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
