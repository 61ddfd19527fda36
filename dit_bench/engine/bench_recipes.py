"""Finished runs on images of their own data set, to time what their gates learned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from dit_bench.data.loading import Dataset, build_dataset, evaluation_batches
from dit_bench.data.scenes.scene_set import SceneSet
from dit_bench.engine.bench_networks import Conditions, Subject
from dit_bench.engine.trained import one_trained_run
from dit_bench.engine.views import load_trained
from dit_bench.errors import UsageError
from dit_bench.models.dit.model import DiT
from dit_bench.models.zoo import is_routed, size_of
from dit_bench.recipes.resolve import ResolvedRow
from dit_bench.recipes.settings import DataSettings
from dit_bench.runs.read import FinishedRun
from dit_bench.runs.store import RunStore


class EvenlySpaced:
    """So many images of a data set, from everywhere in it: folders lie class by class, and classes differ in cost."""

    def __init__(self, dataset: Dataset, count: int):
        self.dataset = dataset
        self.numbers = np.linspace(0, len(dataset) - 1, count).round().astype(np.int64)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes of the whole set."""
        return self.dataset.class_names

    @property
    def num_classes(self) -> int:
        """Classes of the whole set."""
        return self.dataset.num_classes

    @property
    def labels(self) -> np.ndarray:
        """Class of each chosen image, int64 (n,)."""
        return self.dataset.labels[self.numbers]

    def __len__(self) -> int:
        return len(self.numbers)

    def read(self, index: int) -> np.ndarray:
        """Return chosen image `index`, uint8 RGB (H, W, 3)."""
        return self.dataset.read(int(self.numbers[index]))

    def manifest_sha256(self) -> str:
        """Return the identity of the whole set."""
        return self.dataset.manifest_sha256()


def routed_runs(
    rows: Sequence[ResolvedRow], store: RunStore, *, every_seed: bool = False
) -> list[tuple[ResolvedRow, FinishedRun]]:
    """The finished run of every row that routes; other rows are passed over.

    Of each row the first seed that has one, or with `every_seed` all of its seeds, of which none may be missing.

    Raises UsageError if no row routes, WeightsError naming the command that trains what is missing.
    """
    routed = [row for row in rows if is_routed(row.settings.model.name)]
    if not routed:
        chosen = ", ".join(f"{row.row.id} ({row.settings.model.name})" for row in rows)
        raise UsageError(f"{rows[0].recipe.name}: nothing is routed in {chosen}", remedy="name rows of a dit_ model")
    chosen = [row for row in routed if row.row.runs] or routed
    if every_seed:
        chosen = [replace(row, seeds=(seed,)) for row in chosen for seed in row.seeds]
    return [one_trained_run([row], store) for row in chosen]


def trained_subjects(
    runs: Sequence[tuple[ResolvedRow, FinishedRun]],
    batches: Sequence[int],
    conditions: Conditions,
    cache_dir: Path | None,
) -> Iterator[tuple[Subject, Conditions]]:
    """Each run on batches of images from the split that its recipe evaluates on, in the run's own precision.

    Raises UsageError for a batch that is larger than the split, DataError if images cannot be read.
    """
    for row, run in runs:
        settings = run.record.settings
        dataset = build_dataset(settings.data, settings.data.eval_split, cache_dir)
        model, _ = load_trained(run)
        assert isinstance(model, DiT)
        model.to(conditions.device)
        size = size_of(settings.model.name)
        assert size is not None
        for batch in batches:
            if batch > len(dataset):
                raise UsageError(
                    f"--batch {batch}: {row.recipe.name} has {len(dataset)} images in {settings.data.eval_split}",
                    remedy="use a smaller batch",
                )
            images = _real_images(dataset, settings.data, batch).to(conditions.device)
            name = f"{row.recipe.name} {row.row.id} seed {run.record.seed}"
            yield Subject(name, size, model, images, None), replace(conditions, numerics=settings.numerics)


def _real_images(dataset: Dataset, settings: DataSettings, count: int) -> Tensor:
    """Normalised images `(count, 3, H, W)`."""
    # Digit scenes lie in memory in random order, and their own preprocessing goes by their type.
    source = dataset if isinstance(dataset, SceneSet) else EvenlySpaced(dataset, count)
    _, images, _ = next(iter(evaluation_batches(source, settings, batch_size=count)))
    return images
