"""Closed-form MACs of DToP and SegViT, per image, as exact integers.

Two conventions: `matmul`, products only, and `fvcore`, in which all printed figures of the papers are: products, 5 per
element of LayerNorm, 2 of BatchNorm, 4 per element of a bilinearly upsampled map. The printed figures count two
upsamplings of the K maps to the image's size, the head's own and the framework's that no longer changes anything.
n live tokens, K classes, D and d the widths of backbone and head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from dit_bench.cost.formulas import Grid, attention_macs, linear_macs
from dit_bench.models.dtop.backbone import PlainVit
from dit_bench.models.dtop.heads import AtmHead, FcnHead, HeadKind
from dit_bench.models.dtop.live import PruningTrace
from dit_bench.models.dtop.network import DTopNetwork
from dit_bench.models.dtop.segvit import LAYERS_PER_DECODER, SegVitNetwork

CountingConvention = Literal["matmul", "fvcore"]
LAYER_NORM_WEIGHT, BATCH_NORM_WEIGHT, UPSAMPLING_WEIGHT = 5, 2, 4
PRINTED_UPSAMPLINGS = 2


@dataclass(frozen=True)
class _Cost:
    """Products, and what fvcore adds to them."""

    products: int
    extras: int = 0

    def __add__(self, other: _Cost) -> _Cost:
        return _Cost(self.products + other.products, self.extras + other.extras)

    def times(self, count: int) -> _Cost:
        return _Cost(count * self.products, count * self.extras)

    def under(self, convention: CountingConvention) -> int:
        return self.products + (self.extras if convention == "fvcore" else 0)


@dataclass(frozen=True)
class VitShape:
    """The sizes of a plain ViT that decide its cost."""

    width: int
    hidden_width: int
    patch: Grid

    @classmethod
    def of(cls, backbone: PlainVit) -> VitShape:
        """The sizes of a backbone."""
        return cls(backbone.width, backbone.hidden_width, backbone.patch_size)

    def num_tokens(self, image_size: Grid) -> int:
        """N, for an image of (height, width) pixels."""
        return (image_size[0] // self.patch[0]) * (image_size[1] // self.patch[1])

    def embedding(self, image_size: Grid) -> _Cost:
        """Patches: N · 3 · P² · D."""
        return _Cost(linear_macs(self.num_tokens(image_size), 3 * self.patch[0] * self.patch[1], self.width))

    def block(self, tokens: int) -> _Cost:
        """4nD² for queries, keys, values and output, 2n²D for attention, 2nDH for the feed-forward network; 2 norms."""
        projections = linear_macs(tokens, self.width, 4 * self.width + 2 * self.hidden_width)
        products = projections + attention_macs(tokens, tokens, self.width)
        return _Cost(products, LAYER_NORM_WEIGHT * 2 * tokens * self.width)


@dataclass(frozen=True)
class HeadShape:
    """The sizes of a token head that decide its cost."""

    kind: HeadKind
    in_width: int
    width: int
    num_classes: int
    num_layers: int = 0

    def cost(self, tokens: int) -> _Cost:
        """The head on n tokens of one image."""
        if self.kind == "fcn":
            products = linear_macs(tokens, self.in_width, self.width) + linear_macs(
                tokens, self.width, self.num_classes
            )
            return _Cost(products, BATCH_NORM_WEIGHT * tokens * self.width)
        presence = _Cost(linear_macs(self.num_classes, self.width, 2))
        decoder = _atm_layer(tokens, self.width, self.num_classes).times(self.num_layers)
        return _token_projection(tokens, self.in_width, self.width) + decoder + presence


def _token_projection(tokens: int, in_width: int, width: int) -> _Cost:
    """Linear layer nDd and a LayerNorm."""
    return _Cost(linear_macs(tokens, in_width, width), LAYER_NORM_WEIGHT * tokens * width)


def _atm_layer(tokens: int, width: int, num_classes: int) -> _Cost:
    """One layer of attention to mask.

    Class tokens among themselves 4Kd² + 2K²d; towards n tokens 2Kd² for queries and output, 2nd² for keys and values,
    2nKd for both products; feed-forward network 8Kd²; three norms.
    """
    of_classes = linear_macs(num_classes, width, 14 * width) + attention_macs(num_classes, num_classes, width)
    of_tokens = linear_macs(tokens, width, 2 * width) + attention_macs(num_classes, tokens, width)
    return _Cost(of_classes + of_tokens, LAYER_NORM_WEIGHT * 3 * num_classes * width)


def _upsampling(image_size: Grid, num_classes: int, times: int) -> _Cost:
    return _Cost(0, UPSAMPLING_WEIGHT * times * num_classes * image_size[0] * image_size[1])


@dataclass(frozen=True)
class DTopCosts:
    """What a DToP network costs on one image of (height, width) pixels."""

    vit: VitShape
    heads: tuple[HeadShape, ...]
    stage_ends: tuple[int, ...]
    image_size: Grid

    @classmethod
    def of(cls, network: DTopNetwork, image_size: Grid) -> DTopCosts:
        """The costs of a network."""
        heads = tuple(_head_shape(head) for head in network.token_heads)
        return cls(VitShape.of(network.backbone), heads, network.stage_ends, image_size)

    def macs(
        self,
        live: Sequence[int],
        heads_run: Sequence[bool],
        convention: CountingConvention = "matmul",
        *,
        with_aux: bool = True,
        upsamplings: int = PRINTED_UPSAMPLINGS,
    ) -> int:
        """MACs of one image with so many live tokens in each stage.

        `heads_run` says which heads ran; without auxiliary heads only the last counts. Pruning itself is free.
        """
        total = self.vit.embedding(self.image_size)
        depths = [last - first for first, last in pairwise((0, *self.stage_ends))]
        for depth, tokens in zip(depths, live, strict=True):
            total += self.vit.block(tokens).times(depth)
        for number, (head, tokens, ran) in enumerate(zip(self.heads, live, heads_run, strict=True), start=1):
            if ran and (with_aux or number == len(self.heads)):
                total += head.cost(tokens)
        total += _upsampling(self.image_size, self.heads[-1].num_classes, upsamplings)
        return total.under(convention)

    def baseline(self, convention: CountingConvention = "matmul", **options: int) -> int:
        """MACs without pruning and without auxiliary heads."""
        tokens = [self.vit.num_tokens(self.image_size)] * len(self.heads)
        return self.macs(tokens, [True] * len(tokens), convention, with_aux=False, **options)

    def of_trace(
        self, trace: PruningTrace, convention: CountingConvention = "matmul", *, with_aux: bool = True
    ) -> list[int]:
        """MACs of every image of a trace."""
        return [self.macs(live, trace.heads_run, convention, with_aux=with_aux) for live in trace.live.tolist()]


def _head_shape(head: object) -> HeadShape:
    if isinstance(head, FcnHead):
        return HeadShape("fcn", head.reduce.in_features, head.reduce.out_features, head.classify.out_features)
    assert isinstance(head, AtmHead)
    width, layers = head.classes.embedding_dim, len(head.decoder.layers)
    return HeadShape("atm", head.in_width, width, head.classes.num_embeddings, layers)


def segvit_macs(
    network: SegVitNetwork, image_size: Grid, convention: CountingConvention = "matmul", *, as_printed: bool = True
) -> int:
    """MACs of SegViT for one image: the cascade, and K · K per pixel of the image for the scores.

    `as_printed`, fvcore's figure holds what SegViT's code resizes without effect: the masks of every decoder on the
    token grid, and the finished scores.
    """
    vit, classes = VitShape.of(network.backbone), network.num_classes
    depth, decoders = len(network.backbone.blocks), len(network.tap_ends)
    tokens, width = vit.num_tokens(image_size), network.head.classes.embedding_dim
    decoder = _token_projection(tokens, vit.width, width)
    decoder += _atm_layer(tokens, width, classes).times(LAYERS_PER_DECODER)
    decoder += _Cost(linear_macs(classes, width, classes + 1))
    if as_printed:
        decoder += _Cost(0, UPSAMPLING_WEIGHT * classes * tokens)
    total = vit.embedding(image_size) + vit.block(tokens).times(depth) + decoder.times(decoders)
    total += _Cost(linear_macs(image_size[0] * image_size[1], classes, classes))
    return (total + _upsampling(image_size, classes, PRINTED_UPSAMPLINGS if as_printed else 1)).under(convention)
