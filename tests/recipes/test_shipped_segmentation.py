"""The segmentation recipes: every figure of the papers' tables, schedules, budgets, and the small stand-ins."""

from __future__ import annotations

from functools import cache

import pytest

from dit_bench.recipes import load
from dit_bench.recipes.resolve import resolve, resolve_rows
from dit_bench.recipes.settings import RunSettings

load_recipe = cache(load.load_recipe)

# As printed, line by line, without citations. Backbone, GFLOPs, mIoU.
DIT_TABLE_5 = """
ResNet18 32.2 32.9
PVTv1-Tiny 33.2 35.7
PVTv2-B1 34.2 42.5
DiT-B1(ours) 32.7 45.0
ResNet50 45.6 36.7
PVTv1-Small 44.5 39.8
PVTv2-B2-Li 41.0 45.1
PVTv2-B2 45.8 45.2
DiT-B2(ours) 43.4 47.4
ResNet101 65.1 38.8
ResNeXt101-32x4d 64.7 39.7
PVTv1-Medium 61.0 41.6
PVTv2-B3 62.4 47.3
DiT-B3(ours) 59.0 48.7
ResNeXt101-64x4d 103.9 40.2
PVTv1-Large 79.6 42.1
PVTv2-B4 81.3 47.9
DiT-B4(ours) 78.4 49.0
"""
# Backbone, #Param (M), mIoU.
PVT_TABLE_5 = """
ResNet18 15.5 32.9
PVT-Tiny(ours) 17.0 35.7(+2.8)
ResNet50 28.5 36.7
PVT-Small(ours) 28.2 39.8(+3.1)
ResNet101 47.5 38.8
ResNeXt101-32x4d 47.1 39.7(+0.9)
PVT-Medium(ours) 48.0 41.6(+2.8)
ResNeXt101-64x4d 86.4 40.2
PVT-Large(ours) 65.1 42.1(+1.9)
"""
# Method, #Param (M), GFLOPs, mIoU.
PVT_TABLE_7 = """
R50-d8+DeeplabV3+ 26.8 120.5 41.5
R50-d16+DeeplabV3+ 26.8 45.5 40.6
R50-d16+Trans2Seg 56.1 79.3 39.7
PVT-Small+Trans2Seg 32.1 31.6 42.6(+2.9)
"""
TABLES = {
    "dit/table5": (DIT_TABLE_5, ("gmacs",)),
    "pvt/table5": (PVT_TABLE_5, ("params_m",)),
    "pvt/table7": (PVT_TABLE_7, ("params_m", "gmacs")),
}
# GMACs of the backbone of PVTv2 at 512x512: those of the whole network less 21.45 of neck and head.
PVT_V2_BACKBONE = {"b1": 34.140 - 21.449, "b2": 45.628 - 21.449, "b3": 62.253 - 21.449, "b4": 81.080 - 21.449}


@pytest.mark.parametrize("name", TABLES)
def test_printed_figures(name: str) -> None:
    text, keys = TABLES[name]
    recipe = load_recipe(name).recipe
    lines = text.strip().splitlines()
    assert len(lines) == len(recipe.rows)
    for line, row in zip(lines, recipe.rows, strict=True):
        label, *figures, miou = line.split()
        assert row.label.replace(" ", "") == label
        printed = row.printed
        assert [str(getattr(printed, key)) for key in keys] == figures
        difference = "" if printed.miou_difference is None else f"(+{printed.miou_difference})"
        assert f"{printed.miou_percent}{difference}" == miou
        if printed.miou_difference is not None:
            assert row.reference is not None
            base, ours = recipe.row(row.reference).printed.miou_percent, printed.miou_percent
            assert base is not None
            assert ours is not None
            assert round(ours - base, 1) == printed.miou_difference


@pytest.mark.parametrize(("name", "updates"), [("dit/table5", 40_000), ("pvt/table5", 80_000), ("pvt/table7", 40_000)])
def test_the_papers_schedules(name: str, updates: int) -> None:
    for row in resolve_rows(load_recipe(name), [], "paper"):
        settings = row.settings
        assert settings.task == "segmentation"
        assert (settings.segmentation.updates, settings.optimiser.batch_size, settings.optimiser.lr) == (
            updates,
            16,
            1e-4,
        )
        assert settings.segmentation.poly_power == 0.9
        assert (settings.model.drop_path_rate == 0.0) == settings.model.name.startswith("resne")
        assert settings.model.init_weights == f"weights/{settings.model.name}.safetensors"


def test_budgets_are_the_printed_savings() -> None:
    recipe = load_recipe("dit/table5")
    for size, backbone in PVT_V2_BACKBONE.items():
        settings: RunSettings = resolve(recipe, f"dit-{size}", "paper").settings
        ours, base = (recipe.recipe.row(f"{kind}-{size}").printed.gmacs for kind in ("dit", "pvt-v2"))
        assert ours is not None
        assert base is not None
        assert settings.routing.budget_ratio == pytest.approx(1 - (base - ours) / backbone, abs=6e-4)


@pytest.mark.parametrize("profile", ["smoke", "mini"])
def test_small_stand_ins_have_the_background_as_a_class(profile: str) -> None:
    rows = resolve_rows(load_recipe("dit/table5"), [], profile)
    assert {row.settings.segmentation.zero_label for row in rows} == {"class"}
    side_px = {row.settings.data.image_size_px for row in rows}
    assert side_px == {row.settings.segmentation.crop_px for row in rows}
    names = {row.row.id: row.settings.model.name for row in rows}
    assert names["pvt-v2-b2"].removeprefix("pvt_v2_") == names["dit-b2"].removeprefix("dit_")
