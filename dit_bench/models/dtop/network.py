"""DToP: a plain ViT in stages, a head at the end of each, and early exit of the tokens that a head is sure of.

Pruning is the same in training and at inference (§3.2 and DToP's code): a token that leaves is computed no further, is
no key for others, and keeps the verdict of its last head. Decisions are not differentiable; verdicts are, so that the
losses of later stages reach earlier heads through the tokens that left there.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from dit_bench.models.dtop.backbone import PlainVit, default_stage_ends
from dit_bench.models.dtop.canvas import Canvas, StageVerdict, grid_scores
from dit_bench.models.dtop.heads import HEAD_KINDS, AtmHead, FcnHead, HeadKind, HeadOutput, TokenHead
from dit_bench.models.dtop.live import LiveTokens, PruningTrace
from dit_bench.models.dtop.losses import AUXILIARY_FCN_WEIGHT, mask_set_loss
from dit_bench.models.dtop.pruning import NO_PRUNING, PruningRule, decide
from dit_bench.models.dtop.reference import reference_segment
from dit_bench.models.pixel_loss import pixel_cross_entropy

ATM_LAYERS = 3


class DTopNetwork(nn.Module):
    """Backbone, M stages and M heads for K classes.

    `stage_ends` are layers counted from 1, the last one L; `head_kinds` one kind per stage or one for all. A head's
    width is D / 2 and, of attention to mask, has half as many attention heads as the backbone (6 for ViT-B, 8 for
    ViT-L; DToP's ViT-L on Pascal Context and COCO-Stuff has 16) unless told otherwise. `pruning` is one rule for all
    stages but the last, or one for each of them; it may be replaced at any time.

    Raises ValueError for settings that do not fit together.
    """

    def __init__(
        self,
        backbone: PlainVit,
        num_classes: int,
        *,
        stage_ends: Sequence[int] | None = None,
        head_kinds: HeadKind | Sequence[HeadKind] = "atm",
        head_width: int | None = None,
        atm_heads: int | None = None,
        atm_layers: int = ATM_LAYERS,
        pruning: PruningRule | Sequence[PruningRule] = NO_PRUNING,
        exclude_ignored: bool = False,
    ):
        super().__init__()
        self.backbone, self.num_classes, self.exclude_ignored = backbone, num_classes, exclude_ignored
        depth = len(backbone.blocks)
        self.stage_ends = tuple(default_stage_ends(depth) if stage_ends is None else stage_ends)
        if sorted(set(self.stage_ends)) != list(self.stage_ends) or self.stage_ends[0] < 1:
            raise ValueError(f"stages must end after increasing layers from 1 on, got {list(self.stage_ends)}")
        if self.stage_ends[-1] != depth:
            raise ValueError(f"the last stage must end after layer {depth}, got {self.stage_ends[-1]}")
        kinds = [head_kinds] * self.num_stages if isinstance(head_kinds, str) else list(head_kinds)
        if len(kinds) != self.num_stages or not set(kinds) <= set(HEAD_KINDS):
            raise ValueError(f"{self.num_stages} stages need as many heads of {', '.join(HEAD_KINDS)}, got {kinds}")
        width = backbone.width // 2 if head_width is None else head_width
        heads = max(1, backbone.num_heads // 2) if atm_heads is None else atm_heads
        self.heads = nn.ModuleList(
            [
                FcnHead(backbone.width, num_classes, width)
                if kind == "fcn"
                else AtmHead(backbone.width, num_classes, width, heads, atm_layers)
                for kind in kinds
            ]
        )
        self.pruning = pruning

    @property
    def num_stages(self) -> int:
        """M."""
        return len(self.stage_ends)

    @property
    def token_heads(self) -> list[TokenHead]:
        """The M heads."""
        return [head for head in self.heads if isinstance(head, TokenHead)]

    @property
    def pruning(self) -> tuple[PruningRule, ...]:
        """The rules of all stages but the last."""
        return self._pruning

    @pruning.setter
    def pruning(self, rules: PruningRule | Sequence[PruningRule]) -> None:
        each = (rules,) * (self.num_stages - 1) if isinstance(rules, PruningRule) else tuple(rules)
        if len(each) != self.num_stages - 1:
            raise ValueError(f"{self.num_stages} stages need {self.num_stages - 1} pruning rules, got {len(each)}")
        self._pruning = each

    def segment(self, pixels: Tensor) -> tuple[Tensor, PruningTrace]:
        """Scores `(B, K, h, w)` on the token grid of images `(B, 3, H, W)`, and what was computed for them.

        Class logits if all heads are FCN's, else scores from 0 to 1; upsample them bilinearly, then take the highest.
        An auxiliary head runs only where its stage can prune: with the thresholds at 1 this is the baseline.
        """
        canvas, _, trace = self._run(pixels, every_head=False)
        return canvas.scores().transpose(1, 2).unflatten(2, trace.grid), trace

    def forward(self, pixels: Tensor) -> Tensor:
        """Scores `(B, K, H, W)` at the size of the images `(B, 3, H, W)`."""
        scores, _ = self.segment(pixels)
        return functional.interpolate(scores, size=pixels.shape[2:], mode="bilinear", align_corners=False)

    def reference(self, pixels: Tensor) -> tuple[Tensor, PruningTrace]:
        """The same as `segment`, image by image and written down as the method is defined; slow, in eval mode only."""
        return reference_segment(self, pixels)

    def loss(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, PruningTrace]:
        """The sum of all heads' losses, tokens pruned as at inference, and what was computed.

        `labels` `(B, H, W)` are classes 0 … K − 1 or 255. An auxiliary head counts 0.4 if it is FCN's, else 1.
        """
        _, verdicts, trace = self._run(pixels, every_head=True)
        total = labels.new_zeros((), dtype=torch.float32)
        for stage, verdict in enumerate(verdicts, start=1):
            maps = verdict.logits.transpose(1, 2).unflatten(2, trace.grid)
            if verdict.presence is None:
                weight = 1.0 if stage == self.num_stages else AUXILIARY_FCN_WEIGHT
                total = total + weight * pixel_cross_entropy(maps, labels, average_ignored=True)
            else:
                own = mask_set_loss(maps, verdict.presence, labels, exclude_ignored=self.exclude_ignored)
                total = total + own
        return total, trace

    def _run(self, pixels: Tensor, *, every_head: bool) -> tuple[Canvas, list[StageVerdict], PruningTrace]:
        tokens, grid = self.backbone.embed(pixels)
        num_images, num_tokens = tokens.shape[:2]
        heads = self.token_heads
        canvas = Canvas(num_images, num_tokens, mixed=len({head.kind for head in heads}) > 1)
        exits = torch.full((num_images * num_tokens,), self.num_stages, dtype=torch.int8, device=pixels.device)
        live, verdicts, counts, ran = LiveTokens.dense(tokens), [], [], []
        rules = (*self.pruning, NO_PRUNING)
        for stage, (first, last) in enumerate(pairwise((0, *self.stage_ends))):
            live = live.with_features(self.backbone.run(live.features, live.layout, first, last))
            counts.append(live.layout.counts)
            is_last = stage + 1 == self.num_stages
            ran.append(every_head or is_last or rules[stage].prunes)
            if not ran[-1]:
                continue
            output = heads[stage](live.features, live.layout)
            verdicts.append(canvas.write(heads[stage].kind, output, live))
            if rules[stage].prunes and not is_last:
                live = self._pruned(live, output, rules[stage], exits, stage + 1)
        trace = PruningTrace(grid, torch.tensor(counts).T, exits.view(num_images, *grid), tuple(ran))
        return canvas, verdicts, trace

    def _pruned(self, live: LiveTokens, output: HeadOutput, rule: PruningRule, exits: Tensor, stage: int) -> LiveTokens:
        """The tokens that go on after a stage; the stage of those that leave is set in `exits` `(B · N,)`."""
        rows = live.grid_rows()
        with torch.no_grad():
            scores, images = grid_scores(output, live, rows)
        decision = decide(scores, images, live.layout.num_images, rule)
        if not bool(decision.leaves.any()):
            return live
        places = live.places
        if places is None:
            places = torch.arange(len(decision.leaves), device=exits.device)
        elif rows is not None:
            places = places[rows]
        exits[places[decision.leaves]] = stage
        return live.without(decision, rows, mean_classes=self.num_classes if rule.averages else None)
