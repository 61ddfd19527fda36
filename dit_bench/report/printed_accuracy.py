"""A measured top-1 accuracy beside the printed one, and every reason why the two cannot be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from dit_bench.recipes.partial import flat
from dit_bench.recipes.printed import printed_top1
from dit_bench.recipes.problems import RecipeError
from dit_bench.recipes.resolve import ResolvedRow, resolve
from dit_bench.recipes.settings import Task
from dit_bench.report.numbers import fixed, signed
from dit_bench.report.statistics import decimals_of

FlatSettings = Mapping[tuple[str, ...], Any]
IMAGENET_VAL_IMAGES = 50_000
VAL_IMAGES: dict[Task, int] = {"classification": IMAGENET_VAL_IMAGES, "detection": 5_000, "segmentation": 2_000}
"""Images of the sets that the papers evaluate on: ImageNet's, COCO val2017, ADE20K's."""
IMAGENET_CLASSES = 1000
NAMED_KEYS = 3
# What decides the result of given weights; how they were trained is not known of weights from elsewhere.
_EVALUATION_KEYS = (("model", "name"), ("routing", "variant"), ("routing", "columns"), ("data", "image_size_px"))
_START = ("model", "init_weights")
# Where the images lie and which they are, which is said apart; the precision; and what only digit scenes use.
_NOT_COMPARED = (
    ("data", "root"),
    ("data", "eval_split"),
    ("numerics", "amp"),
    ("numerics", "compile"),
    ("evaluation", "metrics"),
    *(("data", key) for key in ("train_images", "tune_images", "val_images")),
    *(("data", key) for key in ("scene_seed", "clutter", "min_scale", "max_scale")),
)


class Conditions(Protocol):
    """On which images a result was found, and how they reached the network."""

    @property
    def split(self) -> str:
        """Split of the data set."""
        ...

    @property
    def protocol(self) -> str | None:
        """Named evaluation protocol; None: as the recipe says."""
        ...

    @property
    def crop_fraction(self) -> float | None:
        """Side of the centre crop over the resized short side; None for images that are not cropped."""
        ...

    @property
    def interpolation(self) -> str:
        """How pictures were resized."""
        ...

    @property
    def mean(self) -> tuple[float, ...]:
        """What was subtracted from the channels of the pictures."""
        ...

    @property
    def image_size_px(self) -> int:
        """Side of the input."""
        ...

    @property
    def num_images(self) -> int:
        """Images evaluated."""
        ...

    @property
    def num_classes(self) -> int:
        """Classes of the classifier."""
        ...

    @property
    def num_present(self) -> int:
        """Classes of the data set."""
        ...

    @property
    def by_synset(self) -> bool:
        """Whether the labels are ImageNet's."""
        ...


@dataclass(frozen=True)
class PrintedComparison:
    """The paper's figure in percent, ours minus it in points, and why they are not comparable; no reason: they are."""

    printed_percent: float
    difference: float
    reasons: tuple[str, ...]

    @property
    def text(self) -> str:
        """As a user reads it."""
        printed = fixed(self.printed_percent, decimals_of(self.printed_percent))
        found = f"{printed}; ours − printed {signed(self.difference, 2)}"
        return f"{found}; not comparable: {'; '.join(self.reasons)}" if self.reasons else found

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {**asdict(self), "reasons": list(self.reasons), "comparable": not self.reasons}


def compare_with_print(
    row: ResolvedRow, conditions: Conditions, top1_percent: float, *, trained_here: bool
) -> PrintedComparison | None:
    """Set a top-1 accuracy beside the row's print; None where the paper prints none.

    The print is the paper's profile of the row on ImageNet's full validation set. For weights that were `trained_here`
    every setting must be that profile's; for weights from elsewhere, those that an evaluation uses.
    """
    printed = printed_top1(row.row.printed)
    if printed is None:
        return None
    reasons = (*_other_data(conditions), *_other_settings(row, conditions, trained_here))
    return PrintedComparison(printed, top1_percent - printed, reasons)


def _other_data(conditions: Conditions) -> Sequence[str]:
    if conditions.crop_fraction is None:
        return ["digit scenes, not ImageNet"]
    if not conditions.by_synset:
        return [f"not ImageNet: {conditions.num_present} classes, {conditions.num_images:,} images"]
    found = (conditions.split, conditions.num_present, conditions.num_images)
    if found == ("val", IMAGENET_CLASSES, IMAGENET_VAL_IMAGES):
        return []
    return [
        f"not ImageNet's full validation set: {conditions.num_present} of {IMAGENET_CLASSES} classes,"
        f" {conditions.num_images:,} of {IMAGENET_VAL_IMAGES:,} images, split {conditions.split}"
    ]


def changed_settings(row: ResolvedRow) -> list[str]:
    """Settings of a row, as `key = value (paper's profile: value)`, that its paper profile sets otherwise.

    Where the data lie, precision and what only digit scenes use are not compared.
    """
    paper, ours = _values(resolve(row.recipe, row.row.id, "paper")), _values(row)
    return _differences(ours, paper, [path for path in ours if path not in _NOT_COMPARED])


def _values(row: ResolvedRow) -> dict[tuple[str, ...], Any]:
    """All settings of a row; of the weights it starts from only whether there are any, not where they lie."""
    values = flat(row.settings)
    if values[_START] is not None:
        values[_START] = "given"
    return values


def _differences(ours: FlatSettings, paper: FlatSettings, compared: Sequence[tuple[str, ...]]) -> list[str]:
    return [
        f"{'.'.join(path)} = {ours[path]} (paper's profile: {paper[path]})"
        for path in dict.fromkeys(compared)
        if ours[path] != paper[path]
    ]


def _other_settings(row: ResolvedRow, conditions: Conditions, trained_here: bool) -> Sequence[str]:
    try:
        paper = _values(resolve(row.recipe, row.row.id, "paper"))
    except RecipeError:
        return ["the recipe does not say under which settings the paper evaluated this row"]
    ours = _values(row) | {("data", "eval_crop_fraction"): conditions.crop_fraction}
    compared = [path for path in ours if path not in _NOT_COMPARED] if trained_here else [*_EVALUATION_KEYS]
    if conditions.crop_fraction is not None:
        compared.append(("data", "eval_crop_fraction"))
    differing = _differences(ours, paper, compared)
    more = f", and {len(differing) - NAMED_KEYS} more" if len(differing) > NAMED_KEYS else ""
    return [f"other settings: {', '.join(differing[:NAMED_KEYS])}{more}"] if differing else []
