"""Baselines: figures that are committed, for later runs to be compared with, and the files that hold them."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, JsonValue, model_validator

from dit_bench.recipes.schema import ProfileName, Slug
from dit_bench.recipes.strict import NonNegativeInt, PositiveFloat, PositiveInt, Strict
from dit_bench.recipes.tolerances import SpeedTolerance

SCHEMA_VERSION = 1
"""Version of baseline files that this dit-bench writes, and the newest that it reads."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
PositiveFinite = Annotated[PositiveFloat, Field(allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]


class Machine(Strict):
    """On what something was measured."""

    device: Text
    processor: Text
    accelerator: str | None
    threads: PositiveInt
    torch: str | None
    """Installed version."""

    @property
    def on_gpu(self) -> bool:
        """Whether sums may come in another order from one time to the next."""
        return self.device != "cpu"

    @property
    def shown(self) -> str:
        """In one line."""
        return f"{self.accelerator or self.processor}, {self.threads} threads"


class Change(Strict):
    """One entry of a baseline's history: when, by what and why it was written."""

    created_utc: Text
    reason: Text
    dit_bench_version: Text
    git_commit: str | None
    git_dirty: bool | None
    machine: Machine
    changes: list[str]
    """What became different, one line each; the first entry has none."""


class ImageDigest(Strict):
    """What the per-image records of a run hold, small enough to be committed."""

    top1_hits: NonNegativeInt | None = None
    top5_hits: NonNegativeInt | None = None
    macs_sum: NonNegativeInt
    macs_largest: NonNegativeInt
    """Of one image."""
    arrays: dict[str, str]
    """First 16 hexadecimal digits of the SHA-256 of each array, its type and its shape, by `file.array`."""


class BaselineRun(Strict):
    """One finished run: everything that another one is compared by."""

    seed: NonNegativeInt
    run_id: Text
    created_utc: Text
    num_images: PositiveInt
    weights_sha256: str | None
    data_manifest_sha256: str | None
    evaluation_manifest_sha256: str | None = None
    machine: Machine
    metrics: dict[str, Finite]
    images: ImageDigest | None


class BaselineRow(Strict):
    """The runs of one row."""

    settings_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{10}$")]
    settings: dict[str, JsonValue]
    """Those that are not the defaults, by dotted key, to say what changed when the hash did."""
    runs: Annotated[list[BaselineRun], Field(min_length=1)]

    @model_validator(mode="after")
    def _each_seed_once(self) -> BaselineRow:
        seeds = [run.seed for run in self.runs]
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"a seed stands twice in {seeds}")
        return self


class CountedRow(Strict):
    """What one row costs before any image is seen: integers in MACs and parameters."""

    image_size_px: Annotated[list[PositiveInt], Field(min_length=2, max_length=2)]
    """Height and width of the input."""
    figures: dict[str, NonNegativeInt]
    """By name: `params_total`, `macs.matmul` and the other conventions, `path.fully…` and so on."""
    problem: str = ""
    """Why nothing was counted; empty if it was."""


class SpeedCase(Strict):
    """One network against one reference, timed in the same rounds of one process."""

    name: Text
    image_size_px: Annotated[list[PositiveInt], Field(min_length=2, max_length=2)]
    batch: PositiveInt
    keep: Finite | None
    spread: Finite | None
    against: Text
    """The reference."""
    macs_per_image: PositiveFinite
    reference_macs_per_image: PositiveFinite
    ratios: Annotated[list[PositiveFinite], Field(min_length=1)]
    """The network's time over the reference's, round by round: smaller is faster."""

    @property
    def key(self) -> tuple[object, ...]:
        """What makes it the same case as another."""
        return (self.name, tuple(self.image_size_px), self.batch, self.keep, self.spread, self.against)

    @property
    def shown(self) -> str:
        """How tables call it."""
        height, width = self.image_size_px
        kept = "" if self.keep is None else f", kept {self.keep:g}"
        return f"{self.name} at {height}x{width}, batch {self.batch}{kept}, against {self.against}"


class _Baseline(Strict):
    schema_version: Literal[1] = SCHEMA_VERSION
    history: Annotated[list[Change], Field(min_length=1)]
    """Every time the file was written, the oldest first."""


class RunsBaseline(_Baseline):
    """Finished runs of a recipe's rows under one profile."""

    kind: Literal["runs"] = "runs"
    recipe: Text
    profile: ProfileName
    overrides: list[Text] = Field(default_factory=list)
    """Settings that the command line changed, as `key=value`."""
    rows: Annotated[dict[Slug, BaselineRow], Field(min_length=1)]


class CountsBaseline(_Baseline):
    """Parameters and MACs of a recipe's rows under one profile, which need no run."""

    kind: Literal["counts"] = "counts"
    recipe: Text
    profile: ProfileName
    overrides: list[Text] = Field(default_factory=list)
    rows: Annotated[dict[Slug, CountedRow], Field(min_length=1)]


class SpeedBaseline(_Baseline):
    """The comparisons of one measurement with `dit-bench bench`."""

    kind: Literal["speed"] = "speed"
    machine: Machine
    compile: bool
    precision: Text
    tolerance: SpeedTolerance = SpeedTolerance()
    """Of models that were timed by name; those of a recipe's rows stand in the recipe."""
    cases: Annotated[list[SpeedCase], Field(min_length=1)]

    @model_validator(mode="after")
    def _each_case_once(self) -> SpeedBaseline:
        if len({case.key for case in self.cases}) < len(self.cases):
            raise ValueError("a case stands twice")
        return self


Baseline: TypeAlias = RunsBaseline | CountsBaseline | SpeedBaseline
KINDS: dict[str, type[Baseline]] = {"runs": RunsBaseline, "counts": CountsBaseline, "speed": SpeedBaseline}
