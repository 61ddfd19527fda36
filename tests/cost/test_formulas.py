"""Closed-form MACs against the known values of the papers' sizes and against torch's counter."""

import pytest
import timm
import torch

import dit_bench.models.pvt  # noqa: F401
from dit_bench.cost.counter import counted_macs
from dit_bench.cost.formulas import pvt_v2_macs
from dit_bench.models.dit.costs import grid_costs
from dit_bench.models.pvt import SIZES

# 224x224, without classifier: PVTv2; fully with columns 0…4, 0…3, three columns.
# Table 6 of the DiT paper prints 15.6 for B2.
KNOWN_GMACS = {
    "b1": (2.11, 8.55, 8.34, 8.14),
    "b2": (4.03, 16.05, 15.85, 15.64),
    "b3": (6.90, 27.31, 27.10, 26.90),
    "b4": (10.10, 39.50, 39.30, 39.10),
    "b5": (11.72, 38.57, 38.36, 38.16),
}


@pytest.mark.parametrize("size", KNOWN_GMACS)
def test_known_values(size: str) -> None:
    costs = grid_costs(SIZES[size], (224, 224), 0)
    columns = [(0, 1, 2, 3, 4), (0, 1, 2, 3), (1, 2, 3)]
    values = [costs.base, *(costs.fully(carrying) for carrying in columns)]
    assert [round(value / 1e9, 2) for value in values] == list(KNOWN_GMACS[size])


@pytest.mark.parametrize(
    ("size", "image_size"), [("nano", (64, 64)), ("mini", (96, 80)), ("b1", (224, 224)), ("b2", (97, 131))]
)
def test_pvt_v2_equals_the_counter_to_the_integer(size: str, image_size: tuple[int, int]) -> None:
    model = timm.create_model(f"pvt_v2_{size}").eval()
    counted = counted_macs(lambda: model(torch.zeros(1, 3, *image_size)))
    assert counted == pvt_v2_macs(SIZES[size], image_size, 1000)
