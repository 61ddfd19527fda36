"""DToP as it is defined, one image at a time: what packed execution is compared with. Inference only, slow.

Each block and head runs on the live tokens of one image; pruned places hold zeros and are never read again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dit_bench.cost.formulas import Grid
from dit_bench.models.dtop.heads import HeadOutput
from dit_bench.models.dtop.layout import RaggedLayout
from dit_bench.models.dtop.live import PruningTrace
from dit_bench.models.dtop.pruning import PruningRule

if TYPE_CHECKING:
    from dit_bench.models.dtop.network import DTopNetwork


@dataclass
class _Image:
    """One image on its way through the stages; N places, K classes."""

    features: Tensor
    """`(N, D)`, zero where a token left."""
    means: Tensor
    """`(G, D)`: tokens without a place."""
    live: list[int]
    """Places of the live tokens."""
    verdicts: Tensor
    """`(N, K)`: of each token, what the last head that saw it said."""
    exits: list[int]
    lengths: list[int]


@torch.no_grad()
def reference_segment(network: DTopNetwork, pixels: Tensor) -> tuple[Tensor, PruningTrace]:
    """See `DTopNetwork.segment`."""
    assert not network.training, "batch norms would see one image at a time"
    rules = network.pruning
    ran = (*(rule.prunes for rule in rules), True)
    results = [_segment(network, image.unsqueeze(0), ran) for image in pixels]
    grid = results[0][2]
    trace = PruningTrace(
        grid,
        torch.tensor([image.lengths for _, image, _ in results]),
        torch.tensor([image.exits for _, image, _ in results], dtype=torch.int8, device=pixels.device).unflatten(
            1, grid
        ),
        ran,
    )
    return torch.stack([scores.T.unflatten(1, grid) for scores, _, _ in results]), trace


def _segment(network: DTopNetwork, pixels: Tensor, ran: tuple[bool, ...]) -> tuple[Tensor, _Image, Grid]:
    """Scores `(N, K)` of one image `(1, 3, H, W)`."""
    tokens, grid = network.backbone.embed(pixels)
    stages = network.num_stages
    count, width = tokens.shape[1:]
    image = _Image(
        features=tokens[0].clone(),
        means=tokens.new_zeros(0, width),
        live=list(range(count)),
        verdicts=torch.zeros(count, network.num_classes, device=pixels.device),
        exits=[stages] * count,
        lengths=[],
    )
    kinds = [head.kind for head in network.token_heads]
    mixed = len(set(kinds)) > 1
    output = None
    for stage, (first, last) in enumerate(pairwise((0, *network.stage_ends))):
        image.lengths.append(len(image.live) + len(image.means))
        for block in network.backbone.blocks[first:last]:
            sequence = torch.cat([image.features[image.live], image.means])
            if len(sequence):
                sequence = block(sequence.unsqueeze(0))[0]
            image.features = torch.zeros_like(image.features)
            image.features[image.live] = sequence[: len(image.live)]
            image.means = sequence[len(image.live) :]
        if not ran[stage]:
            continue
        sequence = torch.cat([image.features[image.live], image.means])
        output = network.token_heads[stage](sequence, RaggedLayout([len(sequence)], sequence.device))
        scores = _scores(output, output.logits)[: len(image.live)]
        image.verdicts[image.live] = scores if mixed else output.logits[: len(image.live)]
        if stage + 1 < stages:
            _prune(image, scores, network.pruning[stage], stage + 1)
    assert output is not None
    finished = image.verdicts if mixed or kinds[-1] == "fcn" else _scores(output, image.verdicts)
    return finished, image, grid


def _scores(output: HeadOutput, logits: Tensor) -> Tensor:
    """Scores `(n, K)` of logits `(n, K)` under the class probabilities of a head's output for one image."""
    if output.presence is None:
        return logits.softmax(dim=1)
    return output.presence[0].softmax(dim=1)[:, 0] * logits.sigmoid()


def _prune(image: _Image, scores: Tensor, rule: PruningRule, stage: int) -> None:
    """Let tokens leave by the rule, class by class."""
    if not rule.prunes:
        return
    confidences, labels = (part.tolist() for part in scores.max(dim=1))
    order = sorted(range(len(image.live)), key=lambda index: -confidences[index])
    if rule.variant == "top-share":
        gone = {0: order[: math.floor(rule.share * len(order) + 0.5)]}
    else:
        threshold = torch.tensor(rule.threshold).item()
        gone = {
            label: [index for index in order if labels[index] == label and confidences[index] > threshold]
            for label in sorted(set(labels))
        }
        gone = {label: indices[rule.kept_per_class :] for label, indices in gone.items()}
    if rule.averages:
        new = [image.features[[image.live[index] for index in part]].mean(dim=0) for part in gone.values() if part]
        image.means = torch.cat([image.means, *(mean.unsqueeze(0) for mean in new)])
    leaving = {image.live[index] for part in gone.values() for index in part}
    for place in leaving:
        image.exits[place] = stage
        image.features[place] = 0.0
    image.live = [place for place in image.live if place not in leaving]
