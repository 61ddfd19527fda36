"""The detection recipes: every figure of the papers' tables, schedules, budgets, and runs that tables share."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product

import pytest

from dit_bench.recipes import load
from dit_bench.recipes.identity import hash10
from dit_bench.recipes.names import recipe_names
from dit_bench.recipes.resolve import resolve, resolve_rows
from dit_bench.recipes.schema import Headings, Printed

load_recipe = cache(load.load_recipe)

# The tables as they are printed, line by line, without citations.

# Backbone, GFLOPs, AP, AP50, AP75 of boxes: five lines each for Cascade Mask R-CNN, ATSS, GFL and Sparse R-CNN.
DIT_TABLE_2 = """
ResNet50 739 46.3 64.3 50.5
ConvNeXt-S 827 51.9 70.8 56.5
Swin-T 745 50.5 69.3 54.9
PVTv2-B2 788 51.1 69.8 55.3
DiT-B2 745 52.3 71.0 56.9
ResNet50 205 43.5 61.9 47.0
Swin-T 215 47.2 66.5 51.3
Focal-T 239 49.5 68.8 53.9
PVTv2-B2 258 49.9 69.1 54.1
DiT-B2 247 51.2 70.5 55.7
ResNet50 208 44.5 63.0 48.3
Swin-T 215 47.6 66.8 51.7
PVTv2-B2-Li 197 49.2 68.2 53.7
PVTv2-B2 261 50.2 69.4 54.7
DiT-B2 235 51.3 70.6 55.9
ResNet50 166 44.5 63.4 48.2
Swin-T 172 47.9 67.3 52.3
Focal-T 196 49.0 69.1 53.2
PVTv2-B2 215 50.1 69.5 54.9
DiT-B2 202 51.3 70.5 56.0
"""

# Backbone; RetinaNet: GFLOPs, AP, AP50, AP75, small, medium, large; Mask R-CNN: GFLOPs; AP, AP50, AP75 of boxes and
# of masks.
DIT_TABLE_3 = """
ResNet50 239 39.0 58.4 41.8 22.4 42.8 51.6 260 41.0 61.7 44.9 37.1 58.4 40.1
PVT-Small 226 42.2 62.7 45.0 26.2 45.2 57.2 245 43.0 65.3 46.9 39.9 62.5 42.8
Swin-Tiny 245 45.0 65.9 48.4 29.7 48.9 58.1 264 46.0 68.1 50.3 41.6 65.1 44.9
ConvNeXt-T 243 45.2 65.7 48.5 28.8 49.3 58.9 262 46.2 67.9 50.8 41.7 65.0 44.9
Focal-Tiny 265 45.5 66.3 48.8 31.2 49.2 58.7 291 47.2 69.4 51.9 42.7 66.5 45.9
MViTv2-T - - - - - - - 279 48.2 70.9 53.3 43.8 67.9 47.2
PVTv2-B2 290 46.4 67.6 50.1 30.6 50.2 60.2 309 47.8 69.6 52.7 42.9 66.7 46.3
DiT-B2 278 47.5 68.9 51.4 31.6 50.3 61.0 290 48.9 70.5 53.8 43.7 67.6 47.2
ResNet101 315 40.9 60.1 44.0 23.7 45.0 53.8 336 42.8 63.2 47.1 38.5 60.1 41.3
PVT-Medium 283 43.2 63.8 46.1 27.3 46.3 58.9 302 44.2 66.0 48.2 40.5 63.1 43.5
Swin-Small 335 46.4 67.0 50.1 31.0 50.1 60.3 354 48.5 70.2 53.5 43.3 67.3 46.6
Focal-Small 367 47.3 67.8 51.0 31.6 50.9 61.1 401 48.8 70.5 53.6 43.8 67.7 47.2
PVTv2-B3 378 46.8 68.0 50.5 31.2 50.7 60.4 397 48.1 69.9 53.1 43.2 67.0 46.6
DiT-B3 355 47.6 68.5 52.0 31.7 51.6 61.1 369 48.8 70.7 53.7 43.7 67.7 47.3
ResNeXt101-64x4d 473 41.8 61.5 44.4 25.2 45.4 54.6 493 44.4 64.9 48.8 39.7 61.9 42.6
PVT-Large 345 43.4 63.6 46.1 26.1 46.0 59.5 364 44.5 66.0 48.3 40.7 63.4 43.7
Swin-Base 477 45.8 66.4 49.1 29.9 49.4 60.3 496 48.5 69.8 53.2 43.4 66.8 46.9
Focal-Base 514 46.9 67.8 50.3 31.9 50.3 61.5 533 49.0 70.1 53.6 43.7 67.6 47.0
PVTv2-B4 482 47.1 67.8 50.7 30.2 51.0 62.0 500 48.5 69.2 52.9 43.1 66.6 46.8
DiT-B4 456 48.0 68.7 51.7 31.7 51.9 63.0 465 49.4 70.2 53.8 44.0 67.8 47.9
"""

# Backbone; RetinaNet: AP; Mask R-CNN: AP of boxes and of masks.
DIT_TABLE_4 = """
ResNet18 31.8 34.0 31.2
PVTv1-Tiny 36.7 36.7 35.1
PVTv2-B1 41.2 41.8 38.8
DiT-B1 42.3 42.9 39.9
ResNet50 36.3 38.0 34.4
PVTv1-Small 40.4 40.4 37.8
Swin-Tiny 42.0 43.7 39.8
Focal-Tiny 43.7 44.8 41.0
PVTv2-B2 44.6 45.3 41.2
DiT-B2 45.6 46.4 42.2
ResNet101 38.5 40.4 36.4
PVTv1-Medium 41.9 42.0 39.0
Swin-Small 45.0 46.5 42.1
Focal-Small 45.6 47.4 42.8
PVTv2-B3 45.9 47.0 42.5
DiT-B3 46.8 48.0 41.7
PVTv1-Large 42.6 42.9 39.5
Swin-Base 45.0 46.9 42.3
Focal-Base 46.3 47.8 43.2
PVTv2-B4 46.1 47.5 42.7
DiT-B4 46.9 48.2 43.3
"""

# Backbone, parameters; 1x, 3x: AP, AP50, AP75, small, medium, large.
PVT_TABLE_3 = """
ResNet18 21.3 31.8 49.6 33.6 16.3 34.3 43.2 35.4 53.9 37.6 19.5 38.2 46.8
PVT-Tiny 23.0 36.7(+4.9) 56.9 38.9 22.6 38.8 50.0 39.4(+4.0) 59.8 42.0 25.5 42.0 52.1
ResNet50 37.7 36.3 55.3 38.6 19.3 40.0 48.8 39.0 58.4 41.8 22.4 42.8 51.6
PVT-Small 34.2 40.4(+4.1) 61.3 43.0 25.0 42.9 55.7 42.2(+3.2) 62.7 45.0 26.2 45.2 57.2
ResNet101 56.7 38.5 57.8 41.2 21.4 42.6 51.1 40.9 60.1 44.0 23.7 45.0 53.8
ResNeXt101-32x4d 56.4 39.9(+1.4) 59.6 42.7 22.3 44.2 52.5 41.4(+0.5) 61.0 44.3 23.9 45.5 53.7
PVT-Medium 53.9 41.9(+3.4) 63.1 44.3 25.0 44.9 57.6 43.2(+2.3) 63.8 46.1 27.3 46.3 58.9
ResNeXt101-64x4d 95.5 41.0 60.9 44.0 23.9 45.2 54.0 41.8 61.5 44.4 25.2 45.4 54.6
PVT-Large 71.1 42.6(+1.6) 63.7 45.4 25.8 46.0 58.4 43.4(+1.6) 63.6 46.1 26.1 46.0 59.5
"""

# Backbone, parameters; 1x, 3x: AP, AP50, AP75 of boxes and of masks.
PVT_TABLE_4 = """
ResNet18 31.2 34.0 54.0 36.7 31.2 51.0 32.7 36.9 57.1 40.0 33.6 53.9 35.7
PVT-Tiny 32.9 36.7(+2.7) 59.2 39.3 35.1(+3.9) 56.7 37.3 39.8(+2.9) 62.2 43.0 37.4(+3.8) 59.3 39.9
ResNet50 44.2 38.0 58.6 41.4 34.4 55.1 36.7 41.0 61.7 44.9 37.1 58.4 40.1
PVT-Small 44.1 40.4(+2.4) 62.9 43.8 37.8(+3.4) 60.1 40.3 43.0(+2.0) 65.3 46.9 39.9(+2.8) 62.5 42.8
ResNet101 63.2 40.4 61.1 44.2 36.4 57.7 38.8 42.8 63.2 47.1 38.5 60.1 41.3
ResNeXt101-32x4d 62.8 41.9(+1.5) 62.5 45.9 37.5(+1.1) 59.4 40.2 44.0(+1.2) 64.4 48.0 39.2(+0.7) 61.4 41.9
PVT-Medium 63.9 42.0(+1.6) 64.4 45.6 39.0(+2.6) 61.6 42.1 44.2(+1.4) 66.0 48.2 40.5(+2.0) 63.1 43.5
ResNeXt101-64x4d 101.9 42.8 63.8 47.3 38.4 60.6 41.3 44.4 64.9 48.8 39.7 61.9 42.6
PVT-Large 81.0 42.9(+0.1) 65.0 46.6 39.5(+1.1) 61.9 42.5 44.5(+0.1) 66.0 48.3 40.7(+1.0) 63.4 43.7
"""

# Backbone; AP, AP50, AP75, small, medium, large.
PVT_TABLE_6 = """
ResNet50 32.3 53.9 32.3 10.7 33.8 53.0
PVT-Small 34.7(+2.4) 55.7 35.4 12.0 36.4 56.7
"""

# Backbone, scale, GFLOPs, time in ms, AP, AP50, AP75.
PVT_TABLE_10 = """
R50 800 239.3 55.9 36.3 55.3 38.6
PVT-S 640 157.2 51.7 38.7 59.3 40.8
PVT-S 800 285.8 76.9 40.4 61.3 43.0
"""

BOX = ("box_ap_percent", "box_ap50_percent", "box_ap75_percent")
SIZES = ("box_ap_small_percent", "box_ap_medium_percent", "box_ap_large_percent")
MASK = ("mask_ap_percent", "mask_ap50_percent", "mask_ap75_percent")
FAMILIES = {"PVTv2": "PVT-v2", "PVTv1": "PVT", "MViTv2": "MViT-v2"}
FOUR = ("cascade", "atss", "gfl", "sparse")
# Closed forms of the PVTv2 backbones at 800x1280, matrix products.
BACKBONE_GMACS = {"2": 138.650, "3": 226.447, "4": 329.324}
DETECTION = [
    name for name in recipe_names() if resolve_rows(load_recipe(name), [], "paper")[0].settings.task == "detection"
]

Figures = dict[str, str]


def _lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.strip().splitlines()]


def _slug(name: str) -> str:
    for family, slug in FAMILIES.items():
        name = name.replace(family, slug)
    return name.lower()


def _named(keys: tuple[str, ...], cells: list[str]) -> Figures:
    """Figures by key, what stands in brackets as a difference."""
    found: Figures = {}
    for key, cell in zip(keys, cells, strict=True):
        figure, _, bracket = cell.partition("(")
        found[key] = figure
        if bracket:
            found[key.replace("_percent", "_difference")] = bracket.strip("+)")
    return found


def _table_2() -> Iterator[tuple[str, Figures]]:
    for number, (name, *cells) in enumerate(_lines(DIT_TABLE_2)):
        yield f"{FOUR[number // 5]}-{_slug(name)}", _named(("gmacs", *BOX), cells)


def _table_3() -> Iterator[tuple[str, Figures]]:
    for name, *cells in _lines(DIT_TABLE_3):
        if cells[0] != "-":
            yield f"retinanet-{_slug(name)}", _named(("gmacs", *BOX, *SIZES), cells[:7])
    for name, *cells in _lines(DIT_TABLE_3):
        yield f"mask-rcnn-{_slug(name)}", _named(("gmacs", *BOX, *MASK), cells[7:])


def _table_4() -> Iterator[tuple[str, Figures]]:
    for name, retinanet, *_ in _lines(DIT_TABLE_4):
        yield f"retinanet-{_slug(name)}", {"box_ap_percent": retinanet}
    for name, _, *mask_rcnn in _lines(DIT_TABLE_4):
        yield f"mask-rcnn-{_slug(name)}", _named(("box_ap_percent", "mask_ap_percent"), mask_rcnn)


def _two_schedules(text: str, keys: tuple[str, ...]) -> Iterator[tuple[str, Figures]]:
    for schedule, first in (("1x", 0), ("3x", 6)):
        for name, params, *cells in _lines(text):
            yield f"{_slug(name)}-{schedule}", {"params_m": params} | _named(keys, cells[first : first + 6])


def _table_10() -> Iterator[tuple[str, Figures]]:
    names = {"R50": "resnet50", "PVT-S": "pvt-small"}
    for name, scale, *cells in _lines(PVT_TABLE_10):
        yield f"{names[name]}-{scale}", _named(("gmacs", "latency_ms_per_image", *BOX), cells)


PRINTED = {
    "dit/table2": dict(_table_2()),
    "dit/table3": dict(_table_3()),
    "dit/table4": dict(_table_4()),
    "pvt/table3": dict(_two_schedules(PVT_TABLE_3, (*BOX, *SIZES))),
    "pvt/table4": dict(_two_schedules(PVT_TABLE_4, (*BOX, *MASK))),
    "pvt/table6": {_slug(name): _named((*BOX, *SIZES), cells) for name, *cells in _lines(PVT_TABLE_6)},
    "pvt/table8": {
        "vit-small-4": {"params_m": "60.9"},
        "vit-small-32": {"params_m": "60.8"} | _named(BOX, ["31.7", "51.3", "32.3"]),
        "pvt-small": {"params_m": "34.2"} | _named(BOX, ["40.4", "61.3", "43.0"]),
    },
    "pvt/table9_detection": {
        "pvt-small-wide": _named(BOX, ["40.8", "61.8", "43.3"]),
        "pvt-medium": _named(BOX, ["41.9", "63.1", "44.3"]),
    },
    "pvt/table10": dict(_table_10()),
}


@pytest.mark.parametrize("name", PRINTED)
def test_every_printed_figure_to_its_last_digit(name: str) -> None:
    rows = load_recipe(name).recipe.rows
    shipped = {row.id: {k: str(v) for k, v in row.printed.model_dump(exclude_none=True).items()} for row in rows}
    assert shipped == PRINTED[name]
    assert list(shipped) == list(PRINTED[name])


@pytest.mark.parametrize("name", PRINTED)
def test_every_printed_column_has_its_heading(name: str) -> None:
    recipe = load_recipe(name).recipe
    printed = {key for row in recipe.rows for key in row.printed.model_dump(exclude_none=True)} & set(
        Headings.model_fields
    )
    assert set(recipe.paper.metric_headings.model_dump(exclude_none=True)) == printed
    assert set(Headings.model_fields) < set(Printed.model_fields)


@pytest.mark.parametrize("name", PRINTED)
def test_every_claim_holds_in_the_print(name: str) -> None:
    recipe = load_recipe(name).recipe
    assert recipe.claims
    for claim in recipe.claims:
        key = {"gmacs_mean": "gmacs"}.get(claim.metric, claim.metric)
        higher, lower = (getattr(recipe.row(row).printed, key) for row in (claim.higher, claim.lower))
        assert higher > lower, claim.id
        for figure in (higher, lower):
            assert str(figure) in claim.text, claim.id


@pytest.mark.parametrize("name", ["pvt/table3", "pvt/table4", "pvt/table6"])
def test_printed_differences_are_those_to_the_reference_row(name: str) -> None:
    recipe, found = load_recipe(name).recipe, 0
    for row, kind in product(recipe.rows, ("box", "mask")):
        difference = getattr(row.printed, f"{kind}_ap_difference")
        if difference is not None:
            assert row.reference is not None
            own, other = (getattr(r.printed, f"{kind}_ap_percent") for r in (row, recipe.row(row.reference)))
            assert difference == pytest.approx(own - other)
            found += 1
    assert found == {"pvt/table3": 10, "pvt/table4": 20, "pvt/table6": 1}[name]


@pytest.mark.parametrize("name", ["dit/table2", "dit/table3", "dit/table4"])
def test_budgets_are_the_printed_savings_of_the_backbone(name: str) -> None:
    """Table 4 prints no costs and has the budgets of Table 3, but for B1."""
    printed = PRINTED["dit/table3" if name == "dit/table4" else name]
    for row in resolve_rows(load_recipe(name), [], "paper"):
        row_id, size = row.row.id, row.row.id[-1]
        if "-dit-b" not in row_id:
            assert row.settings.routing.variant == "diagonal" or not row.row.runs
            continue
        base_id = row_id.replace("-dit-", "-pvt-v2-")
        assert row.row.reference == base_id
        expected = 0.95
        if size in BACKBONE_GMACS:
            saved = float(printed[base_id]["gmacs"]) - float(printed[row_id]["gmacs"])
            expected = round(1 - saved / BACKBONE_GMACS[size], 3)
        assert row.settings.routing.budget_ratio == expected, row_id


def same_runs(*places: tuple[str, str], profile: str = "paper") -> None:
    assert len({hash10(resolve(load_recipe(name), row, profile).settings) for name, row in places}) == 1, places


def test_tables_share_the_runs_of_the_same_model_and_schedule() -> None:
    for size, (cnn, pvt) in enumerate((("resnet18", "tiny"), ("resnet50", "small"), ("resnet101", "medium"))):
        for detector, table in (("retinanet", "pvt/table3"), ("mask-rcnn", "pvt/table4")):
            same_runs(("dit/table4", f"{detector}-{cnn}"), (table, f"{cnn}-1x"))
            same_runs(("dit/table4", f"{detector}-pvt-{pvt}"), (table, f"pvt-{pvt}-1x"))
            if size:
                same_runs(("dit/table3", f"{detector}-{cnn}"), (table, f"{cnn}-3x"))
                same_runs(("dit/table3", f"{detector}-pvt-{pvt}"), (table, f"pvt-{pvt}-3x"))
    single = [("pvt/table8", "pvt-small"), ("pvt/table10", "pvt-small-800"), ("pvt/fig2", "pvt-small")]
    same_runs(("pvt/table3", "pvt-small-1x"), ("pvt/fig5", "pvt-small-1x"), *single)
    same_runs(("pvt/table3", "resnet50-3x"), ("pvt/fig5", "resnet50-3x"))
    same_runs(("pvt/table8", "vit-small-32"), ("pvt/fig2", "vit-small-32"))
    same_runs(("pvt/table3", "pvt-medium-1x"), ("pvt/table9_detection", "pvt-medium"))
    for profile in ("smoke", "mini", "paper"):
        same_runs(("dit/table4", "retinanet-dit-b2"), ("dit/fig4_detection", "retinanet-dit-b2"), profile=profile)


def test_the_small_profiles_know_one_schedule() -> None:
    shared = {row.id for row in load_recipe("dit/table3").recipe.rows_of("mini")}
    assert shared < {row.id for row in load_recipe("dit/table4").recipe.rows_of("mini")}
    for row in shared:
        same_runs(("dit/table3", row), ("dit/table4", row), profile="mini")


@pytest.mark.parametrize("name", DETECTION)
def test_the_published_schedules(name: str) -> None:
    for row in resolve_rows(load_recipe(name), [], "paper"):
        settings, detection = row.settings, row.settings.detection
        long = name == "dit/table3" or row.row.id.endswith("-3x")
        expected = (36, [27, 33]) if long else (50, [33]) if name == "pvt/table6" else (12, [8, 11])
        assert (settings.optimiser.epochs, detection.milestone_epochs) == expected
        several = long or name == "pvt/table6"
        side = 640 if row.row.id == "pvt-small-640" else 800
        assert detection.short_sides_px == ([640, 672, 704, 736, 768, 800] if several else [side])
        assert (detection.test_short_side_px, settings.optimiser.batch_size) == (side, 16)
        assert settings.optimiser.lr == (2.5e-5 if row.row.id.startswith("sparse") and row.row.runs else 1e-4)
        assert (detection.width_divisor, detection.regions_per_image) == (1, 512)
        assert settings.augment.hflip_prob == 0.5
        cnn = settings.model.name.startswith("res")
        assert detection.frozen_stages == (1 if cnn else 0)
        if row.row.runs:
            scratch = "-scratch-" in row.row.id
            assert settings.model.init_weights == (None if scratch else f"weights/{settings.model.name}.safetensors")


def test_who_prints_trainable_parameters() -> None:
    for row in (row for name in DETECTION for row in resolve_rows(load_recipe(name), [], "paper")):
        frozen = row.settings.detection.frozen_stages > 0 and row.row.printed.params_m is not None
        assert (row.row.params_convention == "trainable") == frozen, (row.recipe.name, row.row.id)


@pytest.mark.parametrize("name", [name for name in DETECTION if name.startswith("dit/")])
@pytest.mark.parametrize("profile", ["smoke", "mini"])
def test_small_profiles_set_dit_against_pvt_v2_on_scenes_that_are_not_mirrored(name: str, profile: str) -> None:
    loaded = load_recipe(name)
    rows = {row.row.id: row.settings for row in resolve_rows(loaded, [], profile)}
    for row_id, settings in rows.items():
        side = settings.data.image_size_px
        assert (settings.detection.short_sides_px, settings.detection.test_short_side_px) == ([side], side)
        assert settings.augment.hflip_prob == 0
        assert settings.model.init_weights is None
        reference = loaded.recipe.row(row_id).reference
        if reference is not None:
            assert settings.model.name.replace("dit_", "pvt_v2_") == rows[reference].model.name
            same = {"model", "routing"}
            assert settings.model_dump(exclude=same) == rows[reference].model_dump(exclude=same)


def test_where_the_papers_counted() -> None:
    for name in PRINTED:
        assert load_recipe(name).recipe.counted_at_px == [800, 1280]
    named = [row.id for name in DETECTION for row in load_recipe(name).recipe.rows if row.counted_at_px is not None]
    assert named == ["pvt-small-640"]
