"""How much a run computes, from its settings alone: images seen and evaluated, MACs of each; no data is read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from statistics import mean

from dit_bench.cost.formulas import Grid
from dit_bench.data.order import epoch_length
from dit_bench.engine.counting import ALL_GATES, CHEAPEST, DIAGONAL, static_costs
from dit_bench.errors import UsageError
from dit_bench.recipes.lineage import is_trained, segmentation_updates
from dit_bench.recipes.settings import RunSettings

FORWARD_AND_BACKWARD = 3
"""A training step computes each product once forward and twice backward, for the inputs and for the weights."""
# Images of the training split and of the one that is evaluated. Of COCO: those with an object.
_IMAGES = {
    "imagenet": (1_281_167, 50_000),
    "coco": (117_266, 5_000),
    "ade20k": (20_210, 2_000),
    "pascal_context": (4_996, 5_104),
    "coco_stuff_10k": (9_000, 1_000),
}
_COCO_SIDES_RATIO = 4 / 3


@dataclass(frozen=True)
class Workload:
    """The size of a run."""

    train_images: int
    """Images over the whole training, each as often as it is seen; 0 for a run that does not train."""
    eval_images: int
    train_macs: int
    """Of one image, forward, as training executes it: of a routed network all nodes, whatever the gates say."""
    eval_macs: int
    params: int

    @property
    def train_gmacs(self) -> float:
        """Of the whole training, forward and backward."""
        return FORWARD_AND_BACKWARD * self.train_images * self.train_macs / 1e9


def workload(settings: RunSettings) -> Workload:
    """The size of the run. Raises as `static_costs` does."""
    return _workload(settings.model_dump_json())


@lru_cache(maxsize=256)
def _workload(settings_json: str) -> Workload:
    settings = RunSettings.model_validate_json(settings_json)
    train_macs, params = macs_and_params(settings, training_size(settings), training=True)
    eval_macs, _ = macs_and_params(settings, evaluation_size(settings), training=False)
    train_images = training_images(settings) if is_trained(settings) else 0
    return Workload(train_images, _split_images(settings)[1], train_macs, eval_macs, params)


def training_images(settings: RunSettings) -> int:
    """Images that a training sees, from the number of images that its data set is known to have."""
    options, images = settings.optimiser, _split_images(settings)[0]
    if settings.task == "segmentation":
        return segmentation_updates(settings) * options.batch_size
    if settings.task == "detection":
        return images * options.epochs
    length = epoch_length(images, settings.augment.repeated_augmentation)
    return length // options.batch_size * options.batch_size * options.epochs


def training_size(settings: RunSettings) -> Grid:
    """Height and width of a training image when it reaches the network; the mean where it varies."""
    if settings.task == "segmentation":
        return settings.segmentation.crop_px, settings.segmentation.crop_px
    if settings.task == "detection":
        return _photograph(settings, mean(settings.detection.short_sides_px))
    return settings.data.image_size_px, settings.data.image_size_px


def evaluation_size(settings: RunSettings) -> Grid:
    """Height and width of an evaluated image, or of a window of it."""
    if settings.task == "detection":
        return _photograph(settings, settings.detection.test_short_side_px)
    if settings.task == "segmentation":
        if settings.pruning.slide_stride_px is not None:
            return training_size(settings)
        return settings.segmentation.test_short_side_px, settings.segmentation.test_short_side_px
    return training_size(settings)


def _photograph(settings: RunSettings, short_px: float) -> Grid:
    """The embedded scenes are square, photographs are as wide as most of COCO's."""
    ratio = 1.0 if settings.data.dataset == "digit_scenes" else _COCO_SIDES_RATIO
    long_px = min(short_px * ratio, settings.detection.max_long_side_px)
    return round(short_px), round(long_px)


def _split_images(settings: RunSettings) -> tuple[int, int]:
    data = settings.data
    if data.dataset in _IMAGES:
        return _IMAGES[data.dataset]
    if data.dataset != "digit_scenes":
        raise UsageError(f"how many images {data.dataset} has is not known before it is read")
    return data.train_images, data.val_images if data.eval_split == "val" else data.tune_images


def macs_and_params(settings: RunSettings, size: Grid, *, training: bool) -> tuple[int, int]:
    """MACs of one image, forward, and parameters; raises as `static_costs` does."""
    costs = static_costs(settings, size)
    params = costs.params_total or 0
    if costs.macs:
        return costs.macs["matmul"], params
    if not training and costs.target_macs is not None:
        return costs.target_macs, params
    paths = {name: macs for name, macs in costs.paths.items() if name != ALL_GATES}
    fixed = {"diagonal": DIAGONAL, "cheapest": CHEAPEST}.get(settings.routing.variant)
    if fixed in paths:
        return paths[fixed], params
    # Masked execution computes every node; of a pruned plain ViT no more than all tokens and heads are computed.
    return max(paths.values()), params
