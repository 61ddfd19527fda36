"""The settings of one run: everything that decides its numbers, as strict data.

Every unknown key is refused and nothing is mutable. Units stand in the names (`_px`, `_epochs`, `_fraction`).
`Runtime` holds what must not change a result (device, threads, workers); it is left out of a run's identity.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dit_bench.recipes.dense_settings import DetectionSettings, PruningSettings, SegmentationSettings
from dit_bench.recipes.plugin_names import DatasetName, GateName, MetricPluginName
from dit_bench.recipes.pretraining import PretrainingSettings
from dit_bench.recipes.strict import (
    Fraction,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveFraction,
    PositiveInt,
    Strict,
)

Task = Literal["classification", "detection", "segmentation"]
Variant = Literal["dynamic", "static", "fully", "random", "attention", "scale", "depth", "diagonal", "cheapest"]


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
    kind: GateName = "linear"
    """What scores tokens: the paper's linear map, or a gate that another package plugs in."""


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
    """Which architecture, under its timm name or that of a plug-in, and its regularisation."""

    name: str = "dit_mini"
    drop_path_rate: Fraction = 0.0
    drop_rate: Fraction = 0.0
    init_weights: str | None = None
    """Local file of PVTv2 weights to start from (safetensors or PyTorch, strict); None trains from scratch."""


class DataSettings(Strict):
    """Which images, and how they reach the network."""

    dataset: DatasetName = "digit_scenes"
    """Digit scenes are those with one digit for classification, with several for detection and segmentation. Another
    package may plug in images with labels, for classification."""
    root: str | None = None
    """Folder of a data set in the layout of ImageNet, COCO or ADE20K, or as a plug-in wants it; unused for the embedded
    scenes."""
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


class EvaluationSettings(Strict):
    """What an evaluation finds out beside the figures that every one has."""

    metrics: list[MetricPluginName] = []
    """Metrics of classification that other packages plug in."""

    @model_validator(mode="after")
    def _each_metric_once(self) -> "EvaluationSettings":
        if len(set(self.metrics)) < len(self.metrics):
            raise ValueError(f"a metric stands twice in metrics = {self.metrics}")
        return self


class NumericsSettings(Strict):
    """Precision and compilation: they may change a result in its last digits, so they belong to its identity."""

    amp: Literal["off", "bf16", "fp16"] = "off"
    compile: bool = False


class RunSettings(Strict):
    """All settings that decide what a run computes; their hash is the run's identity, together with the seed."""

    task: Task = "classification"
    model: ModelSettings = ModelSettings()
    routing: RoutingSettings = RoutingSettings()
    data: DataSettings = DataSettings()
    augment: AugmentSettings = AugmentSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    numerics: NumericsSettings = NumericsSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    detection: DetectionSettings = DetectionSettings()
    segmentation: SegmentationSettings = SegmentationSettings()
    """What only the task of that name has; neither belongs to the identity of other tasks' runs."""
    pruning: PruningSettings = PruningSettings()
    """What only segmenters on a plain ViT have; it does not belong to the identity of other runs."""
    pretraining: PretrainingSettings = PretrainingSettings()
    """What only networks for dense prediction have; where there is none it does not belong to a run's identity."""

    @model_validator(mode="after")
    def _pretraining_fits(self) -> "RunSettings":
        if self.pretraining.epochs:
            if self.data.dataset != "digit_scenes":
                raise ValueError(f"pretraining is that of digit scenes, but data.dataset is {self.data.dataset}")
            if self.model.init_weights is not None:
                raise ValueError("pretraining.epochs and model.init_weights both say where the run starts")
            if self.pretraining.min_scale > self.data.max_scale:
                raise ValueError("pretraining.min_scale is larger than data.max_scale")
        return self

    @model_validator(mode="after")
    def _metrics_fit(self) -> "RunSettings":
        if self.evaluation.metrics and self.task != "classification":
            raise ValueError(f"evaluation.metrics are those of classification, but the task is {self.task}")
        return self


class RuntimeSettings(Strict):
    """Where and how fast a run executes; none of it may change a result."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    threads: PositiveInt | None = None
    workers: NonNegativeInt = 0
    evaluate_every_epochs: NonNegativeInt = 0
    """Evaluate after every so many epochs too, and note the figures in the epoch log; 0: at the end only."""
    eval_batch_size: PositiveInt = 100
    accumulation_steps: PositiveInt = 1
    """Portions in which a process computes its share of every training batch, one after the other, to save memory."""
    data_dir: str | None = None
    """Cache of the embedded scenes; None is the user's cache folder."""
