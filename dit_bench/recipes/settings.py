"""The settings of one run: everything that decides its numbers, as strict data.

Every unknown key is refused and nothing is mutable. Units stand in the names (`_px`, `_epochs`, `_fraction`).
`Runtime` holds what must not change a result (device, threads, workers); it is left out of a run's identity.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveFraction = Annotated[float, Field(gt=0.0, le=1.0)]
PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
NonNegativeFloat = Annotated[float, Field(ge=0.0)]

Task = Literal["classification", "detection", "segmentation"]
DetectorName = Literal["retinanet", "atss", "gfl", "mask_rcnn", "cascade_mask_rcnn", "sparse_rcnn", "detr"]
SegmenterName = Literal["semantic_fpn", "trans2seg", "deeplabv3_plus", "dtop", "segvit"]
PLAIN_VIT_SEGMENTERS: tuple[SegmenterName, ...] = ("dtop", "segvit")
"""Those that stand on a plain ViT; the others need a pyramid."""
PruningVariant = Literal["top-k", "remove", "top-share", "average", "average-top-k"]
PruningMode = Literal["baseline", "direct", "finetune", "retrain"]
Variant = Literal["dynamic", "static", "fully", "random", "attention", "scale", "depth", "diagonal", "cheapest"]


class Strict(BaseModel):
    """Base of all recipe data: unknown keys refused, no type coercion, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class GateSettings(Strict):
    """How a row or column gate decides (DiT §3.2, Eq. 1-3); what the paper leaves open is a key here."""

    normalise_input: bool = True
    """Apply a parameter-free LayerNorm to the gate's input, so that growing features do not flip gates."""
    detach_input: bool = True
    """Stop the gate's gradient from flowing into the features that it reads."""
    temperature: PositiveFloat = 1.0
    """Temperature of the soft surrogate whose gradient the hard sample takes (straight-through)."""
    ema_momentum: Fraction = 0.99
    """m of Eq. 3, reached through the warm-up min(m, (1 + t) / (10 + t))."""
    initial_keep_logit: float = 4.0
    """Initial logit gap keep minus skip of a gate that starts open (4.0 keeps 98 %)."""
    initial_skip_logit: float = -2.0
    """Initial logit gap of the gates off the diagonal when the open phase uses the diagonal only."""
    lr_scale: PositiveFloat = 1.0
    """Learning rate of the gates relative to the rest of the network. Gates are never decayed."""


class RoutingSettings(Strict):
    """The routing space and how it is trained (DiT §3.1-3.3)."""

    variant: Variant = "dynamic"
    columns: list[NonNegativeInt] = [0, 1, 2, 3, 4]
    """Columns 0 … M that carry patch embeddings; the literal Eq. 4 has them in every one."""
    gate: GateSettings = GateSettings()
    open_path: Literal["fully", "diagonal"] = "diagonal"
    """The path that all tokens take, without sampling, during the first `open_fraction` of training."""
    open_fraction: Fraction = 0.4
    noise_start: Fraction = 1.0
    """Scale of the Gumbel noise when the gates start to decide."""
    noise_end: Fraction = 0.0
    noise_end_fraction: Fraction = 0.8
    """Point of training from which the noise stays at `noise_end`."""
    entry_scale_init: PositiveFloat | None = 0.1
    """Initial value of the learned channel scale of each patch embedding off the diagonal; None has no such scale."""
    budget_ratio: PositiveFloat = 0.95
    """mu of Eq. 6: the target of executed MACs over those of PVTv2 of the same size."""
    budget_weight: NonNegativeFloat = 2.0
    """lambda of Eq. 7 once the ramp has ended."""
    budget_ramp_start_fraction: Fraction = 0.4
    budget_ramp_end_fraction: Fraction = 0.6

    @model_validator(mode="after")
    def _ramp_in_order(self) -> "RoutingSettings":
        if self.budget_ramp_end_fraction < self.budget_ramp_start_fraction:
            raise ValueError("budget_ramp_end_fraction lies before budget_ramp_start_fraction")
        if self.noise_end_fraction < self.open_fraction:
            raise ValueError("noise_end_fraction lies before open_fraction")
        return self


class ModelSettings(Strict):
    """Which architecture, under its timm name, and its regularisation."""

    name: str = "dit_mini"
    drop_path_rate: Fraction = 0.0
    drop_rate: Fraction = 0.0
    init_weights: str | None = None
    """Local file of PVTv2 weights to start from (safetensors or PyTorch, strict); None trains from scratch."""


class DataSettings(Strict):
    """Which images, and how they reach the network."""

    dataset: Literal["digit_scenes", "imagenet", "coco", "ade20k", "pascal_context", "coco_stuff_10k"] = "digit_scenes"
    """Digit scenes are those with one digit for classification, with several for detection and segmentation."""
    root: str | None = None
    """Folder of a data set in the layout of ImageNet, COCO or ADE20K; unused for the embedded scenes."""
    image_size_px: PositiveInt = 64
    train_images: PositiveInt = 6000
    tune_images: PositiveInt = 1500
    val_images: PositiveInt = 1500
    scene_seed: NonNegativeInt = 0
    clutter: NonNegativeInt = 3
    """Digit scenes: number of distracting digit fragments per scene."""
    min_scale: PositiveFraction = 0.25
    """Digit scenes: smallest side of the digit over the side of the frame."""
    max_scale: PositiveFraction = 0.9
    eval_split: Literal["val", "tune"] = "val"
    eval_crop_fraction: PositiveFraction = 0.875
    """Side of the centre crop over the resized short side (ImageNet folders)."""

    @model_validator(mode="after")
    def _scales_in_order(self) -> "DataSettings":
        if self.min_scale > self.max_scale:
            raise ValueError("min_scale is larger than max_scale")
        return self


class AugmentSettings(Strict):
    """Augmentation of training images (timm's implementations)."""

    shift_px: NonNegativeInt = 0
    """Random shift of digit scenes by up to so many pixels."""
    random_resized_crop: bool = False
    hflip_prob: Fraction = 0.0
    rand_augment: str | None = None
    """timm's RandAugment string, as in `rand-m9-mstd0.5-inc1`."""
    random_erasing_prob: Fraction = 0.0
    mixup_alpha: NonNegativeFloat = 0.0
    cutmix_alpha: NonNegativeFloat = 0.0
    mixup_prob: Fraction = 1.0
    mixup_switch_prob: Fraction = 0.5
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    repeated_augmentation: PositiveInt = 1


class OptimiserSettings(Strict):
    """AdamW with a cosine schedule after a linear warm-up."""

    lr: PositiveFloat = 2e-3
    weight_decay: NonNegativeFloat = 0.05
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    eps: PositiveFloat = 1e-8
    clip_grad_norm: PositiveFloat | None = 5.0
    epochs: PositiveInt = 12
    batch_size: PositiveInt = 64
    warmup_epochs: NonNegativeFloat = 1.0
    warmup_lr: NonNegativeFloat = 1e-6
    min_lr: NonNegativeFloat = 1e-5
    step_by: Literal["update", "epoch"] = "update"

    @model_validator(mode="after")
    def _warmup_fits(self) -> "OptimiserSettings":
        if self.warmup_epochs >= self.epochs:
            raise ValueError("warmup_epochs must be smaller than epochs")
        return self


class NumericsSettings(Strict):
    """Precision and compilation: they may change a result in its last digits, so they belong to its identity."""

    amp: Literal["off", "bf16", "fp16"] = "off"
    compile: bool = False


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


class RunSettings(Strict):
    """All settings that decide what a run computes; their hash is the run's identity, together with the seed."""

    task: Task = "classification"
    model: ModelSettings = ModelSettings()
    routing: RoutingSettings = RoutingSettings()
    data: DataSettings = DataSettings()
    augment: AugmentSettings = AugmentSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    numerics: NumericsSettings = NumericsSettings()
    detection: DetectionSettings = DetectionSettings()
    segmentation: SegmentationSettings = SegmentationSettings()
    """What only the task of that name has; neither belongs to the identity of other tasks' runs."""
    pruning: PruningSettings = PruningSettings()
    """What only segmenters on a plain ViT have; it does not belong to the identity of other runs."""


class RuntimeSettings(Strict):
    """Where and how fast a run executes; none of it may change a result."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    threads: PositiveInt | None = None
    workers: NonNegativeInt = 0
    evaluate_every_epochs: NonNegativeInt = 0
    """Evaluate after every so many epochs too, and note the figures in the epoch log; 0: at the end only."""
    eval_batch_size: PositiveInt = 100
    data_dir: str | None = None
    """Cache of the embedded scenes; None is the user's cache folder."""
