"""Counting conventions: which terms of a census count, with which weight.

Papers print "GFLOPs" that mean MACs under different conventions; `matmul` is ours, the others reproduce what a counter
of the time gave, so that a printed figure can be checked to its last digit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dit_bench.cost.census import Census
from dit_bench.cost.layers import KINDS

TERM_LABELS: dict[str, str] = {
    "conv": "convolutions",
    "linear": "linear layers",
    "attention": "attention products",
    "other": "matrix products outside known layers",
    "fused_attention": "attention products in a fused kernel",
    "layer.conv_bias": "biases of convolution layers",
    "layer.linear_bias": "biases of linear layers",
    "layer.batch_norm": "BatchNorm layers",
    "layer.batch_norm.plain": "BatchNorm layers without affine",
    "layer.sync_batch_norm": "SyncBatchNorm layers",
    "layer.sync_batch_norm.plain": "SyncBatchNorm layers without affine",
    "layer.layer_norm": "LayerNorm layers",
    "layer.layer_norm.plain": "LayerNorm layers without affine",
    "layer.group_norm": "GroupNorm layers",
    "layer.group_norm.plain": "GroupNorm layers without affine",
    "layer.instance_norm": "InstanceNorm layers",
    "layer.instance_norm.plain": "InstanceNorm layers without affine",
    "layer.relu": "ReLU layers",
    "layer.gelu": "GELU layers",
    "layer.activation": "other activation layers",
    "layer.softmax": "softmax layers",
    "layer.pool": "pooling layers",
    "layer.adaptive_pool": "adaptive pooling layers",
    "layer.upsample": "upsampling layers",
    "call.conv_bias": "convolution biases",
    "call.linear_bias": "linear biases",
    "call.linear_bias.separate": "linear biases added after the product",
    "call.batch_norm": "BatchNorm",
    "call.batch_norm.plain": "BatchNorm without affine",
    "call.layer_norm": "LayerNorm",
    "call.layer_norm.plain": "LayerNorm without affine",
    "call.group_norm": "GroupNorm",
    "call.group_norm.plain": "GroupNorm without affine",
    "call.instance_norm": "InstanceNorm",
    "call.instance_norm.plain": "InstanceNorm without affine",
    "call.activation": "activation functions",
    "call.softmax": "softmax functions",
    "call.pool": "pooling functions",
    "call.adaptive_avg_pool2d": "adaptive average pooling",
    "call.upsample_nearest": "nearest upsampling",
    "call.upsample_bilinear": "bilinear upsampling",
    "call.upsample_other": "other upsampling",
    "call.grid_sample": "grid sampling",
}
"""Every term that a census can hold, in the words of a report."""


@dataclass(frozen=True)
class Convention:
    """A way to turn a census into one figure: a weighted sum of its terms."""

    name: str
    description: str
    """One line for users."""
    weights: Mapping[str, int]
    """Weight per MAC, or MACs per element, of each term that counts; the others weigh 0."""

    def __post_init__(self) -> None:
        unknown = set(self.weights) - set(TERM_LABELS)
        assert not unknown, f"no census holds {sorted(unknown)}"

    @property
    def counts_layers(self) -> bool:
        """Whether it is that of a counter which hooks layers by their class and sees no functions."""
        return any(term.startswith("layer.") for term in self.weights)


@dataclass(frozen=True)
class Difference:
    """A signed number of MACs with its reason."""

    label: str
    macs: int


_PRODUCTS: dict[str, int] = dict.fromkeys(KINDS, 1)
# The counter of mmcv hooks layers by class and so knows no attention products; the authors of PVT added them by hand.
_MMCV = {
    **_PRODUCTS,
    "layer.conv_bias": 1,
    "layer.batch_norm": 2,
    "layer.batch_norm.plain": 1,
    "layer.relu": 1,
    "layer.pool": 1,
    "layer.adaptive_pool": 1,
    "layer.upsample": 1,
}

MATMUL = Convention("matmul", "matrix products only: convolutions, linear layers, attention", _PRODUCTS)
MMCV = Convention(
    "mmcv",
    "mmcv's counter before 1.3 with attention products: convolution bias, ReLU, pooling 1, BatchNorm 2 per element",
    _MMCV,
)
MMCV_LAYERNORM = Convention(
    "mmcv-layernorm",
    "mmcv's counter since 1.3 with attention products: as mmcv, and the other norms 2 per element",
    {
        **_MMCV,
        **{f"layer.{norm}_norm": 2 for norm in ("layer", "group", "instance")},
        **{f"layer.{norm}_norm.plain": 1 for norm in ("layer", "group", "instance")},
    },
)
FVCORE = Convention(
    "fvcore",
    "fvcore, attention not fused: BatchNorm 2, other norms 5, resizing 1 or 4, adaptive pooling 1 per element",
    {
        **_PRODUCTS,
        "call.batch_norm": 2,
        "call.batch_norm.plain": 1,
        **{f"call.{norm}_norm": 5 for norm in ("layer", "group", "instance")},
        **{f"call.{norm}_norm.plain": 4 for norm in ("layer", "group", "instance")},
        "call.upsample_nearest": 1,
        "call.upsample_bilinear": 4,
        "call.adaptive_avg_pool2d": 1,
        "call.grid_sample": 4,
    },
)
CONV_BATCHNORM = Convention(
    "conv-batchnorm",
    "counters of convolutions, linear layers and batch norms alone, these 2 per element",
    {"conv": 1, "linear": 1, "layer.batch_norm": 2, "layer.batch_norm.plain": 1},
)


def without_attention(convention: Convention) -> Convention:
    """What the tool behind a convention prints by itself: only what convolution and linear layers multiply.

    Layer hooks see neither attention products nor matrix products outside layers; some printed figures lack them
    (DiT Table 3, rows of PVTv1 and Swin).
    """
    return replace(
        convention,
        name=f"{convention.name}-no-attention",
        description=f"as {convention.name}, without attention products",
        weights={**convention.weights, "attention": 0, "other": 0},
    )


CONVENTIONS: dict[str, Convention] = {
    convention.name: convention
    for convention in (
        MATMUL,
        MMCV,
        MMCV_LAYERNORM,
        without_attention(MMCV),
        without_attention(MMCV_LAYERNORM),
        FVCORE,
        CONV_BATCHNORM,
    )
}
"""The conventions that users can name."""


def without_fused_attention(convention: Convention) -> Convention:
    """The same for a counter that takes fused attention kernels for free."""
    return replace(
        convention,
        name=f"{convention.name}-fused",
        description=f"{convention.description}; fused attention kernels count nothing",
        weights={**convention.weights, "fused_attention": -1},
    )


def convention_macs(census: Census, convention: Convention) -> int:
    """The figure that a convention gives for a network, in MACs over the batch of the census."""
    return sum(weight * census.terms.get(term, 0) for term, weight in convention.weights.items())


def pyramid_macs(backbone: Census, head: Census, convention: Convention) -> int:
    """The figure that a convention gives for a backbone with a head on its maps, in MACs, from their censuses.

    Where a counter of layers was used, a head counts less than a backbone would: the attention that authors added
    by hand was their backbone's alone, never that of Sparse R-CNN's head; and the batch norms of the cascade's heads
    were SyncBatchNorms, which mmcv's counter does not know.
    """
    if convention.counts_layers and convention is not CONV_BATCHNORM:
        bare = without_attention(convention)
        weights = {term: weight for term, weight in bare.weights.items() if not term.startswith("layer.batch_norm")}
        return convention_macs(backbone, convention) + convention_macs(head, replace(bare, weights=weights))
    return convention_macs(backbone, convention) + convention_macs(head, convention)


def differences(census: Census, convention: Convention) -> list[Difference]:
    """Why a convention's figure is not that of `matmul`, term by term; the sum is exactly the difference."""
    found = []
    for term, label in TERM_LABELS.items():
        base = MATMUL.weights.get(term, 0)
        weight = convention.weights.get(term, 0)
        macs = (weight - base) * census.terms.get(term, 0)
        if macs:
            counted = f" at {weight} per element" if "." in term else " not counted"
            found.append(Difference(label + counted, macs))
    return found
