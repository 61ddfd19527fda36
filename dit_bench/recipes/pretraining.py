"""The settings of a classifier that a network for dense prediction starts from, where there are no ImageNet weights."""

from typing import Annotated

from pydantic import Field, model_validator

from dit_bench.recipes.strict import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveFraction,
    PositiveInt,
    Strict,
)


class PretrainingSettings(Strict):
    """Classification of scenes with one digit each, by the same model: what ImageNet is to the published networks.

    Image size, clutter, largest digits, weight decay and clipping are those of the run that starts from it.
    """

    epochs: NonNegativeInt = 0
    """0: none, the run starts by itself or from `model.init_weights`."""
    train_images: PositiveInt = 20_000
    min_scale: PositiveFraction = 0.5
    """Smallest side of the digit over the side of the frame."""
    shift_px: NonNegativeInt = 4
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    lr: PositiveFloat = 1e-3
    batch_size: PositiveInt = 64
    warmup_epochs: NonNegativeFloat = 1.0

    @model_validator(mode="after")
    def _warmup_fits(self) -> "PretrainingSettings":
        if 0 < self.epochs <= self.warmup_epochs:
            raise ValueError("warmup_epochs must be smaller than epochs")
        return self
