"""The paper's accuracy beside ours, and when that is no comparison."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.resolve import ResolvedRow, resolve
from dit_bench.report.from_runs import on_other_images, table_spec
from dit_bench.report.printed_accuracy import changed_settings, compare_with_print


@dataclass(frozen=True)
class On:
    split: str = "val"
    protocol: str | None = "deit"
    crop_fraction: float | None = 0.875
    interpolation: str = "bicubic"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    image_size_px: int = 224
    num_images: int = 50_000
    num_classes: int = 1000
    num_present: int = 1000
    by_synset: bool = True


FULL = On()


def row_of(*overrides: str, profile: str = "paper") -> ResolvedRow:
    return resolve(load_recipe("dit/table8"), "neither", profile, overrides)


def reasons(row: ResolvedRow, on: On, *, trained_here: bool = False) -> tuple[str, ...]:
    found = compare_with_print(row, on, 81.25, trained_here=trained_here)
    assert found is not None
    # Table 8 prints 82.0 for PVTv2-B2.
    assert (found.printed_percent, found.difference) == (82.0, -0.75)
    return found.reasons


def test_the_papers_model_on_the_full_validation_set_is_comparable() -> None:
    found = compare_with_print(row_of("data.root=x", "numerics.amp=off"), FULL, 81.25, trained_here=False)
    assert found is not None
    assert found.text == "82.0; ours − printed −0.75"
    assert found.as_json()["comparable"] is True
    assert reasons(row_of("data.root=x", "numerics.amp=off"), FULL, trained_here=True) == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"num_present": 10, "num_images": 800}, "10 of 1000 classes, 800 of 50,000 images, split val"),
        ({"num_images": 49_999}, "1000 of 1000 classes, 49,999 of 50,000 images, split val"),
        ({"split": "tune"}, "split tune"),
        ({"by_synset": False, "num_present": 7}, "not ImageNet: 7 classes"),
        ({"crop_fraction": 0.9}, "data.eval_crop_fraction = 0.9 (paper's profile: 0.875)"),
    ],
)
def test_other_data_are_not(changes: dict[str, object], reason: str) -> None:
    (found,) = reasons(row_of(), replace(FULL, **changes))  # type: ignore[arg-type]
    assert reason in found


def test_digit_scenes_are_not() -> None:
    row = row_of(profile="mini")
    on = replace(FULL, crop_fraction=None, by_synset=False, num_present=10, num_images=1500)
    found = reasons(row, on)
    assert found[0] == "digit scenes, not ImageNet"
    assert "model.name = pvt_v2_mini (paper's profile: pvt_v2_b2)" in found[1]
    assert "data.image_size_px = 64 (paper's profile: 224)" in found[1]


def test_another_model_is_not_whatever_its_weights() -> None:
    (found,) = reasons(row_of("model.name=pvt_v2_b0"), FULL)
    assert found == "other settings: model.name = pvt_v2_b0 (paper's profile: pvt_v2_b2)"


def test_training_counts_for_what_was_trained_here_only() -> None:
    row = row_of("optimiser.epochs=10")
    assert reasons(row, FULL) == ()
    (found,) = reasons(row, FULL, trained_here=True)
    assert found == "other settings: optimiser.epochs = 10 (paper's profile: 300)"
    many = row_of("optimiser.epochs=10", "optimiser.lr=1.0", "optimiser.eps=1.0", "augment.hflip_prob=0.1")
    assert reasons(many, FULL, trained_here=True)[0].endswith(", and 1 more")


def test_rows_without_a_printed_accuracy_have_no_comparison() -> None:
    row = row_of()
    bare = replace(
        row, row=row.row.model_copy(update={"printed": row.row.printed.model_copy(update={"top1_percent": None})})
    )
    assert compare_with_print(bare, FULL, 81.25, trained_here=False) is None


def test_error_rates_become_accuracies() -> None:
    row = resolve(load_recipe("pvt/table2"), "r18", "paper")
    found = compare_with_print(row, FULL, 70.0, trained_here=False)
    assert found is not None
    assert (found.printed_percent, found.text) == (68.5, "68.5; ours − printed +1.50")


def test_what_a_command_line_changed_is_named() -> None:
    assert changed_settings(row_of("data.root=elsewhere", "numerics.amp=off")) == []
    (changed,) = changed_settings(row_of("optimiser.epochs=7"))
    assert changed == "optimiser.epochs = 7 (paper's profile: 300)"


def test_a_table_of_changed_settings_is_not_comparable() -> None:
    assert table_spec(row_of().recipe, [row_of()], "").comparable
    assert not table_spec(row_of().recipe, [row_of("optimiser.epochs=7")], "").comparable


def test_it_matters_whether_a_row_starts_from_weights_not_where_they_lie() -> None:
    def changed(override: str, recipe: str = "pvt/table3", row: str = "pvt-small-1x") -> list[str]:
        return changed_settings(resolve(load_recipe(recipe), row, "paper", [override]))

    assert changed("model.init_weights=elsewhere/pvt.safetensors") == []
    assert changed("model.init_weights=null") == ["model.init_weights = None (paper's profile: given)"]
    classifier = changed("model.init_weights=any.safetensors", "dit/table8", "neither")
    assert classifier == ["model.init_weights = given (paper's profile: None)"]


@pytest.mark.parametrize(
    ("recipe", "row", "images"), [("dit/table8", "neither", 50_000), ("pvt/table6", "pvt-small", 5_000)]
)
def test_results_on_other_images_are_found(recipe: str, row: str, images: int) -> None:
    class Store:
        def __init__(self, num_images: int | None):
            self.run = None if num_images is None else SimpleNamespace(record=SimpleNamespace(num_images=num_images))

        def find(self, settings: Any, seed: int) -> Any:
            return self.run

    rows = [resolve(load_recipe(recipe), row, "paper")]
    found = [on_other_images(rows, cast("Any", Store(count))) for count in (images, images - 1, None)]
    assert found == [False, True, False]
