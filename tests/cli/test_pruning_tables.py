"""`dit-bench train`, `ablate` and `flops` of networks that prune tokens, and `flops` of segmentation networks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import TrainedRun

Run = Callable[..., tuple[int, str, str]]


def rows_of(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["id"]: row["cells"] for row in document["rows"]}


def test_ablate_finds_the_trained_runs_and_sets_fvcores_count_beside_the_print(
    trained_pruners: TrainedRun, outcome: Run
) -> None:
    code, out, err = outcome("ablate", *trained_pruners.arguments, "--json")
    assert code == 0, err
    assert err.count("found ") == 4
    assert "running" not in err
    document = json.loads(out)
    cells, metrics = rows_of(document), trained_pruners.record["metrics"]
    assert list(cells) == ["baseline", "direct", "finetune", "retrain"]
    finetune = cells["finetune"]
    for key in ("fvcore_gmacs_mean", "fvcore_gmacs_without_aux_mean"):
        assert finetune[key]["value"] == pytest.approx(metrics[key])
    assert finetune["gmacs"]["value"] == pytest.approx(metrics["gmacs_mean"])
    base = cells["baseline"]["fvcore_gmacs_mean"]["value"]
    assert finetune["ratio"]["value"] == pytest.approx(metrics["fvcore_gmacs_mean"] / base)
    assert (cells["baseline"]["ratio"]["text"], cells["baseline"]["macs_verdict"]["text"]) == ("1.000", "match")
    assert finetune["printed_ratio"]["value"] == pytest.approx(86.8 / 109.9)
    assert finetune["macs_verdict"]["text"] == "differs"


def test_ablate_speaks_of_the_unpruned_network(trained_pruners: TrainedRun, outcome: Run) -> None:
    code, out, err = outcome("ablate", *trained_pruners.arguments, "--only-finished")
    assert code == 0, err
    text = " ".join(out.split())
    assert "MACs relative to Baseline" in text
    assert "in ours, the unpruned network with its last head alone" in text
    assert "against the unpruned network, ideal being" in text
    assert "PVTv2" not in text
    assert "images of all sizes" not in text


def test_counts_of_pruned_rows_are_bounds_without_images(outcome: Run) -> None:
    arguments = ["dtop/table1", "--row", "baseline", "--row", "finetune"]
    code, out, err = outcome("flops", *arguments, "--json")
    assert code == 0, err
    document = json.loads(out)
    cells = rows_of(document)
    baseline, finetune = cells["baseline"], cells["finetune"]
    assert baseline["static_gmacs"]["value"] == pytest.approx(109.9, abs=0.05)
    assert baseline["static_gmacs_verdict"]["text"] == "match"
    assert finetune["static_printed_gmacs"]["value"] == 86.8
    assert finetune["static_gmacs_verdict"]["text"] == "no data"
    assert finetune["static_params_m"]["value"] == pytest.approx(baseline["static_params_m"]["value"])
    paths = {key: cell["value"] for key, cell in finetune.items() if key.startswith("path_")}
    last, every = paths["path_no token leaves, last head"], paths["path_no token leaves, all heads"]
    assert last == pytest.approx(baseline["static_matmul_gmacs"]["value"])
    assert len(paths) == 2
    assert every > last
    notes = " ".join(document["notes"])
    assert "What pruned rows print, the mean cost over images, is judged from runs." in notes
    assert "Routed rows" not in notes
    assert "mmcv" not in notes


def test_counts_of_a_segmentation_table(outcome: Run) -> None:
    rows = ["resnet50", "pvt-v2-b2", "dit-b2"]
    code, out, err = outcome("flops", "dit/table5", *(part for row in rows for part in ("--row", row)), "--json")
    assert code == 0, err
    cells = rows_of(json.loads(out))
    assert cells["resnet50"]["static_gmacs"]["value"] == pytest.approx(45.6, abs=0.05)
    assert cells["pvt-v2-b2"]["static_gmacs"]["value"] == pytest.approx(45.74, abs=0.005)
    assert cells["dit-b2"]["static_gmacs_verdict"]["text"] == "no data"
    assert cells["dit-b2"]["static_params_m"]["text"].startswith("≤ ")
