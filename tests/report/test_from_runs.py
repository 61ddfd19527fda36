"""From recipes to what a table is made of: rows that a profile leaves out are named so that they can be told apart."""

from __future__ import annotations

from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.resolve import resolve_rows
from dit_bench.report.from_runs import table_spec


def test_rows_of_other_profiles_are_listed_by_their_whole_labels() -> None:
    loaded = load_recipe("dit/table3")
    notes = table_spec(loaded, resolve_rows(loaded, [], "mini"), "").extra_notes
    (note,) = [note for note in notes if note.startswith("Rows that profile mini does not have: ")]
    listed = note.partition(": ")[2].removesuffix(".").split("; ")
    assert listed == [row.label for row in loaded.recipe.rows if row.only_in == ["paper"]]
    assert "RetinaNet, ResNet50" in listed
    paper = table_spec(loaded, resolve_rows(loaded, [], "paper"), "").extra_notes
    assert not any("does not have" in note for note in paper)


def test_small_rows_say_which_model_stands_for_the_published_one() -> None:
    """Not where a table is of variants of one model, nor in full size."""
    expected = {
        ("pvt/table8", "mini"): ["ViT-Small/32: vit_mini_patch16", "PVT-Small (ours): pvt_mini"],
        ("pvt/table8", "paper"): ["ViT-Small/4", "ViT-Small/32", "PVT-Small (ours)"],
        ("dit/table8", "mini"): ["Neither (PVTv2)", "Scale", "Depth", "Scale and depth"],
        ("dtop/table1", "mini"): ["Baseline", "+ DToP@Direct", "+ DToP@Finetune", "+ DToP@Retrain"],
    }
    for (name, profile), labels in expected.items():
        loaded = load_recipe(name)
        spec = table_spec(loaded, resolve_rows(loaded, [], profile), "dit-bench ablate")
        assert [row.label for row in spec.rows] == labels, name
