"""Stitching the verdicts of all heads: every token of the grid keeps what the last head that saw it said.

With heads of one kind their logits are kept. A token that left then has, for FCN, its final label; for attention to
mask, only its masks are final: the probability that a class is present is always that of the latest head, so that the
label can still change (DToP's footnote 2). Scores of the two kinds have different scales. With mixed heads the
scores are therefore probabilities, kept as the head gave them, and a head's loss sees tokens that left under a head of
the other kind with logits that give the same probabilities.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dit_bench.models.dtop.heads import HeadKind, HeadOutput, present_probability, token_scores
from dit_bench.models.dtop.layout import RaggedLayout
from dit_bench.models.dtop.live import LiveTokens

SMALLEST_LOG_PROBABILITY = -30.0
"""What a probability of zero counts as where its logarithm is taken."""


@dataclass(frozen=True)
class StageVerdict:
    """What the heads up to one stage say of all tokens: what that stage's loss is taken of."""

    kind: HeadKind
    logits: Tensor
    """`(B, N, K)`: class logits (`fcn`) or mask logits (`atm`)."""
    presence: Tensor | None
    """`(B, K, 2)` of the stage's own head (`atm`)."""


class Canvas:
    """The verdicts of one forward pass, stage after stage; differentiable."""

    def __init__(self, num_images: int, num_tokens: int, *, mixed: bool):
        self._shape = (num_images, num_tokens)
        self._mixed = mixed
        self._last: StageVerdict | None = None
        self._scores: Tensor | None = None

    def write(self, kind: HeadKind, output: HeadOutput, live: LiveTokens) -> StageVerdict:
        """Take down a head's verdict on the live tokens; what those that left were told stays."""
        logits = self._placed(output.logits, live, None if live.places is None else self._logits_for(kind))
        self._last = StageVerdict(kind, logits, output.presence)
        if self._mixed:
            self._scores = self._placed(token_scores(output, live.layout), live, self._scores)
        return self._last

    def scores(self) -> Tensor:
        """`(B, N, K)`, higher is likelier: class logits of FCN heads, probabilities otherwise."""
        if self._mixed:
            assert self._scores is not None
            return self._scores
        assert self._last is not None
        if self._last.presence is None:
            return self._last.logits
        return present_probability(self._last.presence)[:, None, :] * self._last.logits.sigmoid()

    def _placed(self, values: Tensor, live: LiveTokens, before: Tensor | None) -> Tensor:
        """The grid `(B, N, K)` with values `(T, K)` at the live tokens' places."""
        if live.places is None:
            return values.unflatten(0, self._shape)
        assert before is not None
        rows = live.grid_rows()
        places = live.places if rows is None else live.places[rows]
        values = values if rows is None else values.index_select(0, rows)
        return before.flatten(0, 1).index_copy(0, places, values).unflatten(0, self._shape)

    def _logits_for(self, kind: HeadKind) -> Tensor:
        """The logits so far, in the terms of a kind of head."""
        assert self._last is not None, "a token can only leave after a verdict"
        return self._last.logits if self._last.kind == kind else translated(self._last)


def translated(verdict: StageVerdict) -> Tensor:
    """Logits `(B, N, K)` of the other kind of head that give the same probabilities; for softmax, up to their sum."""
    if verdict.presence is None:
        log_probability = verdict.logits.log_softmax(dim=-1).clamp(min=SMALLEST_LOG_PROBABILITY)
        rest = (-torch.expm1(log_probability)).clamp(min=math.exp(SMALLEST_LOG_PROBABILITY))
        return log_probability - rest.log()
    log_present = verdict.presence.log_softmax(dim=-1)[..., 0]
    return log_present[:, None, :] + functional.logsigmoid(verdict.logits)


def grid_scores(output: HeadOutput, live: LiveTokens, rows: Tensor | None) -> tuple[Tensor, Tensor]:
    """Scores `(n, K)` of the live tokens that have a place in the grid, `rows` or None for all, and their images."""
    layout: RaggedLayout = live.layout
    scores = token_scores(output, layout)
    return (scores, layout.images) if rows is None else (scores[rows], layout.images[rows])
