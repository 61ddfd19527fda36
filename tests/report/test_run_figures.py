"""Figures of recipes: which printed and which measured values they show."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.resolve import ResolvedRow, resolve_rows
from dit_bench.report.from_runs import table_spec
from dit_bench.report.run_figures import curves_figure, printed_value, tradeoff_figure
from dit_bench.runs.provenance import collect_provenance
from dit_bench.runs.record import RunRecord
from dit_bench.runs.store import RunStore


def rows_of(name: str) -> list[ResolvedRow]:
    return resolve_rows(load_recipe(name), [], "paper")


def finish(store: RunStore, row: ResolvedRow, losses: list[float], **metrics: float) -> None:
    """A finished run of that row's first seed."""
    lines = [json.dumps({"epoch": float(k), "task_loss": loss}) for k, loss in enumerate(losses, start=1)]
    with store.begin(row.settings, row.seeds[0]) as folder:
        (folder.path / "epochs.jsonl").write_text("\n".join(lines), encoding="utf-8")
        provenance = collect_provenance(
            device="cpu", threads=1, accelerator=None, weights_sha256="0" * 64, data_manifest_sha256=None
        )
        folder.publish(
            RunRecord(
                run_id=folder.path.name,
                settings=row.settings,
                seed=row.seeds[0],
                provenance=provenance,
                metrics=metrics,
                kept_ratio=[],
                column_open_ratio=[],
                num_images=5000,
                training={},
            )
        )


def markers(figure: Figure, axes: int) -> list[tuple[float, float, bool]]:
    """Places of the lone markers of some axes, and whether they are hollow."""
    drawn = [line for line in figure.axes[axes].lines if len(np.asarray(line.get_xdata())) == 1]
    drawn = [line for line in drawn if line.get_marker() in ("o", "s", "^", "D", "v", "P", "X")]
    places = [(*map(float, np.asarray(line.get_xydata())[0]), line) for line in drawn]
    return [(x, y, line.get_markerfacecolor() == "white") for x, y, line in places]


def test_pvt_figure_2_is_the_print_and_our_runs(tmp_path: Path) -> None:
    rows, store = rows_of("pvt/fig2"), RunStore(tmp_path)
    printed = {(row.row.printed.params_m, row.row.printed.box_ap_percent, True) for row in rows}
    figure, notes = tradeoff_figure(rows, store)
    assert set(markers(figure, 0)) == printed
    assert len(printed) == 10
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("#Param (M)", "COCO AP, as printed")
    joined = sorted(len(np.asarray(line.get_xdata())) for line in axes.lines if len(np.asarray(line.get_xdata())) > 1)
    assert joined == [2, 3, 4], "ResNeXt, ResNet, PVT; ViT is alone"
    assert "ResNeXt101-64x4d" in notes[0]
    assert "PVT" not in notes[0]
    finish(store, rows[1], [1.0], params_total_m=34.25, box_ap_percent=39.9)
    assert set(markers(tradeoff_figure(rows, store)[0], 0)) == printed | {(34.25, 39.9, False)}
    assert set(markers(tradeoff_figure(rows[:2], store)[0], 0)) == {
        (23.0, 36.7, True),
        (34.2, 40.4, True),
        (34.25, 39.9, False),
    }


def test_pvt_figure_5_has_the_ends_that_are_printed(tmp_path: Path) -> None:
    rows, store = rows_of("pvt/fig5"), RunStore(tmp_path)
    figure, notes = curves_figure(rows, store)
    assert len(figure.axes) == 2
    # Without pretrained weights: 40.4 - 13.8 and 42.2 - 8.4.
    assert set(markers(figure, 0)) == {(12, 40.4, True), (12, 26.6, True), (36, 42.2, True), (36, 33.8, True)}
    assert set(markers(figure, 1)) == {(12, 40.4, True), (12, 36.3, True), (36, 42.2, True), (36, 39.0, True)}
    assert notes[0].startswith("no finished run")
    assert notes[1].endswith("PVT-Small, 1x, without pretrained weights; PVT-Small, 3x, without pretrained weights")
    assert any(text.get_text().endswith("(AP at the end only)") for text in figure.texts)


def test_losses_of_runs_over_the_epochs(tmp_path: Path) -> None:
    rows, store = rows_of("pvt/fig5"), RunStore(tmp_path)
    finish(store, rows[0], [2.0, 1.5, 1.25], box_ap_percent=20.5)
    figure, notes = curves_figure(rows, store)
    losses = figure.axes[0]
    assert np.asarray(losses.lines[0].get_xydata()).tolist() == [[1, 2.0], [2, 1.5], [3, 1.25]]
    assert (3, 20.5, False) in markers(figure, 1)
    assert notes[0].startswith("over the epochs: the training loss")


def test_printed_values_of_rows_and_of_differences() -> None:
    rows = rows_of("pvt/fig5")
    spec = table_spec(rows[0].recipe, rows, "")
    found = {row.id: printed_value(spec, row, "box_ap_percent") for row in spec.rows}
    assert found["pvt-small-scratch-1x"] == 26.6
    assert found["resnet50-3x"] == 39.0
    assert printed_value(spec, spec.rows[0], "mask_ap_percent") is None


def test_a_recipe_without_axes_shows_runs_over_gmacs(tmp_path: Path) -> None:
    rows = rows_of("dit/table6")
    finish(RunStore(tmp_path), rows[0], [1.0], gmacs_mean=3.8, top1_percent=80.0)
    figure, notes = tradeoff_figure(rows, RunStore(tmp_path))
    assert markers(figure, 0) == [(3.8, 80.0, False)]
    assert notes == []
