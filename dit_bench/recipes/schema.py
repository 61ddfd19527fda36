"""What stands in a recipe file: a paper's table or figure, its rows, their settings and the printed figures."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from dit_bench.recipes.metrics import MetricName
from dit_bench.recipes.partial import PartialSettings
from dit_bench.recipes.settings import NonNegativeFloat, NonNegativeInt, PositiveFloat, Strict

ProfileName = Literal["smoke", "mini", "paper"]
PROFILES: tuple[str, ...] = get_args(ProfileName)
Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Text = Annotated[str, Field(min_length=1)]
NOTHING_GIVEN = PartialSettings()


class Headings(Strict):
    """The paper's own headings of the columns that we name by `Printed`'s keys."""

    gmacs: Text | None = None
    top1_percent: Text | None = None


class Paper(Strict):
    """Where in which paper the table or figure stands."""

    key: Text
    """Short name of the paper, as `dit`."""
    table: Text | None = None
    figure: Text | None = None
    section: Text
    metric_headings: Headings = Headings()


class Printed(Strict):
    """Figures of one row as the paper prints them, to its last digit."""

    gmacs: PositiveFloat | None = None
    top1_percent: NonNegativeFloat | None = None
    top1_difference: float | None = None
    """In brackets behind the accuracy: percentage points above the reference row."""
    gmacs_ratio: PositiveFloat | None = None
    """In brackets behind the cost: times the reference row's cost."""


class BaseColumn(Strict):
    """The model whose cost the paper measures savings against."""

    printed_gmacs: PositiveFloat
    label: Text
    row: Slug | None = None
    """The row that is this model, if the table has one."""


class Profile(Strict):
    """How big a run is: settings, and the seeds of its repeats."""

    seeds: Annotated[list[NonNegativeInt], Field(min_length=1)] | None = None
    settings: PartialSettings = NOTHING_GIVEN

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


class Row(Strict):
    """One line of a table: one model under one setting."""

    id: Slug
    label: Text
    printed: Printed = Printed()
    settings: PartialSettings = NOTHING_GIVEN
    profiles: RowProfiles = RowProfiles()
    note: Text | None = None


class Claim(Strict):
    """An ordering of two rows that the paper states or its table shows."""

    id: Slug
    higher: Slug
    lower: Slug
    metric: MetricName
    text: Text
    source: Text


class Layered(Strict):
    """What every file of an include chain may hold: settings for all rows, and for all rows of one profile."""

    schema_version: Literal[1]
    include: Text | None = None
    common: PartialSettings = NOTHING_GIVEN
    profiles: Profiles = Profiles()


class Fragment(Layered):
    """A file that recipes include: settings that they share."""

    title: Text | None = None


class Recipe(Layered):
    """A table or figure of a paper."""

    title: Text
    kind: Literal["table", "figure"]
    figure: Literal["routing", "skips"] | None = None
    """What a figure recipe draws: routing overlays, or skipped tokens per node over a data set."""
    paper: Paper
    base: BaseColumn | None = None
    reference_row: Slug | None = None
    """The row that differences printed in brackets refer to."""
    rows: Annotated[list[Row], Field(min_length=1)]
    claims: list[Claim] = Field(default_factory=list)

    @model_validator(mode="after")
    def _kind_fits(self) -> Recipe:
        if self.kind == "figure" and self.figure is None:
            raise ValueError("a recipe of kind 'figure' needs the key 'figure' (routing or skips)")
        if self.kind == "figure" and self.claims:
            raise ValueError("a recipe of kind 'figure' has no claims")
        if self.kind == "table" and self.figure is not None:
            raise ValueError("the key 'figure' belongs to recipes of kind 'figure'")
        return self

    def row(self, row_id: str) -> Row:
        """The row with that id, which must exist."""
        return next(row for row in self.rows if row.id == row_id)

    @property
    def row_ids(self) -> list[str]:
        """Ids of the rows in the order of the table."""
        return [row.id for row in self.rows]
