"""What `eval` says about a result, as lines and as data."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from dit_bench.report.evaluation import evaluation_figures, evaluation_json, evaluation_title
from dit_bench.report.inputs import RunSummary, TableSpec
from dit_bench.report.printed_accuracy import PrintedComparison
from dit_bench.report.table import build_table


@dataclass(frozen=True)
class On:
    split: str = "val"
    protocol: str | None = None
    crop_fraction: float | None = 0.9
    interpolation: str = "bicubic"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    image_size_px: int = 224
    num_images: int = 800
    num_classes: int = 1000
    num_present: int = 10
    by_synset: bool = True


@dataclass(frozen=True)
class Found:
    num_images: int = 800
    kept_ratio: list[list[float]] = field(default_factory=lambda: [[0.5, 1.0]])
    column_open_ratio: list[list[float]] = field(default_factory=list)


PARTIAL = On()
SCENES = On(crop_fraction=None, num_classes=10, by_synset=False)
METRICS = {
    "top1_percent": 70.126,
    "top5_percent": 90.0,
    "gmacs_mean": 2.0,
    "gmacs_sd": 0.0,
    "gmacs_p5": 2.0,
    "gmacs_p50": 2.0,
    "gmacs_p95": 2.0,
    "params_total_m": 5.5,
    "params_valid_m": 5.5,
    "latency_ms_per_image": 3.25,
}
ROUTED = METRICS | {"base_gmacs": 4.0, "base_latency_ms_per_image": 6.5}


def test_titles_name_protocol_crop_input_and_what_is_there() -> None:
    expected = "t, protocol timm: crop fraction 0.9, bicubic, input 224x224; 10 of 1000 classes, 800 images"
    assert evaluation_title("t", replace(PARTIAL, protocol="timm")) == expected
    whole = replace(PARTIAL, num_present=1000, num_images=50_000, crop_fraction=0.875)
    expected = (
        "t, the recipe's evaluation: crop fraction 0.875, bicubic, input 224x224; all 1000 classes, 50,000 images"
    )
    assert evaluation_title("t", whole) == expected
    assert evaluation_title("t", SCENES) == "t"


def test_lines_of_an_image_folder_say_how_it_was_scored() -> None:
    metrics = METRICS | {"top1_present_percent": 81.0}
    printed = PrintedComparison(79.8, -9.674, ("other data",))
    lines = dict(evaluation_figures(metrics, Found(), PARTIAL, printed))
    assert lines["evaluated"] == "val, the recipe's evaluation: crop fraction 0.9, bicubic, input 224x224"
    assert lines["classes"] == "10 of 1000 classes, 800 images, numbered by synset as in ImageNet"
    assert lines["top-1 (%)"] == "70.13"
    assert lines["top-1 (%) choosing among the 10 classes present"] == "81.00"
    assert lines["printed top-1 (%)"] == "79.8; ours − printed −9.67; not comparable: other data"


def test_a_network_without_a_grid_is_not_compared_with_pvt() -> None:
    lines = dict(evaluation_figures(METRICS, Found(), SCENES))
    assert lines["latency (ms per image)"] == "3.250"
    assert not [name for name in lines if "PVTv2" in name or "kept" in name or "gates" in name]
    routed = dict(evaluation_figures(ROUTED, Found(), SCENES))
    assert routed["MACs relative to PVTv2"] == "0.5000"
    assert routed["latency (ms per image), this / PVTv2"] == "3.250 / 6.500"
    assert routed["kept ratio, scale 1/4, stages 1 … 2"] == "0.500  1.000"


def test_json_says_the_same_in_full() -> None:
    printed = PrintedComparison(79.8, -9.674, ("other data",))
    found = json.loads(json.dumps(evaluation_json("t", METRICS, Found(), PARTIAL, printed, [])))
    assert found["printed_top1"] == {
        "printed_percent": 79.8,
        "difference": -9.674,
        "reasons": ["other data"],
        "comparable": False,
    }
    keys = ("crop_fraction", "image_size_px", "num_classes", "num_present", "labels_by_synset", "split")
    assert [found[key] for key in keys] == [0.9, 224, 1000, 10, True, "val"]
    assert found["metrics"]["top1_percent"] == 70.126
    assert evaluation_json("t", METRICS, Found(), SCENES, None, [])["printed_top1"] is None


def test_a_table_copes_with_a_row_that_has_no_base(spec: TableSpec, make_run: Callable[..., RunSummary]) -> None:
    routed = make_run("dynamic", 0, 80.0, 0.5, base_gmacs=1.0, latency_ms_per_image=3.0, base_latency_ms_per_image=4.0)
    alone = {key: value for key, value in routed.metrics.items() if not key.startswith("base_")}
    table = build_table(spec, [replace(routed, row_id="static", metrics=alone), routed])
    static, dynamic = (row.cells for row in table.rows[:2])
    assert (static["ratio"].value, static["rho"].value) == (None, None)
    assert (static["gmacs"].value, static["latency_ms_per_image"].value) == (0.5, 3.0)
    assert dynamic["rho"].value == pytest.approx((4 / 3 - 1) / (2 - 1))
