"""Figures of other packages: named so that none passes for ours, and finite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassCalibrationError

from dit_bench.errors import UsageError
from dit_bench.plugins import PluginError
from dit_bench.recipes.metrics import METRIC_NAMES
from dit_bench.tasks.plugin_metrics import metric_plugins, plugin_figures

MakePackage = Callable[..., str]
LOGITS = np.random.default_rng(0).normal(0, 2, (200, 5)).astype(np.float32)
LABELS = np.random.default_rng(1).integers(0, 5, 200)


def test_figures_carry_the_name_of_their_metric(example_package: Path) -> None:
    found = plugin_figures(metric_plugins(["calibration"]), LOGITS.copy(), LABELS.copy())
    assert list(found) == ["calibration.ece_percent", "calibration.confidence_percent"]
    expected = MulticlassCalibrationError(5, n_bins=10)(torch.from_numpy(LOGITS), torch.from_numpy(LABELS))
    assert found["calibration.ece_percent"] == pytest.approx(100 * float(expected), abs=1e-4)
    assert not any("." in name for name in METRIC_NAMES), "ours have no dot, so none can be mistaken for another"


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        ("3.0", "it returned float, not figures by name"),
        ("{'a': float('nan')}", "its figure 'a' is nan, not a finite number"),
        ("{'a': '3'}", "its figure 'a' is '3', not a finite number"),
        ("{1: 3.0}", "its figure 1 is 3.0, not a finite number"),
        ("logits.__setitem__(0, 0)", "ValueError: assignment destination is read-only"),
    ],
)
def test_what_is_no_figure_is_refused(make_package: MakePackage, returned: str, reason: str) -> None:
    make_package("odd", f"def odd(logits, labels):\n    return {returned}", metrics={"odd": "odd"})
    with pytest.raises(PluginError) as refusal:
        plugin_figures(metric_plugins(["odd"]), LOGITS.copy(), LABELS.copy())
    assert refusal.value.message == f"metric 'odd' of odd 1.2.3 (dit_bench.metrics: odd:odd): {reason}"


def test_a_metric_that_nobody_has_is_refused(example_package: Path) -> None:
    with pytest.raises(UsageError, match="no installed package has a metric 'calibraton' — did you mean 'calibration'"):
        metric_plugins(["calibraton"])
