"""Masked and packed execution compute the same function, and packed execution really leaves tokens out."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dit_bench.cost.counter import counted_macs
from dit_bench.cost.formulas import stage_cost
from dit_bench.models.dit.costs import image_macs
from dit_bench.models.dit.ledger import Ledger
from dit_bench.models.dit.masked import masked_stage
from dit_bench.models.dit.model import DiT
from dit_bench.models.dit.options import VARIANTS
from dit_bench.models.dit.packed import packed_stage


def ledger_of(model: DiT, images: torch.Tensor) -> tuple[torch.Tensor, Ledger]:
    with torch.no_grad():
        logits, trace = model(images, with_trace=True)
    return logits, Ledger.read(trace, model.costs((images.shape[-2], images.shape[-1])))


@pytest.mark.parametrize("variant", VARIANTS)
def test_same_logits_masks_and_ledger(make_dit, images, variant: str) -> None:
    model = make_dit(variant)
    model.execution = "masked"
    masked, masked_ledger = ledger_of(model, images)
    model.execution = "packed"
    packed, packed_ledger = ledger_of(model, images)
    assert masked.abs().max() > 0.5
    torch.testing.assert_close(packed, masked, atol=1e-4, rtol=0)
    for name in ("macs", "kept", "columns", "live"):
        assert (getattr(masked_ledger, name) == getattr(packed_ledger, name)).all(), name
    if variant in ("dynamic", "scale", "depth"):
        assert len(set(masked_ledger.macs)) > 1, "the images should be routed differently"


@pytest.mark.parametrize("variant", VARIANTS)
def test_closed_form_equals_what_torch_dispatched(make_dit, images, variant: str) -> None:
    model = make_dit(variant, seed=3)
    for image in images[:3].split(1):
        _, ledger = ledger_of(model, image)
        assert counted_macs(lambda image=image: model(image)) == ledger.macs[0]


def test_masked_execution_dispatches_more_than_the_ledger_says(make_dit, images) -> None:
    model = make_dit("dynamic")
    _, ledger = ledger_of(model, images[:1])
    model.execution = "masked"
    assert counted_macs(lambda: model(images[:1])) > ledger.macs[0]


@pytest.mark.parametrize("variant", ["dynamic", "random", "attention", "static"])
def test_ledger_does_not_depend_on_the_batch(make_dit, images, variant: str) -> None:
    model = make_dit(variant)
    logits, whole = ledger_of(model, images)
    parts = [ledger_of(model, part) for part in images.split([1, 3, 2])]
    together = Ledger.concatenate([ledger for _, ledger in parts])
    for name in ("macs", "kept", "columns", "live"):
        assert (getattr(whole, name) == getattr(together, name)).all(), name
    torch.testing.assert_close(torch.cat([part for part, _ in parts]), logits, atol=1e-4, rtol=0)


class _Stages:
    """One two-block stage of nano per scale, with weights large enough to tell functions apart."""

    def __init__(self) -> None:
        import timm

        import dit_bench.models.pvt  # noqa: F401

        torch.manual_seed(0)
        model: Any = timm.create_model("pvt_v2_nano", depths=(2, 2, 2, 2)).eval()
        self.blocks = []
        for stage in model.stages:
            blocks = stage.blocks
            for parameter in blocks.parameters():
                nn.init.normal_(parameter, std=0.3)
            assert isinstance(blocks, nn.ModuleList)
            self.blocks.append(blocks)


STAGES = _Stages()


@settings(max_examples=40, deadline=None)
@given(
    scale=st.integers(0, 3),
    counts=st.lists(st.integers(0, 100), min_size=1, max_size=5),
    height=st.integers(8, 19),
    width=st.integers(8, 19),
    seed=st.integers(0, 10**6),
)
def test_stage_packed_equals_masked_on_any_mask(
    scale: int, counts: list[int], height: int, width: int, seed: int
) -> None:
    """Wildly different images: none kept, one kept, all kept, odd grids."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(len(counts), height * width, (16, 32, 64, 96)[scale], generator=generator)
    order = torch.rand(tokens.shape[:2], generator=generator).argsort(dim=1).argsort(dim=1)
    wanted = torch.tensor([1 if count == 1 else round(count / 100 * height * width) for count in counts])
    kept = order < wanted[:, None]
    with torch.no_grad():
        masked = masked_stage(STAGES.blocks[scale], tokens, (height, width), kept.float())
        packed = packed_stage(STAGES.blocks[scale], tokens, (height, width), kept)
    torch.testing.assert_close(packed, masked, atol=1e-4, rtol=1e-4)
    assert torch.equal(packed[~kept], tokens[~kept]), "a skipped token must return unchanged"


@pytest.mark.parametrize("scale", range(4))
def test_absent_tokens_leave_no_trace(scale: int) -> None:
    """What a skipped token holds must not change any kept token: it is absent, not merely weighted."""
    tokens = torch.randn(1, 64, (16, 32, 64, 96)[scale])
    kept = torch.rand(1, 64) < 0.5
    other = torch.where(kept[..., None], tokens, torch.randn_like(tokens) * 100)
    with torch.no_grad():
        first = masked_stage(STAGES.blocks[scale], tokens, (8, 8), kept.float())
        second = masked_stage(STAGES.blocks[scale], other, (8, 8), kept.float())
    torch.testing.assert_close(first[kept], second[kept], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kept_count", [0, 1, 17, 64])
@pytest.mark.parametrize("scale", range(4))
def test_stage_cost_counts_what_runs(scale: int, kept_count: int) -> None:
    from dit_bench.models.pvt import SIZES

    tokens = torch.randn(1, 64, (16, 32, 64, 96)[scale])
    kept = torch.zeros(1, 64, dtype=torch.bool)
    kept[0, torch.randperm(64)[:kept_count]] = True
    counted = counted_macs(lambda: packed_stage(STAGES.blocks[scale], tokens, (8, 8), kept))
    assert counted == stage_cost(SIZES["nano"], scale, (8, 8), depth=2).macs(kept_count)


def test_differentiable_cost_equals_the_ledger_and_reaches_every_gate(make_dit, images) -> None:
    model = make_dit("dynamic")
    model.train()
    model.routing_state.open = False
    model.generator = torch.Generator().manual_seed(0)
    _, trace = model(images, with_trace=True)
    costs = model.costs((64, 64))
    exact = image_macs(trace, costs, torch.int64, images.device)
    soft = image_macs(trace, costs, torch.float32, images.device)
    torch.testing.assert_close(soft.detach().double(), exact.double(), rtol=1e-5, atol=0)
    soft.mean().backward()
    for name, parameter in model.named_parameters():
        if name.endswith("projection.weight") and ".gates." in name:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all()
