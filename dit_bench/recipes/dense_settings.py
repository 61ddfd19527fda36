"""The settings that only one task of dense prediction has: detection, segmentation, pruning in plain ViTs."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dit_bench.recipes.strict import (
    Fraction,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveFraction,
    PositiveInt,
    Strict,
)

DetectorName = Literal["retinanet", "atss", "gfl", "mask_rcnn", "cascade_mask_rcnn", "sparse_rcnn", "detr"]
WITH_QUERIES: tuple[DetectorName, ...] = ("sparse_rcnn", "detr")
SegmenterName = Literal["semantic_fpn", "trans2seg", "deeplabv3_plus", "dtop", "segvit"]
PLAIN_VIT_SEGMENTERS: tuple[SegmenterName, ...] = ("dtop", "segvit")
"""Those that stand on a plain ViT; the others need a pyramid."""
PruningVariant = Literal["top-k", "remove", "top-share", "average", "average-top-k"]
PruningMode = Literal["baseline", "direct", "finetune", "retrain"]


class DetectionSettings(Strict):
    """Object detection: which detector stands on the backbone, how images reach it, its learning-rate schedule.

    `optimiser` gives rate, decay, clipping, epochs and batch; what it says of warm-up and schedule is for
    classification and has no meaning here.
    """

    detector: DetectorName = "retinanet"
    width_divisor: Literal[1, 2, 4, 8] = 1
    """Neck and heads have their published widths divided by this: detectors for small images."""
    regions_per_image: PositiveInt = 512
    """Regions of each image that a second stage is trained on (Mask R-CNN and its cascade)."""
    num_queries: PositiveInt | None = None
    """Objects that a detector with learned queries can find in an image; by default 100 (DETR), 300 (Sparse R-CNN)."""
    short_sides_px: Annotated[list[PositiveInt], Field(min_length=1)] = [800]
    """Training images are resized to a short side drawn from these."""
    max_long_side_px: PositiveInt = 1333
    test_short_side_px: PositiveInt = 800
    random_crop: bool = False
    """DETR's second policy: in half of the cases resize, crop at random, and only then resize to a short side."""
    milestone_epochs: list[PositiveInt] = [8, 11]
    """After so many epochs the rate falls by `decay_factor`."""
    decay_factor: PositiveFraction = 0.1
    warmup_updates: NonNegativeInt = 500
    warmup_factor: PositiveFraction = 0.001
    """The rate rises linearly from so much of its value."""
    no_decay: Literal["nothing", "norms"] = "nothing"
    """Parameters without weight decay: none, or those with `norm` in their name."""
    backbone_lr_scale: PositiveFloat = 1.0
    frozen_stages: Annotated[int, Field(ge=0, le=4)] = 0
    """Of a ResNet: so many stages, the stem with the first, are never trained, and no batch norm adapts."""

    @model_validator(mode="after")
    def _milestones_in_order(self) -> "DetectionSettings":
        if self.milestone_epochs != sorted(set(self.milestone_epochs)):
            raise ValueError(f"milestone_epochs must increase, got {self.milestone_epochs}")
        if max(self.short_sides_px) > self.max_long_side_px or self.test_short_side_px > self.max_long_side_px:
            raise ValueError("a short side is longer than max_long_side_px")
        if self.num_queries is not None and self.detector not in WITH_QUERIES:
            raise ValueError(f"num_queries is for {' and '.join(WITH_QUERIES)}, not {self.detector}")
        return self


class SegmentationSettings(Strict):
    """Semantic segmentation: which head stands on the backbone, how images reach it, how long it trains.

    `optimiser` gives rate, decay, clipping and batch; what it says of epochs, warm-up and schedule is for
    classification and has no meaning here.
    """

    segmenter: SegmenterName = "semantic_fpn"
    width_divisor: Literal[1, 2, 4, 8] = 1
    """Neck and head have their published widths divided by this: heads for small images."""
    output_stride: Literal[8, 16, 32] = 32
    """Of a ResNet's coarsest map: below 32 its last stages are dilated instead of strided."""
    classes: list[str] = []
    """Names of the classes of the labels 1 … K (0 … K − 1 with `zero_label: class`); empty means the data set's own."""
    zero_label: Literal["ignore", "class"] = "ignore"
    """What a 0 in a label image is: nothing that counts, as in ADE20K, or the first class."""
    short_side_px: PositiveInt = 512
    """Training images are resized to this short side times a factor drawn from the range that follows."""
    min_resize_factor: PositiveFloat = 0.5
    max_resize_factor: PositiveFloat = 2.0
    max_long_side_px: PositiveInt = 2048
    """Before the factor; also of test images."""
    crop_px: PositiveInt = 512
    """Side of the square that training images are cropped or padded to."""
    max_class_share: PositiveFraction = 0.75
    """A crop is drawn anew, ten times at most, while one class covers this share of its labelled pixels or more; 1 asks
    for nothing."""
    photometric_distortion: bool = True
    test_short_side_px: PositiveInt = 512
    """Test images are resized to this short side, then both sides up to a multiple of 32."""
    updates: PositiveInt = 40_000
    """Length of the training, in optimiser steps."""
    poly_power: NonNegativeFloat = 0.9
    """The rate falls from the full one to `min_lr` as (1 − t / updates) to this power."""
    min_lr: NonNegativeFloat = 0.0
    warmup_updates: NonNegativeInt = 0
    """The rate rises linearly over so many updates."""
    no_decay: Literal["nothing", "norms"] = "nothing"
    """Parameters without weight decay: none, or those with `norm` in their name."""
    backbone_lr_scale: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _ranges_in_order(self) -> "SegmentationSettings":
        if self.min_resize_factor > self.max_resize_factor:
            raise ValueError("min_resize_factor is larger than max_resize_factor")
        if max(self.short_side_px, self.test_short_side_px) > self.max_long_side_px:
            raise ValueError("a short side is longer than max_long_side_px")
        if self.warmup_updates >= self.updates:
            raise ValueError("warmup_updates must be smaller than updates")
        return self


class PruningSettings(Strict):
    """Plain ViTs in stages with a head after each, and dynamic token pruning (DToP); only for these segmenters.

    `segmentation.updates` is how long the baseline trains, and a network that is retrained.
    """

    mode: PruningMode = "baseline"
    """`baseline`: no token leaves. `direct`: the baseline's weights, tokens leave at inference. `finetune`: from the
    baseline's weights, trained on while tokens leave. `retrain`: tokens leave from the first step on."""
    stage_ends: list[PositiveInt] = []
    """Layers, counted from 1, after which stages end, the last one included; empty: 6, 8, 12 of 12, else thirds."""
    heads: Annotated[list[Literal["atm", "fcn"]], Field(min_length=1)] = ["atm"]
    """Kind of the head of each stage, or one for all: attention to mask, or fully convolutional."""
    atm_heads: PositiveInt | None = None
    """Attention heads of attention to mask; None: half as many as the backbone's."""
    atm_layers: PositiveInt = 3
    variant: PruningVariant = "top-k"
    """Which tokens leave (DToP Table 5): of the easy ones, `top-k` keeps the k surest of every class, `remove` none,
    `average` their mean, `average-top-k` both; `top-share` lets the surest share of all tokens leave."""
    threshold: Fraction = 0.95
    """p0 at inference: a token is easy if its score is above; 1 lets none leave."""
    train_threshold: Fraction = 0.95
    """p0 in training."""
    keep: NonNegativeInt = 5
    """k of `top-k`."""
    share: Fraction = 0.35
    """Share of `top-share`."""
    finetune_updates: PositiveInt = 40_000
    finetune_scope: Literal["heads", "all"] = "heads"
    """What fine-tuning trains: the paper's text says the heads, its code trains everything."""
    slide_stride_px: PositiveInt | None = None
    """Test images are cut into windows of `segmentation.crop_px` so far apart; None: whole images."""
    pixel_scale: Literal["half", "imagenet"] = "half"
    """Pixels minus one half over one half, as the published ViTs expect, or by ImageNet's mean and deviation."""
    exclude_ignored: bool = False
    """Leave pixels without a label out of the loss of masks; in the authors' code they belong to no class's mask."""
