"""Figures of a classifier that other packages compute from its logits on a whole data set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real

import numpy as np

from dit_bench.errors import UsageError
from dit_bench.plugins import Plugin, find_plugin, plugin_names
from dit_bench.recipes.suggest import did_you_mean


def metric_plugins(names: Sequence[str]) -> list[Plugin]:
    """The metrics of these names, imported. Raises UsageError for one that nobody has or that cannot be imported."""
    found = []
    for name in names:
        plugin = find_plugin("metrics", name)
        if plugin is None:
            remedy = did_you_mean(name, plugin_names("metrics"))
            raise UsageError(f"evaluation.metrics: no installed package has a metric '{name}'", remedy=remedy)
        plugin.load()
        found.append(plugin)
    return found


def plugin_figures(metrics: Sequence[Plugin], logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """All figures of the metrics, as `<metric>.<figure>`, so that none can pass for one of ours.

    Each metric is called with logits float32 (n, K) and labels int64 (n,), which it must not change, and returns
    numbers by name. Raises PluginError for anything else.
    """
    figures = {}
    logits.flags.writeable = labels.flags.writeable = False
    for metric in metrics:
        found = metric.call(logits, labels)
        if not isinstance(found, Mapping):
            raise metric.refusal(f"it returned {type(found).__name__}, not figures by name")
        for name, value in found.items():
            # numpy's scalars are numbers here, too
            if not isinstance(name, str) or not isinstance(value, Real) or not math.isfinite(value):
                raise metric.refusal(f"its figure {name!r} is {value!r}, not a finite number")
            figures[f"{metric.name}.{name}"] = float(value)
    return figures
