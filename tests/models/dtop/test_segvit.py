"""SegViT's cascade: order of the taps, sum of the masks, shared classifier, scores by hand."""

from __future__ import annotations

import torch

from dit_bench.models.dtop.backbone import build_plain_vit
from dit_bench.models.dtop.layout import RaggedLayout
from dit_bench.models.dtop.segvit import SegVitNetwork


def _network() -> SegVitNetwork:
    torch.manual_seed(0)
    network = SegVitNetwork(build_plain_vit("vit_nano_patch8"), 4).eval()
    for parameter in network.head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


@torch.no_grad()
def test_decoders_go_from_the_deepest_tap_to_the_shallowest() -> None:
    network, pixels = _network(), torch.randn(2, 3, 40, 64)
    head = network.head
    taps, grid = network.backbone.taps(pixels, (1, 2, 3))
    stages = head(taps, grid)
    layout = RaggedLayout([40, 40], pixels.device)
    classes, total = head.classes.weight.repeat(2, 1, 1), torch.zeros(2, 4, 5, 8)
    for number, depth in enumerate((3, 2, 1)):
        memory = head.projects[number](taps[depth - 1])
        classes, masks = head.decoders[number](classes, memory.flatten(0, 1), layout)
        total = total + masks.view(2, 5, 8, 4).permute(0, 3, 1, 2)
        torch.testing.assert_close(stages[number].masks, total)
        torch.testing.assert_close(stages[number].classes, head.classify(classes))
    assert stages[0].classes.shape == (2, 4, 5)


@torch.no_grad()
def test_scores_by_hand() -> None:
    network, pixels = _network(), torch.randn(1, 3, 24, 32)
    taps, grid = network.backbone.taps(pixels, (1, 2, 3))
    last = network.head(taps, grid)[-1]
    maps = torch.nn.Upsample((24, 32), mode="bilinear")(last.masks).sigmoid()
    scores = torch.zeros(1, 4, 24, 32)
    for query in range(4):
        for label in range(4):
            scores[0, label] += last.classes[0, query].softmax(0)[label] * maps[0, query]
    torch.testing.assert_close(network(pixels), scores, atol=1e-5, rtol=1e-4)


def test_learns_one_picture() -> None:
    network = SegVitNetwork(build_plain_vit("vit_nano_patch8"), 4)
    torch.manual_seed(0)
    pixels = torch.randn(1, 3, 64, 64)
    labels = torch.zeros(1, 64, 64, dtype=torch.int64)
    labels[:, :, 32:], labels[:, 40:, :16] = 2, 3
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss, _ = network.loss(pixels, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    network.eval()
    with torch.no_grad():
        accuracy = (network(pixels).argmax(dim=1) == labels).float().mean()
    assert accuracy > 0.9
    unused = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert unused == []
