"""Pad-to-longest execution: the function of masked execution, at the cost of the image that keeps most."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.models.pvt_v2 import Block
from torch import nn

from dit_bench.cost.counter import counted_macs
from dit_bench.models.dit.masked import masked_stage
from dit_bench.models.dit.padded import padded_stage

WIDTH, HEADS, MLP_RATIO = 16, 2, 4


def build_blocks(sr_ratio: int, depth: int) -> nn.ModuleList:
    """A stage with weights large enough that every operator matters."""
    torch.manual_seed(sr_ratio)
    blocks = [Block(WIDTH, HEADS, MLP_RATIO, sr_ratio, qkv_bias=True) for _ in range(depth)]
    stage = nn.ModuleList(blocks).eval()
    for parameter in stage.parameters():
        nn.init.normal_(parameter, std=0.3)
    return stage


STAGES = {sr_ratio: build_blocks(sr_ratio, depth=3) for sr_ratio in (8, 4, 2, 1)}


def mask_with(counts: list[int], num_tokens: int, seed: int = 0) -> torch.Tensor:
    """Keep masks `(B, L)` with the given number of tokens per image, at random places."""
    noise = torch.rand(len(counts), num_tokens, generator=torch.Generator().manual_seed(seed))
    return noise.argsort(dim=1).argsort(dim=1) < torch.tensor(counts)[:, None]


def run_padded(sr_ratio: int, tokens: torch.Tensor, grid: tuple[int, int], kept: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return padded_stage(STAGES[sr_ratio], tokens, grid, kept)


@settings(max_examples=30, deadline=None)
@given(
    sr_ratio=st.sampled_from(sorted(STAGES)),
    height=st.integers(8, 17),
    width=st.integers(8, 17),
    shares=st.lists(st.sampled_from((0.0, 1e-9, 0.1, 0.5, 0.9, 1.0)), min_size=1, max_size=5),
    seed=st.integers(0, 10**6),
)
def test_equals_masked_execution(sr_ratio: int, height: int, width: int, shares: list[float], seed: int) -> None:
    num_tokens = height * width
    kept = mask_with([math.ceil(share * num_tokens) for share in shares], num_tokens, seed)
    tokens = torch.randn(len(shares), num_tokens, WIDTH, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        expected = masked_stage(STAGES[sr_ratio], tokens, (height, width), kept.float())
    out = run_padded(sr_ratio, tokens, (height, width), kept)
    torch.testing.assert_close(out, expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(out[~kept], tokens[~kept]), "a skipped token must return unchanged"


def test_kept_rectangles_are_what_timms_blocks_make_of_the_cut_out_rectangles() -> None:
    """Without spatial reduction absent tokens are a border: the stage cannot know that there is anything else."""
    height, width = 9, 11
    tokens = torch.randn(4, height, width, WIDTH, generator=torch.Generator().manual_seed(2))
    expected, kept = tokens.clone(), torch.zeros(4, height, width, dtype=torch.bool)
    rectangles = [(slice(0, 9), slice(4, 8)), (slice(3, 4), slice(10, 11)), (slice(2, 7), slice(0, 10))]
    for image, (rows, columns) in enumerate(rectangles):
        part = tokens[image, rows, columns]
        kept[image, rows, columns] = True
        cut_out = part.flatten(0, 1)[None]
        with torch.no_grad():
            for block in STAGES[1]:
                cut_out = block(cut_out, part.shape[:2])
        expected[image, rows, columns] = cut_out[0].view(part.shape)
    out = run_padded(1, tokens.flatten(1, 2), (height, width), kept.flatten(1))
    torch.testing.assert_close(out, expected.flatten(1, 2), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("sr_ratio", sorted(STAGES))
def test_nothing_of_a_skipped_token_or_a_closed_image_is_read(sr_ratio: int) -> None:
    tokens = torch.randn(3, 144, WIDTH, generator=torch.Generator().manual_seed(3))
    kept = mask_with([5, 0, 100], 144)
    poisoned = torch.where(kept[..., None], tokens, torch.nan)
    clean, out = (run_padded(sr_ratio, each, (12, 12), kept) for each in (tokens, poisoned))
    assert torch.equal(out[kept], clean[kept])


@pytest.mark.parametrize("counts", [[20, 0, 90, 1], [30, 30, 30, 30], [144, 3, 0, 0], [144, 0, 144, 0]])
@pytest.mark.parametrize("sr_ratio", sorted(STAGES))
def test_costs_as_if_every_image_kept_as_many_as_the_one_that_keeps_most(sr_ratio: int, counts: list[int]) -> None:
    """Per image that takes part: the convolutions on the whole grid, the rest on `longest` tokens (PVTv2 §3)."""
    tokens = torch.randn(len(counts), 144, WIDTH)
    macs = counted_macs(lambda: padded_stage(STAGES[sr_ratio], tokens, (12, 12), mask_with(counts, 144)))
    longest, hidden = max(counts), MLP_RATIO * WIDTH
    num_keys = longest if sr_ratio == 1 else (12 // sr_ratio) ** 2
    per_image = (
        longest * 2 * WIDTH**2  # queries and output projection
        + num_keys * 2 * WIDTH**2  # keys and values
        + longest * num_keys * 2 * WIDTH  # scores and their sum over values
        + longest * 2 * WIDTH * hidden
        + 144 * 9 * hidden
    )
    if sr_ratio > 1:
        per_image += num_keys * sr_ratio**2 * WIDTH**2
    assert macs == len(STAGES[sr_ratio]) * sum(count > 0 for count in counts) * per_image


def test_the_tensor_is_as_long_as_the_image_that_keeps_most_and_has_no_closed_image() -> None:
    shapes = []
    handle = STAGES[2][1].get_submodule("norm1").register_forward_pre_hook(lambda _, args: shapes.append(args[0].shape))
    with handle:
        run_padded(2, torch.randn(5, 144, WIDTH), (12, 12), mask_with([3, 0, 57, 0, 1], 144))
        run_padded(2, torch.randn(2, 144, WIDTH), (12, 12), mask_with([0, 0], 144))
    assert shapes == [(3, 57, WIDTH)]


@pytest.mark.parametrize("sr_ratio", sorted(STAGES))
def test_an_image_does_not_feel_its_company(sr_ratio: int) -> None:
    tokens = torch.randn(3, 144, WIDTH, generator=torch.Generator().manual_seed(4))
    kept = mask_with([7, 130, 61], 144)
    together = run_padded(sr_ratio, tokens, (12, 12), kept)
    for image in range(3):
        alone = run_padded(sr_ratio, tokens[image : image + 1], (12, 12), kept[image : image + 1])
        torch.testing.assert_close(together[image], alone[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("sr_ratio", sorted(STAGES))
def test_leaves_its_input_alone_and_skips_nothing_when_told_to_keep_all(sr_ratio: int) -> None:
    tokens = torch.randn(2, 144, WIDTH, generator=torch.Generator().manual_seed(5))
    before = tokens.clone()
    dense = tokens
    with torch.no_grad():
        for block in STAGES[sr_ratio]:
            dense = block(dense, (12, 12))
        everything = [
            padded_stage(STAGES[sr_ratio], tokens, (12, 12), kept) for kept in (None, mask_with([144, 144], 144))
        ]
    one_closed = run_padded(sr_ratio, tokens, (12, 12), mask_with([144, 0], 144))
    for out in everything:
        torch.testing.assert_close(out, dense, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(one_closed, torch.stack([dense[0], tokens[1]]), atol=1e-4, rtol=1e-4)
    run_padded(sr_ratio, tokens, (12, 12), mask_with([9, 40], 144))
    assert torch.equal(tokens, before)


@pytest.mark.parametrize("sr_ratio", sorted(STAGES))
def test_bfloat16_autocast_rounds_no_more_than_masked_execution_does(sr_ratio: int) -> None:
    """Both round the same products to eight bits, at other places: their errors are of one size, not equal."""
    tokens = torch.randn(4, 144, WIDTH, generator=torch.Generator().manual_seed(6))
    kept = mask_with([144, 60, 1, 0], 144)
    with torch.no_grad():
        exact = masked_stage(STAGES[sr_ratio], tokens, (12, 12), kept.float())
        with torch.autocast("cpu", torch.bfloat16):
            masked = masked_stage(STAGES[sr_ratio], tokens, (12, 12), kept.float())
            padded = padded_stage(STAGES[sr_ratio], tokens, (12, 12), kept)
    assert padded.dtype == tokens.dtype
    errors = [(out - exact).square().mean().sqrt() / exact.square().mean().sqrt() for out in (masked, padded)]
    assert 0 < errors[1] < 2 * errors[0]
    assert errors[1] < 0.05


def test_padded_execution_is_what_runs_when_it_is_asked_for(make_dit, images) -> None:
    model = make_dit("dynamic")
    shapes = []
    model.grid.stages["0_0"][0].norm1.register_forward_pre_hook(lambda _, args: shapes.append(tuple(args[0].shape)))
    model.execution = "padded"
    with torch.no_grad():
        _, trace = model(images, with_trace=True)
    counts = trace.kept[0][0].sum(dim=1).int().tolist()
    assert len(set(counts)) > 1
    assert shapes == [(sum(count > 0 for count in counts), max(counts), 16)]
    model.train()
    with pytest.raises(ValueError, match="padded execution is for inference only"):
        model(images)
