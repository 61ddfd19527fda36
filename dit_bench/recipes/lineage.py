"""Which run a run starts from.

Networks that prune tokens grow out of a baseline that does not (DToP, §4.3.1); networks for dense prediction grow out
of a classifier, which on embedded data is a run of its own.
"""

from __future__ import annotations

from dit_bench.recipes.dense_settings import PLAIN_VIT_SEGMENTERS, PruningSettings
from dit_bench.recipes.settings import AugmentSettings, OptimiserSettings, RunSettings

_OF_FINE_TUNING = ("finetune_updates", "finetune_scope")
_OF_TRAINING = ("train_threshold", *_OF_FINE_TUNING)
_OF_PRUNING = ("variant", "threshold", "keep", "share", *_OF_TRAINING)
_WITHOUT_EFFECT = {"baseline": _OF_PRUNING, "direct": _OF_TRAINING, "retrain": _OF_FINE_TUNING, "finetune": ()}


def is_plain_vit(settings: RunSettings) -> bool:
    """Whether the settings of pruning mean anything: the segmenter stands on a plain ViT."""
    return settings.task == "segmentation" and settings.segmentation.segmenter in PLAIN_VIT_SEGMENTERS


def effective_pruning(pruning: PruningSettings) -> PruningSettings:
    """The same with defaults for all that has no effect in its mode, so that equal runs have equal settings."""
    plain = PruningSettings()
    return pruning.model_copy(update={key: getattr(plain, key) for key in _WITHOUT_EFFECT[pruning.mode]})


def is_pretrained(settings: RunSettings) -> bool:
    """Whether a run's network grows out of a classifier that is trained for it."""
    return settings.task != "classification" and settings.pretraining.epochs > 0


def parent(settings: RunSettings) -> RunSettings | None:
    """The settings of the run whose weights a run starts from; None for one that starts by itself.

    `direct` and `finetune` start from the baseline. A network that is tested at another threshold than it was trained
    with is that of the run at its own. A run that starts from none of these starts from its classifier, if it has one.
    """
    if is_plain_vit(settings) and settings.pruning.mode != "baseline":
        pruning = settings.pruning
        if pruning.mode != "direct" and pruning.threshold != pruning.train_threshold:
            return _with(settings, pruning.model_copy(update={"threshold": pruning.train_threshold}))
        if pruning.mode != "retrain":
            return _with(settings, pruning.model_copy(update={"mode": "baseline"}))
    return classifier(settings) if is_pretrained(settings) else None


def classifier(settings: RunSettings) -> RunSettings:
    """The settings of the classifier of digits that a network for dense prediction grows out of."""
    options, optimiser = settings.pretraining, settings.optimiser
    return RunSettings(
        model=settings.model,
        routing=settings.routing,
        data=settings.data.model_copy(update={"train_images": options.train_images, "min_scale": options.min_scale}),
        augment=AugmentSettings(shift_px=options.shift_px, label_smoothing=options.label_smoothing),
        optimiser=OptimiserSettings(
            lr=options.lr,
            weight_decay=optimiser.weight_decay,
            clip_grad_norm=optimiser.clip_grad_norm,
            epochs=options.epochs,
            batch_size=options.batch_size,
            warmup_epochs=options.warmup_epochs,
        ),
        numerics=settings.numerics,
    )


def is_trained(settings: RunSettings) -> bool:
    """Whether a run trains, and does not only evaluate its parent's weights with other pruning."""
    if not is_plain_vit(settings):
        return True
    pruning = settings.pruning
    return pruning.mode != "direct" and (pruning.mode == "baseline" or pruning.threshold == pruning.train_threshold)


def lineage(settings: RunSettings) -> list[RunSettings]:
    """A run's settings with those of all that it grows out of, the first one first."""
    before = parent(settings)
    return [settings] if before is None else [*lineage(before), settings]


def segmentation_updates(settings: RunSettings) -> int:
    """How many updates a run of segmentation trains for, and its learning rate falls over."""
    if is_plain_vit(settings) and settings.pruning.mode == "finetune":
        return settings.pruning.finetune_updates
    return settings.segmentation.updates


def _with(settings: RunSettings, pruning: PruningSettings) -> RunSettings:
    return settings.model_copy(update={"pruning": effective_pruning(pruning)})
