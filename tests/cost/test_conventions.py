"""Every convention against figures that the counters themselves gave for well-known networks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dit_bench.cost.census import Census, take_census
from dit_bench.cost.conventions import (
    CONVENTIONS,
    FVCORE,
    MATMUL,
    MMCV,
    MMCV_LAYERNORM,
    TERM_LABELS,
    Convention,
    convention_macs,
    differences,
    pyramid_macs,
    without_attention,
    without_fused_attention,
)

CensusOf = Callable[..., Census]
COLUMNS = (
    FVCORE,
    without_fused_attention(FVCORE),
    MATMUL,
    without_fused_attention(MATMUL),  # torch's counter on the CPU
    without_attention(MMCV),
    without_attention(MMCV_LAYERNORM),
)
# One image of 3x224x224. Parameters in M, then in G: fvcore unfused and fused, torch's counter halved on meta and with
# fused attention on the CPU, mmcv's hooks before LayerNorm was counted and since, attention products (and others that
# no layer's hook sees) alone.
MEASURED = """
torchvision resnet18                      11.690  1.819  1.819  1.814  1.814  1.822  1.822  0.000
torchvision resnet50                      25.557  4.112  4.112  4.089  4.089  4.122  4.122  0.000
torchvision resnet101                     44.549  7.834  7.834  7.801  7.801  7.849  7.849  0.000
timm        resnet50                      25.557  4.112  4.112  4.089  4.089  4.122  4.122  0.000
torchvision resnext50_32x4d               25.029  4.259  4.259  4.230  4.230  4.273  4.273  0.000
timm        resnext101_32x4d              44.178  8.013  8.013  7.970  7.970  8.033  8.033  0.000
torchvision resnext101_64x4d              83.455 15.523 15.523 15.460 15.460 15.553 15.553  0.000
timm        resnext101_64x4d              83.455 15.523 15.523 15.460 15.460 15.553 15.553  0.000
timm        deit_tiny_patch16_224          5.717  1.258  1.080  1.254  1.075  1.075  1.077  0.179
timm        deit_small_patch16_224        22.051  4.608  4.251  4.599  4.241  4.241  4.245  0.358
timm        deit_base_patch16_224         86.568 17.583 16.867 17.564 16.849 16.849 16.856  0.715
timm        vit_base_patch16_224          86.568 17.583 16.867 17.564 16.849 16.849 16.856  0.715
timm        ViT-Small_of_timm_0.3.2       48.754  9.902  9.425  9.889  9.412  9.412  9.417  0.477
timm        vit_small_patch16_224         22.051  4.608  4.251  4.599  4.241  4.241  4.245  0.358
timm        tnt_s_legacy_patch16_224      23.755  5.241  5.241  5.217  5.217  4.830  4.840  0.387
timm        tnt_s_patch16_224             23.769  5.245  5.245  5.217  5.217  4.830  4.842  0.387
timm        tnt_b_patch16_224             65.429 14.096 14.096 14.049 14.049 13.405 13.424  0.644
torchvision swin_t                        28.288  4.509  4.509  4.491  4.491  2.963  2.971  1.527
torchvision swin_s                        49.606  8.769  8.769  8.741  8.741  5.738  5.749  3.003
torchvision swin_b                        87.768 15.468 15.468 15.431 15.431 10.194 10.209  5.237
timm        swin_tiny_patch4_window7_224  28.288  4.509  4.509  4.491  4.491  4.351  4.358  0.140
timm        swin_small_patch4_window7_224 49.606  8.769  8.769  8.741  8.741  8.513  8.524  0.229
timm        swin_base_patch4_window7_224  87.768 15.468 15.468 15.431 15.431 15.126 15.141  0.305
timm        pvt_v2_b1                     14.009  2.120  2.044  2.108  2.032  2.038  2.043  0.076
timm        pvt_v2_b2                     25.363  4.046  3.903  4.027  3.884  3.894  3.902  0.143
timm        pvt_v2_b2_li                  22.554  3.910  3.767  3.889  3.746  3.768  3.776  0.143
timm        pvt_v2_b3                     45.239  6.925  6.708  6.897  6.681  6.694  6.706  0.216
timm        pvt_v2_b4                     62.556 10.139  9.828 10.101  9.790  9.809  9.825  0.311
timm        pvt_v2_b5                     81.956 11.762 11.391 11.717 11.346 11.362 11.380  0.371
"""
ROWS = [line.split() for line in MEASURED.strip().splitlines()]


def giga(macs: int) -> str:
    return f"{macs / 1e9:.3f}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(row[:2]))
def test_every_column_is_met_to_its_last_digit(row: list[str], census_of: CensusOf) -> None:
    library, name, params, *figures, attention = row
    census = census_of(name.replace("_", " ") if name.startswith("ViT") else name, library)
    assert f"{census.params / 1e6:.3f}" == params
    assert [giga(convention_macs(census, convention)) for convention in COLUMNS] == figures
    by_hand = census.terms["attention"] + census.terms["other"]
    assert giga(by_hand) == attention
    for convention in (MMCV, MMCV_LAYERNORM):
        hooks = convention_macs(census, without_attention(convention))
        assert convention_macs(census, convention) == hooks + by_hand


@pytest.mark.parametrize("convention", COLUMNS, ids=lambda convention: convention.name)
def test_differences_account_for_all_of_a_figure(convention: Convention, census_of: CensusOf) -> None:
    for name in ("pvt_v2_b2_li", "resnet50"):
        census = census_of(name)
        found = differences(census, convention)
        assert sum(difference.macs for difference in found) == convention_macs(census, convention) - census.macs
        assert set(census.terms) <= set(TERM_LABELS)
    assert differences(census_of("resnet50"), MATMUL) == []


class Everything(nn.Module):
    """4 channels at 8x8: one of everything that a convention charges for, layers and functions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.norms = nn.Sequential(
            nn.BatchNorm2d(4), nn.SyncBatchNorm(4), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.LayerNorm(8)
        )
        self.plain = nn.Sequential(nn.BatchNorm2d(4, affine=False), nn.LayerNorm(8, elementwise_affine=False))
        self.rest = nn.Sequential(nn.ReLU(), nn.GELU(), nn.MaxPool2d(2), nn.Upsample(scale_factor=2))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.rest(self.plain(self.norms(self.conv(image))))
        x = F.layer_norm(F.interpolate(x, size=(4, 4), mode="bilinear"), (4,))
        x = F.interpolate(x, scale_factor=2)
        return F.adaptive_avg_pool2d(x, 1)


def test_each_weight_by_hand() -> None:
    census = take_census(Everything(), torch.zeros(1, 3, 8, 8))
    conv, n = 64 * 3 * 4, 4 * 64
    assert convention_macs(census, MATMUL) == conv
    # Bias 1, BatchNorm 2, without affine 1, ReLU 1, pooling 1 on its input, upsampling 1; no SyncBatchNorm.
    mmcv = conv + n + 2 * n + n + n + n + n
    assert convention_macs(census, MMCV) == mmcv
    # GroupNorm and LayerNorm 2; InstanceNorm and LayerNorm without affine 1.
    assert convention_macs(census, MMCV_LAYERNORM) == mmcv + 2 * n + 2 * n + n + n
    # Both batch norms 2, without affine 1; the others 5, without affine 4, the function on 4x4 among them; nearest 1 on
    # 8x8 twice, bilinear 4 on 4x4; the pooling 1.
    fvcore = conv + 2 * n + 2 * n + n + 5 * n + 4 * n + 5 * n + 4 * n + 4 * (n // 4) + n + n + 4 * (n // 4) + n
    assert convention_macs(census, FVCORE) == fvcore


class Attends(nn.Module):
    """A layer, its batch norm and attention of 4 tokens among themselves, which no layer's hook sees."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(8, 8), nn.BatchNorm1d(4)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = self.norm(self.linear(tokens))
        return F.scaled_dot_product_attention(tokens, tokens, tokens)


def test_of_a_detector_hooks_count_neither_attention_nor_batch_norms() -> None:
    """As published counts do: attention was added by hand for backbones, batch norms were SyncBatchNorms."""
    census = take_census(Attends(), torch.zeros(1, 4, 8))
    linear, norm, attention = 4 * 64, 2 * 32, 2 * 16 * 8
    assert pyramid_macs(census, census, MATMUL) == 2 * (linear + attention)
    assert pyramid_macs(census, census, FVCORE) == 2 * (linear + norm + attention)
    assert pyramid_macs(census, census, MMCV) == linear + norm + attention + linear
    assert pyramid_macs(census, census, without_attention(MMCV)) == linear + norm + linear


def test_users_know_the_conventions_by_name() -> None:
    assert list(CONVENTIONS) == [
        "matmul",
        "mmcv",
        "mmcv-layernorm",
        "mmcv-no-attention",
        "mmcv-layernorm-no-attention",
        "fvcore",
        "conv-batchnorm",
    ]
    assert all(name == convention.name for name, convention in CONVENTIONS.items())
    of_layers = {name for name in CONVENTIONS if name.startswith("mmcv")} | {"conv-batchnorm"}
    assert {name for name, convention in CONVENTIONS.items() if convention.counts_layers} == of_layers


def test_a_convention_cannot_weigh_what_no_census_holds() -> None:
    with pytest.raises(AssertionError, match=r"layer\.nrom"):
        Convention("typo", "", {"layer.nrom": 1})
