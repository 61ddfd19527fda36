"""The tokens of a batch that are still computed, and the record of those that left."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dit_bench.cost.formulas import Grid
from dit_bench.models.dtop.layout import RaggedLayout
from dit_bench.models.dtop.pruning import Decision, class_means


@dataclass(frozen=True)
class PruningTrace:
    """What one forward pass computed. M stages, B images, an (h, w) token grid."""

    grid: Grid
    live: Tensor
    """int64 `(B, M)` on the host: tokens that went through each stage, means of classes included."""
    exits: Tensor
    """int8 `(B, h, w)`: the stage, from 1, whose head was the last to see a token; M for those that stayed."""
    heads_run: tuple[bool, ...]
    """Which of the M heads ran."""


@dataclass(frozen=True)
class LiveTokens:
    """Tokens of a batch in one matrix, image after image: in each those of the grid in order, then means of classes."""

    features: Tensor
    """`(T, D)`."""
    layout: RaggedLayout
    places: Tensor | None = None
    """Place `(T,)` of each token in the flattened `(B, N)` grids, −1 for a mean; None while nothing has left."""
    has_means: bool = False
    """Whether any token is a mean."""

    @classmethod
    def dense(cls, tokens: Tensor) -> LiveTokens:
        """All tokens `(B, N, D)`."""
        return cls(tokens.flatten(0, 1), RaggedLayout([tokens.shape[1]] * tokens.shape[0], tokens.device))

    def with_features(self, features: Tensor) -> LiveTokens:
        """The same tokens with other features `(T, D)`."""
        return replace(self, features=features)

    def grid_rows(self) -> Tensor | None:
        """Rows of the tokens that have a place in the grid; None if all have."""
        if self.places is None or not self.has_means:
            return None
        return (self.places >= 0).nonzero().flatten()

    def without(self, decision: Decision, rows: Tensor | None, *, mean_classes: int | None) -> LiveTokens:
        """The tokens that stay after a decision on `rows` (None for all).

        With `mean_classes`, the number K of classes, the mean of each class's tokens that left joins its image.
        """
        images = self.layout.images
        stays = torch.ones_like(images, dtype=torch.bool)
        if rows is None:
            stays = ~decision.leaves
        else:
            stays[rows] = ~decision.leaves
        kept = stays.nonzero().flatten()
        places = torch.arange(len(images), device=images.device) if self.places is None else self.places
        features, places, owners = self.features.index_select(0, kept), places[kept], images[kept]
        has_means = self.has_means or mean_classes is not None
        if mean_classes is not None:
            of_grid = (self.features, images) if rows is None else (self.features[rows], images[rows])
            means, mean_owners = class_means(*of_grid, decision, mean_classes)
            owners, order = torch.sort(torch.cat([owners, mean_owners]), stable=True)
            features = torch.cat([features, means]).index_select(0, order)
            places = torch.cat([places, places.new_full((len(means),), -1)])[order]
        counts = torch.bincount(owners, minlength=self.layout.num_images).tolist()
        return LiveTokens(features, RaggedLayout(counts, self.layout.device), places, has_means)
