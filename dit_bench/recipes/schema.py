"""What stands in a recipe file: a paper's table or figure, its rows, their settings and the printed figures."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from dit_bench.recipes.metrics import MetricName
from dit_bench.recipes.partial import PartialSettings
from dit_bench.recipes.strict import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Strict
from dit_bench.recipes.tolerances import NOTHING_CHANGED, Check

ProfileName = Literal["smoke", "mini", "paper"]
PROFILES: tuple[str, ...] = get_args(ProfileName)
Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Text = Annotated[str, Field(min_length=1)]
ConventionName = Literal[
    "matmul",
    "mmcv",
    "mmcv-layernorm",
    "mmcv-no-attention",
    "mmcv-layernorm-no-attention",
    "fvcore",
    "conv-batchnorm",
]
"""How a printed cost was counted; `cost.conventions` says what each name includes."""
InputSize = Annotated[list[PositiveInt], Field(min_length=2, max_length=2)]
"""Height and width in pixels."""
EPOCH = "epoch"
AxisName = Literal["epoch", MetricName]
"""A metric of finished runs, or how long a run had been training."""
NOTHING_GIVEN = PartialSettings()


def _as_written(value: Any, check: ValidatorFunctionWrapHandler) -> float:
    """Leave an integer an integer: 239 was printed without decimals, 239.0 with one."""
    checked = check(value)
    return value if isinstance(value, int) else checked


# Figures of a print keep their decimals, so that they can be compared to their last digit and no further.
_AsWritten = WrapValidator(_as_written)
PrintedFigure = Annotated[float, _AsWritten]
PrintedPositive = Annotated[PositiveFloat, _AsWritten]
PrintedNonNegative = Annotated[NonNegativeFloat, _AsWritten]


class Headings(Strict):
    """The paper's own headings of the columns that we name by `Printed`'s keys."""

    params_m: Text | None = None
    gmacs: Text | None = None
    top1_percent: Text | None = None
    box_ap_percent: Text | None = None
    box_ap50_percent: Text | None = None
    box_ap75_percent: Text | None = None
    box_ap_small_percent: Text | None = None
    box_ap_medium_percent: Text | None = None
    box_ap_large_percent: Text | None = None
    mask_ap_percent: Text | None = None
    mask_ap50_percent: Text | None = None
    mask_ap75_percent: Text | None = None
    miou_percent: Text | None = None
    latency_ms_per_image: Text | None = None


class Paper(Strict):
    """Where in which paper the table or figure stands."""

    key: Text
    """Short name of the paper, as `dit`."""
    table: Text | None = None
    figure: Text | None = None
    section: Text
    metric_headings: Headings = Headings()


class Printed(Strict):
    """Figures of one row as the paper prints them, to its last digit; AP is COCO's average precision."""

    gmacs: PrintedPositive | None = None
    top1_percent: PrintedNonNegative | None = None
    top1_error_percent: PrintedNonNegative | None = None
    """Top-1 error, in tables that print it under the heading of the accuracy."""
    params_m: PrintedPositive | None = None
    """Parameters in millions."""
    top1_difference: PrintedFigure | None = None
    """In brackets behind the accuracy: percentage points above the reference row."""
    gmacs_ratio: PrintedPositive | None = None
    """In brackets behind the cost: times the reference row's cost."""
    box_ap_percent: PrintedNonNegative | None = None
    box_ap_difference: PrintedFigure | None = None
    """In brackets behind the AP of boxes: points above the reference row."""
    box_ap50_percent: PrintedNonNegative | None = None
    """At IoU 0.50."""
    box_ap75_percent: PrintedNonNegative | None = None
    box_ap_small_percent: PrintedNonNegative | None = None
    """Of objects below 32² pixels."""
    box_ap_medium_percent: PrintedNonNegative | None = None
    box_ap_large_percent: PrintedNonNegative | None = None
    """Of objects above 96² pixels."""
    mask_ap_percent: PrintedNonNegative | None = None
    mask_ap_difference: PrintedFigure | None = None
    mask_ap50_percent: PrintedNonNegative | None = None
    mask_ap75_percent: PrintedNonNegative | None = None
    miou_percent: PrintedNonNegative | None = None
    """Intersection over union, mean over the classes."""
    miou_difference: PrintedFigure | None = None
    """In brackets behind the mean IoU: points above the reference row."""
    latency_ms_per_image: PrintedPositive | None = None
    """On the paper's own machine."""


class BaseColumn(Strict):
    """The model whose cost the paper measures savings against."""

    printed_gmacs: PrintedPositive
    label: Text
    row: Slug | None = None
    """The row that is this model, if the table has one."""


class Profile(Strict):
    """How big a run is: settings, and the seeds of its repeats."""

    seeds: Annotated[list[NonNegativeInt], Field(min_length=1)] | None = None
    settings: PartialSettings = NOTHING_GIVEN
    check: Check = NOTHING_CHANGED

    @model_validator(mode="after")
    def _each_seed_once(self) -> Profile:
        if self.seeds and len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"a seed stands twice in {self.seeds}")
        return self


class Profiles(Strict):
    """The profiles of a recipe or of a file that it includes."""

    smoke: Profile | None = None
    mini: Profile | None = None
    paper: Profile | None = None


class RowProfiles(Strict):
    """What one row sets differently in one profile."""

    smoke: PartialSettings = NOTHING_GIVEN
    mini: PartialSettings = NOTHING_GIVEN
    paper: PartialSettings = NOTHING_GIVEN


class Stage(Strict):
    """One stage of a pyramid: P, C, R, N, E of PVT Table 1, and the number of blocks."""

    patch_size: PositiveInt
    embed_dim: PositiveInt
    sr_ratio: PositiveInt
    num_heads: PositiveInt
    mlp_ratio: PositiveInt
    depth: PositiveInt


class Row(Strict):
    """One line of a table: one model under one setting."""

    id: Slug
    label: Text
    printed: Printed = Printed()
    convention: ConventionName = "matmul"
    """How the paper counted this row's printed cost."""
    params_convention: Literal["all", "trainable", "layers"] = "all"
    """Which parameters the paper counted: all, those that are trained, or those of convolutions, linear layers and
    batch norms."""
    counted_at_px: InputSize | None = None
    """Input at which the paper counted this row, where it is another than the table's."""
    architecture: list[Stage] | None = None
    """The stages, in tables that print them."""
    reference: Slug | None = None
    """The row that this one is measured against, where it is another than the table's."""
    settings: PartialSettings = NOTHING_GIVEN
    profiles: RowProfiles = RowProfiles()
    check: Check = NOTHING_CHANGED
    """What `dit-bench check` lets this row's figures move by, where it is not what holds for all rows."""
    only_in: Annotated[list[ProfileName], Field(min_length=1)] | None = None
    """Profiles that have this row; all of them if None."""
    not_run: Text | None = None
    """Why the row is never trained here, although its model exists."""
    not_implemented: Text | None = None
    """Why there is no model for the row at all."""
    note: Text | None = None

    def belongs_to(self, profile: str) -> bool:
        """Whether a profile has this row."""
        return self.only_in is None or profile in self.only_in

    @property
    def runs(self) -> bool:
        """Whether runs of the row can be made."""
        return self.not_run is None and self.not_implemented is None


class Claim(Strict):
    """An ordering of two rows that the paper states or its table shows."""

    id: Slug
    higher: Slug
    lower: Slug
    metric: MetricName
    text: Text
    source: Text


class Axes(Strict):
    """What a figure of curves or of a trade-off shows."""

    horizontal: AxisName
    vertical: MetricName


class RowGroup(Strict):
    """Rows that a figure shows together: the curves of one panel, or the points that one line joins."""

    label: Text
    rows: Annotated[list[Slug], Field(min_length=1)]


class Layered(Strict):
    """What every file of an include chain may hold: settings for all rows, and for all rows of one profile."""

    schema_version: Literal[1]
    include: Text | None = None
    common: PartialSettings = NOTHING_GIVEN
    profiles: Profiles = Profiles()
    check: Check = NOTHING_CHANGED
    """Tolerances of `dit-bench check`; they decide nothing about a run and are no part of its identity."""


class Fragment(Layered):
    """A file that recipes include: settings that they share."""

    title: Text | None = None


class Recipe(Layered):
    """A table or figure of a paper."""

    title: Text
    kind: Literal["table", "figure"]
    figure: Literal["routing", "skips", "growth", "curves", "tradeoff", "pruning"] | None = None
    """What a figure recipe draws: routing overlays, skipped tokens per node of a data set, MACs over input sizes, a
    metric over the epochs of training, one metric against another, or the stages after which tokens left."""
    input_sizes_px: Annotated[list[PositiveInt], Field(min_length=2)] | None = None
    """Sides of the inputs that a figure of kind growth counts at."""
    axes: Axes | None = None
    """What stands on the axes of a figure of kind curves or tradeoff."""
    groups: list[RowGroup] | None = None
    """Which rows such a figure shows together; all of them if None."""
    counted_at_px: InputSize | None = None
    """Input at which the paper counted, where it is not the square that the models are evaluated on."""
    paper: Paper
    base: BaseColumn | None = None
    reference_row: Slug | None = None
    """The row that differences printed in brackets refer to."""
    rows: Annotated[list[Row], Field(min_length=1)]
    claims: list[Claim] = Field(default_factory=list)
    notes: list[Text] = Field(default_factory=list)
    """What a reader of the table needs to know about the print as a whole."""

    @model_validator(mode="after")
    def _kind_fits(self) -> Recipe:
        if self.kind == "figure" and self.figure is None:
            kinds = "routing, skips, growth, curves, tradeoff or pruning"
            raise ValueError(f"a recipe of kind 'figure' needs the key 'figure' ({kinds})")
        if self.kind == "figure" and self.claims:
            raise ValueError("a recipe of kind 'figure' has no claims")
        if (self.figure == "growth") != (self.input_sizes_px is not None):
            raise ValueError("the key 'input_sizes_px' belongs to figures of kind 'growth', and they need it")
        if self.kind == "table" and self.figure is not None:
            raise ValueError("the key 'figure' belongs to recipes of kind 'figure'")
        return self

    @model_validator(mode="after")
    def _axes_fit(self) -> Recipe:
        if (self.figure in ("curves", "tradeoff")) != (self.axes is not None):
            raise ValueError("the key 'axes' belongs to figures of kind 'curves' or 'tradeoff', and they need it")
        if self.axes is not None and (self.figure == "curves") != (self.axes.horizontal == EPOCH):
            raise ValueError(f"the horizontal axis is '{EPOCH}' in figures of kind 'curves', a metric in 'tradeoff'")
        if self.axes is None and self.groups is not None:
            raise ValueError("the key 'groups' belongs to figures of kind 'curves' or 'tradeoff'")
        for group in self.groups or []:
            for row_id in group.rows:
                if row_id not in self.row_ids:
                    raise ValueError(f"no row '{row_id}', of which group '{group.label}' speaks")
        return self

    def row(self, row_id: str) -> Row:
        """The row with that id, which must exist."""
        return next(row for row in self.rows if row.id == row_id)

    def rows_of(self, profile: str) -> list[Row]:
        """The rows that a profile has, in the order of the table."""
        return [row for row in self.rows if row.belongs_to(profile)]

    @property
    def row_ids(self) -> list[str]:
        """Ids of the rows in the order of the table."""
        return [row.id for row in self.rows]
