"""Which tokens leave at the end of a stage (DToP, §3.2, §3.4 and the variants of Table 5).

Pure functions on the tokens of a whole batch; nothing here is differentiable or depends on the order of images. A tie
goes to the token that comes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

Variant = Literal["top-k", "remove", "top-share", "average", "average-top-k"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)


@dataclass(frozen=True)
class PruningRule:
    """The rule of one stage.

    A token is easy if its highest score is above the threshold p0, strictly. `top-k`: easy tokens leave, but for the k
    with the highest scores of every class of every image. `remove`: all easy tokens leave. `average`: so, too, and for
    every class the mean of those that left goes on as one token without a place in the image. `average-top-k`: k of a
    class stay, the mean of the others goes on. `top-share`: whatever p0, that share of each image's tokens with the
    highest scores leaves.
    """

    variant: Variant = "top-k"
    threshold: float = 0.95
    """p0; 1 switches pruning off in all variants but `top-share`."""
    keep: int = 5
    """k."""
    share: float = 0.35

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise ValueError(f"unknown pruning variant '{self.variant}', expected one of {', '.join(VARIANTS)}")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold must be from 0 to 1, got {self.threshold}")
        if self.keep < 0:
            raise ValueError(f"keep must be 0 or more, got {self.keep}")
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must be from 0 to 1, got {self.share}")

    @property
    def prunes(self) -> bool:
        """Whether any token can leave."""
        return self.share > 0 if self.variant == "top-share" else self.threshold < 1

    @property
    def averages(self) -> bool:
        """Whether the tokens that leave go on as their class's mean."""
        return self.variant in ("average", "average-top-k")

    @property
    def kept_per_class(self) -> int:
        """How many easy tokens of every class of an image stay."""
        return self.keep if self.variant in ("top-k", "average-top-k") else 0


NO_PRUNING = PruningRule(threshold=1.0)


@dataclass(frozen=True)
class Decision:
    """What a rule says of T tokens."""

    leaves: Tensor
    """`(T,)` bool."""
    labels: Tensor
    """`(T,)`: the class with the highest score, the first of several."""


@torch.no_grad()
def decide(scores: Tensor, images: Tensor, num_images: int, rule: PruningRule) -> Decision:
    """Apply a rule to scores `(T, K)` of tokens that belong to the images `(T,)`, numbers below `num_images`."""
    confidence, labels = scores.float().max(dim=1)
    if rule.variant == "top-share":
        counts = torch.bincount(images, minlength=num_images)
        leaving = (counts.double() * rule.share + 0.5).floor().long()
        return Decision(_ranks(confidence, images) < leaving[images], labels)
    easy = confidence > rule.threshold
    if rule.kept_per_class == 0:
        return Decision(easy, labels)
    # Tokens that are not easy share one more group, in which ranks mean nothing.
    groups = torch.where(easy, images * scores.shape[1] + labels, num_images * scores.shape[1])
    return Decision(easy & (_ranks(confidence, groups) >= rule.kept_per_class), labels)


def class_means(features: Tensor, images: Tensor, decision: Decision, num_classes: int) -> tuple[Tensor, Tensor]:
    """Mean features `(G, D)` of the tokens that leave, one per image and class, and the images `(G,)`, increasing.

    `features` `(T, D)` and `images` `(T,)` are those of the tokens that were decided on; differentiable in them.
    """
    leaving = decision.leaves
    pairs = images[leaving] * num_classes + decision.labels[leaving]
    groups, inverse, sizes = torch.unique(pairs, return_inverse=True, return_counts=True)
    gone = features[leaving].float()
    sums = gone.new_zeros(len(groups), gone.shape[1]).index_add(0, inverse, gone)
    return (sums / sizes[:, None]).to(features.dtype), groups // num_classes


def _ranks(values: Tensor, groups: Tensor) -> Tensor:
    """Rank `(T,)` of every value within its group, 0 for the highest; of equal values the first is higher."""
    order = torch.sort(values, descending=True, stable=True).indices
    by_group = torch.sort(groups[order], stable=True)
    order = order[by_group.indices]
    places = torch.arange(len(order), device=values.device)
    ranks = torch.empty_like(order)
    ranks[order] = places - torch.searchsorted(by_group.values, by_group.values)
    return ranks
