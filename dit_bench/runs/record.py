"""The record of a finished run: what was asked, on what it ran, what came out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dit_bench.recipes.settings import RunSettings
from dit_bench.recipes.strict import NonNegativeInt, PositiveInt, Strict

SCHEMA_VERSION = 2
"""Version of run.json that this dit-bench writes, and the newest that it reads."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


class StartingPoint(Strict):
    """Weights that were loaded before a run began."""

    run_id: str | None = None
    """The run that they come from."""
    file: str | None = None
    """Where they come from no run: the file that the settings name."""
    weights_sha256: str


class Provenance(Strict):
    """Where a run comes from: code, packages, machine and data."""

    created_utc: str
    """ISO 8601, seconds, with offset +00:00."""
    dit_bench_version: str
    git_commit: str | None
    """Commit of the checkout that ran; None when dit-bench ran from no checkout."""
    git_dirty: bool | None
    """Whether the code or the recipes of the checkout had changes that the commit lacks."""
    code_sha256: str | None = None
    """Over the package's Python files when the run was published: tells changed checkouts apart. None: unknown."""
    argv: list[str]
    python: str
    platform: str
    packages: dict[str, str]
    """Installed versions by package name."""
    plugins: dict[str, str] = Field(default_factory=dict)
    """Versions of the packages whose plug-ins were loaded, by package name."""
    device: str
    processor: str
    """Name of the CPU."""
    accelerator: str | None
    """Name of the GPU, None on a CPU run."""
    threads: PositiveInt
    """CPU threads of each process."""
    processes: PositiveInt = 1
    """Processes that trained together (the world size)."""
    weights_sha256: str | None
    """Of weights.safetensors."""
    data_manifest_sha256: str | None
    """Of the split that the run was trained on."""
    evaluation_manifest_sha256: str | None = None
    """Of the split that it was evaluated on; None: unknown."""
    starts_from: list[StartingPoint] | None = None
    """Weights that training began with; empty: it began with random ones. None: unknown."""


class RunRecord(Strict):
    """Content of `run.json`; per-image arrays lie beside it in `records.npz`.

    `metrics` is keyed by `dit_bench.recipes.metrics.MetricName`; GMACs are multiply-accumulates of one image over 1e9.
    """

    schema_version: Literal[2] = SCHEMA_VERSION
    run_id: str
    """Name of the run's folder."""
    settings: RunSettings
    seed: NonNegativeInt
    provenance: Provenance
    metrics: dict[str, Finite]
    kept_ratio: list[list[Finite]]
    """(N scales, M stages) kept tokens over all tokens, mean over the images."""
    column_open_ratio: list[list[Finite]]
    """(N-1, M+1) share of images whose column gate is open."""
    num_images: PositiveInt
    training: dict[str, Finite] = Field(default_factory=dict)
    """Further figures of training, as the sampled and the deterministic cost at its end."""
