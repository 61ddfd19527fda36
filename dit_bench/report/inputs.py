"""What a report is made from: the printed table of a paper and the summaries of finished runs.

Plain data, independent of how recipes and run records are stored; the command line converts one into the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

GMACS = "gmacs"
"""Key of the printed column that papers head "GFLOPs" and that holds multiply-accumulates."""


@dataclass(frozen=True)
class Quality:
    """The figure of merit that a table compares: which metric, and how it is called."""

    metric: str = "top1_percent"
    """Key in `RunSummary.metrics` and in `RowSpec.printed`."""
    difference: str | None = "top1_difference"
    """Key in `RowSpec.printed` of the difference to the reference row; None where differences are not looked at."""
    name: str = "Top-1 (%)"
    """Heading of the axis or column where the paper gives none."""
    judged: bool = True
    """Whether ours can be expected to be the print: not where another machine was timed."""


@dataclass(frozen=True)
class Costs:
    """How rows spend and save: what stands beside the printed cost, and which network is saved against."""

    metric: str = "gmacs_mean"
    """Key in `RunSummary.metrics` of what is compared with the printed cost."""
    base_metric: str = "base_gmacs"
    """Key of the same of the network that is saved against."""
    base: str = "PVTv2 of the same size"
    base_counted: str = "PVTv2 of the same size and input"
    """The same with what its MACs depend on."""
    base_name: str = "PVTv2"
    """In short, where a table has no name of its own for it."""
    pruned: bool = False
    """Whether the rows are plain ViTs that prune tokens, and not a routing grid or a network without savings."""


ROUTED_COSTS = Costs()
PRUNED_COSTS = Costs(
    metric="fvcore_gmacs_mean",
    base_metric="base_fvcore_gmacs",
    base="the unpruned network",
    base_counted="the unpruned network with its last head alone",
    base_name="the unpruned network",
    pruned=True,
)
"""Costs of pruned networks are printed as fvcore counts, and compared like with like."""


@dataclass(frozen=True)
class RowSpec:
    """One row of a paper's table.

    `printed` maps `gmacs`, the metrics of merit and their differences to the printed figures; a key that the paper
    leaves out is missing. `printed_decimals` overrides the number of decimals read off a figure, for prints such as
    83.10.
    """

    id: str
    label: str
    printed: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    printed_decimals: Mapping[str, int] = field(default_factory=dict)
    reference: str | None = None
    """The row that this one is measured against, where it is another than the table's."""
    base_printed_gmacs: float | None = None
    """Printed cost of the base of this row's savings, where it is another than the table's."""
    convention: str = "matmul"
    """How the printed cost was counted."""
    params_convention: str = "all"
    """Which parameters the print counts: all, or those that are trained (`trainable`)."""
    unavailable: str = ""
    """Why there are no runs of the row, if there can be none."""


@dataclass(frozen=True)
class ClaimSpec:
    """An ordering that the paper states: row `higher` has more of `metric` than row `lower`.

    `deterministic` says that the metric of both rows follows from the architecture alone, so that one run settles it.
    """

    id: str
    higher: str
    lower: str
    metric: str
    text: str
    source: str
    deterministic: bool = False


@dataclass(frozen=True)
class TableSpec:
    """A paper's table and the setting in which its rows were run.

    `paper_headings` maps metric keys to the headings of the print. `comparable` is true only if the runs use the
    paper's data and schedule (profile `paper`). `base_row` names the row that is PVTv2 of the same size, if there is
    one: its latency is what the other rows' speed-up is formed with.
    """

    title: str
    paper_headings: Mapping[str, str]
    rows: Sequence[RowSpec]
    reference_row: str | None
    base_label: str
    base_printed_gmacs: float | None
    claims: Sequence[ClaimSpec]
    profile: str
    comparable: bool
    command: str
    base_row: str | None = None
    quality: Quality = Quality()
    further: Sequence[Quality] = ()
    """What the paper prints beside `quality`."""
    costs: Costs = ROUTED_COSTS
    one_input_size: bool = True
    """Whether all images have the size that the paper counted at: else its MACs are no mean over images."""
    extra_notes: Sequence[str] = ()
    """What else a reader needs to know, beside the conventions that every table explains."""
    printed_in: Mapping[str, str | None] = field(default_factory=dict)
    """Where the print stands: `recipe`, `paper`, `table` or `figure`, `section`."""

    def reference_of(self, row: RowSpec) -> str | None:
        """The row that `row` is measured against; None if it is such a row itself, or there is none."""
        if row.reference is not None:
            return row.reference
        return None if row.id in self.references else self.reference_row

    def base_printed_of(self, row: RowSpec) -> float | None:
        """Printed cost of the base of the row's savings."""
        return self.base_printed_gmacs if row.base_printed_gmacs is None else row.base_printed_gmacs

    @property
    def references(self) -> set[str]:
        """Rows that others are measured against."""
        return {row for row in (self.reference_row, *(row.reference for row in self.rows)) if row is not None}

    def __post_init__(self) -> None:
        ids = [row.id for row in self.rows]
        assert len(set(ids)) == len(ids), f"row ids repeat: {ids}"
        named = [
            self.reference_row,
            self.base_row,
            *(row.reference for row in self.rows),
            *(row for claim in self.claims for row in (claim.higher, claim.lower)),
        ]
        assert all(row is None or row in ids for row in named), f"{named} names a row that is not in {ids}"


@dataclass(frozen=True)
class RunOrigin:
    """Where a run comes from: enough to make it again, and to know it by its weights, when its folder is gone."""

    settings_hash: str
    settings: Mapping[str, Any]
    """Those that have an effect."""
    provenance: Mapping[str, Any]
    """As in the run's record: code, packages, machine, command, hashes of weights and data."""
    num_images: int
    """Images evaluated."""


@dataclass(frozen=True)
class RunSummary:
    """One finished run of a row: its metrics (keys as in a run record) and, apart, how its training ended."""

    row_id: str
    seed: int
    run_id: str
    metrics: Mapping[str, float]
    training: Mapping[str, float] = field(default_factory=dict)
    origin: RunOrigin | None = None
    """None where nobody asks for it."""


def runs_by_row(runs: Sequence[RunSummary]) -> dict[str, list[RunSummary]]:
    """Group runs by row, sorted by seed. A row has at most one run per seed: which one counts is decided before."""
    grouped: dict[str, list[RunSummary]] = {}
    for run in sorted(runs, key=lambda run: run.seed):
        grouped.setdefault(run.row_id, []).append(run)
    for row_id, group in grouped.items():
        seeds = [run.seed for run in group]
        assert len(set(seeds)) == len(seeds), f"row {row_id} has several runs of one seed: {seeds}"
    return grouped


def metric_by_seed(runs: Sequence[RunSummary], metric: str) -> dict[int, float]:
    """Values of `metric` by seed; runs without it are left out."""
    return {run.seed: run.metrics[metric] for run in runs if metric in run.metrics}
