"""Which weights a command speaks of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dit_bench.engine.trained import trained_weights
from dit_bench.errors import UsageError, WeightsError
from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.resolve import ResolvedRow, resolve_rows
from dit_bench.recipes.settings import RunSettings
from dit_bench.runs.read import FinishedRun
from dit_bench.runs.store import RunStore


class OneFolder(RunStore):
    """A store that finds a run for every setting and seed."""

    def find(self, settings: RunSettings, seed: int) -> FinishedRun | None:
        return FinishedRun(self.root / f"{settings.model.name}-seed{seed}", record=None)  # type: ignore[arg-type]


def rows_of(recipe: str, *row_ids: str) -> list[ResolvedRow]:
    return resolve_rows(load_recipe(recipe), row_ids, "paper")


def test_rows_that_are_never_run_are_passed_over(tmp_path: Path) -> None:
    rows = rows_of("pvt/table2", "r18-original", "r18")
    # Both have the same settings, but the run is that of the row that is trained here.
    (found,) = trained_weights(rows, OneFolder(tmp_path), None)
    assert (found.row.row.id, found.path.parent.name) == ("r18", "resnet18-seed0")


def test_without_a_run_the_error_says_how_to_get_one(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    with pytest.raises(WeightsError, match="train it first: dit-bench train pvt/table2 --row r18 --profile paper"):
        trained_weights(rows_of("pvt/table2", "r18-original", "r18"), store, None)
    with pytest.raises(WeightsError, match=r"r18-original is never trained: .* give weights with --checkpoint"):
        trained_weights(rows_of("pvt/table2", "r18-original"), store, None)


def test_a_file_belongs_to_one_row_that_has_a_model(tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    file.touch()
    store = RunStore(tmp_path)
    (found,) = trained_weights(rows_of("pvt/table2", "r18-original"), store, file)
    assert (found.seed, found.path, found.name) == (None, file, f"r18-original {file}")
    with pytest.raises(UsageError, match="2 rows are chosen"):
        trained_weights(rows_of("pvt/table2", "r18-original", "r18"), store, file)
    with pytest.raises(WeightsError, match=r"no\.pth: no such file"):
        trained_weights(rows_of("pvt/table2", "r18"), store, tmp_path / "no.pth")
    (row,) = rows_of("pvt/table2", "r18")
    absent = replace(row, row=row.row.model_copy(update={"not_implemented": "never published"}))
    with pytest.raises(UsageError, match="row r18 has no model: never published"):
        trained_weights([absent], store, file)
