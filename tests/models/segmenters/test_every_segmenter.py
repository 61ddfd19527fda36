"""What holds for every segmenter: gradients, sizes, precision, batch norms, and that it learns."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from dit_bench.models.segmenters.base import IGNORED, Segmenter
from dit_bench.models.segmenters.registry import SEGMENTERS, build_segmenter

WIDTHS = [8, 12, 16, 24]
# Of Trans2Seg's four blocks, only the last one's scores are read, but all compute all, as in the published code.
WITHOUT_GRADIENT = (
    *(f"decoder.{block}.map_mlp." for block in range(3)),
    *(
        f"decoder.3.{name}."
        for name in ("attention.output", "prototype_norm", "prototype_mlp", "cell_norm", "cell_mlp")
    ),
)


def _segmenter(name: str, crop_px: int = 64) -> Segmenter:
    torch.manual_seed(0)
    return build_segmenter(name, WIDTHS, 4, crop_px=crop_px, width_divisor=8)


def _maps(height_px: int = 64, width_px: int = 64, images: int = 2) -> list[Tensor]:
    torch.manual_seed(1)
    return [
        torch.randn(images, width, height_px // s, width_px // s)
        for width, s in zip(WIDTHS, (4, 8, 16, 32), strict=True)
    ]


def _labels(*size: int) -> Tensor:
    labels = torch.randint(4, size, generator=torch.Generator().manual_seed(2))
    labels[:, 0] = IGNORED
    return labels


@pytest.mark.parametrize("name", SEGMENTERS)
def test_a_gradient_reaches_every_parameter_and_map(name: str) -> None:
    segmenter, maps = _segmenter(name).train(), _maps()
    for cells in maps:
        cells.requires_grad_()
    segmenter.loss(maps, _labels(2, 64, 64)).backward()
    without = {key for key, parameter in segmenter.named_parameters() if parameter.grad is None}
    assert without == {key for key, _ in segmenter.named_parameters() if key.startswith(WITHOUT_GRADIENT)}
    assert bool(without) == (name == "trans2seg")
    for key, parameter in segmenter.named_parameters():
        assert key in without or parameter.grad.any(), key  # type: ignore[union-attr]
    read = [cells.grad is not None for cells in maps]
    assert read == ([True] * 4 if name == "semantic_fpn" else [True, False, False, True])


@pytest.mark.parametrize("size", [(64, 64), (96, 32), (32, 160), (128, 96)])
@pytest.mark.parametrize("name", SEGMENTERS)
@torch.no_grad()
def test_images_of_any_size(name: str, size: tuple[int, int]) -> None:
    scores = _segmenter(name).eval()(_maps(*size), size)
    assert scores.shape == (2, 4, size[0] // 4, size[1] // 4)
    assert scores.isfinite().all()
    assert scores.std() > 0


@pytest.mark.parametrize("name", SEGMENTERS)
@torch.no_grad()
def test_in_inference_images_do_not_know_of_each_other(name: str) -> None:
    segmenter, maps = _segmenter(name).eval(), _maps(64, 96)
    scores = segmenter(maps, (64, 96))
    for number in range(2):
        torch.testing.assert_close(segmenter([cells[[number]] for cells in maps], (64, 96)), scores[[number]])


@pytest.mark.parametrize("size", [(64, 64), (64, 96)])
@pytest.mark.parametrize("name", SEGMENTERS)
def test_half_precision(name: str, size: tuple[int, int]) -> None:
    segmenter, maps = _segmenter(name).train(), _maps(*size)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = segmenter.loss(maps, _labels(2, *size))
        scores = segmenter.eval()(maps, size)
    loss.backward()
    assert scores.dtype == loss.dtype == torch.float32
    assert loss.isfinite()
    gradients = [parameter.grad for parameter in segmenter.parameters() if parameter.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    with torch.no_grad():
        torch.testing.assert_close(segmenter(maps, size), scores, atol=0.05, rtol=0.1)


@pytest.mark.parametrize("name", SEGMENTERS)
@torch.no_grad()
def test_batch_norms_can_be_made_synchronous(name: str) -> None:
    segmenter = _segmenter(name).eval()
    expected = segmenter(_maps(), (64, 64))
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(segmenter)
    assert not any(type(module) is nn.BatchNorm2d for module in converted.modules())
    torch.testing.assert_close(converted(_maps(), (64, 64)), expected)


class TinyBackbone(nn.Module):
    """Maps of strides 4, 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        inputs = [3, 8, *WIDTHS]
        halves = [
            nn.Sequential(nn.Conv2d(inputs[i], inputs[i + 1], 3, 2, 1), nn.GroupNorm(4, inputs[i + 1]), nn.ReLU())
            for i in range(5)
        ]
        self.stages = nn.ModuleList([nn.Sequential(*halves[:2]), *halves[2:]])

    def forward(self, pixels: Tensor) -> list[Tensor]:
        maps = [pixels]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]


@pytest.mark.parametrize(("name", "steps"), [("semantic_fpn", 75), ("trans2seg", 120), ("deeplabv3_plus", 60)])
def test_learns_two_pictures_by_heart(name: str, steps: int) -> None:
    torch.manual_seed(0)
    labels = torch.zeros(2, 64, 64, dtype=torch.int64)
    labels[0, 8:40, 12:36], labels[0, 36:60, 40:60], labels[1, 20:56, 4:30], labels[1, 4:24, 32:60] = 1, 2, 3, 1
    labels[:, :2] = IGNORED
    # The colours of the four classes overlap in no channel, but for the noise.
    colours = torch.tensor([[0.0, 0.0, 0.0], [1.5, 0.0, 0.0], [0.0, 1.5, 0.0], [0.0, 0.0, 1.5]])
    pixels = colours[labels.clamp(max=3)].permute(0, 3, 1, 2) + 0.1 * torch.randn(2, 3, 64, 64)
    backbone, segmenter = TinyBackbone(), build_segmenter(name, WIDTHS, 4, crop_px=64, width_divisor=8)
    optimiser = torch.optim.Adam([*backbone.parameters(), *segmenter.parameters()], lr=1e-2)
    for _ in range(steps):
        loss = segmenter.loss(backbone(pixels), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        scores = segmenter.eval()(backbone(pixels), (64, 64))
    found = nn.functional.interpolate(scores, size=(64, 64), mode="bilinear", align_corners=False).argmax(dim=1)
    labelled = labels != IGNORED
    assert (found == labels)[labelled].float().mean() > 0.93
