"""Token selection without learning, at matched MACs: the rows `static`, `random` and `attention` (Tables 6 and 7).

Each scores the tokens of a live scale and keeps the k best of every image, with one keep ratio for the whole grid:
the largest at which the executed MACs do not exceed mu · C_base. They say nothing about whole images, so their patch
embeddings are PVTv2's: each scale is reached once, in the column of the diagonal.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from timm.models.pvt_v2 import Block
from torch import Tensor
from torch.nn import functional

from dit_bench.models.dit.costs import GridCosts


def selected_macs(costs: GridCosts, counts: Sequence[int]) -> int:
    """MACs of every image when `counts[i]` tokens are kept at each live node of scale i, scoring included."""
    total = costs.constant + sum(costs.patch_embeds)
    for scale, per_stage in enumerate(costs.stages):
        # With PVTv2's patch embeddings, scale i is live from stage i on.
        for stage in range(scale, len(per_stage)):
            total += costs.row_gates[scale][stage] + per_stage[stage].macs(counts[scale])
    return total


def matched_counts(costs: GridCosts, budget_ratio: float) -> list[int]:
    """Kept tokens per scale, at least one, at the largest common keep ratio within `budget_ratio` of C_base."""

    def counts(ratio: float) -> list[int]:
        return [max(1, round(ratio * tokens)) for tokens in costs.num_tokens]

    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        fits = selected_macs(costs, counts(middle)) <= budget_ratio * costs.base
        low, high = (middle, high) if fits else (low, middle)
    return counts(low)


def keep_highest(scores: Tensor, count: int) -> Tensor:
    """Mask `(B, L)` of the `count` highest scores of each image; ties go to the lower index, on every device."""
    order = torch.sort(scores, dim=1, descending=True, stable=True).indices
    return torch.zeros_like(scores).scatter_(1, order[:, :count], 1.0)


def attention_scores(block: Block, tokens: Tensor) -> Tensor:
    """Attention probability `(B, L)` that each token receives from the image's mean query, averaged over heads.

    PVTv2 has no class token to ask; the query of the mean token takes its place. The key projection is folded into
    the query, so the cost is 2C² + heads · L · C and not L · C². Bias terms of the keys shift all scores of a head
    alike and cancel in the softmax.
    """
    attention = block.attn
    heads, width = attention.num_heads, tokens.shape[-1]
    normed = block.norm1(tokens)
    query = attention.q(normed.mean(dim=1)).unflatten(-1, (heads, -1))  # (B, heads, C / heads)
    key_weight = attention.kv.weight[:width].unflatten(0, (heads, -1))  # (heads, C / heads, C)
    folded = torch.einsum("bhd,hdc->bhc", query, key_weight)
    scores = torch.einsum("bhc,blc->bhl", folded, normed) * attention.scale
    return scores.softmax(dim=-1).mean(dim=1)


def attention_score_macs(num_tokens: int, width: int, heads: int) -> int:
    """MACs of `attention_scores` for one image."""
    return 2 * width**2 + heads * num_tokens * width


def frozen_scores(weight: Tensor, tokens: Tensor) -> Tensor:
    """Scores `(B, L)` of a gate that keeps its random initial projection `(C,)`: LayerNorm(F) · w."""
    normed = functional.layer_norm(tokens.float(), tokens.shape[-1:])
    return functional.linear(normed, weight.unsqueeze(0)).squeeze(-1)


def image_seeds(images: Tensor) -> list[int]:
    """A seed per image from its pixels, so that `random` masks do not depend on batch size or order."""
    quantised = (images.detach().float() * 256).round().to(torch.int64).flatten(1)
    places = torch.arange(1, quantised.shape[1] + 1, device=images.device, dtype=torch.int64)
    return ((quantised * (places % 65521)).sum(dim=1) % (2**31 - 1)).tolist()


def random_scores(seeds: list[int], salt: int, num_tokens: int, device: torch.device) -> Tensor:
    """Uniform scores `(B, L)`, a function of each image's seed and the node's salt."""
    rows = [torch.rand(num_tokens, generator=torch.Generator().manual_seed(seed + 7919 * salt)) for seed in seeds]
    return torch.stack(rows).to(device)
