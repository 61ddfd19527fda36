"""PVT v1 against a separately written forward, the published key names and the two modes' contract."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dit_bench.cost.attention import attention_formula
from dit_bench.cost.formulas import Grid, PyramidShape
from dit_bench.models.pvt_v1_layers import SpatialReductionAttention
from dit_bench.models.pvt_v1_model import PyramidVisionTransformer

SHAPE = PyramidShape((8, 12, 10, 16), (1, 2, 1, 2), (1, 2, 5, 4), (3, 2, 2, 2), (8, 4, 2, 1))
PATCHES = (4, 2, 2, 2)


def make_pvt(seed: int = 0, **arguments: Any) -> PyramidVisionTransformer:
    """A tiny PVT in double precision in which every parameter, norms and biases too, has a value that shows."""
    torch.manual_seed(seed)
    model = PyramidVisionTransformer(SHAPE, num_classes=7, **arguments)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model.double().eval()


def images_of(height: int, width: int) -> Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def reference_stage(
    weights: dict[str, Tensor], stage: int, maps: Tensor, *, with_class: bool, table_grid: Grid | None = None
) -> tuple[Tensor, Grid]:
    """One stage from the published weights, in plain steps; `table_grid` resizes a table of that grid, None none."""
    number, patch, reduction = stage + 1, PATCHES[stage], SHAPE.sr_ratios[stage]

    def of(name: str) -> tuple[Tensor, Tensor]:
        return weights[f"{name}.weight"], weights[f"{name}.bias"]

    def norm(x: Tensor, name: str, eps: float) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        weight, bias = of(name)
        return centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt() * weight + bias

    def linear(x: Tensor, name: str) -> Tensor:
        weight, bias = of(name)
        return torch.einsum("bli,oi->blo", x, weight) + bias

    def patches(x: Tensor, side: int, name: str) -> tuple[Tensor, Grid]:
        grid = (x.shape[2] // side, x.shape[3] // side)
        x = x[:, :, : grid[0] * side, : grid[1] * side].unfold(2, side, side).unfold(3, side, side)
        weight, bias = of(name)
        return (torch.einsum("bchwij,ocij->bhwo", x, weight) + bias).flatten(1, 2), grid

    tokens, grid = patches(maps, patch, f"patch_embed{number}.proj")
    tokens = norm(tokens, f"patch_embed{number}.norm", 1e-5)
    table = weights[f"pos_embed{number}"]
    class_row, cells = (table[:, :1], table[:, 1:]) if number == 4 else (table[:, :0], table)
    if table_grid is not None:
        square = cells.reshape(1, *table_grid, -1).permute(0, 3, 1, 2)
        resized = F.interpolate(square, size=grid, mode="bilinear", align_corners=False)
        cells = resized.permute(0, 2, 3, 1).reshape(1, grid[0] * grid[1], -1)
    tokens = tokens + cells
    if with_class:
        tokens = torch.cat([(weights["cls_token"] + class_row).repeat(len(tokens), 1, 1), tokens], dim=1)
    for index in range(SHAPE.depths[stage]):
        name = f"block{number}.{index}"
        inner = norm(tokens, f"{name}.norm1", 1e-6)
        source = inner
        if reduction > 1:
            image = inner.reshape(len(inner), *grid, -1).permute(0, 3, 1, 2)
            source = norm(patches(image, reduction, f"{name}.attn.sr")[0], f"{name}.attn.norm", 1e-5)
        queries = linear(inner, f"{name}.attn.q")
        pairs = linear(source, f"{name}.attn.kv")
        width, heads = queries.shape[-1], SHAPE.num_heads[stage]
        mixed = []
        for head in range(heads):
            own = slice(head * width // heads, (head + 1) * width // heads)
            keys, values = pairs[..., :width][..., own], pairs[..., width:][..., own]
            scores = torch.einsum("bqd,bkd->bqk", queries[..., own], keys) / (width // heads) ** 0.5
            mixed.append(torch.einsum("bqk,bkd->bqd", scores.softmax(-1), values))
        tokens = tokens + linear(torch.cat(mixed, dim=-1), f"{name}.attn.proj")
        inner = linear(norm(tokens, f"{name}.norm2", 1e-6), f"{name}.mlp.fc1")
        tokens = tokens + linear(inner * 0.5 * (1 + torch.erf(inner / 2**0.5)), f"{name}.mlp.fc2")
    if number == 4 and with_class:
        tokens = norm(tokens, "norm", 1e-6)
    return tokens, grid


def reference(
    weights: dict[str, Tensor], images: Tensor, table_grids: list[Grid] | None = None
) -> tuple[Tensor, list[Tensor]]:
    """Logits and the four dense maps."""
    maps: list[Tensor] = []
    entered = below = images
    for stage in range(4):
        entered = below
        grid_of_table = table_grids[stage] if table_grids else None
        tokens, grid = reference_stage(weights, stage, entered, with_class=False, table_grid=grid_of_table)
        below = tokens.reshape(len(tokens), *grid, -1).permute(0, 3, 1, 2)
        maps.append(below)
    tokens, _ = reference_stage(
        weights, 3, entered, with_class=True, table_grid=table_grids[3] if table_grids else None
    )
    return tokens[:, 0] @ weights["head.weight"].T + weights["head.bias"], maps


@pytest.mark.parametrize(
    ("img_size", "image_size"),
    [
        (64, (64, 64)),
        ((64, 96), (64, 96)),
        (224, (224, 224)),
        # Stage 2 has as many cells as the first table, stage 1 has the first table's number in another shape.
        (224, (448, 448)),
        (224, (112, 448)),
        (64, (71, 107)),
    ],
)
@torch.no_grad()
def test_equals_a_plain_loop(img_size: int | Grid, image_size: Grid) -> None:
    model = make_pvt(img_size=img_size)
    table_size = (img_size, img_size) if isinstance(img_size, int) else img_size
    resized = [(table_size[0] // s, table_size[1] // s) for s in (4, 8, 16, 32)] if table_size != image_size else None
    images = images_of(*image_size)
    logits, maps = reference(dict(model.state_dict()), images, resized)
    assert logits.abs().max() > 0.5
    torch.testing.assert_close(model(images), logits, atol=1e-10, rtol=0)
    own = model.forward_intermediates(images, intermediates_only=True)
    for ours, theirs in zip(own, maps, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=0)


@pytest.mark.parametrize(("sr_ratio", "tokens", "grid"), [(2, 15, (3, 5)), (1, 16, (3, 5))])
@torch.no_grad()
def test_fused_attention_is_the_formula(sr_ratio: int, tokens: int, grid: Grid) -> None:
    torch.manual_seed(0)
    attention = SpatialReductionAttention(12, 3, sr_ratio)
    x = torch.randn(2, tokens, 12)
    source = x
    if sr_ratio > 1:
        reduced = attention.sr(x.transpose(1, 2).reshape(2, 12, *grid))
        source = attention.norm(reduced.flatten(2).transpose(1, 2))
    q = attention.q(x).reshape(2, -1, 3, 4)
    kv = attention.kv(source).reshape(2, -1, 2, 3, 4)
    scores = torch.einsum("bqhd,bkhd->bhqk", q, kv[:, :, 0]) * 4**-0.5
    mixed = torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), kv[:, :, 1]).reshape(2, -1, 12)
    output = attention(x, grid)
    torch.testing.assert_close(output, attention.proj(mixed), atol=1e-6, rtol=0)
    keys = 1 * 2 if sr_ratio == 2 else 16
    formula: Any = attention_formula(SpatialReductionAttention)
    assert formula(attention, (x, grid), output) == 2 * 2 * tokens * keys * 12


@pytest.mark.parametrize("with_class", [False, True])
def test_the_table_itself_is_used_at_its_own_size(with_class: bool) -> None:
    model = make_pvt(img_size=224)
    for stage, side in enumerate((56, 28, 14, 7)):
        table = model.get_parameter(f"pos_embed{stage + 1}")
        positions = model._positions(stage, (side, side), with_class=with_class and stage == 3)
        assert positions.untyped_storage().data_ptr() == table.untyped_storage().data_ptr()
        assert torch.equal(positions, table[:, 1:] if stage == 3 and not with_class else table)


@torch.no_grad()
def test_both_modes_share_the_first_three_maps_and_not_the_last() -> None:
    model = make_pvt(img_size=64)
    images = images_of(64, 96)
    final, maps = model.forward_intermediates(images)
    assert torch.equal(model.forward_head(final), model(images))
    entered = []
    hooks = [
        model.get_submodule(f"patch_embed{n}").register_forward_hook(lambda m, i, o: entered.append(i[0]))
        for n in (2, 3, 4)
    ]
    model(images)
    for hook in hooks:
        hook.remove()
    for ours, classifier in zip(maps, entered, strict=False):
        assert torch.equal(ours, classifier)
    with_class = final[:, 1:].transpose(1, 2).unflatten(2, (2, 3))
    normed = model.forward_intermediates(images, indices=[3], norm=True, intermediates_only=True)[0]
    assert (normed - with_class).abs().max() > 1e-2
    torch.testing.assert_close(normed.movedim(1, -1), model.norm(maps[3].movedim(1, -1)))


def test_pruning_drops_the_stages_that_nothing_reads() -> None:
    model, whole = make_pvt(img_size=64), make_pvt(img_size=64)
    assert model.prune_intermediate_layers([0, 1], prune_norm=True) == [0, 1]
    left = {name.split(".")[0] for name in model.state_dict()}
    assert left == {f"{part}{number}" for part in ("patch_embed", "pos_embed", "block") for number in (1, 2)}
    images = images_of(64, 64)
    with torch.no_grad():
        maps = model.forward_intermediates(images, indices=[0, 1], intermediates_only=True)
        expected = whole.forward_intermediates(images, indices=[0, 1], intermediates_only=True)
    assert all(torch.equal(a, b) for a, b in zip(maps, expected, strict=True))


@pytest.mark.parametrize("image_size", [(31, 64), (64, 31), (3, 64)])
@pytest.mark.parametrize("dense", [False, True])
def test_images_too_small_are_refused(image_size: Grid, dense: bool) -> None:
    model = make_pvt(img_size=64)
    with pytest.raises(
        ValueError, match=r"too small for PVT: stage 1 has a grid of \d+x\d+ tokens and needs at least 8"
    ):
        model.forward_intermediates(images_of(*image_size)) if dense else model(images_of(*image_size))
    assert model(images_of(32, 32)).shape == (2, 7)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="too small"):
        PyramidVisionTransformer(SHAPE, img_size=16)
    with pytest.raises(ValueError, match="must be 'token' or ''"):
        PyramidVisionTransformer(SHAPE, global_pool="avg")
    with pytest.raises(ValueError, match="NCHW"):
        make_pvt(img_size=64).forward_intermediates(images_of(64, 64), output_fmt="NLC")


def test_head() -> None:
    model = make_pvt(img_size=64)
    images = images_of(64, 64)
    assert model.no_weight_decay() == {"cls_token"}
    assert model.get_classifier() is model.head
    features = model.forward_head(model.forward_features(images), pre_logits=True)
    model.reset_classifier(0)
    assert torch.equal(model(images), features)
    model.reset_classifier(3)
    model.double()
    assert model(images).shape == (2, 3)


def test_every_parameter_learns() -> None:
    classifier = make_pvt(img_size=64).train()
    classifier(images_of(64, 64)).square().sum().backward()
    assert [name for name, p in classifier.named_parameters() if p.grad is None or not p.grad.any()] == []
    backbone = make_pvt(img_size=64).train()
    backbone.prune_intermediate_layers([0, 1, 2, 3], prune_norm=True)
    maps = backbone.forward_intermediates(images_of(64, 64), intermediates_only=True)
    torch.stack([m.square().sum() for m in maps]).sum().backward()
    assert [name for name, p in backbone.named_parameters() if p.grad is None or not p.grad.any()] == []
