"""Comparisons with prescribed times: what is compared with what, by how many MACs, and what is made of the times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from dit_bench.cost.counter import counted_macs
from dit_bench.engine.bench_networks import (
    BASELINES,
    PLAIN,
    Conditions,
    Subject,
    baseline_contenders,
    check_routed_model,
    controlled_subjects,
    image_size_of,
    read_ledger,
    routed_contenders,
)
from dit_bench.engine.bench_recipes import EvenlySpaced, routed_runs, trained_subjects
from dit_bench.engine.benchmark import check_compiler, compare, counting_overhead
from dit_bench.engine.build import build_model
from dit_bench.errors import UsageError, WeightsError
from dit_bench.models.dit.gates import Gate
from dit_bench.models.dit.model import DiT
from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.resolve import ResolvedRow, resolve_rows
from dit_bench.recipes.settings import DataSettings, ModelSettings, NumericsSettings, RoutingSettings, RunSettings
from dit_bench.runs.read import FinishedRun
from dit_bench.runs.store import RunStore

HERE = Conditions(torch.device("cpu"), compile=False)


class Prescribed:
    """A stopwatch that runs nothing and says what it was told, callable by callable in order of first sight."""

    def __init__(self, *seconds: float):
        self.seconds = seconds
        self.seen: list[Callable[[], object]] = []

    def __call__(self, run: Callable[[], object]) -> float:
        if run not in self.seen:
            self.seen.append(run)
        return self.seconds[self.seen.index(run)]


def subject(keep: float = 0.5, spread: float = 0.5, *, batch: int = 3, path: Any = "diagonal") -> Subject:
    ((found, _),) = controlled_subjects("dit_nano", path, [(64, 64)], [batch], [keep], spread, HERE)
    return found


def test_times_become_speed_ups_round_by_round() -> None:
    ours, pvt, padded = 2.0, 3.0, 1.0
    stopwatch = Prescribed(ours, pvt, padded)
    first, second = compare(subject(), ["pvt", "padded"], HERE, rounds=6, stopwatch=stopwatch)
    assert (first.baseline.kind, second.baseline.kind) == ("pvt", "padded")
    assert (first.speed_up.real.median, second.speed_up.real.median) == (1.5, 0.5)
    assert (first.speed_up.verdict, second.speed_up.verdict) == ("faster", "slower")
    assert first.ours.seconds == (2.0,) * 6
    assert (first.warm_up.rounds, first.warm_up.settled) == (2, True)
    assert (first.batch, first.keep, first.spread) == (3, 0.5, 0.5)
    # Images keep a third, a half and two thirds.
    assert first.kept_mean == pytest.approx(0.5, abs=0.01)
    assert first.kept_sd == pytest.approx(np.std([1 / 3, 1 / 2, 2 / 3]), abs=0.03)


def test_macs_are_those_that_torch_dispatches() -> None:
    lines = {
        line.baseline.kind: line
        for line in compare(subject(), list(BASELINES), HERE, rounds=6, stopwatch=Prescribed(*[1.0] * 5))  # type: ignore[arg-type]
    }
    pvt = timm.create_model("pvt_v2_nano").eval()
    dense = counted_macs(lambda: pvt(torch.zeros(1, 3, 64, 64)))
    assert lines["pvt"].baseline.macs_per_image == dense
    assert lines["dense"].baseline.macs_per_image == dense
    assert lines["masked"].baseline.macs_per_image == dense
    ours = lines["pvt"].ours.macs_per_image
    assert ours < lines["padded"].baseline.macs_per_image < dense
    assert lines["pvt"].speed_up.ideal == pytest.approx(dense / ours)


def test_gates_at_work_cost_what_they_cost_and_decide_nothing() -> None:
    """PVTv2's nodes with the masks set by hand, and every gate of the grid on top."""
    plain, gated = subject(path="diagonal"), subject(path="gated")
    ledgers = [read_ledger(case, case.masks, HERE) for case in (plain, gated)]
    assert (ledgers[0].kept == ledgers[1].kept).all()
    costs = gated.model.costs(gated.image_size)
    live = ledgers[1].live[0]
    rows = sum(gate for i, row in enumerate(costs.row_gates) for j, gate in enumerate(row) if live[i][j])
    widths = gated.model.shape.embed_dims
    # A map that is live asks in every column from the one on in which it came to be.
    columns = sum(2 * widths[scale] * (5 - scale if scale else 5) for scale in range(3))
    assert (ledgers[1].macs - ledgers[0].macs == rows + columns).all()
    dense = baseline_contenders("dense", gated, HERE)
    assert [contender.macs_per_image for contender in dense] == [costs.base + rows + columns]


def test_everything_kept_promises_nothing() -> None:
    (line,) = compare(subject(keep=1.0, spread=0.0), ["pvt"], HERE, rounds=6, stopwatch=Prescribed(1.0, 2.0))
    assert line.speed_up.ideal == 1.0
    assert line.speed_up.rho is None


@pytest.mark.parametrize("path", ["diagonal", "gated", "fully"])
def test_all_forms_of_the_same_masks_compute_the_same(path: str) -> None:
    case = subject(path=path)
    macs = float(read_ledger(case, case.masks, HERE).macs.mean())
    ours: Any = routed_contenders(case, macs, HERE)[0].run()
    for kind in ("masked", "padded"):
        (other,) = baseline_contenders(kind, case, HERE)
        out: Any = other.run()
        assert (out - ours).abs().max() < 1e-4
    (dense,) = baseline_contenders("dense", case, HERE)
    out = dense.run()
    assert (out - ours).abs().max() > 1e-4
    # Dense and routed runs share a network, and each puts its own masks back.
    again: Any = routed_contenders(case, macs, HERE)[0].run()
    assert torch.equal(again, ours)


def test_the_faster_form_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda model, **options: model)
    compiling = replace(HERE, compile=True)
    # DiT eager and compiled, then PVTv2 eager and compiled.
    (line,) = compare(subject(), ["pvt"], compiling, rounds=6, stopwatch=Prescribed(2.0, 1.0, 4.0, 3.0))
    assert (line.ours.form, line.baseline.form) == ("compiled", "compiled")
    assert line.speed_up.real.median == 3.0


def test_memory_holds_weights_images_and_activations() -> None:
    case = subject()
    (line,) = compare(case, ["pvt"], HERE, rounds=6, stopwatch=Prescribed(1.0, 1.0))
    weights = 4 * sum(parameter.numel() for parameter in case.model.parameters())
    assert line.ours.peak_bytes is not None
    activations = line.ours.peak_bytes - weights - 4 * case.images.numel()
    # At least the stem's map, at most a hundred times that.
    stem = 4 * case.batch * 16 * 16 * 16
    assert stem < activations < 100 * stem


def test_cost_of_counting() -> None:
    line = counting_overhead(subject(), HERE, rounds=6, stopwatch=Prescribed(1.0, 1.1))
    assert line.overhead.median == pytest.approx(0.1)
    assert line.overhead.low == pytest.approx(0.1)
    assert line.counted_seconds == (1.1,) * 6


def test_what_cannot_be_timed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="resnet18 routes nothing"):
        check_routed_model("resnet18")
    with pytest.raises(UsageError, match=r"pvt_v2_b2 routes nothing .* 'dit_b2'"):
        check_routed_model("pvt_v2_b2")
    with pytest.raises(UsageError, match="31x64: too small"):
        image_size_of("dit_nano", (31, 64))
    assert image_size_of("dit_nano", None) == (64, 64)
    assert image_size_of("dit_b2", None) == (224, 224)

    def broken(*arguments: Any) -> Any:
        raise RuntimeError("no C++ compiler\nand more")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(UsageError, match="cannot compile here: no C\\+\\+ compiler — use --no-compile"):
        check_compiler()


class OneRun(RunStore):
    """A store that has a run of every row that is asked for."""

    def find(self, settings: RunSettings, seed: int) -> FinishedRun | None:
        return FinishedRun(self.root, SimpleNamespace(settings=settings, seed=seed))  # type: ignore[arg-type]


def rows_of(recipe: str, *row_ids: str) -> list[ResolvedRow]:
    return resolve_rows(load_recipe(recipe), row_ids, "mini")


def test_rows_that_route_nothing_are_passed_over(tmp_path: Path) -> None:
    rows = rows_of("dit/table8")
    dits = [row.row.id for row in rows if row.settings.model.name.startswith("dit_")]
    found = routed_runs(rows, OneRun(tmp_path))
    assert [row.row.id for row, _ in found] == dits
    plain = replace(rows[0], settings=RunSettings(model=ModelSettings(name="pvt_v2_mini")))
    with pytest.raises(UsageError, match=r"nothing is routed in .* \(pvt_v2_mini\) — name rows of a dit_ model"):
        routed_runs([plain], OneRun(tmp_path))
    several = routed_runs(rows_of("dit/table6", "dynamic"), OneRun(tmp_path), every_seed=True)
    assert [run.record.seed for _, run in several] == [0, 1, 2]
    with pytest.raises(WeightsError, match="train it first"):
        routed_runs(rows_of("dit/table6", "dynamic"), RunStore(tmp_path))


def test_a_finished_run_is_timed_on_its_own_images(tmp_path: Path) -> None:
    settings = RunSettings(
        model=ModelSettings(name="dit_nano"),
        routing=RoutingSettings(variant="dynamic"),
        data=DataSettings(val_images=6, min_scale=0.5, clutter=0),
        numerics=NumericsSettings(amp="bf16"),
    )
    torch.manual_seed(0)
    model = build_model(settings, 10)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    row = replace(rows_of("dit/table6", "dynamic")[0], settings=settings)
    runs = routed_runs([row], OneRun(tmp_path))
    ((case, conditions),) = trained_subjects(runs, [4], HERE, tmp_path / "cache")
    assert (case.name, case.size, case.batch, case.image_size) == ("dit/table6 dynamic seed 0", "nano", 4, (64, 64))
    assert case.masks is None
    assert (HERE.numerics, conditions.numerics.amp) == (PLAIN, "bf16")
    ledger = read_ledger(case, None, conditions)
    # An untrained gate starts by keeping the diagonal; a learned column gate leads elsewhere only later.
    assert 0 < case.kept(ledger).mean() <= 1
    # The dense form keeps what the gates would skip.
    for gate in case.model.gates():
        assert isinstance(gate, Gate)
        torch.nn.init.normal_(gate.projection.weight)
        gate.copy_to_ema()
    (dense,) = baseline_contenders("dense", case, conditions)
    assert isinstance(case.model, DiT)
    assert dense.macs_per_image > float(read_ledger(case, None, conditions).macs.mean())
    with pytest.raises(UsageError, match="--batch 7: dit/table6 has 6 images in val"):
        list(trained_subjects(runs, [7], HERE, tmp_path / "cache"))


class ClassByClass:
    """A hundred images of ten classes, whose pixels are their numbers."""

    labels = np.arange(100) // 10
    class_names = ("x",) * 10
    num_classes = 10

    def __len__(self) -> int:
        return 100

    def read(self, index: int) -> np.ndarray:
        return np.full((1, 1, 3), index, np.uint8)

    def manifest_sha256(self) -> str:
        return "none"


def test_images_come_from_everywhere_in_a_folder() -> None:
    part = EvenlySpaced(ClassByClass(), 10)
    assert len(part) == 10
    assert part.labels.tolist() == list(range(10))
    assert [int(part.read(k).max()) for k in (0, 9)] == [0, 99]
