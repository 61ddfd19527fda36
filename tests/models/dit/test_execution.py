"""Masked, packed and padded execution compute the same function, and the last two really leave tokens out."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from dit_bench.cost.counter import counted_macs
from dit_bench.cost.formulas import stage_cost
from dit_bench.models.dit import neighbours, packed, packed_layout, padded
from dit_bench.models.dit.costs import image_macs
from dit_bench.models.dit.ledger import Ledger
from dit_bench.models.dit.masked import masked_stage
from dit_bench.models.dit.model import DiT, Execution
from dit_bench.models.dit.options import VARIANTS, RoutingOptions
from dit_bench.models.dit.packed import packed_stage
from dit_bench.models.dit.padded import padded_stage
from dit_bench.models.pvt import SIZES

SPARSE: tuple[Execution, ...] = ("packed", "padded")


def ledger_of(model: DiT, images: torch.Tensor) -> tuple[torch.Tensor, Ledger]:
    with torch.no_grad():
        logits, trace = model(images, with_trace=True)
    return logits, Ledger.read(trace, model.costs((images.shape[-2], images.shape[-1])))


def pyramid_of(model: DiT, images: torch.Tensor) -> list[torch.Tensor]:
    with torch.no_grad():
        return model.forward_intermediates(images, intermediates_only=True)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("execution", SPARSE)
def test_same_logits_pyramid_masks_and_ledger(make_dit, images, variant: str, execution: Execution) -> None:
    model = make_dit(variant)
    model.execution = "masked"
    masked, masked_ledger = ledger_of(model, images)
    masked_maps = pyramid_of(model, images)
    model.execution = execution
    sparse, sparse_ledger = ledger_of(model, images)
    assert masked.abs().max() > 0.5
    torch.testing.assert_close(sparse, masked, atol=1e-4, rtol=0)
    torch.testing.assert_close(pyramid_of(model, images), masked_maps, atol=1e-4, rtol=0)
    for name in ("macs", "kept", "columns", "live"):
        assert (getattr(masked_ledger, name) == getattr(sparse_ledger, name)).all(), name
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


def keep_mask(counts: list[int], num_tokens: int, generator: torch.Generator) -> torch.Tensor:
    """Keep masks `(B, L)` at random places; a count is a percentage, but 1 is one token."""
    ranks = torch.rand(len(counts), num_tokens, generator=generator).argsort(dim=1).argsort(dim=1)
    wanted = torch.tensor([1 if count == 1 else round(count / 100 * num_tokens) for count in counts])
    return ranks < wanted[:, None]


@settings(max_examples=40, deadline=None)
@given(
    scale=st.integers(0, 3),
    counts=st.lists(st.integers(0, 100), min_size=1, max_size=5),
    height=st.integers(8, 19),
    width=st.integers(8, 19),
    seed=st.integers(0, 10**6),
)
def test_stage_is_the_same_function_on_any_mask(
    scale: int, counts: list[int], height: int, width: int, seed: int
) -> None:
    """Wildly different images: none kept, one kept, all kept, odd grids."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(len(counts), height * width, (16, 32, 64, 96)[scale], generator=generator)
    kept = keep_mask(counts, height * width, generator)
    with torch.no_grad():
        masked = masked_stage(STAGES.blocks[scale], tokens, (height, width), kept.float())
        for stage in (packed_stage, padded_stage):
            sparse = stage(STAGES.blocks[scale], tokens, (height, width), kept)
            torch.testing.assert_close(sparse, masked, atol=1e-4, rtol=1e-4)
            assert torch.equal(sparse[~kept], tokens[~kept]), "a skipped token must return unchanged"


@pytest.mark.parametrize("group_images", [0, 2, 99])
@pytest.mark.parametrize("loop_from_macs", [-1, 10**12])
@pytest.mark.parametrize("scale", range(4))
def test_stage_is_the_same_function_whichever_way_its_size_chooses(
    monkeypatch, scale: int, loop_from_macs: int, group_images: int
) -> None:
    """Large batches go through in groups of images and in chunks of rows, and small ones must not differ."""
    width, hidden = (16, 32, 64, 96)[scale], STAGES.blocks[scale][0].mlp.fc1.out_features
    for module in (packed, packed_layout, padded):
        monkeypatch.setattr(module, "GROUP_BYTES", group_images * 90 * hidden * 4)
    monkeypatch.setattr(packed, "LOOP_MACS_PER_IMAGE", loop_from_macs)
    monkeypatch.setattr(neighbours, "CHUNK_BYTES", 7)
    generator = torch.Generator().manual_seed(scale)
    tokens = torch.randn(6, 90, width, generator=generator)
    kept = keep_mask([100, 0, 97, 1, 20, 60], 90, generator)
    with torch.no_grad():
        masked = masked_stage(STAGES.blocks[scale], tokens, (9, 10), kept.float())
        for stage in (packed_stage, padded_stage):
            sparse = stage(STAGES.blocks[scale], tokens, (9, 10), kept)
            torch.testing.assert_close(sparse, masked, atol=1e-4, rtol=1e-4)


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


def _overridden(variant: str) -> DiT:
    """Nano with two blocks in every other stage, whose rows do what they are told."""
    torch.manual_seed(0)
    shape = replace(SIZES["nano"], depths=(2, 1, 2, 1))
    model = DiT(shape, RoutingOptions(variant=variant), num_classes=10).eval()
    for parameter in model.grid.stages.parameters():
        nn.init.normal_(parameter, std=0.1)
    nn.init.normal_(model.get_parameter("head.weight"), std=0.3)
    return model


OVERRIDDEN = {variant: _overridden(variant) for variant in ("diagonal", "fully")}
COUNTS: tuple[int, ...] = (0, 1, 20, 60, 97, 100)


def override_rows(model: DiT, counts: list[list[int]], size_px: tuple[int, int], seed: int) -> None:
    """Tell every node which tokens to keep; each takes the next of `counts`, one per image, in turn."""
    generator = torch.Generator().manual_seed(seed)
    model.mask_override = {}
    for i, (height, width) in enumerate(model.shape.grids(size_px)):
        for j in range(len(model.shape.depths)):
            here = counts[(4 * i + j) % len(counts)]
            model.mask_override[i, j] = keep_mask(here, height * width, generator)


def run_each_way(model: DiT, run: Any) -> dict[Execution, Any]:
    """The result of `run` under each execution, without gradients."""
    results: dict[Execution, Any] = {}
    for execution in ("masked", *SPARSE):
        model.execution = execution
        with torch.no_grad():
            results[execution] = run()
    return results


@st.composite
def batches_of_counts(draw: st.DrawFn) -> list[list[int]]:
    """For one to five nodes, which then repeat: a count for each of one to four images."""
    batch = draw(st.integers(1, 4))
    images = st.lists(st.sampled_from(COUNTS), min_size=batch, max_size=batch)
    return draw(st.lists(images, min_size=1, max_size=5))


@pytest.mark.parametrize("variant", OVERRIDDEN)
@settings(max_examples=8, deadline=None)
@given(
    counts=batches_of_counts(), height_px=st.integers(32, 100), width_px=st.integers(32, 100), seed=st.integers(0, 99)
)
@example(counts=[[0, 0]], height_px=64, width_px=64, seed=0)
@example(counts=[[1, 1]], height_px=64, width_px=64, seed=0)
@example(counts=[[100, 100]], height_px=64, width_px=64, seed=0)
@example(counts=[[97, 0, 1], [0, 0, 0], [20, 100, 60]], height_px=100, width_px=167, seed=0)
@example(counts=[[60]], height_px=100, width_px=167, seed=0)
def test_model_is_the_same_function_on_any_masks(
    variant: str, counts: list[list[int]], height_px: int, width_px: int, seed: int
) -> None:
    """Logits, the pyramid and the record of what was kept; 100x167 is 800x1333 in small, odd at every scale."""
    model = OVERRIDDEN[variant]
    override_rows(model, counts, (height_px, width_px), seed)
    images = torch.randn(len(counts[0]), 3, height_px, width_px, generator=torch.Generator().manual_seed(seed))
    logits = run_each_way(model, lambda: model(images, with_trace=True))
    maps = run_each_way(model, lambda: pyramid_of(model, images))
    for execution in SPARSE:
        torch.testing.assert_close(logits[execution][0], logits["masked"][0], atol=1e-4, rtol=0)
        torch.testing.assert_close(maps[execution], maps["masked"], atol=1e-4, rtol=0)
        costs = model.costs((height_px, width_px))
        ledgers = [Ledger.read(logits[each][1], costs) for each in (execution, "masked")]
        assert (ledgers[0].macs == ledgers[1].macs).all()


@pytest.mark.parametrize("variant", OVERRIDDEN)
def test_one_token_more_or_less_can_be_seen_in_the_logits(variant: str) -> None:
    """Else the comparisons above would pass on anything."""
    model = OVERRIDDEN[variant]
    images = torch.randn(2, 3, 100, 167, generator=torch.Generator().manual_seed(0))
    override_rows(model, [[60, 20]], (100, 167), seed=0)
    assert model.mask_override is not None
    before = run_each_way(model, lambda: model(images))
    for node in [(0, 0), (1, 1), (2, 2), (3, 3)]:
        model.mask_override[node][0, 7] ^= True
        after = run_each_way(model, lambda: model(images))
        model.mask_override[node][0, 7] ^= True
        for execution in before:
            change = (after[execution] - before[execution]).abs().amax(dim=1)
            assert change[0] > 1e-3, (execution, node)
            assert change[1] < 1e-4, (execution, node, "another image")


@pytest.mark.parametrize("variant", OVERRIDDEN)
def test_bfloat16_autocast_rounds_no_more_than_masked_execution_does(variant: str) -> None:
    """Every execution rounds the same products to eight bits, at other places: errors of one size, not equal ones."""
    model = OVERRIDDEN[variant]
    override_rows(model, [[97, 0, 1], [60, 60, 60], [20, 100, 60]], (100, 167), seed=1)
    images = torch.randn(3, 3, 100, 167, generator=torch.Generator().manual_seed(1))
    exact = run_each_way(model, lambda: model(images))["masked"]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = run_each_way(model, lambda: model(images))
    errors = {key: ((out - exact).square().mean() / exact.square().mean()).sqrt() for key, out in rounded.items()}
    for execution in SPARSE:
        assert 0 < errors[execution] < 2 * errors["masked"], errors
        assert errors[execution] < 0.05, errors


def set_gate(model: DiT, key: str, weight: torch.Tensor, bias: float) -> None:
    """Open column gate `key` where its normalised pooled map times `weight` is above `-bias`."""
    gate: Any = model.grid.columns.gates[key]
    with torch.no_grad():
        gate.projection.weight.copy_(torch.stack([weight, torch.zeros_like(weight)]))
        gate.projection.bias.copy_(torch.tensor([bias, 0.0]))
    gate.copy_to_ema()


@pytest.mark.parametrize("variant", ["dynamic", "scale"])
@pytest.mark.parametrize("execution", SPARSE)
def test_images_that_skip_a_scale_are_left_out_of_the_patch_embedding(
    make_dit, variant: str, execution: Execution
) -> None:
    """The first column's gate opens for two pictures of five; all other gates are shut but where they are forced."""
    model = make_dit(variant)
    opens = torch.tensor([0, 1, 0, 0, 1])
    generator = torch.Generator().manual_seed(0)
    kinds = torch.randn(2, 3, 64, 64, generator=generator)
    images = kinds[opens] + 0.01 * torch.randn(5, 3, 64, 64, generator=generator)
    for key, gate in model.grid.columns.gates.items():
        set_gate(model, key, torch.zeros(gate.projection.weight.shape[1]), bias=-9.0)
    with torch.no_grad():
        pooled = model.patch_embed(kinds).flatten(1, 2).mean(dim=1)
    pooled = nn.functional.layer_norm(pooled, pooled.shape[1:])
    direction = pooled[1] - pooled[0]
    set_gate(model, "0_0", direction, bias=-float(direction @ pooled.mean(dim=0)))

    rows: Counter[str] = Counter()
    for key, embed in model.grid.embeds.items():
        embed.embed.register_forward_pre_hook(lambda _, args, key=key: rows.update({key: len(args[0])}))
    model.execution = "masked"
    masked, ledger = ledger_of(model, images)
    assert ledger.columns[:, 0, 0].tolist() == opens.tolist()
    rows.clear()
    model.execution = execution
    sparse, _ = ledger_of(model, images)
    assert rows == {"0_0": 2, "0_4": 3, "1_4": 5, "2_4": 5}
    torch.testing.assert_close(sparse, masked, atol=1e-4, rtol=0)
