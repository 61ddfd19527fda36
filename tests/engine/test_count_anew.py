from __future__ import annotations

from pathlib import Path

import pytest

from dit_bench.cost.formulas import Grid
from dit_bench.engine import count_anew
from dit_bench.engine.count_anew import counted_row, counted_rows
from dit_bench.engine.static_costs import StaticCosts
from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.resolve import ResolvedRow, resolve_rows
from dit_bench.runs.baseline import CountsBaseline
from dit_bench.runs.baseline_files import load_baseline

BASELINES = Path(__file__).resolve().parents[2] / "baselines"


def test_every_figure_has_its_name() -> None:
    costs = StaticCosts(
        (224, 192), 5, 4, 3, macs={"matmul": 7, "fvcore": 8}, paths={"cheapest": 6}, target_macs=9, problem=""
    )
    found = counted_row(costs)
    assert found.image_size_px == [224, 192]
    assert found.figures == {
        "params_total": 5,
        "params_trainable": 4,
        "params_layers": 3,
        "target_macs": 9,
        "macs.matmul": 7,
        "macs.fvcore": 8,
        "path.cheapest": 6,
    }
    assert counted_row(StaticCosts((1, 1), problem="needs cvt")).figures == {}


def test_rows_are_counted_from_the_code_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = resolve_rows(load_recipe("dit/table6"), [], "smoke")
    asked: list[str] = []

    def count(row: ResolvedRow, image_size: Grid | None = None) -> StaticCosts:
        asked.append(row.row.id)
        return StaticCosts((1, 1), len(asked))

    monkeypatch.setattr(count_anew, "row_costs", count)
    assert [row.figures for row in counted_rows(rows).values()] == [{"params_total": k} for k in (1, 2, 3)]
    assert [row.figures for row in counted_rows(rows).values()] == [{"params_total": k} for k in (4, 5, 6)]
    assert asked == [row.row.id for row in rows] * 2


def test_the_committed_counts_of_the_ablations_are_those_of_design_and_code() -> None:
    """15.645 G and 16.05 G: `fully` on B2 with patch embeddings in three and in five columns, by hand."""
    baseline = load_baseline(BASELINES / "dit-table6-counted.json")
    assert isinstance(baseline, CountsBaseline)
    figures = baseline.rows["fully"].figures
    assert figures["path.fully, patch embeddings in columns 0, 1, 2, 3, 4"] / 1e9 == pytest.approx(16.05, abs=5e-3)
    assert figures["path.fully, patch embeddings in three columns"] / 1e9 == pytest.approx(15.645, abs=5e-4)
    rows = resolve_rows(load_recipe(baseline.recipe), [], baseline.profile)
    assert counted_rows(rows) == baseline.rows
