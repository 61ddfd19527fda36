"""What settings of dense prediction may say of augmentation."""

from __future__ import annotations

from dit_bench.data.coco.batching import check_mirroring
from dit_bench.errors import UsageError
from dit_bench.recipes.settings import AugmentSettings, RunSettings


def check_dense_augment(settings: RunSettings, remedy: str) -> None:
    """Refuse augmentation that only classification has, and mirrored digits, before any work starts.

    Raises UsageError, which names key and value.
    """
    unused, given = AugmentSettings(), settings.augment
    for key in sorted(set(AugmentSettings.model_fields) - {"hflip_prob", "label_smoothing"}):
        if getattr(given, key) != getattr(unused, key):
            raise UsageError(
                f"augment.{key}={getattr(given, key)} is for classification, but task is {settings.task}", remedy=remedy
            )
    check_mirroring(settings.data, given.hflip_prob)
