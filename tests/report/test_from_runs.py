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
