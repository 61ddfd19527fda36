"""Pruned execution against the method written down image by image, and what follows from the method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from dit_bench.models.dtop import layout as layout_module
from dit_bench.models.dtop.backbone import build_plain_vit
from dit_bench.models.dtop.costs import DTopCosts
from dit_bench.models.dtop.heads import HeadKind
from dit_bench.models.dtop.network import DTopNetwork
from dit_bench.models.dtop.pruning import NO_PRUNING, VARIANTS, PruningRule, Variant
from tests.models.dtop.conftest import MIXED_KINDS

Make = Callable[..., DTopNetwork]
Measure = Callable[[DTopNetwork, Tensor], list[Tensor]]


def _rules(network: DTopNetwork, measured: list[Tensor], **arguments: Any) -> list[PruningRule]:
    """Thresholds that half of the tokens of each stage exceed without pruning, far from any of them."""
    rules = []
    for part in measured[: network.num_stages - 1]:
        ordered = part.flatten().sort().values
        middle = ordered[len(ordered) * 2 // 5 : len(ordered) * 3 // 5]
        widest = int(middle.diff().argmax())
        rules.append(PruningRule(threshold=middle[widest : widest + 2].mean().item(), **arguments))
    return rules


def _assert_same(network: DTopNetwork, pixels: Tensor) -> None:
    with torch.no_grad():
        scores, trace = network.segment(pixels)
        expected, truth = network.reference(pixels)
    assert torch.equal(trace.live, truth.live)
    assert torch.equal(trace.exits, truth.exits)
    assert (trace.grid, trace.heads_run) == (truth.grid, truth.heads_run)
    torch.testing.assert_close(scores, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("loop_from_macs", [-1, 10**12], ids=["loop", "padded"])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kinds", MIXED_KINDS, ids="-".join)
def test_packed_is_the_reference(
    monkeypatch, make_network: Make, images: Tensor, confidences: Measure, kinds: Any, variant: Variant, loop_from_macs
) -> None:
    monkeypatch.setattr(layout_module, "LOOP_MACS_PER_IMAGE", loop_from_macs)
    network = make_network(kinds)
    network.pruning = _rules(network, confidences(network, images), variant=variant, keep=2)
    _assert_same(network, images)
    _, trace = network.segment(images)
    assert trace.live[:, 0].tolist() == [64] * 5
    if variant == "top-share":
        assert trace.live[:, 1:].tolist() == [[42, 27]] * 5
    else:
        assert len(set(trace.live[:, 2].tolist())) > 1, "the images should be pruned differently"
    assert {1, 2, 3} <= set(trace.exits.flatten().tolist())


@pytest.mark.parametrize("kind", ["atm", "fcn"])
@pytest.mark.parametrize(("height_px", "width_px"), [(200, 200), (8, 88), (40, 24)])
def test_any_grid(make_network: Make, confidences: Measure, kind: HeadKind, height_px: int, width_px: int) -> None:
    """25x25, of which DToP's own code loses a token, 1x11, and no square."""
    network = make_network(kind)
    pixels = torch.randn(2, 3, height_px, width_px, generator=torch.Generator().manual_seed(1))
    network.pruning = _rules(network, confidences(network, pixels), keep=1)
    _assert_same(network, pixels)
    scores, trace = network.segment(pixels)
    assert scores.shape[2:] == trace.exits.shape[1:] == trace.grid == (height_px // 8, width_px // 8)
    assert (trace.exits == 1).any()
    assert network(pixels).shape == (2, network.num_classes, height_px, width_px)


@pytest.mark.parametrize("kinds", MIXED_KINDS, ids="-".join)
@pytest.mark.parametrize("variant", ["remove", "average", "top-k"])
def test_every_token_is_easy(make_network: Make, images: Tensor, kinds: Any, variant: Variant) -> None:
    """All gone, or their means only, or k per class; also with one class."""
    for num_classes in (5, 1):
        network = make_network(kinds, num_classes=num_classes, pruning=PruningRule(variant, threshold=0.0, keep=3))
        for pixels in (images, images[:1]):
            _assert_same(network, pixels)
            _, trace = network.segment(pixels)
            if variant == "remove":
                assert not trace.live[:, 1:].any()
                assert (trace.exits == 1).all()
            elif num_classes == 1:
                assert (trace.live[:, 1] == (1 if variant == "average" else 3)).all()


def test_easy_and_difficult_images_in_one_batch(make_network: Make, images: Tensor, confidences: Measure) -> None:
    """One image loses everything, another nothing."""
    network = make_network("atm")
    first = confidences(network, images)[0]
    order = first.amin(dim=1).argsort()
    threshold = (first[order[-1]].amin() - 1e-4).item()
    network.pruning = [PruningRule("remove", threshold=threshold), NO_PRUNING]
    _assert_same(network, images)
    _, trace = network.segment(images)
    assert trace.live[order[-1], 1] == 0
    assert (trace.live[order[:-1], 1] > 0).any()


@pytest.mark.parametrize("kind", ["atm", "fcn"])
def test_threshold_1_is_the_baseline_bit_for_bit(make_network: Make, images: Tensor, kind: HeadKind) -> None:
    """The backbone and the last head; auxiliary heads do not even run."""
    network = make_network(kind)
    for head in network.token_heads[:-1]:
        head.register_forward_hook(lambda *_: pytest.fail("an auxiliary head ran"))
    with torch.no_grad():
        scores, trace = network.segment(images)
        tokens, _ = network.backbone.taps(images, (3,))
        alone = DTopNetwork(network.backbone, 5, stage_ends=(3,), head_kinds=kind).eval()
        alone.heads[0] = network.heads[2]
        baseline, _ = alone.segment(images)
        output = network.token_heads[2](tokens[0].flatten(0, 1), layout_module.RaggedLayout([64] * 5, images.device))
    assert torch.equal(scores, baseline)
    if kind == "fcn":
        assert torch.equal(scores.flatten(2).transpose(1, 2).flatten(0, 1), output.logits)
    assert trace.heads_run == (False, False, True)
    assert (trace.live == 64).all()
    assert (trace.exits == 3).all()


def test_a_head_runs_where_its_stage_can_prune(make_network: Make, images: Tensor) -> None:
    network = make_network(pruning=[NO_PRUNING, PruningRule(threshold=0.5)])
    _, trace = network.segment(images)
    assert trace.heads_run == (False, True, True)
    _assert_same(network, images)


def test_the_batch_does_not_matter(make_network: Make, images: Tensor, confidences: Measure) -> None:
    network = make_network()
    network.pruning = _rules(network, confidences(network, images))
    with torch.no_grad():
        scores, trace = network.segment(images)
        alone = [network.segment(image) for image in images.split(1)]
    torch.testing.assert_close(torch.cat([score for score, _ in alone]), scores, atol=1e-4, rtol=0)
    assert torch.equal(torch.cat([part.exits for _, part in alone]), trace.exits)


@pytest.mark.parametrize("kind", ["atm", "fcn"])
def test_a_label_is_final_for_fcn_only(
    make_network: Make, images: Tensor, confidences: Measure, kind: HeadKind
) -> None:
    """A token that left keeps FCN's logits; of attention to mask it keeps the masks, under the last head's classes."""
    network = make_network(kind)
    network.pruning = [_rules(network, confidences(network, images))[0], NO_PRUNING]
    first, last = [], []
    network.heads[0].register_forward_hook(lambda module, args, output: first.append(output))
    network.heads[2].register_forward_hook(lambda module, args, output: last.append(output))
    with torch.no_grad():
        scores, trace = network.segment(images)
    left = (trace.exits == 1).flatten()
    found = scores.flatten(2).transpose(1, 2).flatten(0, 1)[left]
    if kind == "fcn":
        assert torch.equal(found, first[0].logits[left])
        return
    owners = torch.arange(5).repeat_interleave(64)[left]
    masks = first[0].logits[left].sigmoid()
    torch.testing.assert_close(found, last[0].presence.softmax(-1)[owners, :, 0] * masks)
    assert (found - first[0].presence.softmax(-1)[owners, :, 0] * masks).abs().max() > 1e-3


def test_macs_never_rise_as_the_threshold_falls(make_network: Make, images: Tensor) -> None:
    for variant in ("top-k", "remove"):
        network = make_network()
        costs = DTopCosts.of(network, (64, 64))
        totals = [[10**12] * 5]
        for threshold in (0.99, 0.9, 0.8, 0.7, 0.6, 0.5, 0.3, 0.1, 0.0):
            network.pruning = [PruningRule(variant, threshold=threshold, keep=2), NO_PRUNING]
            totals.append(costs.of_trace(network.segment(images)[1]))
            assert all(now <= before for now, before in zip(totals[-1], totals[-2], strict=True)), threshold
        assert sum(totals[-1]) < 0.8 * sum(totals[1])


@pytest.mark.parametrize("kinds", MIXED_KINDS, ids="-".join)
def test_later_losses_reach_earlier_heads_through_the_canvas(
    make_network: Make, images: Tensor, confidences: Measure, kinds: Any
) -> None:
    """From the final scores alone; without pruning the first head gets nothing."""
    network = make_network(kinds)
    rules = _rules(network, confidences(network, images))
    for pruning, reached in ((rules, True), ([NO_PRUNING] * 2, False)):
        network.pruning = pruning
        network.zero_grad()
        scores, _ = network.segment(images)
        scores.square().sum().backward()
        grads = [parameter.grad for parameter in network.heads[0].parameters()]
        assert any(grad is not None and grad.abs().sum() > 0 for grad in grads) == reached


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kinds", MIXED_KINDS, ids="-".join)
def test_training_prunes_and_every_gradient_is_finite(
    make_network: Make, images: Tensor, confidences: Measure, kinds: Any, variant: Variant
) -> None:
    network = make_network(kinds).train()
    network.pruning = _rules(network, confidences(network, images), variant=variant, keep=1)
    labels = torch.randint(0, 5, (5, 64, 64), generator=torch.Generator().manual_seed(0))
    labels[:, :5] = 255
    loss, trace = network.loss(images, labels)
    loss.backward()
    assert trace.heads_run == (True, True, True)
    assert (trace.live[:, 2] < 64).any()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_loss_adds_up_over_heads(make_network: Make, images: Tensor) -> None:
    """Auxiliary FCN heads weigh 0.4, those of attention to mask 1, the last head 1."""
    labels = torch.randint(0, 5, (5, 64, 64), generator=torch.Generator().manual_seed(0))
    weights: dict[HeadKind, float] = {"fcn": 0.4, "atm": 1.0}
    with torch.no_grad():
        for kind, weight in weights.items():
            network = make_network(kind)
            parts = []
            for stage in range(3):
                alone = DTopNetwork(network.backbone, 5, stage_ends=(3,), head_kinds=kind).eval()
                alone.heads[0] = network.heads[stage]
                alone.stage_ends = (stage + 1,)
                parts.append(alone.loss(images, labels)[0])
            total, _ = network.loss(images, labels)
            torch.testing.assert_close(total, weight * (parts[0] + parts[1]) + parts[2])


@pytest.mark.parametrize("kinds", MIXED_KINDS, ids="-".join)
def test_learns_one_picture_while_pruning(kinds: tuple[HeadKind, ...]) -> None:
    torch.manual_seed(0)
    network = DTopNetwork(build_plain_vit("vit_nano_patch8"), 4, head_kinds=kinds, pruning=PruningRule(threshold=0.9))
    pixels = torch.randn(2, 3, 64, 64)
    labels = torch.zeros(2, 64, 64, dtype=torch.int64)
    labels[:, :, 32:], labels[1, 40:, :16], labels[:, :8] = 2, 3, 255
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(80):
        loss, trace = network.loss(pixels, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert (trace.live[:, 2] < 40).all(), "by then most tokens are easy"
    network.eval()
    with torch.no_grad():
        right = network(pixels).argmax(dim=1) == labels
    assert right[labels != 255].float().mean() > 0.9


@pytest.mark.parametrize("kinds", MIXED_KINDS, ids="-".join)
def test_bfloat16_is_finite(make_network: Make, images: Tensor, confidences: Measure, kinds: Any) -> None:
    network = make_network(kinds)
    network.pruning = _rules(network, confidences(network, images), variant="average-top-k")
    labels = torch.randint(0, 5, (5, 64, 64))
    with torch.autocast("cpu", torch.bfloat16):
        scores, trace = network.segment(images)
        loss, _ = network.train().loss(images, labels)
    loss.backward()
    assert (trace.live[:, 2] < 64).any()
    assert scores.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
    scores, trace = network.eval().bfloat16().segment(images.bfloat16())
    assert (trace.live[:, 2] < 64).any()
    assert scores.isfinite().all()


def test_settings_that_do_not_fit_are_refused(make_network: Make) -> None:
    for options, said in (
        ({"stage_ends": (1, 2)}, "the last stage must end after layer 3, got 2"),
        ({"stage_ends": (2, 1, 3)}, "increasing layers"),
        ({"stage_ends": (0, 3)}, "increasing layers"),
        ({"head_kinds": ("atm", "fcn")}, "3 stages need as many heads"),
        ({"head_kinds": ("atm", "fcn", "fpn")}, "3 stages need as many heads of atm, fcn"),
        ({"pruning": [NO_PRUNING]}, "3 stages need 2 pruning rules, got 1"),
    ):
        with pytest.raises(ValueError, match=said):
            make_network(**options)


def test_four_stages_and_one(make_network: Make, images: Tensor) -> None:
    """Table 4 has heads at other places, too."""
    rule = PruningRule(threshold=0.6)
    network = make_network(vit="vit_mini_patch8", stage_ends=(1, 3, 5, 6), pruning=rule)
    _assert_same(network, images[:2])
    assert replace(rule, keep=1) != network.pruning[0]
    alone = make_network(stage_ends=(3,), pruning=rule)
    assert alone.pruning == ()
    assert alone.segment(images)[1].heads_run == (True,)
