"""The settings of a pyramid's stages, read off the built modules (PVT Table 1's P, C, R, N, E and depth)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from dit_bench.models.pvt_v1_model import PyramidVisionTransformer


@dataclass(frozen=True)
class BuiltStage:
    """One stage as it was built."""

    patch_size: int
    embed_dim: int
    sr_ratio: int
    num_heads: int
    mlp_ratio: int
    depth: int


def built_stages(model: nn.Module) -> list[BuiltStage]:
    """The stages of a PVT v1; of any other model, none."""
    if not isinstance(model, PyramidVisionTransformer):
        return []
    return [_stage(model, number) for number in range(1, model.num_stages + 1)]


def _stage(model: PyramidVisionTransformer, number: int) -> BuiltStage:
    projection = getattr(model, f"patch_embed{number}").proj
    blocks = getattr(model, f"block{number}")
    first = blocks[0]
    reduction = first.attn.sr.kernel_size[0] if hasattr(first.attn, "sr") else 1
    assert first.mlp.fc1.out_features % first.mlp.fc1.in_features == 0
    return BuiltStage(
        patch_size=projection.kernel_size[0],
        embed_dim=projection.out_channels,
        sr_ratio=reduction,
        num_heads=first.attn.num_heads,
        mlp_ratio=first.mlp.fc1.out_features // first.mlp.fc1.in_features,
        depth=len(blocks),
    )
