"""The recipes of the paper on token pruning: every figure of its tables, schedules, and runs that tables share."""

from __future__ import annotations

from functools import cache

import pytest

from dit_bench.recipes import load
from dit_bench.recipes.identity import hash10
from dit_bench.recipes.lineage import is_plain_vit, is_trained, lineage
from dit_bench.recipes.names import recipe_names
from dit_bench.recipes.resolve import planned_runs, resolve, resolve_rows
from dit_bench.recipes.schema import PROFILES, Claim, Printed
from dit_bench.recipes.settings import RunSettings

load_recipe = cache(load.load_recipe)

# The tables as they are printed, without citations; what our copy of the text lost stands as in the recipes.

# Method, GFLOPs, mIoU with the difference to the baseline.
TABLE_1 = """
Baseline | 109.9 | 49.7
+ DToP@Direct | 87.5 | 47.9 (-1.8)
+ DToP@Finetune | 86.8 | 49.8 (+0.1)
+ DToP@Retrain | 87.5 | 49.1 (-0.6)
"""
TABLE_2 = """
0.60 | 0.70 | 0.80 | 0.85 | 0.90 | 0.95 | 1.00
70.2 | 73.4 | 77.8 | 80.7 | 83.6 | 86.8 | 109.9
46.8 | 48.0 | 49.0 | 49.3 | 49.5 | 49.8 | 49.7
"""
# Method, threshold, GFLOPs, mIoU with the difference to the baseline.
TABLE_3 = """
SETR | - | 107.7 | 47.0
+ DToP@Direct | 0.90 | 74.0 | 45.6 (-1.4)
+ DToP@Finetune | 0.90 | 72.5 | 46.3 (-0.7)
+ DToP@Direct | 0.95 | 78.3 | 46.2 (-0.8)
+ DToP@Finetune | 0.95 | 76.5 | 46.8 (-0.2)
+ DToP@Direct | 0.98 | 82.5 | 46.6 (-0.4)
+ DToP@Finetune | 0.98 | 80.6 | 47.0 (+0.0)
"""
# Stages, position, GFLOPs, mIoU.
TABLE_4 = """
1 | Baseline | 109.9 | 49.7
2 | {6} | 85.7 | 49.4
2 | {8} | 92.1 | 49.4
3 | {6, 8} | 86.8 | 49.8
4 | {3, 6, 8} | 74.5 | 48.3
"""
# Method, GFLOPs, mIoU.
TABLE_5 = """
Baseline | 109.9 | 49.7
Remove | 82.6 | 48.7
Top-35 % | 84.6 | 48.7
Average | 83.5 | 48.9
Top-k | 83.6 | 49.5
Avg & Top-k | 83.6 | 49.7
"""
# Method, decoder, auxiliary heads, GFLOPs, mIoU.
TABLE_6 = """
Baseline | ATM | ATM | 109.9 | 49.7
+ DToP@Finetune | ATM | ATM | 83.6 | 49.5
Baseline | FCN | FCN | 107.7 | 47.0
+ DToP@Finetune | FCN | FCN | 80.6 | 47.0
Baseline | FCN | ATM | 107.7 | 49.6
+ DToP@Finetune | FCN | ATM | 83.4 | 48.4
Baseline | ATM | FCN | 109.9 | 47.9
+ DToP@Finetune | ATM | FCN | 73.3 | 46.9
"""
# Method, backbone, threshold; mIoU and GFLOPs on ADE20K, Pascal Context and COCO-Stuff-10K.
TABLE_7 = """
SETR | ViT-Base | - | 47.0 | 107.7 | 58.1 | 92.4 | 41.2 | 107.7
+ DToP@Finetune | ViT-Base | 0.90 | 46.3 | 72.5 | 57.5 | 61.4 | 40.6 | 77.6
+ DToP@Finetune | ViT-Base | 0.98 | 47.0 | 80.6 | 58.2 | 69.1 | 40.9 | 86.4
SegViT | ViT-Large | - | 53.3 | 617.0 | 63.0 | 315.4 | 47.4 | 366.9
+ DToP@Finetune | ViT-Large | 0.90 | 52.4 | 380.3 | 62.2 | 206.1 | 46.6 | 253.1
+ DToP@Finetune | ViT-Large | 0.95 | 52.8 | 412.8 | 62.7 | 224.3 | 47.1 | 276.2
"""
SEGVIT_GMACS = [120.9, 637.9, 383.9, 321.6]
TABLES = [f"dtop/table{number}" for number in range(1, 8)]
NAMES = [name for name in recipe_names() if name.startswith("dtop/")]
SETS = ["ade20k", "pascal_context", "coco_stuff_10k"]

# Rows that are one run in the profiles that have them.
WITH_PUBLISHED_HEADS = [profile for profile in PROFILES if profile != "mini"]
ONE_RUN = [
    ["table1 baseline", "table2 p0-100", "table4 baseline", "table5 baseline", "table6 atm-atm"],
    ["table1 finetune", "table2 p0-095", "table4 after-6-and-8", "fig3 p0-095", "fig4 finetune", "fig5 atm"],
    ["table2 p0-090", "table5 top-k", "table6 atm-atm-pruned"],
    ["table3 setr", "table6 fcn-fcn", "table7 ade20k-setr"],
    ["table3 finetune-090", "table7 ade20k-setr-090"],
    ["table3 finetune-098", "table6 fcn-fcn-pruned", "table7 ade20k-setr-098", "fig5 setr"],
    ["table2 p0-060", "fig3 p0-060"],
    ["table2 p0-080", "fig3 p0-080"],
]


def _lines(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]


def _figures(printed: Printed) -> list[str]:
    difference = "" if printed.miou_difference is None else f" ({printed.miou_difference:+})"
    return [str(printed.gmacs), f"{printed.miou_percent}{difference}"]


def _rows(table: str, profile: str = "paper") -> dict[str, RunSettings]:
    return {row.row.id: row.settings for row in resolve_rows(load_recipe(table), [], profile)}


def _written(table: str) -> list[list[str]]:
    """Of each row: label, cost, mIoU with the difference."""
    return [[row.label, *_figures(row.printed)] for row in load_recipe(table).recipe.rows]


def test_printed_figures() -> None:
    assert _written("dtop/table1") == _lines(TABLE_1)
    assert _written("dtop/table2") == [list(column) for column in zip(*_lines(TABLE_2), strict=True)]
    assert _written("dtop/table3") == [
        [method if p0 == "-" else f"{method}, p0 = {p0}", *rest] for method, p0, *rest in _lines(TABLE_3)
    ]
    assert _written("dtop/table4") == [
        [f"{stages} stage{'s' if stages > '1' else ''}: {position}", *rest]
        for stages, position, *rest in _lines(TABLE_4)
    ]
    assert _written("dtop/table5") == _lines(TABLE_5)
    assert _written("dtop/table6") == [
        [f"{method}, decoder {decoder}, auxiliary {auxiliary}", *rest]
        for method, decoder, auxiliary, *rest in _lines(TABLE_6)
    ]


def test_table_7() -> None:
    written = iter(_written("dtop/table7"))
    recipe = load_recipe("dtop/table7").recipe
    settings = iter(_rows("dtop/table7").values())
    lines = _lines(TABLE_7)
    for place, dataset in enumerate(["ADE20K", "Pascal Context", "COCO-Stuff-10K"]):
        for first in (0, 3):
            name, backbone = lines[first][:2]
            for method, _, p0, *figures in lines[first : first + 3]:
                label = f"{dataset}: {name}, {backbone}" + ("" if p0 == "-" else f" {method}, p0 = {p0}")
                miou, gmacs = figures[2 * place : 2 * place + 2]
                assert next(written) == [label, gmacs, miou]
                row = next(settings)
                assert row.data.dataset == SETS[place]
                assert row.model.name == f"vit_{backbone.removeprefix('ViT-').lower()}_patch16_384"
                assert row.pruning.heads == (["fcn"] if name == "SETR" else ["atm"])
                assert (row.pruning.mode == "baseline") == (p0 == "-")
                assert p0 == "-" or row.pruning.threshold == float(p0)
    assert next(written, None) is None
    for row in recipe.rows:
        assert row.reference in (None, row.id.rpartition("-")[0])


def test_segvit() -> None:
    assert [row.printed.gmacs for row in load_recipe("dtop/segvit").recipe.rows] == SEGVIT_GMACS
    for settings in _rows("dtop/segvit").values():
        assert settings.segmentation.segmenter == "segvit"
        assert (settings.optimiser.clip_grad_norm, settings.segmentation.no_decay) == (35.0, "norms")
    assert [s.segmentation.updates for s in _rows("dtop/segvit").values()] == [160_000, 160_000, 80_000, 80_000]


@pytest.mark.parametrize("name", TABLES)
def test_printed_differences_are_those_to_the_reference_row(name: str) -> None:
    recipe = load_recipe(name).recipe
    for row in recipe.rows:
        if row.printed.miou_difference is None:
            continue
        assert recipe.reference_row is not None
        ours, base = (recipe.row(row_id).printed.miou_percent for row_id in (row.id, recipe.reference_row))
        assert ours is not None
        assert base is not None
        assert round(ours - base, 1) == row.printed.miou_difference


def _figure(name: str, claim: Claim, row_id: str) -> float:
    printed = load_recipe(name).recipe.row(row_id).printed
    figure = {"miou_percent": printed.miou_percent, "gmacs_mean": printed.gmacs}[claim.metric]
    assert figure is not None
    return figure


@pytest.mark.parametrize("name", TABLES)
def test_every_claim_holds_in_the_printed_figures_and_names_them(name: str) -> None:
    claims = load_recipe(name).recipe.claims
    assert {"miou_percent", "gmacs_mean"} <= {claim.metric for claim in claims}
    for claim in claims:
        higher, lower = (_figure(name, claim, row_id) for row_id in (claim.higher, claim.lower))
        assert higher > lower, claim.id
        named = claim.text.partition("(")[2].removesuffix(").").removesuffix(" GMACs").split(" against ")
        assert sorted(float(figure) for figure in named) == [lower, higher], claim.id


@pytest.mark.parametrize("name", [*TABLES, "dtop/segvit"])
def test_static_costs_are_counted_as_printed_at_the_size_of_a_window(name: str) -> None:
    loaded = load_recipe(name)
    for row in resolve_rows(loaded, [], "paper"):
        assert (row.row.convention == "fvcore") == (row.settings.pruning.mode == "baseline")
        side_px = row.settings.segmentation.crop_px
        assert (row.row.counted_at_px or loaded.recipe.counted_at_px) == [side_px, side_px]


@pytest.mark.parametrize("profile", WITH_PUBLISHED_HEADS)
@pytest.mark.parametrize("group", ONE_RUN, ids=lambda group: group[0])
def test_rows_that_are_the_same_run_share_it(group: list[str], profile: str) -> None:
    rows = [resolve(load_recipe(f"dtop/{name}"), row, profile) for name, row in map(str.split, group)]
    assert len({hash10(row.settings) for row in rows}) == 1
    assert len({row.seeds for row in rows}) == 1


@pytest.mark.parametrize("group", ONE_RUN, ids=lambda group: group[0])
def test_small_networks_share_runs_too_where_they_have_the_same_heads(group: list[str]) -> None:
    """In small, tables that the paper fills with attention to mask have FCN's heads; those about heads do not."""
    rows = [resolve(load_recipe(f"dtop/{name}"), row, "mini").settings for name, row in map(str.split, group)]
    assert len({hash10(row) for row in rows}) == len({tuple(row.pruning.heads) for row in rows})


@pytest.mark.parametrize("profile", WITH_PUBLISHED_HEADS)
def test_rows_of_different_groups_do_not(profile: str) -> None:
    firsts = [group[0].split() for group in ONE_RUN]
    assert len({hash10(_rows(f"dtop/{name}", profile)[row]) for name, row in firsts}) == len(ONE_RUN)


@pytest.mark.parametrize("profile", PROFILES)
def test_rows_of_a_table_do_not(profile: str) -> None:
    for name in TABLES:
        rows = resolve_rows(load_recipe(name), [], profile, seeds=[0])
        assert len(planned_runs(rows)) == len(rows), name


def test_settings_of_the_ablations() -> None:
    thresholds = {row: s.pruning.threshold for row, s in _rows("dtop/table2").items() if s.pruning.mode != "baseline"}
    assert thresholds == {f"p0-{round(100 * p0):03d}": p0 for p0 in (0.60, 0.70, 0.80, 0.85, 0.90, 0.95)}
    for row, settings in _rows("dtop/table3").items():
        assert settings.pruning.heads == ["fcn"]
        if row != "setr":
            mode, p0 = row.split("-")
            assert (settings.pruning.mode, settings.pruning.threshold) == (mode, int(p0) / 100)
    ends = {row: settings.pruning.stage_ends for row, settings in _rows("dtop/table4").items()}
    positions = [[6, 8], [6], [8], [6, 8], [3, 6, 8]]
    assert list(ends.values()) == [[*position, 12] for position in positions]
    variants = {row: s.pruning.variant for row, s in _rows("dtop/table5").items() if s.pruning.mode != "baseline"}
    assert variants == {row: row for row in ("remove", "top-share", "average", "top-k", "average-top-k")}
    for row, settings in _rows("dtop/table6").items():
        decoder, auxiliary = row.removesuffix("-pruned").split("-")
        heads = settings.pruning.heads
        assert (heads[-1], heads[0]) == (decoder, auxiliary)
        assert (settings.pruning.mode == "finetune") == row.endswith("-pruned")


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("profile", PROFILES)
def test_all_training_has_one_threshold(name: str, profile: str) -> None:
    """§4.2; and rows that are fine-tuned and tested at other thresholds are one training."""
    for settings in _rows(name, profile).values():
        trained = [step.pruning for step in lineage(settings) if is_trained(step)]
        assert {pruning.train_threshold for pruning in trained} == {0.95}
    if name in ("dtop/table2", "dtop/table3"):
        rows = _rows(name, profile).values()
        steps = [step for settings in rows for step in lineage(settings) if is_trained(step) and is_plain_vit(step)]
        assert len({hash10(step) for step in steps}) == 2


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_schedules(name: str) -> None:
    for settings in _rows(name).values():
        options, segmentation = settings.optimiser, settings.segmentation
        assert (options.lr, segmentation.backbone_lr_scale, options.batch_size) == (2e-4, 0.1, 16)
        assert (options.beta1, options.beta2, segmentation.warmup_updates) == (0.9, 0.999, 1500)
        is_large = settings.model.name == "vit_large_patch16_384"
        assert settings.model.drop_path_rate == (0.3 if is_large else 0.1)
        assert settings.model.init_weights == f"weights/{settings.model.name}.safetensors"
        windows = (segmentation.crop_px, segmentation.short_side_px, segmentation.test_short_side_px)
        of_set = {"pascal_context": (480, 520, 520), "coco_stuff_10k": (512, 512, 512)}
        assert windows == of_set.get(settings.data.dataset, (640, 640, 640) if is_large else (512, 512, 512))
        if segmentation.segmenter == "segvit":
            continue
        assert settings.pruning.slide_stride_px == (341 if segmentation.crop_px == 512 else 320)
        assert (options.weight_decay, segmentation.no_decay, options.clip_grad_norm) == (0.01, "nothing", None)
        assert (segmentation.updates, segmentation.poly_power) == (160_000, 0.9)
        finetuned = 20_000 if settings.data.dataset == "coco_stuff_10k" else 40_000
        assert settings.pruning.mode != "finetune" or settings.pruning.finetune_updates == finetuned
        if name != "dtop/table4":
            assert settings.pruning.stage_ends == ([8, 16, 24] if is_large else [6, 8, 12])


@pytest.mark.parametrize(("profile", "depth"), [("smoke", 3), ("mini", 6)])
@pytest.mark.parametrize("name", NAMES)
def test_small_stand_ins(name: str, profile: str, depth: int) -> None:
    for row in resolve_rows(load_recipe(name), [], profile):
        settings = row.settings
        zero_label = {"smoke": "class", "mini": "ignore"}[profile]
        assert (settings.segmentation.zero_label, settings.pruning.slide_stride_px) == (zero_label, None)
        assert settings.model.name == {"smoke": "vit_nano_patch8", "mini": "vit_mini_patch8"}[profile]
        assert settings.segmentation.crop_px == settings.data.image_size_px
        if settings.segmentation.segmenter == "dtop":
            assert settings.pruning.stage_ends[-1] == depth
        assert len(settings.pruning.heads) in (1, len(settings.pruning.stage_ends))
