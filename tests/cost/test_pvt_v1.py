"""PVT v1's closed form against printed values, a small case by hand, and what torch dispatched."""

from typing import Any

import pytest
import timm
import torch

import dit_bench.models.pvt_v1  # noqa: F401
from dit_bench.cost.counter import counted_macs
from dit_bench.cost.formulas import Grid, PyramidShape
from dit_bench.cost.pvt_v1 import pvt_v1_dense_macs, pvt_v1_grids, pvt_v1_macs
from dit_bench.models.pvt_v1 import PVT_SIZES

IMAGE_SIZES = [(224, 224), (448, 448), (112, 448), (800, 1280), (97, 131)]


def _meta(size: str, **arguments: Any) -> torch.nn.Module:
    with torch.device("meta"):
        return timm.create_model(f"pvt_{size}", **arguments).eval()


# PVT Table 2 prints 1.9, 3.8, 6.7 and 9.8; three digits are those of the authors' code under torch's counter.
@pytest.mark.parametrize(
    ("size", "gmacs"),
    [("tiny", 1.933), ("small", 3.816), ("medium", 6.659), ("large", 9.814), ("small_wide", 7.296)],
)
def test_known_values(size: str, gmacs: float) -> None:
    assert round(pvt_v1_macs(PVT_SIZES[size], (224, 224), 1000) / 1e9, 3) == gmacs


@pytest.mark.parametrize("size", ["tiny", "small", "small_wide"])
@pytest.mark.parametrize("image_size", IMAGE_SIZES)
def test_equals_the_counter_to_the_integer(size: str, image_size: Grid) -> None:
    model = _meta(size, num_classes=37)
    counted = counted_macs(lambda: model(torch.zeros(1, 3, *image_size, device="meta")))
    assert counted == pvt_v1_macs(PVT_SIZES[size], image_size, 37)


@pytest.mark.parametrize("image_size", IMAGE_SIZES)
def test_dense_maps_equal_the_counter_to_the_integer(image_size: Grid) -> None:
    model = _meta("small", features_only=True)
    counted = counted_macs(lambda: model(torch.zeros(2, 3, *image_size, device="meta")))
    assert counted == 2 * pvt_v1_dense_macs(PVT_SIZES["small"], image_size)


def test_cpu_kernels_count_the_same() -> None:
    model = timm.create_model("pvt_tiny").eval()
    assert counted_macs(lambda: model(torch.zeros(1, 3, 64, 96))) == pvt_v1_macs(PVT_SIZES["tiny"], (64, 96), 1000)


# PVT Table 10, RetinaNet with PVT-Small: the printed figures count biases and ReLUs on top, 0.12 G.
@pytest.mark.parametrize(("image_size", "printed_gmacs"), [((800, 1280), 285.8), ((640, 960), 157.2)])
def test_table_10(image_size: Grid, printed_gmacs: float) -> None:
    shape = PVT_SIZES["small"]
    total = pvt_v1_dense_macs(shape, image_size) + _retinanet_neck_and_head_macs(image_size, shape.embed_dims)
    assert 0 < printed_gmacs - total / 1e9 < 0.15


def _retinanet_neck_and_head_macs(image_size: Grid, widths: tuple[int, ...]) -> int:
    """FPN of 256 channels on strides 8-128, and two towers of four convolutions, 9 anchors, 80 classes."""
    cells = [-(-image_size[0] // stride) * -(-image_size[1] // stride) for stride in (8, 16, 32, 64, 128)]
    neck = sum(count * (width * 256 + 9 * 256**2) for count, width in zip(cells[:3], widths[1:], strict=True))
    neck += cells[3] * 9 * widths[3] * 256 + cells[4] * 9 * 256**2
    return neck + sum(cells) * 9 * 256 * (8 * 256 + 9 * (80 + 4))


def test_by_hand() -> None:
    """Two stages on 16x24 pixels: 4x6 tokens of width 2 with R = 2, then 2x3 tokens of width 4 and the class token."""
    shape = PyramidShape((2, 4), (1, 2), (1, 1), (3, 1), (2, 1))
    assert pvt_v1_grids(shape, (19, 27)) == [(4, 6), (2, 3)]
    first = 24 * 48 * 2  # patches of 4x4x3
    first += 24 * 2 * 2 * 2  # q, proj
    first += 6 * 8 * 2 + 6 * 2 * 4  # reduction of 2x2 cells, keys and values
    first += 2 * 24 * 6 * 2  # products
    first += 2 * 24 * 2 * 6  # feed-forward
    patches = 6 * 8 * 4
    block_of_seven = 7 * 4 * 16 + 2 * 7 * 7 * 4 + 2 * 7 * 16
    block_of_six = 6 * 4 * 16 + 2 * 6 * 6 * 4 + 2 * 6 * 16
    assert pvt_v1_macs(shape, (16, 24), 10) == first + patches + 2 * block_of_seven + 40
    assert pvt_v1_dense_macs(shape, (16, 24)) == first + patches + 2 * block_of_six
