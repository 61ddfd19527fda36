"""Which images of a training batch are whose."""

from __future__ import annotations

import numpy as np

from dit_bench.data.order import share_rows
from dit_bench.engine import distributed
from dit_bench.recipes.settings import RunSettings, RuntimeSettings


def own_rows(settings: RunSettings) -> np.ndarray | None:
    """Places of every training batch that are this process's; None where there is no other process."""
    if distributed.size() == 1:
        return None
    return share_rows(settings.optimiser.batch_size, distributed.rank(), distributed.size(), mirrored=mixes(settings))


def check_sharing(settings: RunSettings, runtime: RuntimeSettings) -> None:
    """Raise UsageError for batches that cannot be shared out among the processes and their portions."""
    parts = distributed.size() * runtime.accumulation_steps
    if parts > 1:
        share_rows(settings.optimiser.batch_size, 0, parts, mirrored=mixes(settings))


def mixes(settings: RunSettings) -> bool:
    """Whether images are mixed with others of their batch: mixup pairs the first with the last, and so on."""
    augment = settings.augment
    return settings.task == "classification" and (augment.mixup_alpha > 0 or augment.cutmix_alpha > 0)
