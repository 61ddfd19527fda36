from __future__ import annotations

from collections.abc import Callable

import pytest

from dit_bench.errors import UsageError
from dit_bench.recipes.identity import hash10
from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.metrics import METRIC_NAMES
from dit_bench.recipes.resolve import resolve
from dit_bench.recipes.row_tolerances import default_tolerance, row_tolerances, speed_tolerance
from dit_bench.recipes.settings import ModelSettings, PruningSettings, RoutingSettings, RunSettings
from dit_bench.recipes.tolerances import Check, SpeedTolerance, Tolerance

Write = Callable[..., str]
FRAGMENT = """\
schema_version: 1
check:
  top1_percent: {kind: seeds, allowed: 1, limit: 10}
  top5_percent: {kind: seeds, allowed: 2, limit: 10}
  loss_final: {kind: exact}
  speed: {threshold_percent: 8}
profiles:
  smoke: {check: {top5_percent: {kind: seeds, allowed: 3, limit: 10}}}
"""


def _tolerances(path: str, row: str = "dynamic", profile: str = "smoke") -> dict[str, Tolerance]:
    loaded = load_recipe(path)
    return row_tolerances(loaded, row, profile, resolve(loaded, row, profile).settings)


def test_later_layers_win(write: Write) -> None:
    write(text=FRAGMENT, name="shared.yaml")
    rows = '  - id: dynamic\n    label: "Dynamic"\n'
    path = write(
        ("kind: table\n", "kind: table\ninclude: shared.yaml\ncheck: {loss_final: {kind: ignore}}\n"),
        (rows, f"{rows}    check: {{top1_percent: {{kind: exact}}}}\n  - id: other\n    label: Other\n"),
    )
    of_row = _tolerances(path)
    assert of_row["top1_percent"].kind == "exact", "row above include"
    assert of_row["top5_percent"].allowed == 3, "profile above file"
    assert of_row["loss_final"].kind == "ignore", "recipe above include"
    assert of_row["gmacs_mean"] == default_tolerance("gmacs_mean", RunSettings())
    assert _tolerances(path, "other")["top1_percent"].allowed == 1
    loaded = load_recipe(path)
    assert speed_tolerance(loaded, "dynamic") == SpeedTolerance(threshold_percent=8)


def test_figures_of_other_packages_have_tolerances_by_name(write: Write) -> None:
    path = write(("kind: table\n", "kind: table\ncheck: {plugins: {calibration: {kind: exact}}}\n"))
    assert _tolerances(path)["calibration"].kind == "exact"
    assert "calibration" not in _tolerances("dit/table6")


def test_tolerances_are_no_part_of_a_runs_identity(write: Write) -> None:
    plain = resolve(load_recipe(write()), "dynamic", "smoke").settings
    path = write(("kind: table\n", "kind: table\ncheck: {gmacs_mean: {kind: ignore}}\n"))
    assert hash10(resolve(load_recipe(path), "dynamic", "smoke").settings) == hash10(plain)


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("top1_percnt: {kind: exact}", "check.top1_percnt: unknown key — did you mean 'top1_percent'?"),
        ("top1_percent: {knd: exact}", "check.top1_percent.knd: unknown key — did you mean 'kind'?"),
        ("top1_percent: {kind: sedes, allowed: 1, limit: 2}", "did you mean 'seeds'?"),
        ("top1_percent: {kind: seeds, allowed: 1}", "kind 'seeds' needs the keys 'allowed' and 'limit'"),
        ("top1_percent: {kind: seeds, allowed: 3, limit: 2}", "limit = 2.0 is smaller than allowed = 3.0"),
        ("top1_percent: {kind: seeds, allowed: -1, limit: 2}", "allowed = -1: must be greater than or equal to 0"),
        ("top1_percent: {kind: seeds, allowed: 1, limit: 101}", "limit = 101: must be less than or equal to 100"),
        ("top1_percent: {kind: exact, limit: 2}", "kind 'exact' takes no further keys"),
        ("top1_percent: {kind: ignore, unit: percent}", "kind 'ignore' takes no further keys"),
        ("top1_percent: exact", "check.top1_percent: must be a mapping"),
        ("latency_ms_per_image: {kind: exact}", "unknown key"),
        ("speed: {threshold_percent: 0}", "must be greater than 0"),
        ("plugins: {calibration: {kind: seeds, allowed: 1}}", "kind 'seeds' needs the keys 'allowed' and 'limit'"),
        ("plugins: {calibration: {knd: exact}}", "check.plugins.calibration.knd: unknown key"),
        ("speed: {p: 0.2}", "must be less than or equal to 0.05"),
        ("speed: {treshold_percent: 3}", "did you mean 'threshold_percent'?"),
    ],
)
def test_mistakes_are_refused_with_file_and_line(write: Write, section: str, expected: str) -> None:
    path = write(("kind: table\n", f"kind: table\ncheck:\n  {section}\n"))
    with pytest.raises(UsageError) as caught:
        load_recipe(path)
    assert expected in str(caught.value)
    assert "own.yaml:5: check" in str(caught.value)


def test_every_metric_has_a_tolerance_but_times() -> None:
    assert set(Check.model_fields) == set(METRIC_NAMES) - {"latency_ms_per_image", "train_seconds"} | {
        "speed",
        "plugins",
    }
    loaded = load_recipe("dit/table6")
    found = row_tolerances(loaded, "dynamic", "smoke", resolve(loaded, "dynamic", "smoke").settings)
    assert set(found) == set(METRIC_NAMES) - {"latency_ms_per_image", "train_seconds"}


def _routed(variant: str) -> RunSettings:
    return RunSettings.model_validate({"model": {"name": "dit_b2"}, "routing": {"variant": variant}})


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (_routed("dynamic"), "seeds"),
        (_routed("depth"), "seeds"),
        (_routed("fully"), "exact"),
        (_routed("static"), "exact"),
        (RunSettings(model=ModelSettings(name="resnet18"), routing=RoutingSettings(variant="dynamic")), "exact"),
    ],
)
def test_cost_is_exact_where_nothing_learned_decides_it(settings: RunSettings, kind: str) -> None:
    assert default_tolerance("gmacs_mean", settings).kind == kind
    assert default_tolerance("gmacs_sd", settings).kind == ("ignore" if kind == "seeds" else "exact")
    assert default_tolerance("params_total_m", settings).kind == "exact"
    assert default_tolerance("top1_percent", settings).kind == "seeds"


@pytest.mark.parametrize(("mode", "kind"), [("baseline", "exact"), ("retrain", "seeds")])
def test_pruned_vits_learn_their_cost(mode: str, kind: str) -> None:
    pruned = RunSettings.model_validate(
        {"task": "segmentation", "segmentation": {"segmenter": "segvit"}, "pruning": {"mode": mode}}
    )
    assert isinstance(pruned.pruning, PruningSettings)
    assert default_tolerance("fvcore_gmacs_mean", pruned).kind == kind
