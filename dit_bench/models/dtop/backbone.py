"""The plain ViT of SegViT and DToP: timm's vision transformer without class token and final norm, on any token grid.

The class token and its position stay among the weights, under timm's names, so that timm's checkpoints load; it is
dropped before the first block, as mmsegmentation does with `with_cls_token=False`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from timm.layers import Attention, PatchEmbed
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

import dit_bench.models.dtop.vit_mini  # noqa: F401 - registers our small sizes
from dit_bench.cost.formulas import Grid
from dit_bench.errors import UsageError
from dit_bench.models.dtop.layout import RaggedLayout
from dit_bench.models.dtop.ragged_block import run_block
from dit_bench.models.zoo import create, default_image_size


class PlainVit(nn.Module):
    """Patch embedding, positions and L blocks; `model` keeps the names that its weights have for classification."""

    def __init__(self, model: VisionTransformer):
        super().__init__()
        self.model = model
        self.rescale: nn.Module = nn.Identity()
        """Brings pixels `(B, 3, H, W)` to the scale that the weights expect; has no weights of its own."""
        model.norm, model.fc_norm = nn.Identity(), nn.Identity()
        if model.cls_token is not None:
            model.cls_token.requires_grad_(False)
        for block in self.blocks:
            # mmsegmentation's ViT drops paths in the feed-forward branch only.
            block.drop_path1 = nn.Identity()

    @property
    def blocks(self) -> list[Block]:
        """The L blocks."""
        return [block for block in self.model.blocks.children() if isinstance(block, Block)]

    @property
    def width(self) -> int:
        """D, the width of a token."""
        return self.model.embed_dim

    @property
    def hidden_width(self) -> int:
        """Width of the feed-forward networks."""
        return len(self.blocks[0].get_parameter("mlp.fc1.weight"))

    @property
    def num_heads(self) -> int:
        """Attention heads of every block."""
        attention = self.blocks[0].attn
        assert isinstance(attention, Attention)
        return attention.num_heads

    @property
    def patch_size(self) -> Grid:
        """Height and width of a patch in pixels."""
        patches = self.model.patch_embed
        assert isinstance(patches, PatchEmbed)
        height, width = patches.patch_size
        return int(height), int(width)

    def grid(self, image_size: Grid) -> Grid:
        """Token grid (h, w) of an image of (height, width) pixels. Raises UsageError if patches would be cut."""
        patch = self.patch_size
        if image_size[0] % patch[0] or image_size[1] % patch[1]:
            raise UsageError(
                f"images of {image_size[0]}x{image_size[1]} pixels do not divide into patches of {patch[0]}x{patch[1]}",
                remedy="give sides that are multiples of the patch",
            )
        return image_size[0] // patch[0], image_size[1] // patch[1]

    def embed(self, pixels: Tensor) -> tuple[Tensor, Grid]:
        """Tokens `(B, N, D)` with their positions from images `(B, 3, H, W)`, row by row, and their grid."""
        grid = self.grid((pixels.shape[2], pixels.shape[3]))
        tokens = self.model.patch_embed.proj(self.rescale(pixels)).flatten(2).transpose(1, 2)
        tokens = self.model.patch_embed.norm(tokens)
        return self.model.pos_drop(tokens + self._positions(grid).to(tokens.dtype)), grid

    def run(self, tokens: Tensor, layout: RaggedLayout, first: int, last: int) -> Tensor:
        """Tokens `(T, D)` through the blocks `first` + 1 … `last`, counted from 1."""
        for block in self.blocks[first:last]:
            tokens = run_block(block, tokens, layout)
        return tokens

    def taps(self, pixels: Tensor, ends: Sequence[int]) -> tuple[list[Tensor], Grid]:
        """Tokens `(B, N, D)` after each of the layers `ends`, counted from 1 and increasing, and their grid."""
        tokens, grid = self.embed(pixels)
        taken = []
        for first, last in pairwise((0, *ends)):
            for block in self.blocks[first:last]:
                tokens = block(tokens)
            taken.append(tokens)
        return taken, grid

    def _positions(self, grid: Grid) -> Tensor:
        """Position embedding `(1, N, D)` on a grid: resized bicubically from the grid it was built for."""
        table = self.model.pos_embed
        assert isinstance(table, Tensor)
        built_for = self.model.patch_embed.grid_size
        assert built_for is not None
        # What precedes the patches belongs to the class token.
        table = table[:, table.shape[1] - built_for[0] * built_for[1] :]
        if tuple(built_for) == grid:
            return table
        maps = table.transpose(1, 2).unflatten(2, tuple(built_for)).float()
        resized = functional.interpolate(maps, size=grid, mode="bicubic", align_corners=False)
        return resized.flatten(2).transpose(1, 2)


def build_plain_vit(name: str, **arguments: Any) -> PlainVit:
    """A freshly initialised backbone by its name in the zoo, such as `vit_base_patch16_384` or `vit_mini_patch8`.

    `arguments` go to timm's constructor: `drop_path_rate`; `img_size` for another grid of positions than the model's
    own. Raises UsageError for anything but a plain ViT.
    """
    model = create(name, num_classes=0, image_size=default_image_size(name), **arguments)
    if not isinstance(model, VisionTransformer) or not _is_plain(model):
        raise UsageError(
            f"model.name={name} is not a plain vision transformer",
            remedy="use one with absolute positions and no extra tokens, such as vit_base_patch16_384",
        )
    return PlainVit(model)


def default_stage_ends(depth: int) -> tuple[int, ...]:
    """Layers after which the three stages end: 6, 8, 12 of ViT-B (DToP, Table 4), 8, 16, 24 of ViT-L, else thirds."""
    if depth == 12:
        return 6, 8, 12
    ends = sorted({max(1, depth // 3), max(1, 2 * depth // 3), depth})
    return tuple(ends)


def _is_plain(model: VisionTransformer) -> bool:
    return (
        type(model) is VisionTransformer
        and isinstance(model.pos_embed, Tensor)
        and model.num_reg_tokens == 0
        and isinstance(model.norm_pre, nn.Identity)
        and isinstance(model.patch_drop, nn.Identity)
        and all(type(block) is Block and _is_plain_attention(block.attn) for block in model.blocks.children())
    )


def _is_plain_attention(attention: nn.Module) -> bool:
    return (
        type(attention) is Attention
        and attention.gate is None
        and all(isinstance(norm, nn.Identity) for norm in (attention.q_norm, attention.k_norm, attention.norm))
        and attention.scale == attention.head_dim**-0.5
    )
