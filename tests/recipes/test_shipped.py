"""The recipes that come with dit-bench: the paper's figures, and settings that agree with each other."""

from __future__ import annotations

from itertools import combinations

import pytest

from dit_bench.recipes.load import LoadedRecipe, load_recipe
from dit_bench.recipes.names import recipe_names
from dit_bench.recipes.partial import flat
from dit_bench.recipes.resolve import KEPT_WITHOUT_GATES, ResolvedRow, profiles_of, resolve, resolve_rows
from dit_bench.recipes.schema import PROFILES
from dit_bench.recipes.settings import RoutingSettings

# Tables 6, 7 and 8 of the paper: GFLOPs, accuracy, difference in brackets.
PRINTED = {
    "dit/table6": {"static": (3.8, 80.7, -2.4), "dynamic": (3.8, 83.1, None), "fully": (15.6, 83.5, 0.4)},
    "dit/table7": {"random": (3.8, 79.4, -3.7), "attention": (3.8, 81.3, -1.8), "learnable": (3.8, 83.1, None)},
    "dit/table8": {
        "neither": (4.0, 82.0, None),
        "scale": (8.4, 82.9, None),
        "depth": (3.7, 82.2, None),
        "both": (3.8, 83.1, None),
    },
}
SHARED = [
    ("dit/table6", "dynamic"),
    ("dit/table7", "learnable"),
    ("dit/table8", "both"),
    ("dit/fig3", "dynamic"),
    ("dit/fig4", "dynamic"),
]
FULL_SETS = {
    "classification": {"imagenet"},
    "detection": {"coco"},
    "segmentation": {"ade20k", "pascal_context", "coco_stuff_10k"},
}


ONLY_FULL_SIZE = {f"pvt/{of}" for of in ("fig6", "table1", "table2", "table5", "table7", "table9", "table9_detection")}


@pytest.mark.parametrize("name", recipe_names())
def test_every_row_resolves_in_every_profile(name: str) -> None:
    loaded = load_recipe(name)
    small = () if name in ONLY_FULL_SIZE else ("smoke",) if name == "pvt/table6" else ("smoke", "mini")
    expected = [*small, "paper"]
    assert profiles_of(loaded) == expected
    for profile in expected:
        for row in resolve_rows(loaded, [], profile):
            full = FULL_SETS[row.settings.task]
            assert row.settings.data.dataset in (full if profile == "paper" else {"digit_scenes"})


@pytest.mark.parametrize("name", PRINTED)
def test_printed_figures(name: str) -> None:
    loaded = load_recipe(name)
    rows = {
        row.id: (row.printed.gmacs, row.printed.top1_percent, row.printed.top1_difference) for row in loaded.recipe.rows
    }
    assert rows == PRINTED[name]
    assert list(rows) == list(PRINTED[name])


@pytest.mark.parametrize("name", PRINTED)
def test_printed_differences_are_those_to_the_reference_row(name: str) -> None:
    recipe = load_recipe(name).recipe
    assert recipe.reference_row is not None
    reference = recipe.row(recipe.reference_row).printed
    assert reference.top1_percent is not None
    assert reference.gmacs is not None
    for row in recipe.rows:
        if row.printed.top1_difference is not None:
            assert row.printed.top1_percent is not None
            assert row.printed.top1_difference == pytest.approx(row.printed.top1_percent - reference.top1_percent)
        if row.printed.gmacs_ratio is not None:
            assert row.printed.gmacs is not None
            assert row.printed.gmacs_ratio == pytest.approx(row.printed.gmacs / reference.gmacs, abs=0.05)


@pytest.mark.parametrize("name", PRINTED)
def test_every_claim_holds_in_the_printed_figures_and_every_accuracy_ordering_is_claimed(name: str) -> None:
    recipe = load_recipe(name).recipe
    ordered = set()
    for claim in recipe.claims:
        key = {"top1_percent": "top1_percent", "gmacs_mean": "gmacs"}[claim.metric]
        higher = getattr(recipe.row(claim.higher).printed, key)
        lower = getattr(recipe.row(claim.lower).printed, key)
        assert higher > lower, claim.id
        ordered.add((claim.metric, frozenset((claim.higher, claim.lower))))
    accuracy = {pair for metric, pair in ordered if metric == "top1_percent"}
    assert accuracy == {frozenset(pair) for pair in combinations(recipe.row_ids, 2)}
    costs = {row.id: row.printed.gmacs for row in recipe.rows}
    different = {frozenset(pair) for pair in combinations(costs, 2) if costs[pair[0]] != costs[pair[1]]}
    assert {pair for metric, pair in ordered if metric == "gmacs_mean"} == different


@pytest.mark.parametrize("profile", PROFILES)
def test_rows_that_are_the_same_run_share_it(profile: str) -> None:
    rows = [resolve(load_recipe(name), row, profile) for name, row in SHARED]
    assert len({row.settings.model_dump_json() for row in rows}) == 1
    assert len({row.seeds for row in rows}) == 1


@pytest.mark.parametrize("name", recipe_names())
@pytest.mark.parametrize("profile", PROFILES)
def test_different_rows_of_a_table_are_different_runs(name: str, profile: str) -> None:
    loaded = load_recipe(name)
    if profile not in profiles_of(loaded):
        pytest.skip(f"{name} has no profile {profile}")
    rows = [row for row in resolve_rows(loaded, [], profile) if row.row.runs]
    assert len({row.settings.model_dump_json() for row in rows}) == len(rows)


def _differing(left: str, right: str, loaded: LoadedRecipe, profile: str) -> set[str]:
    first, second = (flat(resolve(loaded, row, profile).settings) for row in (left, right))
    return {".".join(path[:2]) for path, value in first.items() if value != second[path]}


@pytest.mark.parametrize("name", ["dit/table6", "dit/table7"])
@pytest.mark.parametrize("profile", PROFILES)
def test_rows_of_tables_6_and_7_differ_in_the_variant_only(name: str, profile: str) -> None:
    """And in what only learned gates use, which rows without such gates leave at its default."""
    loaded = load_recipe(name)
    of_learned_gates = {f"routing.{key}" for key in RoutingSettings.model_fields} - {
        f"routing.{key}" for key in KEPT_WITHOUT_GATES
    }
    for left, right in combinations(loaded.recipe.row_ids, 2):
        differing = _differing(left, right, loaded, profile)
        assert "routing.variant" in differing
        assert differing - {"routing.variant"} <= of_learned_gates


def test_table_1_at_the_published_sizes() -> None:
    """A4 of the training recipe: drop path and clipping go with the size; budgets are the printed ratios."""
    rows = {row.row.id: row.settings for row in resolve_rows(load_recipe("dit/table1"), [], "paper")}
    assert len(rows) == 24
    large = {f"{family}-b{size}" for family in ("pvt-v2", "dit") for size in (3, 4, 5)} | {"pvt-large"}
    for name, settings in rows.items():
        expected = (0.3, 1.0) if name in large else (0.1, None)
        assert (settings.model.drop_path_rate, settings.optimiser.clip_grad_norm) == expected, name
    printed = {row.id: row.printed.gmacs for row in load_recipe("dit/table1").recipe.rows}
    for size in range(1, 6):
        own, base = printed[f"dit-b{size}"], printed[f"pvt-v2-b{size}"]
        assert own is not None
        assert base is not None
        assert rows[f"dit-b{size}"].routing.budget_ratio == pytest.approx(own / base, abs=5e-4)


def test_the_same_model_is_printed_alike_in_both_papers() -> None:
    """DiT Table 1 took its rows over from PVT Table 2, apart from the accuracies of other trainings."""
    ours, theirs = ({row.settings.model.name: row.row.printed for row in _paper_rows(n)} for n in ("dit", "pvt"))
    shared = set(ours) & set(theirs)
    assert len(shared) == 7
    for name in shared:
        assert (ours[name].params_m, ours[name].gmacs) == (theirs[name].params_m, theirs[name].gmacs)


def _paper_rows(paper: str) -> list[ResolvedRow]:
    return resolve_rows(load_recipe(f"{paper}/{'table1' if paper == 'dit' else 'table2'}"), [], "paper")


def test_the_baseline_row_is_pvt() -> None:
    loaded = load_recipe("dit/table8")
    for profile, model in (("smoke", "pvt_v2_nano"), ("mini", "pvt_v2_mini"), ("paper", "pvt_v2_b2")):
        settings = resolve(loaded, "neither", profile).settings
        assert (settings.model.name, settings.routing.variant) == (model, "diagonal")
        assert {key.partition(".")[0] for key in _differing("neither", "both", loaded, profile)} <= {"model", "routing"}


def test_budgets_are_the_printed_ratios() -> None:
    loaded = load_recipe("dit/table8")
    budgets = {row.row.id: row.settings.routing.budget_ratio for row in resolve_rows(loaded, [], "paper")}
    assert (budgets["both"], budgets["scale"], budgets["depth"]) == (0.95, 2.1, 0.925)
    assert [round(8.4 / 4.0, 3), round(3.7 / 4.0, 3)] == [2.1, 0.925]


def test_the_paper_profile_is_the_deit_recipe() -> None:
    settings = resolve(load_recipe("dit/table6"), "dynamic", "paper").settings
    optimiser, augment, data = settings.optimiser, settings.augment, settings.data
    assert (settings.model.name, settings.model.drop_path_rate) == ("dit_b2", 0.1)
    assert (optimiser.epochs, optimiser.batch_size, optimiser.lr, optimiser.weight_decay) == (300, 1024, 1e-3, 0.05)
    assert (optimiser.warmup_epochs, optimiser.warmup_lr, optimiser.min_lr) == (5.0, 1e-6, 1e-5)
    assert (optimiser.step_by, optimiser.clip_grad_norm) == ("epoch", None)
    assert (augment.mixup_alpha, augment.cutmix_alpha, augment.label_smoothing) == (0.8, 1.0, 0.1)
    assert (augment.rand_augment, augment.random_erasing_prob) == ("rand-m9-mstd0.5-inc1", 0.25)
    assert (augment.random_resized_crop, augment.hflip_prob, augment.repeated_augmentation) == (True, 0.5, 3)
    assert (data.dataset, data.root, data.image_size_px, data.eval_crop_fraction) == (
        "imagenet",
        "data/imagenet",
        224,
        0.875,
    )
